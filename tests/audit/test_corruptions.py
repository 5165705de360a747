"""Whatever is wrong in a database, `durable_audit` finds it and names it; and finds nothing in a sound one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from django.db import transaction

from tests.audit.corruptions import CORRUPTIONS, Corruption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.audit.conftest import World


@contextmanager
def undone(alias: str) -> Iterator[None]:
    """What is written inside is taken back."""
    with transaction.atomic(alias):
        yield
        transaction.set_rollback(True, alias)


def test_nothing_is_found_where_nothing_is_wrong(world: World):
    said = world.audit()
    assert said["violations"] == []
    assert said["code"] == 0
    assert said["looked_at"]["runs"] == 16
    assert said["looked_at"]["open_runs"] == 9
    assert said["replayed"] == 15  # all but the pending one


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=repr)
def test_corruption_is_found_and_named(world: World, corruption: Corruption):
    with undone(world.site.alias):
        run_id = corruption.corrupt(world)
        said = world.audit("--replay", "none", "--examples", "50")
    assert said["code"] == 1
    found = {violation["invariant"]: violation["examples"] for violation in said["violations"]}
    assert corruption.invariant in found, said["violations"]
    assert found.keys() <= {corruption.invariant, *corruption.others}, said["violations"]
    examples = found[corruption.invariant]
    assert any(e["run_id"] == str(run_id) and corruption.says in e["found"] for e in examples), examples
