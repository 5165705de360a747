"""Start, signal, cancel and wait for runs, through ports only.

What is written here joins the caller's transaction, and so does the wake-up where the queue can; where it cannot, the
wake-up is sent once the caller's transaction has committed (`after_commit`), and the store's `due_at` makes good its
loss.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from durable_core import events as e
from durable_core.codec import MAX_PAYLOAD_BYTES, decode, encode, excerpt
from durable_core.crashpoints import crashpoint
from durable_core.ending import end_from_outside
from durable_core.errors import (
    ConfigurationError,
    DurableError,
    StoreUnavailable,
    UnknownExecutionError,
    WaitTimeout,
    WorkflowAlreadyStarted,
    WorkflowCanceled,
    WorkflowClosed,
    WorkflowError,
    WorkflowFailed,
    WorkflowTimeout,
)
from durable_core.execution import Status, TaskStatus
from durable_core.forking import fork_of
from durable_core.hints import as_hint
from durable_core.hooks import SILENT, Announcer
from durable_core.options import DEFAULT_QUEUE, IdConflictPolicy, as_timedelta, check_name
from durable_core.ports import (
    REDELIVERY,
    Entry,
    Letter,
    LoadedRun,
    MessageKind,
    NewMessage,
    NewRun,
    Verdict,
    Wake,
    new_id,
)
from durable_core.reopening import reopen
from durable_core.starting import Starter, start_of
from durable_core.typed import encode_by_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime, timedelta

    from durable_core.definitions import Registry, WorkflowDefinition
    from durable_core.hooks import News
    from durable_core.options import Duration
    from durable_core.ports import Created, HistoryStore, RunRecord, TaskQueue
    from durable_core.starting import Start

FIRST_POLL = 0.002  # seconds between two looks at a run that is waited for; grows
LONGEST_POLL = 0.1
ATTEMPTS = 5  # at signaling a run or creating it: it may close, and the next one too, in between


@dataclass(frozen=True, slots=True)
class Started:
    """What start() found or made."""

    run_id: UUID
    created: bool


class Client:
    """The caller's side of the engine. Cheap; safe to share between threads."""

    def __init__(
        self,
        store: HistoryStore,
        queue: TaskQueue,
        registry: Registry,
        *,
        after_commit: Callable[[Callable[[], None]], None] = lambda send: send(),
        payload_limit: int = MAX_PAYLOAD_BYTES,
        redelivery: timedelta = REDELIVERY,
        hooks: Announcer = SILENT,
    ) -> None:
        self._store = store
        self._queue = as_hint(queue)
        self._registry = registry
        self._after_commit = after_commit
        self._payload_limit = payload_limit
        self._redelivery = redelivery
        self._hooks = hooks
        self._starter = Starter(store, cancel=self._take_id_of, check_same=self._check_same)

    def start(
        self,
        workflow: str | Callable[..., Any] | WorkflowDefinition,
        kwargs: dict[str, Any],
        *,
        timeout: Duration | None = None,
    ) -> Started:
        """Create a run, PENDING, in the caller's transaction.

        With a workflow_id that an open run has: that run, if workflow and input are the same, else
        `WorkflowAlreadyStarted`. Raises `UnknownWorkflowError`, `TypeError` and `PayloadError` before anything is
        written.
        """
        [started] = self.start_many([(workflow, kwargs)], timeout=timeout)
        return started

    def start_many(
        self,
        items: Sequence[tuple[str | Callable[..., Any] | WorkflowDefinition, dict[str, Any]]],
        *,
        timeout: Duration | None = None,
    ) -> list[Started]:
        """The same for many runs, in one transaction: all of them, or none."""
        starts = [self._start(workflow, kwargs, timeout) for workflow, kwargs in items]
        with self._store.transaction():
            made = self._starter.begin(starts)
            runs = [start.run for start, created in zip(starts, made, strict=True) if created.created]
            self._wake(run.wake() for run in runs if run.start_at is None)
            crashpoint("start-inside")
        crashpoint("start-committed")
        return [Started(created.run_id, created.created) for created in made]

    def signal_with_start(
        self,
        workflow: str | Callable[..., Any] | WorkflowDefinition,
        kwargs: dict[str, Any],
        name: str,
        payload: Any = None,
        *,
        timeout: Duration | None = None,
    ) -> Started:
        """Signal the open run that has the workflow_id, or one that is created for it: both or neither.

        An open run keeps the input that it has. Raises what `start` raises, but `WorkflowAlreadyStarted` only for a run
        of another workflow, and `ConfigurationError` without a workflow_id.
        """
        start = self._start(workflow, kwargs, timeout)
        new = start.run
        if start.conflict is not IdConflictPolicy.USE_EXISTING:
            raise ConfigurationError(
                f"signal_with_start() got workflow {new.workflow_name!r} with id_conflict_policy "
                f"{start.conflict}: it signals the run that there is. Leave the policy out."
            )
        if new.workflow_id is None:
            raise ConfigurationError(
                f"signal_with_start() got workflow {new.workflow_name!r} without a workflow_id, by which to find its "
                f"open run: expected {new.workflow_name}.using(workflow_id=...)."
            )
        fact = self._signal_of(name, payload)
        with self._store.transaction():
            started = self._create_and_send(new, fact)
            if started.created:
                self._starter.check_reuse(start)
            crashpoint("start-inside")
        crashpoint("start-committed")
        return started

    def _create_and_send(self, new: NewRun, fact: e.HistoryEvent) -> Started:
        for _ in range(ATTEMPTS):
            [made] = self._store.create([new])
            if made.workflow_name != new.workflow_name:
                raise WorkflowAlreadyStarted(
                    f"workflow_id {new.workflow_id!r} belongs to the open run {made.run_id} of {made.workflow_name!r}, "
                    f"not of {new.workflow_name!r}. Use another workflow_id, or wait until it closes.",
                    execution_id=made.run_id,
                )
            # None where the run that was found has closed in between: the id is free now.
            if wakes := self._store.deliver([Letter.of(made.run_id, fact)]):
                self._wake(wakes)
                return Started(wakes[0].run_id, made.created)
        raise StoreUnavailable(f"workflow_id {new.workflow_id!r} keeps changing hands", ambiguous=False)

    def _start(
        self,
        workflow: str | Callable[..., Any] | WorkflowDefinition,
        kwargs: dict[str, Any],
        timeout: Duration | None,
    ) -> Start:
        """Raises `UnknownWorkflowError`, `TypeError` and `PayloadError`."""
        definition = self._registry.find_workflow(workflow)
        options = definition.options
        definition.check_input(kwargs)
        payload = definition.encode_input(kwargs, limit=self._payload_limit)
        span = options.timeout if timeout is None else as_timedelta(timeout, what="start_workflow(timeout=)")
        now = self._store.now()
        start_at = options.start_at(now)
        run = NewRun(
            id=new_id(),
            workflow_name=definition.name,
            input=payload,
            queue=options.queue or DEFAULT_QUEUE,
            workflow_id=options.workflow_id,
            priority=options.priority or 0,
            start_at=start_at,
            due_at=start_at or self._again_at(),
            deadline=None if span is None else (start_at or now) + span,
            timeout=span,
        )
        return start_of(run, options)

    def signal(self, run_id: UUID, name: str, payload: Any = None, *, dedupe_key: str | None = None) -> None:
        """Put a signal into the run's mailbox, in the caller's transaction.

        With a *dedupe_key*, and where a signal with it has been sent to the run, or to another of its chain: nothing.

        Raises `WorkflowClosed`, `UnknownExecutionError` or `PayloadError`; then nothing was sent.
        """
        fact = self._signal_of(name, payload)
        note = None
        if dedupe_key is not None:
            check_name(dedupe_key, "the dedupe_key of a signal")
            newest = self.find_newest(run_id)
            note = NewMessage(
                chain_id=newest.chain_id or newest.id,
                run_id=newest.id,
                kind=MessageKind.SIGNAL,
                key=dedupe_key,
                name=name,
            )
        self.send(run_id, fact, f"signal {name!r}", note)

    def _signal_of(self, name: str, payload: Any) -> e.SignalReceived:
        check_name(name, "the signal's name")
        text = encode_by_value(payload, what=f"the payload of signal {name!r}", limit=self._payload_limit)
        return e.SignalReceived(name=name, payload=text)

    def send(self, run_id: UUID, fact: e.HistoryEvent, what: str, note: NewMessage | None = None) -> None:
        """Put mail into the box of the newest run; nothing, if *note* is of a message that was sent before.

        Raises `WorkflowClosed` and `UnknownExecutionError`, in which *what* names it.
        """
        with self._store.transaction():
            if note is not None and not self._store.note(note):
                return
            wakes = self._store.deliver([Letter.of(run_id, fact)])
            if wakes:
                self._wake(wakes)
                return
            record = self.find_newest(run_id)
            raise WorkflowClosed(
                f"workflow {record.workflow_name!r} ({record.id}) is {record.status}; it takes no {what}.",
                execution_id=run_id,
            )

    def cancel(self, run_id: UUID, *, reason: str = "", keep_queued: bool = False, graceful: bool = False) -> bool:
        """Cancel a run; False if it was closed already.

        At once, by default: the run is CANCELED when this returns, its queued activities FAILED (unless
        *keep_queued*), its running ones told, its children canceled. *graceful* asks its code instead.
        """
        encode(reason, what="the reason of a cancel", limit=self._payload_limit)  # raises for what is too long
        if graceful:
            request = e.WorkflowCancelRequested(reason=reason, graceful=True)
            try:
                self.send(run_id, request, "a cancel request")
            except WorkflowClosed:
                return False
            return True
        with self._store.transaction():
            locked = self._lock_newest(run_id)
            if locked.record.status.is_closed:
                return False
            ends = self._cancel_tree(locked, reason, keep_queued=keep_queued)
        self._hooks.announce(ends)
        return True

    def reopen(self, run_id: UUID, *, reason: str = "") -> None:
        """Have a run that FAILED or TIMED_OUT, or the newest that goes on for it, go on: see `rewinding`.

        Raises `NotReopenable` and `UnknownExecutionError`; then nothing was written.
        """
        encode(reason, what="the reason of a reopening", limit=self._payload_limit)
        with self._store.transaction():
            locked = self._lock_newest(run_id)
            reopened = reopen(self._store, locked, reason=reason, again_at=self._again_at())
            self._enqueue([entry for one in reopened for entry in one.entries])
            crashpoint("start-inside")
        crashpoint("start-committed")
        self._hooks.announce([(one.record.id, one.record.workflow_name, [one.event]) for one in reopened])

    def fork_run(
        self, run_id: UUID, from_seq: int, *, workflow_id: str | None = None, keep_signals: bool = False
    ) -> UUID:
        """A new run with the history of this one before *from_seq*, decided anew from there on: see `forking`.

        *keep_signals* sends it all signals that the other has got since. Raises `NotForkable`, `UnknownExecutionError`
        and `WorkflowAlreadyStarted`; then nothing was written.
        """
        if type(from_seq) is not int:
            raise TypeError(f"fork_workflow(from_seq=) got {from_seq!r}; expected the seq of an event, an int.")
        if workflow_id is not None:
            check_name(workflow_id, "the workflow_id")
        with self._store.transaction():
            self._store.lock(run_id)
            origin = self._store.load([run_id]).get(run_id)
            if origin is None:
                raise _unknown(run_id)
            forked = fork_of(
                self._store,
                origin,
                from_seq,
                workflow_id=workflow_id,
                keep_signals=keep_signals,
                again_at=self._again_at(),
            )
            self._enqueue(forked.entries)
            crashpoint("start-inside")
        crashpoint("start-committed")
        self._hooks.announce([(forked.run.id, forked.run.workflow_name, [forked.event])])
        return forked.run.id

    def pause(self, run_id: UUID, *, reason: str = "") -> bool:
        """Have nothing decided for the run, or the newest that goes on for it, until it is resumed.

        False if it was paused already. Raises `WorkflowClosed` and `UnknownExecutionError`.
        """
        encode(reason, what="the reason of a pause", limit=self._payload_limit)
        with self._store.transaction():
            record = self._lock_open(run_id, "cannot be paused").record
            if record.paused_at is not None:
                return False
            self._store.pause(record.id, reason)
        return True

    def resume(self, run_id: UUID) -> bool:
        """Let a paused run go on, with all that has come in meanwhile; False if it was not paused.

        Raises as `pause`.
        """
        with self._store.transaction():
            record = self._lock_open(run_id, "cannot be resumed").record
            if record.paused_at is None:
                return False
            begins_later = record.start_at is not None and record.start_at > self._store.now()
            self._store.resume(record.id, record.start_at if begins_later else self._again_at())
            if not begins_later:
                self._wake([Wake(record.id, record.queue, record.priority, None)])
        return True

    def find(self, run_id: UUID) -> RunRecord:
        """Raises `UnknownExecutionError`."""
        record = self._store.get(run_id)
        if record is None:
            raise _unknown(run_id)
        return record

    def find_newest(self, run_id: UUID) -> RunRecord:
        """The run, or the newest that goes on for it. Raises `UnknownExecutionError`."""
        record = self.find(run_id)
        if record.status is Status.CONTINUED_AS_NEW:
            record = self._store.newest(run_id) or record
        return record

    def result(self, run_id: UUID, *, timeout: Duration | None = None) -> Any:
        """What the run returned, or the newest that goes on for it, once that has closed.

        Raises as it ended: `WorkflowFailed`, `WorkflowCanceled`, `WorkflowTimeout`; `WaitTimeout` when *timeout*
        (seconds; 0 looks once; None waits without end) has passed.
        """
        span = as_timedelta(timeout, what="result(timeout=)")
        deadline = None if span is None else time.monotonic() + span.total_seconds()
        pause = FIRST_POLL
        while True:
            record = self.find_newest(run_id)
            if record.status.is_closed:
                result = _result_of(record)
                definition = self._registry.workflows.get(record.workflow_name)
                return result if definition is None else definition.typed.load_result(result)
            run_id = record.id
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(
                    f"workflow {record.workflow_name!r} ({run_id}) is still {record.status} after {timeout} s. "
                    "It goes on; is a worker running for its queue?"
                )
            left = LONGEST_POLL if deadline is None else max(deadline - time.monotonic(), 0.0)
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_POLL)

    # Inside

    def _again_at(self) -> datetime | None:
        """When to look after a wake-up that the queue may have lost; None: it loses none."""
        return None if self._queue.transactional else self._store.now() + self._redelivery

    def _wake(self, wakes: Iterable[Wake]) -> None:
        self._enqueue([wake.entry for wake in wakes])

    def _enqueue(self, entries: list[Entry]) -> None:
        if self._queue.transactional:
            self._queue.enqueue(entries)
        else:
            self._after_commit(lambda: self._queue.enqueue(entries))

    def _lock_newest(self, run_id: UUID) -> LoadedRun:
        while True:
            locked = self._store.lock(run_id)
            if locked is None:
                raise _unknown(run_id)
            newest = locked.record
            if newest.status is Status.CONTINUED_AS_NEW:
                newest = self._store.newest(run_id) or newest
            if newest.id == run_id:
                return locked
            run_id = newest.id

    def _lock_open(self, run_id: UUID, what: str) -> LoadedRun:
        locked = self._lock_newest(run_id)
        record = locked.record
        if record.status.is_closed:
            raise WorkflowClosed(
                f"workflow {record.workflow_name!r} ({record.id}) is {record.status}; it {what}.",
                execution_id=record.id,
            )
        return locked

    def _cancel_tree(self, locked: LoadedRun, reason: str, *, keep_queued: bool) -> list[News]:
        record = locked.record
        children = self._store.children(record.id)
        ends = [self._close(locked, e.WorkflowCanceled(reason=reason), keep_queued=keep_queued)]
        for child_id in children:
            child = self._store.lock(child_id)
            if child is not None and not child.record.status.is_closed:
                ends += self._cancel_tree(child, "its parent was canceled", keep_queued=keep_queued)
        return ends

    def _close(self, locked: LoadedRun, end: e.WorkflowCanceled, *, keep_queued: bool) -> News:
        """End a locked run from outside; signals that it has not read become history before the end."""
        record = locked.record
        # Clocks of processes are a little apart, and a history does not go back.
        now = max([self._store.now(), *(event.created_at for event in locked.events)])
        commit = end_from_outside(record, locked.mail, end, now)
        commit.close_tasks_as = None if keep_queued else TaskStatus.FAILED
        committed = self._store.commit([commit])
        match (result := committed.results[record.id]).verdict:
            case Verdict.COMMITTED:
                self._wake(committed.wakes)
                return record.id, record.workflow_name, commit.events
            case Verdict.UNREAD:
                # How an activity or a child ended may be written to a run that somebody has locked.
                later = LoadedRun(record, locked.events, [*locked.mail, *result.mail])
                return self._close(later, end, keep_queued=keep_queued)
            case verdict:
                raise DurableError(f"run {record.id} could not be closed ({verdict.value}) although it was locked.")

    def _first_input(self, run_id: UUID) -> Any:
        record = self.find(run_id)
        first = record if record.chain_id is None else self._store.get(record.chain_id) or record
        return decode(first.input)

    def _take_id_of(self, run_id: UUID) -> None:
        """End the run whose workflow_id somebody wants; none is told of it before the caller's transaction commits."""
        locked = self._lock_newest(run_id)
        if not locked.record.status.is_closed:
            self._hooks.announce(self._cancel_tree(locked, "its workflow_id was taken", keep_queued=False))

    def _check_same(self, found: Created, new: NewRun) -> None:
        run_id, _, workflow_name, stored = found
        # A run that goes on for others has an input of its own; whoever starts it again knows that of the first.
        given = decode(new.input)
        is_same = given == decode(stored) or given == self._first_input(run_id)
        if workflow_name != new.workflow_name or not is_same:
            raise WorkflowAlreadyStarted(
                f"workflow_id {new.workflow_id!r} belongs to the open run {run_id} of {workflow_name!r} with other "
                f"input ({excerpt(stored)}, not {excerpt(new.input)}). Use another workflow_id, or wait until it "
                "closes.",
                execution_id=run_id,
            )


def _unknown(run_id: UUID) -> UnknownExecutionError:
    return UnknownExecutionError(
        f"No workflow execution {run_id}. Was the transaction that started it rolled back, or not committed yet?",
        execution_id=run_id,
    )


def _result_of(record: RunRecord) -> Any:
    label = f"workflow {record.workflow_name!r} ({record.id})"
    match record.status:
        case Status.COMPLETED:
            return None if record.result is None else decode(record.result)
        case Status.FAILED:
            raise WorkflowFailed(
                f"{label} failed: {record.error}",
                execution_id=record.id,
                type_name=record.error.partition(":")[0],
            )
        case Status.CANCELED:
            reason = record.error.partition(": ")[2]
            raise WorkflowCanceled(f"{label} was canceled: {reason}", execution_id=record.id, reason=reason)
        case Status.TIMED_OUT:
            raise WorkflowTimeout(f"{label} timed out", execution_id=record.id)
        case _:
            raise WorkflowError(f"{label} is {record.status}", execution_id=record.id)
