"""A project whose only code is that of one recorded release: DURABLE_TEST_RELEASE names the package."""

from __future__ import annotations

import os

from tests.project.settings import *  # noqa: F403

INSTALLED_APPS = ["django_durable", *filter(None, [os.environ.get("DURABLE_TEST_RELEASE")])]
ROOT_URLCONF = __name__
urlpatterns: list[object] = []
