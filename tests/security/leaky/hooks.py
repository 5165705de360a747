"""A plugin that stumbles over what it is told."""

from __future__ import annotations

from durable_core.hooks import hookimpl


@hookimpl
def durable_events(events):
    raise ValueError([event.record.details for event in events])
