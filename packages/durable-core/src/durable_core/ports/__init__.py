"""What the engine needs from a store, a queue and a clock, and the records that cross.

*The store is the truth, the queue is a hint.* A store keeps runs, their histories, their mailboxes, their activity
tasks and the rows of live workers. A queue carries ids only; whatever it loses, the store's `due_at` makes good.

Times are aware and in UTC, and are the store's (`HistoryStore.now`). Every method of a store may raise
`StoreUnavailable`; no other exception of a driver crosses a port.
"""

from durable_core.options import DEFAULT_QUEUE
from durable_core.ports.clock import (
    Clock,
    Event,
    SystemClock,
)
from durable_core.ports.ids import (
    ids_from,
    new_id,
)
from durable_core.ports.queue import (
    LEASE,
    PREFERENCE,
    PRIVATE,
    REDELIVERY,
    Claim,
    Diagnosable,
    Entry,
    EntryKind,
    Finding,
    HasConnection,
    Level,
    NeedsSetup,
    QueueStats,
    StoreConnection,
    TaskQueue,
    private_queue,
    queue_for,
)
from durable_core.ports.records import (
    Beat,
    BeatReply,
    ClaimedTasks,
    Commit,
    CommitResult,
    Committed,
    Created,
    Due,
    Letter,
    LoadedRun,
    Mail,
    NewRun,
    NewTask,
    Receipt,
    RunRecord,
    TaskOutcome,
    TaskRecord,
    Verdict,
    Wake,
    WorkerInfo,
)
from durable_core.ports.store import (
    MAX_UNREAD,
    HistoryStore,
    mailbox_full,
)
from durable_core.ports.times import GRACE, OVERRUN, due_while_running, earliest

__all__ = [
    "DEFAULT_QUEUE",
    "GRACE",
    "LEASE",
    "MAX_UNREAD",
    "OVERRUN",
    "PREFERENCE",
    "PRIVATE",
    "REDELIVERY",
    "Beat",
    "BeatReply",
    "Claim",
    "ClaimedTasks",
    "Clock",
    "Commit",
    "CommitResult",
    "Committed",
    "Created",
    "Diagnosable",
    "Due",
    "Entry",
    "EntryKind",
    "Event",
    "Finding",
    "HasConnection",
    "HistoryStore",
    "Letter",
    "Level",
    "LoadedRun",
    "Mail",
    "NeedsSetup",
    "NewRun",
    "NewTask",
    "QueueStats",
    "Receipt",
    "RunRecord",
    "StoreConnection",
    "SystemClock",
    "TaskOutcome",
    "TaskQueue",
    "TaskRecord",
    "Verdict",
    "Wake",
    "WorkerInfo",
    "due_while_running",
    "earliest",
    "ids_from",
    "mailbox_full",
    "new_id",
    "private_queue",
    "queue_for",
]
