"""The app that holds the workflows."""

from __future__ import annotations

import os

from django.apps import AppConfig


class BenchConfig(AppConfig):
    name = "benchmarks.project"
    label = "bench"

    def ready(self) -> None:
        if place := os.environ.get("DURABLE_BENCH_PROBE"):
            from benchmarks.project import probe

            probe.install(place, os.environ.get("DURABLE_BENCH_WATCH", ""))
