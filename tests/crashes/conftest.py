"""Processes are killed, paused and cut off from their database, and runs must come out as if nothing had happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sites import PAIRS, Site, entered, key, queue, quiet_site, site_on

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["key", "queue", "quiet_site"]

QUICK = {"HEARTBEAT_INTERVAL": 0.3, "WORKER_TIMEOUT": 1.5}


@pytest.fixture(scope="session", params=PAIRS)
def quiet_site_on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_on(request.param, tmp_path_factory, **QUICK) as site:
        yield site


@pytest.fixture(scope="session", params=PAIRS)
def busy_site_on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_on(request.param, tmp_path_factory) as site, site.project.worker("--queue-name", "default") as worker:
        site.up = worker
        yield site


@pytest.fixture
def busy_site(busy_site_on: Site) -> Iterator[Site]:
    """A site with one worker on the queue `default`, for tests that harm no process."""
    with entered(busy_site_on) as site:
        yield site
        assert site.up is not None
        assert site.up.process.poll() is None, f"the worker died; it said:\n{site.up.said}"
