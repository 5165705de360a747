"""Which row a sealed text is for. A text is opened only for the place that it was sealed for.

What a place does not say is not guarded: two letters of one type may change their places in a mailbox, and two items
theirs in a stream.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


def place(*parts: str | int | None) -> bytes:
    return json.dumps(parts).encode()


def of_run(run_id: UUID, column: str) -> bytes:
    return place("run", str(run_id), column)


def of_event(run_id: UUID, seq: int, kind: str, call_id: str | None) -> bytes:
    return place("event", str(run_id), seq, kind, call_id)


def of_mail(run_id: UUID, kind: str, call_id: str | None) -> bytes:
    return place("mail", str(run_id), kind, call_id)


def of_input(task_id: UUID, run_id: UUID, call_id: str) -> bytes:
    """Of an activity: it begins with this, so that it is bound to the run that it is begun for."""
    return place("activity", str(task_id), "input", str(run_id), call_id)


def of_task(task_id: UUID, column: str) -> bytes:
    return place("activity", str(task_id), column)


def of_message(chain_id: UUID, key: str, column: str) -> bytes:
    return place("update", str(chain_id), key, column)


def of_value(chain_id: UUID, key: str) -> bytes:
    return place("event value", str(chain_id), key)


def of_item(chain_id: UUID, stream: str) -> bytes:
    return place("item", str(chain_id), stream)
