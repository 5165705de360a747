"""The project of the tests, with the programs' workflow and activities."""

from __future__ import annotations

from tests.project.settings import *  # noqa: F403 - settings of Django are extended like this
from tests.project.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "tests.chaos"]
