"""What the engine needs from a history store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from durable_core.errors import LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta
    from uuid import UUID

    from durable_core.codec import Payload
    from durable_core.ports.people import HumanTaskRecord
    from durable_core.ports.records import (
        AttemptItems,
        Beat,
        BeatReply,
        ClaimedTasks,
        Commit,
        Committed,
        Created,
        Detached,
        Due,
        GivenBack,
        Letter,
        LoadedRun,
        Mail,
        MessageKind,
        MessageRecord,
        NewItem,
        NewMessage,
        NewRun,
        PastTask,
        Published,
        Receipt,
        Reopening,
        RunRecord,
        StoredItem,
        TaskOutcome,
        TaskRecord,
        Wake,
        WorkerInfo,
    )

MAX_UNREAD = 10_000  # letters that may wait in one mailbox; a worker that is up leaves none there
MAX_KEPT = 1_000  # keys of messages that a chain keeps beyond those of its newest run


@runtime_checkable
class HistoryStore(Protocol):
    """Where the truth is kept. One object per process, used from many threads."""

    def now(self) -> datetime:
        """The store's time, never ahead of it; need not ask the store every time."""

    def transaction(self) -> AbstractContextManager[None]:
        """All calls inside write together or not at all. Joins an outer transaction of the caller's."""

    def shared_transaction(self) -> AbstractContextManager[None]:
        """Around code of a user's: what it writes to this database and what is called here commit together.

        Inside, the user's code may call all of this, and catch what that raises: a call that fails takes back only
        itself. Raises `TransactionConflict` where nothing was written because of others, and `TransactionRefused` for
        a write to another database.
        """

    def in_transaction(self) -> bool:
        """Whether the calling thread has a transaction of its own open."""

    # Runs

    def create(self, runs: Sequence[NewRun]) -> list[Created]:
        """Insert runs; one whose workflow_id an open run has is not inserted, and that run is returned."""

    def get(self, run_id: UUID) -> RunRecord | None: ...

    def load(self, run_ids: Collection[UUID]) -> dict[UUID, LoadedRun]:
        """Runs with history and mail; three statements, whatever the number. Unknown ids are missing."""

    def unread(self, versions: Mapping[UUID, int]) -> dict[UUID, list[Mail]]:
        """Mail of runs that are in memory as of these versions; one statement.

        A run that somebody else has gone on with, or closed, is missing.
        """

    def lock(self, run_id: UUID) -> LoadedRun | None:
        """The run, and no writer but the caller until the transaction ends. Of its *events* it has the last."""

    def newest(self, run_id: UUID) -> RunRecord | None:
        """The run itself or, if it was continued as new, the newest of those that went on for it."""

    def last_of(self, workflow_id: str, *, besides: UUID) -> RunRecord | None:
        """The newest other run that has had this workflow_id, or has it; of a chain, its last.

        Asked by who has just inserted a run, it sees all that had closed before that.
        """

    def children(self, run_id: UUID) -> list[UUID]:
        """Open children that are canceled with this run."""

    def pause(self, run_id: UUID, reason: str) -> None:
        """Mark an open run that the caller has locked as paused. It is due at its deadline, and at no other time.

        Its version goes up: a decision that is under way does not stand.
        """

    def resume(self, run_id: UUID, due_at: datetime | None) -> None:
        """Take that mark away again; *due_at* is when the scheduler must look, if not at its deadline."""

    def tasks_of(self, run_id: UUID) -> list[PastTask]:
        """All activities of a run, oldest first."""

    def reopen(self, reopening: Reopening) -> UUID | None:
        """Make a closed run that the caller has locked RUNNING again.

        Answers None or, where another open run has its workflow_id by now, that one; then nothing was written.
        """

    def commit(self, commits: Sequence[Commit]) -> Committed:
        """Write decisions of many runs in one transaction with a bounded number of statements.

        Rows that others hold are skipped (BUSY), never waited for. Locks tasks before runs.
        """

    def annotate(self, waiting_for: Mapping[UUID, str]) -> None:
        """Say of open runs what they wait for, without deciding anything."""

    def crashed(self, run_ids: Collection[UUID]) -> set[UUID]:
        """Those of these runs that a dead worker has been charged against before; one statement."""

    def charge(self, run_ids: Collection[UUID]) -> None:
        """Count a dead worker against each of these runs."""

    # Mail

    def deliver(self, letters: Sequence[Letter]) -> list[Wake]:
        """Put letters into the mailboxes of open runs, which cannot close before the caller's transaction ends.

        A letter to a run that was continued as new goes to the newest, if it `follows`. A run that is missing from the
        answer is closed, and with it all that went on for it, or does not exist. Raises `LimitExceeded` for one that
        would have over `MAX_UNREAD` letters waiting; then none was put anywhere. Letters of the engine itself have no
        limit.
        """

    def note(self, message: NewMessage) -> bool:
        """Keep a message's key; False if the chain has one of this kind with the same key, as committed.

        Waits for a transaction that notes the same key. When a run of the chain is continued as new, all but the
        newest `MAX_KEPT` that have come to their end are forgotten; the others when their runs are deleted.
        """

    def message(self, chain_id: UUID, kind: MessageKind, key: str) -> MessageRecord | None:
        """What has become of a message."""

    # People

    def human_task(self, task_id: UUID) -> HumanTaskRecord | None: ...

    def answer(self, task_id: UUID, answer: Payload, by: str | None) -> bool:
        """An OPEN human task is ANSWERED; False: it is not OPEN, as committed.

        The caller's transaction has delivered the answer to the task's run before: that run decides nothing meanwhile.
        Waits for who is just answering the same.
        """

    # Activities

    def claim_tasks(self, task_ids: Collection[UUID], worker_id: UUID) -> ClaimedTasks:
        """Begin an attempt of each task that is QUEUED and not in backoff; committed before user code runs.

        Tasks that were kept when their run closed may begin too.
        """

    def record_outcomes(self, outcomes: Sequence[TaskOutcome]) -> Receipt:
        """Close or requeue attempts, and put the letters of the accepted ones into the mailboxes of open runs.

        Never waits for a task that somebody holds. A retry of a task that was told to stop becomes CANCELED; if its run
        is open, for its code has canceled the task, the run is told so.
        """

    def hold_task(self, task_id: UUID) -> TaskRecord | None:
        """The task, and no writer but the caller until the transaction ends. Waits for whoever holds it."""

    def expect_completion(self, task_id: UUID, token: int, digest: str, expires_at: datetime) -> bool:
        """Remember of a RUNNING attempt the digest of the token by which others may complete it; False: it is over."""

    def detach(self, task_id: UUID, token: int, due_at: datetime) -> Detached:
        """A RUNNING attempt goes on without its worker. *due_at* is when the scheduler must look at it.

        From then on it is like a QUEUED one to who closes its run, or cancels it: it ends at once.
        """

    def beat_detached(self, task_id: UUID, details: Payload | None, due_at: datetime | None) -> None:
        """A sign of life of an attempt that the caller's transaction holds. None: keep what is there."""

    def give_back(self, attempts: Mapping[UUID, int]) -> GivenBack:
        """Make claimed attempts (task id: token) that never began QUEUED again, uncharged.

        Those that were told to stop become CANCELED, and open runs are told by mail. Those that were left to others are
        no worker's to give back.
        """

    def requeue(self, due_at: Mapping[UUID, datetime | None]) -> None:
        """QUEUED tasks leave their backoff; *due_at* is when to look again."""

    def forgotten(self, worker_id: UUID, known: Collection[tuple[UUID, int]]) -> dict[UUID, int]:
        """Attempts claimed by a worker (task id: token) but not in *known*: their claim's reply was lost.

        By their tokens: an outcome of an earlier attempt at the same task may be known still.
        """

    # What runs let others read

    def value(self, run_id: UUID, key: str) -> Payload | None:
        """Of an event, as the newest run has set it of those in the chain that have; None: none has."""

    def publish(self, attempts: Sequence[AttemptItems]) -> Published:
        """Put items of activities that run into the streams of their open runs, in this order; one transaction.

        Nobody ever sees an item of a stream before one with a lower cursor. Runs that others hold are passed over.
        """

    def items(self, run_id: UUID, stream: str, *, after: int, limit: int) -> list[StoredItem]:
        """The next items of a stream, of all runs of the chain, behind the cursor *after*."""

    def published(self, run_id: UUID) -> list[NewItem]:
        """All items of one run, of its code and its activities, in the order of their cursors."""

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

    def buried_alive(self) -> list[UUID]:
        """Those that have attempts RUNNING and no row.

        Who was buried alive does not know it before its next beat. What it begins until then, and dies over, would be
        nobody's.
        """

    def bury(self, worker_ids: Collection[UUID]) -> list[TaskRecord]:
        """Remove workers' rows, if they have any; answers the attempts they had RUNNING, locked. Only one caller gets
        each.

        Open runs and tasks of their private queues go to `DEFAULT_QUEUE`: nobody else would ever claim them there.

        What somebody else has locked is not waited for: the worker's row stays, and the rest is for another time.
        """


def mailbox_full(run_id: UUID, waiting: int) -> LimitExceeded:
    """What `deliver` raises."""
    return LimitExceeded(
        f"{waiting:,} messages wait unread in the mailbox of run {run_id}; the limit is {MAX_UNREAD:,}. Is a worker up "
        "that serves its queue, or is the run BLOCKED?"
    )
