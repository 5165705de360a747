"""What the engine needs from a queue: hints that something wants attention, with ids in them and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from contextlib import AbstractContextManager

PRIVATE = "local:"  # begins the name of a queue that one worker keeps to itself

LEASE: int = 60  # seconds that a claim holds; decisions take milliseconds, so only a dead or hung worker gets there
REDELIVERY = timedelta(seconds=30)  # after which a queue that can lose entries is taken to have lost one
PREFERENCE: int = 1  # second(s) for which only the preferred worker may claim an entry


class EntryKind(Enum):
    RUN = "run"
    ACTIVITY = "activity"


class Entry(NamedTuple):
    """A hint that a run or an activity wants attention."""

    kind: EntryKind
    ref: UUID  # of the run, or of the task
    queue: str
    priority: int = 0  # higher first; -32768 to 32767
    preferred: UUID | None = None  # worker that has the run in memory


class Claim(NamedTuple):
    """An entry that a worker holds until it completes, releases or loses it."""

    entry: Entry
    handle: Any  # the queue's own
    deliveries: int  # from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """Numbers of one queue. A private queue of a worker is in it like any other."""

    queue: str
    ready: int
    claimed: int
    delayed: int
    oldest_ready: timedelta | None  # how long the oldest ready entry has been ready
    dead: int = 0  # entries that nobody could read, kept aside


def private_queue(worker_id: UUID) -> str:
    """The queue of runs that are driven by one worker alone, with their children and activities, whatever their own.

    When that worker is buried, what stands in it goes to `DEFAULT_QUEUE`, in the store and in the queue.
    """
    return f"{PRIVATE}{worker_id.hex}"


def queue_for(wanted: str | None, of_run: str) -> str:
    """The queue of a run's activity or child that asked for *wanted*, or for none."""
    return of_run if wanted is None or of_run.startswith(PRIVATE) else wanted


@runtime_checkable
class TaskQueue(Protocol):
    """May lose, repeat, delay and reorder entries; that costs time and nothing else.

    One object per process, used from many threads; made without touching the network, and safe after a fork (a child
    must not go on with its parent's sockets). Where the server does not answer, methods raise `QueueUnavailable`, or
    `StoreUnavailable` where the queue works on the store's own connection; no exception of a driver gets out.
    """

    transactional: bool  # enqueue() and complete() join the store's transaction, so nothing is lost
    wakeup: bool  # watch() hears of entries made by other processes

    def enqueue(self, entries: Iterable[Entry], *, delay: timedelta | None = None) -> None:
        """Entries that are ready at once, or after *delay*.

        An entry whose twin (same kind and ref) is ready and unclaimed may be dropped, if whoever claims the twin will
        see what this transaction has written. One whose twin is claimed must be kept: what it stands for may have
        come after the claim.
        """

    def claim(
        self, worker_id: UUID, limits: Mapping[EntryKind, int], *, queues: Collection[str], exclude: Collection[str]
    ) -> list[Claim]:
        """Up to so many ready entries of each kind, highest priority first, then oldest. Does not wait.

        Empty *queues* means all but *exclude* and the private ones. Entries that prefer another worker are left to it
        for a second after they are ready first. A claim whose lease ends is ready again.
        """

    def complete(self, claims: Collection[Claim]) -> None:
        """Remove entries. A claim that was lost meanwhile is passed over, and so is one that was completed before."""

    def release(self, claims: Collection[Claim], *, delay: timedelta | None = None) -> None:
        """Give entries back, to be claimed by anybody after *delay*. Lost claims are passed over."""

    def release_dead(self, worker_ids: Collection[UUID]) -> list[Entry]:
        """Give back what dead workers had claimed; answers those entries.

        What stands in their private queues goes to `DEFAULT_QUEUE`.
        """

    def stats(self) -> list[QueueStats]:
        """One for each queue that has entries, by name."""

    def watch(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Call *wake*, from any thread, when another process may have enqueued; where `wakeup` is False, never.

        While the server does not answer it tries again, and calls *wake* when it listens again. It raises nothing.
        """


@runtime_checkable
class NeedsSetup(Protocol):
    """A queue that keeps things of its own in a server, such as a table."""

    def setup(self) -> list[str]:
        """Make or upgrade them; answers what was done, a sentence each. Doing it again, or twice at once, is fine."""


@runtime_checkable
class Diagnosable(Protocol):
    """A queue that can say how its server does."""

    def diagnose(self) -> list[Finding]:
        """Asks the server. One that does not answer is a problem found, and raises nothing."""


class Duty(Enum):
    """What a role of a database is for."""

    WORK = "work"  # all that workers do
    CALL = "call"  # start, signal, cancel: what web processes do
    LOOK = "look"  # reading


@runtime_checkable
class HasGrants(Protocol):
    """A queue in a Postgres, which knows what its users need there."""

    def grants(self, duty: Duty) -> list[str]:
        """What a role for *duty* is granted: `SELECT, INSERT ON TABLE "public"."durable_queue"`, all names quoted."""


class Level(Enum):
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(NamedTuple):
    """What a look at a server found; `durable_doctor` prints them."""

    level: Level
    subject: str  # in a word or two: "Redis eviction"
    message: str  # what was found
    hint: str = ""  # what to do


@dataclass(frozen=True, slots=True)
class StoreConnection:
    """The store's own database, for queues that can live in it. A factory that takes `connection` is given this."""

    vendor: str  # as Django calls it: "postgresql", "sqlite"
    use: Callable[[], AbstractContextManager[Any]]
    """The calling thread's DB-API connection, inside the store's transaction if one is open, else in autocommit.

    Errors of the driver that leave the block come out as `StoreUnavailable` or as the store's own.
    """
    parameters: Callable[[], Mapping[str, Any]]  # what the driver's connect() takes for another connection to it


@runtime_checkable
class HasConnection(Protocol):
    """A store that lets queues live in its database."""

    def connection(self) -> StoreConnection: ...
