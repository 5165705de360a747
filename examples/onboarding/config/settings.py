"""Settings of the example: SQLite in one file, or Postgres if ONBOARDING_POSTGRES names a database.

ONBOARDING_QUEUE is another queue than the database, as JSON: {"BACKEND": "redis", "OPTIONS": {"url": "redis://..."}}
"""

import json
import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = "an example has no secrets"
DEBUG = True
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "config.urls"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_durable",
    "onboarding",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
            ],
        },
    },
]

if "ONBOARDING_POSTGRES" in os.environ:
    # Host, user and password come from libpq's own variables: PGHOST, PGUSER, PGPASSWORD.
    DATABASES = {
        "default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["ONBOARDING_POSTGRES"]},
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": BASE_DIR / "demo.sqlite3",  # demo.py begins with a fresh one
            "OPTIONS": {
                # Web requests, commands and workers write to one file: readers must not wait for writers (WAL), and a
                # transaction that will write must queue up when it begins, not fail half-way (IMMEDIATE).
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
                "timeout": 20,  # seconds
            },
        },
    }

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
USE_TZ = True
TIME_ZONE = "UTC"

DURABLE = {
    # A worker without a sign of life for 4 seconds counts as dead, so that the demo need not wait for long. In
    # production leave the defaults (5 and 15): a worker that is only slow should keep its work.
    "HEARTBEAT_INTERVAL": 1,
    "WORKER_TIMEOUT": 4,
}
if "ONBOARDING_QUEUE" in os.environ:
    DURABLE["QUEUE"] = json.loads(os.environ["ONBOARDING_QUEUE"])
