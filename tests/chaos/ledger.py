"""What activities did, in files beside the database: a line for each effect, and a bank that commits by itself."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from durable_core.audit import Performed
from tests.programs.activities import OPENING_BALANCE, Effect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0  # seconds for the bank's lock; a process that holds it may be paused for some of that


class FileLedger:
    """Of one run of chaos, shared by all its processes."""

    def __init__(self, folder: Path) -> None:
        self._effects = folder / "effects"
        self._bank = folder / "bank.sqlite3"

    # For activities

    def begin(self, effect: Effect) -> None:
        self._note("begin", effect)

    def end(self, effect: Effect) -> None:
        self._note("end", effect)

    def times(self, call: str) -> int:
        return sum(what == "begin" and effect.call == call for what, effect, _ in self._lines())

    def move(self, call: str, account: str, amount: int) -> bool:
        with closing(self._open()) as bank, bank:
            bank.execute("BEGIN IMMEDIATE")
            known = bank.execute("SELECT granted FROM moves WHERE call = ?", [call]).fetchone()
            if known is not None:
                return bool(known[0])
            granted = _balance(bank, account) + amount >= 0
            bank.execute("INSERT INTO moves VALUES (?, ?, ?, ?)", [call, account, amount if granted else 0, granted])
            return granted

    # For those who look

    def begun(self) -> list[Effect]:
        return [effect for what, effect, _ in self._lines() if what == "begin"]

    def performed(self) -> Iterator[Performed]:
        """For the audit."""
        ended = Counter(effect for what, effect, _ in self._lines() if what == "end")
        for what, effect, at in self._lines():
            if what == "begin":
                came_to_its_end = ended[effect] > 0
                ended[effect] -= came_to_its_end
                yield Performed(
                    key=effect.call,
                    attempt=effect.attempt,
                    ended=came_to_its_end,
                    begun_at=at,
                    is_local=effect.is_local,
                )

    def balance(self, account: str) -> int:
        with closing(self._open()) as bank:
            return _balance(bank, account)

    # Inside

    def _note(self, what: str, effect: Effect) -> None:
        line = json.dumps([what, datetime.now(UTC).isoformat(), *effect])
        descriptor = os.open(self._effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, f"{line}\n".encode())  # in one piece, or not at all
        finally:
            os.close(descriptor)

    def _lines(self) -> Iterator[tuple[str, Effect, datetime]]:
        if not self._effects.exists():
            return
        with self._effects.open() as lines:
            for line in lines:
                what, at, *effect = json.loads(line)
                yield what, Effect(*effect), datetime.fromisoformat(at)

    def _open(self) -> sqlite3.Connection:
        bank = sqlite3.connect(self._bank, timeout=PATIENCE, isolation_level=None)
        bank.execute("PRAGMA synchronous=OFF")  # processes die here, machines do not
        columns = "call TEXT PRIMARY KEY, account TEXT, amount INTEGER, granted BOOLEAN"
        bank.execute(f"CREATE TABLE IF NOT EXISTS moves ({columns})")
        return bank


def _balance(bank: sqlite3.Connection, account: str) -> int:
    moved: Any = bank.execute("SELECT coalesce(sum(amount), 0) FROM moves WHERE account = ?", [account]).fetchone()
    return OPENING_BALANCE + int(moved[0])
