"""What the engine asks of its database, measured by counting."""

from __future__ import annotations

from tests.sites import quiet_site, quiet_site_on

__all__ = ["quiet_site", "quiet_site_on"]
