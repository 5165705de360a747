"""Logging of processes whose project has not set it up."""

from __future__ import annotations

import logging


def log_to_stderr(level: int) -> None:
    """Only where the project has not: a logger that has handlers, its own or above it, is left as it is."""
    ours = logging.getLogger("durable")
    if ours.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    ours.addHandler(handler)
    ours.setLevel(level)
