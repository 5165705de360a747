"""Properties of the core have no deadline per example: a busy machine is no failure."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("core", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=15)  # for runs that go through them a thousand times
settings.load_profile("core")
