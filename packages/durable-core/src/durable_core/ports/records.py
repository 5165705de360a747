"""What crosses between the engine and a store."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from durable_core.codec import decode, encode
from durable_core.events import (
    WORD_TYPES,
    ActivityCanceled,
    ExternalMessageDelivered,
    ExternalMessageFailed,
    SignalReceived,
    WorkflowCancelRequested,
    WorkflowUpdateAccepted,
    details_of,
)
from durable_core.execution import MessageStatus, Status, TaskStatus
from durable_core.ports.queue import Entry, EntryKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from durable_core.codec import Payload
    from durable_core.events import EventRecord, HistoryEvent
    from durable_core.ports.people import HumanTaskCall, HumanTaskCancel, NewHumanTask

# Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be created, PENDING."""

    id: UUID
    workflow_name: str
    input: Payload
    queue: str
    workflow_id: str | None = None  # at most one open run has it
    priority: int = 0
    start_at: datetime | None = None  # not before; None: at once
    due_at: datetime | None = None  # when the scheduler must look: at start_at, or after a lossy queue
    deadline: datetime | None = None  # when it times out
    timeout: timedelta | None = None  # from its start to that; what a run that goes on for it is given
    parent_id: UUID | None = None
    parent_call_id: str | None = None
    cancel_with_parent: bool = True
    chain_id: UUID | None = None  # the first of the runs that it goes on for, each continued as the next
    forked_from: UUID | None = None  # the run whose history it begins with

    def wake(self) -> Wake:
        return Wake(self.id, self.queue, self.priority, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as the store holds it."""

    id: UUID
    workflow_name: str
    workflow_id: str | None
    status: Status
    version: int  # goes up with every commit; what a commit was decided on
    history_length: int  # seq of the last event
    input: Payload
    result: Payload | None
    error: str
    queue: str
    priority: int
    start_at: datetime | None  # not to be begun before
    deadline: datetime | None
    timeout: timedelta | None  # None: no deadline, or one of a release that did not keep this
    parent_id: UUID | None
    parent_call_id: str | None
    cancel_with_parent: bool
    chain_id: UUID | None  # see NewRun
    worker_id: UUID | None  # who has it in memory, if anybody
    failures: int  # decisions in a row that ended BLOCKED
    crashes: int  # workers in a row that died over it
    created_at: datetime
    paused_at: datetime | None = None  # since when nothing is decided for it
    unheard: Payload | None = None  # of a closed one: see `unheard_of`
    forked_from: UUID | None = None  # see NewRun; None, too, where that run was deleted

    @property
    def time_given(self) -> timedelta | None:
        """From its start to its deadline."""
        if self.timeout is None and self.deadline is not None:
            return self.deadline - (self.start_at or self.created_at)
        return self.timeout


class Mail(NamedTuple):
    """A fact that waits to be moved into a run's history: an event without its place and time."""

    id: int
    type: str
    call_id: str | None
    details: str


FOLLOWING = frozenset({SignalReceived.type, WorkflowCancelRequested.type, WorkflowUpdateAccepted.type})


class Letter(NamedTuple):
    """Mail to be delivered."""

    run_id: UUID
    type: str
    call_id: str | None
    details: str

    @property
    def follows(self) -> bool:
        """Whether it is for the newest run, where the addressee was continued as new. An outcome is for its own run."""
        return self.type in FOLLOWING

    @classmethod
    def of(cls, run_id: UUID, fact: HistoryEvent) -> Letter:
        return cls(run_id, fact.type, fact.call_id, details_of(fact))


class Outgoing(NamedTuple):
    """A message from a run to another, and the call of the sender's code that hears what has become of it."""

    call_id: str
    run_id: UUID | None  # None: the open run with *workflow_id*
    workflow_id: str | None
    type: str
    details: str

    def letter(self, run_id: UUID) -> Letter:
        return Letter(run_id, self.type, None, self.details)

    def word(self, sender: UUID, failure: str | None) -> Letter:
        """What the sender hears. *failure*: closed or unknown; None: it was delivered."""
        return Letter.of(sender, word_of(self.call_id, failure))


def word_of(call_id: str, failure: str | None) -> HistoryEvent:
    """What the code hears of a message that it has sent."""
    if failure is None:
        return ExternalMessageDelivered(call_id=call_id)
    return ExternalMessageFailed(call_id=call_id, reason=failure)


class MessageKind(StrEnum):
    SIGNAL = "signal"
    UPDATE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message that its sender has given a key, by which it is known should it be sent again."""

    chain_id: UUID  # of its addressee: the first run of a chain
    run_id: UUID  # the newest one
    kind: MessageKind
    key: str  # one message of a chain and kind has it
    name: str  # of the signal or the update


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRecord:
    """Such a message as the store holds it. A signal stays SENT."""

    run_id: UUID  # that it was sent to, and then the one that has accepted or rejected it
    kind: MessageKind
    key: str
    name: str
    status: MessageStatus
    result: Payload | None  # of an update that is COMPLETED
    failure: Mapping[str, Any] | None  # of one that is FAILED or REJECTED


class MessageNews(NamedTuple):
    """What has become of an update in a decision of its run."""

    chain_id: UUID
    key: str
    status: MessageStatus
    result: Payload | None = None
    failure: Mapping[str, Any] | None = None


@dataclass(slots=True)
class LoadedRun:
    record: RunRecord
    events: list[EventRecord]  # whole, by seq
    mail: list[Mail]  # unread, oldest first


class Wake(NamedTuple):
    """A run that somebody should look at, and what a queue entry for it needs."""

    run_id: UUID
    queue: str
    priority: int
    worker_id: UUID | None  # who has it in memory: asked first

    @property
    def entry(self) -> Entry:
        return Entry(EntryKind.RUN, self.run_id, self.queue, self.priority, self.worker_id)


# Activities


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """An activity set in motion by a commit."""

    id: UUID
    call_id: str
    activity_name: str
    input: Payload
    queue: str
    priority: int
    retry_policy: Mapping[str, Any]  # RetryPolicy.to_json
    expires_at: datetime | None  # schedule-to-close
    schedule_to_start: timedelta | None
    start_to_close: timedelta | None
    heartbeat_timeout: timedelta | None
    at_most_once: bool = False  # see TaskRecord
    claimed: bool = False  # True: the committing worker starts it itself; attempt 1, token 1
    due_at: datetime | None = None  # first moment at which the scheduler must look at it

    def committed(self, run_id: UUID, now: datetime, *, retry_policy: Mapping[str, Any] | None = None) -> TaskRecord:
        """What the store holds once this is committed; if *claimed*, what `claim_tasks` would have answered.

        *retry_policy* is the store's own copy; None: this one will do.
        """
        return TaskRecord(
            id=self.id,
            run_id=run_id,
            call_id=self.call_id,
            activity_name=self.activity_name,
            status=TaskStatus.RUNNING if self.claimed else TaskStatus.QUEUED,
            input=self.input,
            attempt=1 if self.claimed else 0,
            token=1 if self.claimed else 0,
            queue=self.queue,
            priority=self.priority,
            retry_policy=self.retry_policy if retry_policy is None else retry_policy,
            scheduled_at=now,
            started_at=now if self.claimed else None,
            queued_at=now,
            retry_at=None,
            expires_at=self.expires_at,
            schedule_to_start=self.schedule_to_start,
            start_to_close=self.start_to_close,
            heartbeat_timeout=self.heartbeat_timeout,
            heartbeat_at=None,
            heartbeat_details=None,
            crashes=0,
            at_most_once=self.at_most_once,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """An activity as the store holds it."""

    id: UUID
    run_id: UUID
    call_id: str
    activity_name: str
    status: TaskStatus
    input: Payload
    attempt: int  # begun so far; the current one while RUNNING
    token: int  # goes up with every claim, retry and return; what an outcome must name
    queue: str
    priority: int
    retry_policy: Mapping[str, Any]
    scheduled_at: datetime
    started_at: datetime | None  # of the current attempt
    queued_at: datetime  # when the current wait for a worker began
    retry_at: datetime | None  # not before, while in retry backoff
    expires_at: datetime | None
    schedule_to_start: timedelta | None
    start_to_close: timedelta | None
    heartbeat_timeout: timedelta | None
    heartbeat_at: datetime | None
    heartbeat_details: Payload | None  # of the last heartbeat, of this attempt or an earlier one
    crashes: int  # workers that died over it
    failure: Mapping[str, Any] | None = None  # record of the last failed attempt
    at_most_once: bool = False  # an attempt that has begun is not given back either
    completion_digest: str | None = None  # of the token by which an attempt may be completed, see `tokens`
    completion_expires_at: datetime | None = None  # of that token
    is_detached: bool = False  # RUNNING, and no worker has it: it is completed from outside


class PastTask(NamedTuple):
    """An activity, open or closed."""

    record: TaskRecord
    result: Payload | None


class Detached(Enum):
    """What became of an attempt that its worker wanted to leave to others."""

    DONE = "done"
    GONE = "gone"  # it has ended, or is another's: there was nothing to leave
    UNWANTED = "unwanted"  # it was told to stop: the worker still has it


class ClaimedTasks(NamedTuple):
    """What became of tasks that a worker wanted to begin; what it cannot have is in neither."""

    begun: list[TaskRecord]
    busy: frozenset[UUID] = frozenset()  # could begin, but somebody holds them: to be tried again


class GivenBack(NamedTuple):
    """What became of attempts that a worker has given back."""

    queued: list[TaskRecord]  # for whoever comes next
    wakes: Sequence[Wake] = ()  # runs that got mail, because nobody wanted the attempt any more


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutcome:
    """How an attempt ended. Accepted only while the task is open and *token* is its own.

    A status of QUEUED is a retry: *retry_at* says when, and the run hears nothing. Any other status is final, and
    *fact* is what the run hears.
    """

    task_id: UUID
    run_id: UUID
    token: int
    status: TaskStatus
    result: Payload | None = None
    failure: Mapping[str, Any] | None = None
    retry_at: datetime | None = None
    crashes: int = 0  # what the column is set to
    fact: HistoryEvent | None = None  # for the run

    def instead_of_a_retry(self, call_id: str) -> TaskOutcome:
        """The end of an activity that nobody wants another attempt of."""
        fact = ActivityCanceled(call_id=call_id, reason="")
        return replace(self, status=TaskStatus.CANCELED, retry_at=None, fact=fact)

    @property
    def letter(self) -> Letter | None:
        """The fact, as mail."""
        return None if self.fact is None else Letter.of(self.run_id, self.fact)


class Beat(NamedTuple):
    """A heartbeat of an attempt that runs here."""

    task_id: UUID
    token: int
    details: Payload | None  # None: keep what is there
    due_at: datetime | None  # when the scheduler must look, unless another beat comes first
    is_sign_of_life: bool  # False: the worker asks about it, but the activity itself has not called in


@dataclass(frozen=True, slots=True)
class BeatReply:
    known: bool  # False: this worker was declared dead; it must drop what it holds
    canceled: frozenset[UUID]  # tasks whose activity should stop
    lost: frozenset[tuple[UUID, int]]  # attempts (task id, token) that are over, or no longer this worker's


# What code lets others read


class NewValue(NamedTuple):
    """An event of a run is set: its value from now on."""

    chain_id: UUID  # the first run of its chain, or itself: whoever reads finds it by that
    key: str
    value: Payload


class NewItem(NamedTuple):
    """An item for a stream of a run. Of two with the same call and number in one stream, the first holds."""

    chain_id: UUID  # as in NewValue
    stream: str
    call_id: str  # of ctx.publish(), or of the activity that publishes
    number: int  # of ctx.publish() the seq of its fact; of an activity, among its items in this stream, from 0
    item: Payload


class AttemptItems(NamedTuple):
    """What an attempt at an activity has published: (stream, number, item)."""

    run_id: UUID
    task_id: UUID
    token: int  # accepted only while it is the task's
    call_id: str
    items: Sequence[tuple[str, int, Payload]]


class Published(NamedTuple):
    """What became of items, by tasks; those of the others are in their streams."""

    refused: frozenset[UUID]  # the attempt is over, or its run is closed: nothing of it is wanted any more
    busy: frozenset[UUID]  # somebody holds the run: to be tried again


class StoredItem(NamedTuple):
    cursor: int  # grows along the stream of a chain, with gaps
    item: Payload


# Decisions


class TaskCancel(NamedTuple):
    """An activity that the code of its run wants no more."""

    call_id: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Commit:
    """All that one decision writes for one run: everything or nothing.

    It applies only while the run is open and its version is *version*. *mail_read* is removed from the mailbox.
    """

    run_id: UUID
    version: int
    status: Status
    events: Sequence[EventRecord] = ()
    history_length: int = 0
    result: Payload | None = None
    error: str = ""
    waiting_for: str | None = None  # JSON object: kind, what, since, until, at
    due_at: datetime | None = None
    failures: int = 0
    crashes: int = 0
    worker_id: UUID | None = None  # who keeps it in memory, and has claimed the tasks that are committed as claimed
    mail_read: Sequence[int] = ()
    tasks: Sequence[NewTask] = ()
    outcomes: Sequence[TaskOutcome] = ()  # of attempts whose facts are among the events
    # Of these, QUEUED ones end CANCELED, and the run is told by mail; RUNNING ones are told to stop, and say how they
    # ended. What has ended already, in this commit too, stays as it is.
    cancels: Sequence[TaskCancel] = ()
    children: Sequence[NewRun] = ()
    letters: Sequence[Letter] = ()
    asked: Sequence[NewHumanTask] = ()  # of a run that closes, they are CANCELED
    # Open human tasks that expire with this decision. UNREAD where mail waits that says how one of them has ended.
    expired: Sequence[HumanTaskCall] = ()
    # Of these, OPEN ones end CANCELED, and the run is told by mail; answered ones stay as they are.
    withdrawn: Sequence[HumanTaskCancel] = ()
    # Messages to other runs: delivered where these are open, which then do not close meanwhile; the sender gets a word
    # on each by mail. BUSY while somebody else decides on one of those.
    outgoing: Sequence[Outgoing] = ()
    # Words on messages that a run which closes has read, and has not written into its history. The run keeps them, and
    # those on what this commit sends, for the day on which it is opened again.
    unheard: Sequence[Letter] = ()
    updates: Sequence[MessageNews] = ()
    values: Sequence[NewValue] = ()  # one of a key
    items: Sequence[NewItem] = ()  # in the order in which the code published them
    # What becomes of QUEUED tasks when the run closes; None keeps them. RUNNING ones are told to stop.
    close_tasks_as: TaskStatus | None = TaskStatus.CANCELED


def unheard_of(commit: Commit, letters: Iterable[Letter]) -> Payload | None:
    """What a run that closes keeps of words that its code has not heard: why each message failed, by call.

    *letters* are those of the commit, words among them. An object; null for a message that was delivered.
    """
    words = [letter for letter in letters if letter.run_id == commit.run_id and letter.type in WORD_TYPES]
    reasons = {letter.call_id: decode(letter.details).get("reason") for letter in [*commit.unheard, *words]}
    return encode(reasons) if reasons else None


class Restart(NamedTuple):
    """An activity is to begin anew, as if it had never been tried."""

    task_id: UUID
    expires_at: datetime | None
    due_at: datetime | None  # first moment at which the scheduler must look at it


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopening:
    """All that opening a closed run again writes. It applies while the run's version is *version*."""

    run_id: UUID
    version: int
    event: EventRecord
    waiting_for: str  # JSON object
    deadline: datetime | None
    due_at: datetime | None  # when the scheduler must look, if the queue may lose what wakes it
    tasks: Sequence[Restart]
    mail: Sequence[int]  # what it had left unread, and is thrown away
    asked: Sequence[UUID] = ()  # human tasks that are OPEN again
    canceled: Sequence[
        UUID
    ] = ()  # activities that are CANCELED now, however they stood: what an attempt brings is refused


class Verdict(Enum):
    COMMITTED = "committed"
    CONFLICT = "conflict"  # the run moved, closed or is gone, or an outcome's token is old: decide again from the store
    BUSY = "busy"  # somebody holds the row: commit the same thing again, soon
    # The decision closes a run that has mail it has not seen, or expires a human task that has ended: read it first.
    UNREAD = "unread"


@dataclass(slots=True)
class CommitResult:
    verdict: Verdict
    mail: list[Mail] = field(default_factory=list)  # unread after this commit


@dataclass(slots=True)
class Committed:
    results: dict[UUID, CommitResult]
    wakes: list[Wake]  # runs that got letters


class Created(NamedTuple):
    """What became of a `NewRun`: the run that now has its workflow_id, which may be an older one."""

    run_id: UUID
    created: bool
    workflow_name: str
    input: Payload


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of outcomes: which were refused because another attempt, or the end, came first; whom to wake; and
    which must be reported again, because somebody holds the task (a cancel in a long transaction, for instance)."""

    rejected: frozenset[UUID]
    wakes: list[Wake]
    busy: frozenset[UUID] = frozenset()


@dataclass(slots=True)
class Due:
    """Rows whose time has come, locked until the transaction ends."""

    wakes: list[Wake]  # runs with a due timer, deadline, retry or unread mail
    tasks: list[TaskRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    id: UUID
    host: str
    pid: int
    queues: tuple[str, ...]  # empty: all but *exclude*
    exclude: tuple[str, ...] = ()
