"""Behaviour is tested through real worker processes, on both databases, with the sticky cache and without."""

from __future__ import annotations

from tests.sites import Site, key, queue, quiet_site, quiet_site_on, site, site_with_worker

__all__ = ["Site", "key", "queue", "quiet_site", "quiet_site_on", "site", "site_with_worker"]
