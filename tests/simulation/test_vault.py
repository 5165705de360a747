"""Worlds whose payloads are sealed."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from durable_core.errors import PayloadSealed
from durable_core.sealing.rows import Rows
from tests.simulation.hub import Hub
from tests.simulation.simulation import simulate
from tests.simulation.vault import SHARE, Vault

if TYPE_CHECKING:
    from durable_core.events import EventRecord
    from durable_core.ports import NewRun

SHUT = next(seed for seed in range(1_000) if Vault(seed, is_rough=False).is_shut)


def test_a_share_of_all_worlds_is_sealed_and_some_workers_lack_the_key() -> None:
    vaults = [Vault(seed, is_rough=True) for seed in range(400)]
    shut = [vault for vault in vaults if vault.is_shut]
    assert SHARE / 2 < len(shut) / len(vaults) < SHARE * 2
    lent = [vault.lend(Hub(Random(1))) for vault in vaults]
    assert any(key.is_withheld for key in lent)
    assert any(not vault.lend(Hub(Random(1))).is_withheld for vault in shut)
    for vault in vaults:
        vault.calm()
    assert not any(key.is_withheld for key in lent)


def test_a_key_opens_for_one_row_and_only_while_it_is_there() -> None:
    vault = next(vault for seed in range(1_000) if (vault := Vault(seed, is_rough=True)).is_shut)
    while not (key := vault.lend(Hub(Random(1)))).is_withheld:
        pass
    sealed = key.encode(b"word", b"here")
    with pytest.raises(PayloadSealed, match="does not have the key"):
        key.decode(sealed, b"here")
    vault.calm()
    assert key.decode(sealed, b"here") == b"word"
    with pytest.raises(PayloadSealed, match="another row"):
        key.decode(sealed, b"there")


def _plain_run(self: Rows, run: NewRun) -> NewRun:
    return run


def _plain_event(self: Rows, run_id: object, event: EventRecord) -> EventRecord:
    return event


@pytest.mark.parametrize(("method", "lie"), [("sealed_run", _plain_run), ("sealed_event", _plain_event)])
def test_what_stands_in_plain_in_a_sealed_world_is_complained_of(
    method: str, lie: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rows, method, lie)
    verdict = simulate(SHUT)
    assert any("can be read by everybody" in complaint for complaint in verdict.complaints)
