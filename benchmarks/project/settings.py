"""The database, and what is chosen about the engine, come from the environment."""

from __future__ import annotations

import json
import os

SECRET_KEY = "of a benchmark"
DEBUG = False
USE_TZ = True
INSTALLED_APPS = ["django_durable", "benchmarks.project.apps.BenchConfig"]
DATABASES = {"default": json.loads(os.environ["DURABLE_BENCH_DATABASE"])}
DURABLE = json.loads(os.environ.get("DURABLE_BENCH_SETTINGS", "{}"))
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
