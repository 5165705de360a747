"""What the engine asks of its database and of the machine, measured by counting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sites import key, queue, quiet_site, quiet_site_on
from tests.store.databases import empty

if TYPE_CHECKING:
    from tests.sites import Site

__all__ = ["key", "queue", "quiet_site", "quiet_site_on"]


@pytest.fixture
def alias(quiet_site: Site) -> str:
    """A database with nothing in it but what the test puts there."""
    empty(quiet_site.alias)
    return quiet_site.alias
