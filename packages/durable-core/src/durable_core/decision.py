"""What a run makes of the facts it is given, and what a project may choose about that."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.codec import MAX_PAYLOAD_BYTES, Payload
from durable_core.execution import STATUS_AFTER, Status, error_of

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from durable_core import commands as c
    from durable_core.updates import UpdateNews

# Whoever has a run in memory, and one of its local activities under way, is believed to be alive for so long. Their own
# limit is shorter: see WorkerSettings.stuck_after.
LOCAL_PATIENCE = timedelta(seconds=15)
MAX_HISTORY = 50_000  # events; Temporal's limit is 51,200
WARN_HISTORY = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What a project may choose about how its runs behave."""

    strict_inputs: bool = False  # changed arguments are a mismatch, not a warning
    block_on_error: bool = False  # an exception that leaves workflow code parks the run instead of failing it
    payload_limit: int = MAX_PAYLOAD_BYTES


@dataclass(slots=True)
class Decision:
    """What a run made of the facts it was given."""

    events: list[e.EventRecord] = field(default_factory=list)
    activities: list[c.ScheduleActivity] = field(default_factory=list)
    children: list[c.StartChildWorkflow] = field(default_factory=list)
    local: list[c.RunLocalActivity] = field(default_factory=list)  # all that have no outcome, new or not
    cancels: list[c.CancelActivity | c.CancelChild | c.CancelTask] = field(default_factory=list)
    values: dict[str, Payload] = field(default_factory=dict)  # of events, by key: the last that was set
    items: list[tuple[int, c.PublishItem]] = field(default_factory=list)  # with the seq of the fact
    asked: list[c.AskPerson] = field(default_factory=list)
    expired: dict[str, UUID] = field(default_factory=dict)  # human tasks that nobody has answered in time, by call
    outgoing: list[c.SendSignal | c.SendCancel] = field(default_factory=list)
    unheard: list[e.HistoryEvent] = field(default_factory=list)  # words on messages that came when the code had ended
    abandoned: list[UUID] = field(default_factory=list)  # open children to be canceled with the run
    is_first: bool = False  # since the run was forked, or opened again
    status: Status = Status.RUNNING
    result: Payload | None = None
    error: str = ""
    end: e.HistoryEvent | None = None  # the terminal fact, if the run closed
    wake_at: datetime | None = None  # earliest timer or deadline
    carried: list[e.HistoryEvent] = field(default_factory=list)  # unread signals, and cancels, for that one
    waiting_for: str | None = None  # JSON object
    updates: dict[str, UpdateNews] = field(default_factory=dict)  # by update_id
    warnings: list[str] = field(default_factory=list)

    def tell(self, news: UpdateNews) -> None:
        """The last word on an update is the one that counts."""
        self.updates[news.update_id] = news

    def close(self, end: e.HistoryEvent) -> None:
        """Status, result and error of a run that ends with this fact."""
        self.status, self.error = STATUS_AFTER[type(end)], error_of(end)
        if isinstance(end, e.WorkflowCompleted):
            self.result = end.result

    @property
    def continued(self) -> e.WorkflowContinuedAsNew | None:
        """How the run goes on as a new one; None: it does not."""
        return self.end if isinstance(self.end, e.WorkflowContinuedAsNew) else None
