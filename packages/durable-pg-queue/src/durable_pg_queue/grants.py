"""What roles of the database need of the queue's table, its sequence and its functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core.ports import Duty
from durable_pg_queue.schema import located

if TYPE_CHECKING:
    from durable_pg_queue.database import Raw
    from durable_pg_queue.schema import Names

TABLE = {
    Duty.WORK: "SELECT, INSERT, UPDATE, DELETE",
    Duty.CALL: "SELECT, INSERT",  # an entry is left out where the run has another
    Duty.LOOK: "SELECT",
}
FUNCTIONS = {
    Duty.WORK: ("enqueue", "claim", "survey", "complete", "release", "release_dead", "ring"),
    Duty.CALL: ("enqueue", "ring"),
    Duty.LOOK: (),
}


def grants(raw: Raw, names: Names, duty: Duty) -> list[str]:
    """Everybody may run functions until somebody says otherwise, so they are named too."""
    there = located(raw, names)
    found = [f'USAGE ON SCHEMA "{there.schema}"', f"{TABLE[duty]} ON TABLE {there.quoted}"]
    if functions := FUNCTIONS[duty]:
        found.append(f'SELECT, UPDATE ON SEQUENCE "{there.schema}"."{there.table}_bell"')
        found.append(f"EXECUTE ON FUNCTION {', '.join(there.function(name) for name in functions)}")
    return found
