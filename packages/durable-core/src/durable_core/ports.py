"""What the engine needs from a store, a queue and a clock, and the records that cross.

*The store is the truth, the queue is a hint.* A store keeps runs, their histories, their mailboxes, their activity
tasks and the rows of live workers. A queue carries ids only; whatever it loses, the store's `due_at` makes good.

Times are aware and in UTC, and are the store's (`HistoryStore.now`). Every method of a store may raise
`StoreUnavailable`; no other exception of a driver crosses a port.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable
from uuid import UUID

from durable_core.errors import LimitExceeded
from durable_core.events import details_of
from durable_core.execution import Status, TaskStatus

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from durable_core.codec import Payload
    from durable_core.events import EventRecord, HistoryEvent


def new_id() -> UUID:
    """A UUID of version 7 (RFC 9562): sorted by its time of birth, so that indexes grow at one end.

    Its 12 bits behind the milliseconds are their fraction (the RFC's method 3), about 0.25 us.
    """
    millis, rest = divmod(time.time_ns(), 1_000_000)
    fraction = (rest << 12) // 1_000_000
    random = _entropy.getrandbits(62)
    return UUID(int=(millis & (1 << 48) - 1) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random)


# A generator of our own: a project may seed the global one. A child process must not go on with its parent's.
_entropy = Random(os.urandom(32))
os.register_at_fork(after_in_child=lambda: _entropy.seed(os.urandom(32)))


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
    parent_id: UUID | None = None
    parent_call_id: str | None = None
    cancel_with_parent: bool = True

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
    parent_id: UUID | None
    parent_call_id: str | None
    worker_id: UUID | None  # who has it in memory, if anybody
    failures: int  # decisions in a row that ended BLOCKED
    crashes: int  # workers in a row that died over it
    created_at: datetime


class Mail(NamedTuple):
    """A fact that waits to be moved into a run's history: an event without its place and time."""

    id: int
    type: str
    call_id: str | None
    details: str


class Letter(NamedTuple):
    """Mail to be delivered."""

    run_id: UUID
    type: str
    call_id: str | None
    details: str


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
    claimed: bool = False  # True: the committing worker starts it itself; attempt 1, token 1
    due_at: datetime | None = None  # first moment at which the scheduler must look at it


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

    @property
    def letter(self) -> Letter | None:
        """The fact, as mail."""
        if self.fact is None:
            return None
        return Letter(self.run_id, self.fact.type, self.fact.call_id, details_of(self.fact))


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
    lost: frozenset[UUID]  # tasks that are no longer this worker's


# Decisions


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
    children: Sequence[NewRun] = ()
    letters: Sequence[Letter] = ()
    # What becomes of QUEUED tasks when the run closes; None keeps them. RUNNING ones are told to stop.
    close_tasks_as: TaskStatus | None = TaskStatus.CANCELED


class Verdict(Enum):
    COMMITTED = "committed"
    CONFLICT = "conflict"  # the run moved, closed or is gone, or an outcome's token is old: decide again from the store
    BUSY = "busy"  # somebody holds the row: commit the same thing again, soon
    UNREAD = "unread"  # the decision closes a run that has mail it has not seen: read it first


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
    queues: tuple[str, ...]  # empty: all


@runtime_checkable
class HistoryStore(Protocol):
    """Where the truth is kept. One object per process, used from many threads."""

    def now(self) -> datetime:
        """The store's time, never ahead of it; need not ask the store every time."""

    def transaction(self) -> AbstractContextManager[None]:
        """All calls inside write together or not at all. Joins an outer transaction of the caller's."""

    def in_transaction(self) -> bool:
        """Whether the calling thread has a transaction of its own open."""

    # Runs

    def create(self, runs: Sequence[NewRun]) -> list[Created]:
        """Insert runs; one whose workflow_id an open run has is not inserted, and that run is returned."""

    def get(self, run_id: UUID) -> RunRecord | None: ...

    def load(self, run_ids: Collection[UUID]) -> dict[UUID, LoadedRun]:
        """Runs with history and mail; three statements, whatever the number. Unknown ids are missing."""

    def unread(self, run_ids: Collection[UUID]) -> dict[UUID, list[Mail]]:
        """Mail of runs that are in memory; one statement. Runs without mail may be missing."""

    def lock(self, run_id: UUID) -> LoadedRun | None:
        """The run, and no writer but the caller until the transaction ends. Its *events* are left empty."""

    def children(self, run_id: UUID) -> list[UUID]:
        """Open children that are canceled with this run."""

    def commit(self, commits: Sequence[Commit]) -> Committed:
        """Write decisions of many runs in one transaction with a bounded number of statements.

        Rows that others hold are skipped (BUSY), never waited for. Locks tasks before runs.
        """

    def annotate(self, waiting_for: Mapping[UUID, str]) -> None:
        """Say of open runs what they wait for, without deciding anything."""

    def charge(self, run_ids: Collection[UUID]) -> None:
        """Count a dead worker against each of these runs."""

    # Mail

    def deliver(self, letters: Sequence[Letter]) -> list[Wake]:
        """Put letters into the mailboxes of open runs, which cannot close before the caller's transaction ends.

        A run that is missing from the answer is closed or does not exist. Raises `LimitExceeded` for one that would
        have over `MAX_UNREAD` letters waiting; then none was put anywhere. Letters of the engine itself have no limit.
        """

    # Activities

    def claim_tasks(self, task_ids: Collection[UUID], worker_id: UUID) -> list[TaskRecord]:
        """Begin an attempt of each task that is QUEUED and not in backoff; committed before user code runs.

        Tasks that were kept when their run closed may begin too.
        """

    def record_outcomes(self, outcomes: Sequence[TaskOutcome]) -> Receipt:
        """Close or requeue attempts, and put the letters of the accepted ones into the mailboxes of open runs.

        Never waits for a task that somebody holds. A retry of a task that was told to stop becomes CANCELED.
        """

    def give_back(self, attempts: Mapping[UUID, int]) -> list[TaskRecord]:
        """Make claimed attempts (task id: token) that never began QUEUED again, uncharged. Answers which."""

    def requeue(self, due_at: Mapping[UUID, datetime | None]) -> None:
        """QUEUED tasks leave their backoff; *due_at* is when to look again."""

    def forgotten(self, worker_id: UUID, known: Collection[UUID]) -> dict[UUID, int]:
        """Attempts claimed by a worker (task id: token) but not in *known*: their claim's reply was lost."""

    # Time

    def next_due(self) -> datetime | None:
        """The earliest moment at which `due` will find something; one cheap statement."""

    def due(self, now: datetime, *, limit: int, again_at: datetime | None) -> Due:
        """Lock up to *limit* due rows of each kind, skipping locked ones. Due runs and mail become due again at
        *again_at* (None: not by themselves). Mail of closed runs is thrown away."""

    # Workers

    def add_worker(self, worker: WorkerInfo) -> None: ...

    def remove_worker(self, worker_id: UUID) -> None: ...

    def beat(self, worker_id: UUID, beats: Sequence[Beat]) -> BeatReply:
        """Say that a worker and its attempts are alive, and hear which attempts should stop."""

    def dead_workers(self, timeout: timedelta) -> list[UUID]:
        """Workers without a heartbeat for *timeout*."""

    def bury(self, worker_ids: Collection[UUID]) -> list[TaskRecord]:
        """Remove workers' rows; answers the attempts they had RUNNING, locked. Only one caller gets each.

        What somebody else has locked is not waited for: the worker's row stays, and the rest is for another time.
        """


def mailbox_full(run_id: UUID, waiting: int) -> LimitExceeded:
    """What `deliver` raises."""
    return LimitExceeded(
        f"{waiting:,} messages wait unread in the mailbox of run {run_id}; the limit is {MAX_UNREAD:,}. Is a worker up "
        "that serves its queue, or is the run BLOCKED?"
    )


# The queue


class EntryKind(Enum):
    RUN = "run"
    ACTIVITY = "activity"


class Entry(NamedTuple):
    """A hint that a run or an activity wants attention."""

    kind: EntryKind
    ref: UUID  # of the run, or of the task
    queue: str
    priority: int = 0  # higher first
    preferred: UUID | None = None  # worker that has the run in memory


class Claim(NamedTuple):
    """An entry that a worker holds until it completes, releases or loses it."""

    entry: Entry
    handle: Any  # the queue's own
    deliveries: int  # from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    queue: str
    ready: int
    claimed: int
    delayed: int
    oldest_ready: timedelta | None


PRIVATE = "local:"  # begins the name of a queue that one worker keeps to itself


def private_queue(worker_id: UUID) -> str:
    """The queue of runs that are driven by one worker alone, with their children and activities, whatever their own."""
    return f"{PRIVATE}{worker_id.hex}"


def queue_for(wanted: str | None, of_run: str) -> str:
    """The queue of a run's activity or child that asked for *wanted*, or for none."""
    return of_run if wanted is None or of_run.startswith(PRIVATE) else wanted


LEASE: int = 60  # seconds that a claim holds; decisions take milliseconds, so only a dead or hung worker gets there
MAX_UNREAD = 10_000  # letters that may wait in one mailbox; a worker that is up leaves none there
REDELIVERY = timedelta(seconds=30)  # after which a queue that can lose entries is taken to have lost one
PREFERENCE: int = 1  # second(s) for which only the preferred worker may claim an entry


@runtime_checkable
class TaskQueue(Protocol):
    """May lose, repeat, delay and reorder entries; that costs time and nothing else."""

    transactional: bool  # enqueue() and complete() join the store's transaction, so nothing is lost
    wakeup: bool  # watch() hears of entries made by other processes

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None: ...

    def claim(
        self, worker_id: UUID, limits: Mapping[EntryKind, int], *, queues: Collection[str], exclude: Collection[str]
    ) -> list[Claim]:
        """Up to so many ready entries of each kind, highest priority first, then oldest. Does not wait.

        Empty *queues* means all but *exclude*, and but the private queues of live workers: what stands in one is
        claimed by those that name it and, once its worker is dead, by anybody. Entries that prefer another worker are
        left to it for a second.
        """

    def complete(self, claims: Collection[Claim]) -> None: ...

    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        """Give entries back, to be claimed by anybody after *delay*."""

    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        """Give back what dead workers had claimed; answers those entries."""

    def stats(self) -> list[QueueStats]: ...

    def watch(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Call *wake*, from any thread, when another process may have enqueued; where `wakeup` is False, never."""


class Clock(Protocol):
    """Time as the worker's loop sees it; a test moves it by hand."""

    def monotonic(self) -> float:
        """Seconds."""

    def wait(self, event: threading.Event, timeout: float) -> None:
        """Until *event* is set, or for *timeout* seconds."""


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, timeout: float) -> None:
        event.wait(timeout)
