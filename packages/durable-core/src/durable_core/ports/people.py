"""What a store keeps of questions to people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from durable_core.events import TASK_ENDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from durable_core.codec import Payload
    from durable_core.execution import HumanTaskStatus
    from durable_core.ports.records import Mail


RUN_ENDED = "its run has ended"  # why tasks are CANCELED with it
WITHDRAWN = "canceled by its workflow"  # and why by code that gives no reason


class NewHumanTask(NamedTuple):
    """A person is asked. Of a task that was put aside when its run was opened again, and is asked anew: OPEN again."""

    id: UUID
    call_id: str
    question: str
    form: Any  # JSON: see `events.TaskAsked`
    assignee: str | None
    permission: str | None
    expires_at: datetime | None


class HumanTaskCall(NamedTuple):
    id: UUID
    call_id: str


class HumanTaskCancel(NamedTuple):
    id: UUID
    call_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanTaskRecord:
    """A human task as the store holds it."""

    id: UUID
    run_id: UUID
    call_id: str
    question: str
    form: Any
    assignee: str | None
    permission: str | None
    status: HumanTaskStatus
    asked_at: datetime
    expires_at: datetime | None
    answer: Payload | None  # of one that is ANSWERED
    answered_by: str | None
    reason: str  # why it was CANCELED
    ended_at: datetime | None


def has_ended(expired: Sequence[HumanTaskCall], unread: Iterable[Mail]) -> bool:
    """Whether mail says how one of these tasks has ended."""
    calls = {call.call_id for call in expired}
    return any(mail.type in _ENDS and mail.call_id in calls for mail in unread)


_ENDS = frozenset(cls.type for cls in TASK_ENDS)
