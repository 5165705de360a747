"""Settings of the project that tests and their worker processes share.

DURABLE_TEST_DB        sqlite:/path, or postgresql://user:password@host:port/name?host=/socket
DURABLE_TEST_SETTINGS  JSON of DURABLE
DURABLE_TEST_USE_TZ    0 turns it off
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
}


def database(url: str) -> dict[str, Any]:
    """An entry of DATABASES."""
    if url.startswith("sqlite:"):
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": url.removeprefix("sqlite:"),
            "OPTIONS": json.loads(os.environ.get("DURABLE_TEST_SQLITE_OPTIONS") or json.dumps(SQLITE_OPTIONS)),
        }
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or unquote(parts.hostname or ""),
        "PORT": options.pop("port", None) or str(parts.port or ""),
        "OPTIONS": options,
    }


def _own_file() -> str:
    """Each process of a test run that names no database gets one for itself; the run's conftest removes it."""
    return f"sqlite:{Path(tempfile.gettempdir()) / f'durable-tests-{os.getpid()}.sqlite3'}"


SECRET_KEY = "only for tests"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.project.urls"
USE_TZ = os.environ.get("DURABLE_TEST_USE_TZ", "1") == "1"
TIME_ZONE = "Europe/Berlin"  # not UTC: a mix-up shows
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": database(os.environ.get("DURABLE_TEST_DB") or _own_file())}
DURABLE = json.loads(os.environ.get("DURABLE_TEST_SETTINGS", "{}"))
STATIC_URL = "static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_durable",
    "tests.project.app",
    "tests.scenarios",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
