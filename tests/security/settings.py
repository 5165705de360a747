"""The project of the tests with the leaky app, and a log that shows everything that a record has, from INFO up."""

from __future__ import annotations

import logging

from tests.project.settings import *  # noqa: F403
from tests.project.settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "tests.security.leaky"]


class Everything(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{super().format(record)} {vars(record)!r}"


LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"everything": {"()": Everything}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "everything", "level": "INFO"}},
    "root": {"handlers": ["stderr"], "level": "DEBUG"},
}
