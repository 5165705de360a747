"""`WorkflowRun`: feed it facts, it answers with a Decision. Pure: no I/O, no clock, no database.

A run applies one fact at a time and lets the code go on until it waits again; what the code asks for on the way
becomes the events behind that fact. So a history is an exact interleaving::

    fact, what the code asked for then, fact, what the code asked for then, ...

and replaying it needs no rule but this: apply each fact, and demand that the code asks for exactly what stands behind
it. A race is decided by which fact stands first.

The code runs in a greenlet. A ctx call that has to wait switches back to whoever drives the run; nothing is raised to
suspend it, so `except` and `finally` in user code mean what they say.
"""

from __future__ import annotations

import inspect
from collections import deque
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

from greenlet import getcurrent, greenlet

from durable_core import commands as c
from durable_core import events as e
from durable_core import mismatch
from durable_core.codec import EMPTY_OBJECT, NULL, decode, encode
from durable_core.context import Future, Waiting, WorkflowContext, WorkflowInfo
from durable_core.decision import MAX_HISTORY, CodeFailed, Decision, RunSettings
from durable_core.errors import (
    ChildCanceled,
    CodeStuck,
    DurableError,
    LimitExceeded,
    NewerCodeNeeded,
    NondeterminismError,
    RunEvicted,
    WorkflowCanceled,
)
from durable_core.execution import Status, record
from durable_core.failures import describe
from durable_core.patches import Patches
from durable_core.places import Place, caller, raised_at, stuck_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from durable_core.definitions import Registry, WorkflowDefinition

MAX_CALLS_AFTER_EVICTION = 1_000


@dataclass(slots=True)
class _Wait:
    future: Future
    waiting: Waiting
    since: datetime
    timer: tuple[str, datetime] | None


class WorkflowRun:
    """One run in memory: its code, suspended in a greenlet, and what it waits for.

    Use from one thread only. `replay` first, if there is a history; then `advance` with new facts, as often as there
    are some; `close` when it leaves memory.
    """

    def __init__(
        self,
        definition: WorkflowDefinition,
        info: WorkflowInfo,
        registry: Registry,
        settings: RunSettings | None = None,
    ) -> None:
        self.registry = registry
        self.info = info
        self.settings = settings or RunSettings()
        self.payload_limit = self.settings.payload_limit
        self.time = info.created_at
        self.replaying = False
        self.history_length = 0
        self._definition = definition
        self._input = EMPTY_OBJECT
        self._decision = Decision()
        self._history: Sequence[e.EventRecord] = ()
        self._expected: deque[e.HistoryEvent] = deque()  # what the code must ask for behind the current fact
        self._mismatch: DurableError | None = None
        self._warnings: list[str] = []  # for the next decision
        # The code
        self._code: greenlet | None = None
        self._driver: greenlet | None = None
        self._wait: _Wait | None = None
        self._calls = 0
        self._closing: c.Command | None = None  # how the code ended
        self._ended = False  # the terminal event is in the history
        self._failure: BaseException | None = None
        self._evicted = False
        self._calls_after_eviction = 0
        self._in_side_effect = False
        # What came from outside
        self._futures: dict[str, Future] = {}
        self._signals: dict[str, deque[e.SignalReceived]] = {}
        self._listeners: dict[str, deque[Future]] = {}
        self._timer_fired = False
        self._children: dict[str, tuple[UUID, bool]] = {}  # open ones: id, canceled with the parent
        self._patches = Patches()
        self._cancel: e.WorkflowCancelRequested | None = None
        self._cancel_raised = False
        self._shields = 0

    # Driving

    @property
    def is_closed(self) -> bool:
        return self._ended

    @property
    def is_silent(self) -> bool:
        """Whether what the code does has no effect: it is brought back to where it was, or unwound."""
        return self.replaying or self._evicted

    def replay(self, history: Iterable[e.EventRecord]) -> None:
        """Bring the code to where *history* ends.

        Raises `NondeterminismError` when the code asks for something else than it holds, `NewerCodeNeeded` when the
        history was written by newer code. The run must be closed then; nothing of it can be used.
        """
        records = list(history)
        facts = [e.event_of(record) for record in records]
        self._patches.load(facts)
        self.replaying = True
        position = 0
        while position < len(facts):
            fact, placed = facts[position], records[position]
            behind = position + 1
            while behind < len(facts) and isinstance(facts[behind], e.COMMANDED):
                behind += 1
            self._history = records[position:behind]
            self._expected = deque(facts[position + 1 : behind])
            self.time = placed.created_at
            self.history_length = placed.seq
            if isinstance(fact, e.TERMINAL):
                self._end_as_recorded(fact, placed)
            else:
                self._apply(fact)
            self._go_on()
            self._skip_markers()
            if self._expected and not self._evicted:
                self._fail_missing(self._expected[0])
            self.history_length = records[behind - 1].seq
            position = behind
        if self._closing is not None and not self._ended and records:
            self._fail_ended()
        self._complain_of_newer_code()
        self.replaying = False
        self._history = ()

    def advance(self, facts: Iterable[e.HistoryEvent], now: datetime) -> Decision:
        """Apply *facts* in this order, then the timers that are due at *now*; the decision about all of it.

        Facts that came too late (a second outcome, anything after the end but signals) leave no trace. Raises
        `NondeterminismError` for a fact that belongs to no call of the code, `CodeFailed` under `block_on_error`; the
        run must be closed then.
        """
        self._decision = Decision(warnings=self._warnings)
        self._warnings = []
        self.time = max(self.time, now)
        for fact in facts:
            if self._ended:
                break
            self._take(fact)
        deadline = self.info.deadline
        # A timer behind the deadline never fires, however late anybody looks.
        until = now if deadline is None else min(now, deadline)
        while not self._ended and self._closing is None and (call_id := self._due_timer(until)) is not None:
            self._take(e.TimerFired(call_id=call_id))
        if not self._ended and self._closing is None and deadline is not None and deadline <= now:
            self._stop(e.WorkflowTimedOut(deadline=deadline))
        if self._closing is not None and not self._ended:
            self._append(record(self._closing))
            self._ended = True
        return self._decide()

    def close(self) -> None:
        """Take the run out of memory. Its code is unwound by `RunEvicted`; what it does on the way has no effect."""
        self._evicted = True
        while self._code:  # begun, and not at its end
            self._driver = getcurrent()
            self._code.parent = self._driver
            self._code.throw(RunEvicted)
            if self._calls_after_eviction > MAX_CALLS_AFTER_EVICTION:
                # Code that catches everything in a loop cannot be unwound. Were it collected, it would be resumed.
                _UNSTOPPABLE.append(self._code)
                break
        self._code = None

    # Facts

    def _take(self, fact: e.HistoryEvent) -> None:
        if self._closing is not None and not isinstance(fact, e.SignalReceived):
            return
        match fact:
            case e.WorkflowCancelRequested(graceful=False):
                self._stop(e.WorkflowCanceled(reason=fact.reason))
                return
            case e.WorkflowCancelRequested() if self._cancel is not None:
                return
            case (
                e.ActivityCompleted()
                | e.ActivityFailed()
                | e.ActivityTimedOut()
                | e.ActivityCanceled()
                | e.ChildWorkflowCompleted()
                | e.ChildWorkflowFailed()
                | e.ChildWorkflowCanceled()
                | e.ChildWorkflowTimedOut()
            ):
                future = self._futures.get(fact.call_id)
                if future is None or future.fact is not None:
                    return
            case e.WorkflowStarted() if self._code is not None:
                return
            case _:
                pass
        self._append(fact)
        self._apply(fact)
        self._go_on()

    def _apply(self, fact: e.HistoryEvent) -> None:
        match fact:
            case e.WorkflowStarted():
                self._input = fact.input
                self._code = greenlet(self._main)
            case e.ActivityCompleted() | e.ActivityFailed() | e.ActivityTimedOut() | e.ActivityCanceled():
                self._resolve(fact.call_id, fact)
            case (
                e.ChildWorkflowCompleted()
                | e.ChildWorkflowFailed()
                | e.ChildWorkflowCanceled()
                | e.ChildWorkflowTimedOut()
            ):
                self._children.pop(fact.call_id, None)
                self._resolve(fact.call_id, fact)
            case e.SignalReceived():
                listeners = self._listeners.get(fact.name)
                if listeners:
                    listeners.popleft().fact = fact
                else:
                    self._signals.setdefault(fact.name, deque()).append(fact)
            case e.TimerFired():
                if self._wait is None or self._wait.timer is None or self._wait.timer[0] != fact.call_id:
                    self._fail_fact(fact)
                self._timer_fired = True
            case e.WorkflowCancelRequested():
                self._cancel = fact
            case _:
                self._fail_fact(fact)

    def _resolve(self, call_id: str, fact: e.HistoryEvent) -> None:
        future = self._futures.get(call_id)
        if future is None:
            self._fail_fact(fact)
        elif future.fact is None:
            future.fact = fact

    def _due_timer(self, now: datetime) -> str | None:
        wait = self._wait
        if wait is None or wait.timer is None or wait.timer[1] > now:
            return None
        return wait.timer[0]

    def _stop(self, end: e.HistoryEvent) -> None:
        """The run ends without its code being asked."""
        self._append(end)
        self._ended = True
        self.close()

    # The code

    def _main(self) -> None:
        try:
            value = self._definition.fn(WorkflowContext(self), **decode(self._input))
            limit = self.payload_limit
            result = encode(value, what=f"the result of workflow {self._definition.name!r}", limit=limit)
            command: c.Command = c.CompleteWorkflow(result=result)
            if self._cancel is not None and self._cancel_raised:
                command = c.CancelWorkflow(reason=self._cancel.reason)
        except RunEvicted:
            return
        except CodeStuck as stuck:
            self._mismatch = CodeFailed(
                "The workflow's code ran for too long without a ctx call, and was stopped. Long work belongs in an "
                f"activity. {stuck_at(stuck)}"
            )
            return
        except KeyboardInterrupt:
            raise  # Ctrl-C is for the process, whose code happened to be this
        except BaseException as error:  # noqa: BLE001 - whatever leaves workflow code ends the run
            if self._evicted:
                return
            ours = isinstance(error, WorkflowCanceled) and not isinstance(error, ChildCanceled)
            if self._cancel is not None and ours:
                command = c.CancelWorkflow(reason=self._cancel.reason)
            else:
                self._failure = error
                command = c.FailWorkflow(failure=describe(error))
        if not self._evicted:
            self._closing = command

    def _go_on(self) -> None:
        """Let the code run until it waits for something that is not there."""
        while self._code is not None and not self._code.dead and self._mismatch is None:
            wait = self._wait
            if wait is not None:
                if self._must_raise_cancel():
                    pass
                elif wait.future.fact is None and not self._timer_fired:
                    break
            self._driver = getcurrent()
            self._code.parent = self._driver
            self._code.switch()
        if self._mismatch is not None:
            raise self._mismatch

    def _must_raise_cancel(self) -> bool:
        return self._cancel is not None and not self._cancel_raised and not self._shields

    def _suspend(self) -> None:
        assert self._driver is not None
        self._driver.switch()

    def _park(self, mismatch: DurableError) -> NoReturn:
        """Leave the code where it is; the run fails with *mismatch* and is closed."""
        self._mismatch = mismatch
        self._suspend()
        raise RunEvicted

    # What the context calls, on the code's own greenlet

    def is_recorded(self, event_type: str, name: str) -> bool:
        """Whether the next call is in the history already, of this type and with this name."""
        if not self.replaying:
            return False
        self._skip_markers()
        match self._expected[0] if self._expected else None:
            case e.ActivityScheduled(activity_name=found) | e.ChildWorkflowScheduled(workflow_name=found) as fact:
                return fact.type == event_type and found == name and fact.call_id == str(self._calls)
            case _:
                return False

    def next_call_id(self) -> str:
        self.check_caller()
        call_id = str(self._calls)
        self._calls += 1
        return call_id

    def issue(self, command: c.Command) -> e.HistoryEvent:
        """The fact of a command: found in the history, or made now."""
        self.check_caller()
        if self.replaying:
            self._skip_markers()
        if self.history_length >= MAX_HISTORY:
            raise LimitExceeded(
                f"The history of this run has {self.history_length:,} events; the limit is {MAX_HISTORY:,}. "
                "Split the work into child workflows."
            )
        event = self._expect(command) if self.replaying else self._append(record(command))
        match command:
            case c.ScheduleActivity():
                self._futures[command.call_id] = Future(command.call_id)
                if not self.replaying:
                    self._decision.activities.append(command)
            case c.StartChildWorkflow():
                self._futures[command.call_id] = Future(command.call_id)
                self._children[command.call_id] = (command.child_id, command.options.cancel_with_parent)
                if not self.replaying:
                    self._decision.children.append(command)
            case _:
                pass
        return event

    def side_effect(self, call_id: str, perform: Callable[[], c.Command]) -> e.HistoryEvent:
        """The recorded value, or the one that *perform* makes now."""
        self.check_caller()
        if not self.replaying:
            self._in_side_effect = True
            try:
                command = perform()
            finally:
                self._in_side_effect = False
            return self.issue(command)
        self._skip_markers()
        fact = self._expected[0] if self._expected else None
        if isinstance(fact, e.SideEffectRecorded) and fact.call_id == call_id:
            return self.issue(c.RecordSideEffect(call_id=call_id, result=fact.result, failure=fact.failure))
        return self.issue(c.RecordSideEffect(call_id=call_id, result=NULL, failure=None))

    def future(self, call_id: str) -> Future:
        """What the outcome of a call will be put into."""
        future = self._futures.get(call_id)
        if future is None:
            raise DurableError(f"This run has started nothing by call {call_id}; the handle is another run's.")
        return future

    def signal(self, call_id: str, name: str) -> Future:
        """A future that the next unread signal of this name resolves."""
        future = Future(call_id)
        waiting = self._signals.get(name)
        if waiting:
            future.fact = waiting.popleft()
        else:
            self._listeners.setdefault(name, deque()).append(future)
        return future

    def withdraw(self, call_id: str, name: str) -> None:
        """A wait for a signal ran out: the next signal is for somebody else."""
        listeners = self._listeners.get(name, deque())
        self._listeners[name] = deque(future for future in listeners if future.call_id != call_id)

    def wait(self, future: Future, waiting: Waiting, timer: tuple[str, datetime] | None = None) -> bool:
        """Suspend the code until *future* has its fact (True) or *timer* fires (False)."""
        self.check_caller()
        if future.fact is not None:
            return True
        self._wait = _Wait(future, waiting, self.time, timer)
        try:
            self._timer_fired = False
            self._suspend()
            self.check_caller()
            if self._must_raise_cancel():
                self._raise_cancel(future, waiting)
            return future.fact is not None
        finally:
            self._wait = None
            self._timer_fired = False

    def _raise_cancel(self, future: Future, waiting: Waiting) -> None:
        self._cancel_raised = True
        if waiting.kind == "signal":
            self.withdraw(future.call_id, waiting.what)
        assert self._cancel is not None
        raise WorkflowCanceled(execution_id=self.info.execution_id, reason=self._cancel.reason)

    def shield(self, *, enter: bool) -> None:
        self.check_caller()
        self._shields += 1 if enter else -1
        if not enter and self._must_raise_cancel():
            assert self._cancel is not None
            self._cancel_raised = True
            raise WorkflowCanceled(execution_id=self.info.execution_id, reason=self._cancel.reason)

    def version(self, change_id: str, version: int, *, deprecated: bool = False) -> int:
        """The version this run goes by; found by id wherever the code asks, so it takes no call_id."""
        self.check_caller()
        chosen = self._patches.chosen(change_id)
        if chosen is not None:
            return chosen
        recorded = self._patches.recorded(change_id)
        if recorded is not None:
            if recorded > version and not deprecated:
                self._park(
                    NewerCodeNeeded(
                        f"The history has version {recorded} of change {change_id!r}, but this code, at {caller()}, "
                        f"knows only versions up to {version}: newer code wrote it. The run waits for a worker with "
                        "that code."
                    )
                )
            return self._patches.choose(change_id, recorded)
        if self.replaying:
            return self._patches.choose(change_id, 0)
        self.issue(c.RecordVersion(change_id=change_id, version=version, deprecated=deprecated))
        return self._patches.choose(change_id, version)

    def check_caller(self) -> None:
        if self._evicted:
            self._calls_after_eviction += 1
            if self._calls_after_eviction > MAX_CALLS_AFTER_EVICTION:
                self._suspend()
            raise RunEvicted
        if getcurrent() is not self._code:
            raise DurableError(
                "ctx was used outside its workflow's own code (from a thread, a callback or another workflow). "
                "Only the workflow function itself, and what it calls, may use it."
            )
        if self._in_side_effect:
            raise DurableError(
                "ctx was used inside the function of a side effect, which a replay does not call. Use ctx before or "
                "behind ctx.side_effect()."
            )

    # Replay

    def _expect(self, command: c.Command) -> e.HistoryEvent:
        """The recorded fact of *command*; a mismatch parks the code for good."""
        found = self._expected.popleft() if self._expected else None
        asked = record(command)
        if found is None or mismatch.identity(found) != mismatch.identity(asked):
            self._park(self._explain(found, asked))
        self.history_length += 1
        if (problem := mismatch.changed_arguments(found, asked)) is not None:
            place = caller()
            message = f"{problem} The call is at {place}."
            if self.settings.strict_inputs:
                self._park(NondeterminismError(message + " DURABLE['STRICT_INPUTS'] makes this a mismatch."))
            self._warnings.append(message)
        return found

    def _skip_markers(self) -> None:
        while self._expected and isinstance(self._expected[0], e.VersionMarker):
            self._patches.passed(self._expected.popleft())
            self.history_length += 1

    def _complain_of_newer_code(self) -> None:
        if (newer := self._patches.newer_code()) is not None:
            raise newer

    def _seq_of(self, found: e.HistoryEvent) -> int:
        for placed in self._history:
            if placed.type == found.type and placed.call_id == found.call_id:
                return placed.seq
        return self.history_length

    def _explain(self, found: e.HistoryEvent | None, asked: e.HistoryEvent) -> DurableError:
        self._note_newer_code()
        if (newer := self._patches.newer_code()) is not None:
            return newer
        if found is None:
            return mismatch.asked_for_more(asked, self._history[0], caller())
        return mismatch.asked_for_other(found, self._seq_of(found), asked, caller())

    def _note_newer_code(self) -> None:
        """Markers further on count too: newer code wrote the whole of this step."""
        for fact in self._expected:
            self._patches.passed(fact)

    def _fail_missing(self, found: e.HistoryEvent) -> None:
        self._note_newer_code()
        self._complain_of_newer_code()
        raise mismatch.never_asked(found, self._seq_of(found), self._whereabouts())

    def _fail_fact(self, fact: e.HistoryEvent) -> None:
        self._complain_of_newer_code()
        raise mismatch.unexpected_fact(fact, self.history_length, self._whereabouts())

    def _whereabouts(self) -> str:
        if self._wait is not None:
            return f"waits at {self._place()}"
        return "waits for nothing" if self._closing is None else f"has ended {self._how_it_ended()}"

    def _how_it_ended(self) -> str:
        """How, and at which line: the one that raised, or the head of the function that returned."""
        assert self._closing is not None
        how = f"({mismatch.describe(record(self._closing))})"
        if self._failure is not None:
            return f"{how} at {raised_at(self._failure)}"
        code = getattr(inspect.unwrap(self._definition.fn), "__code__", None)
        return how if code is None else f"{how} in {Place(code.co_filename, code.co_firstlineno)}"

    def _place(self) -> Place:
        """Where the suspended code is. Asked for when somebody wants to know: a replay passes many places."""
        assert self._code is not None
        return caller(self._code.gr_frame)

    def _fail_ended(self) -> None:
        self._complain_of_newer_code()
        raise mismatch.ended_early(self._how_it_ended(), self.history_length)

    def _end_as_recorded(self, fact: e.HistoryEvent, placed: e.EventRecord) -> None:
        self._ended = True
        if self._closing is None:
            if isinstance(fact, e.WorkflowCompleted | e.WorkflowFailed):
                self._fail_fact(fact)
            self.close()  # canceled or timed out from outside
        elif (asked := record(self._closing)).type != fact.type:
            raise mismatch.ended_otherwise(fact, placed.seq, asked)

    # Deciding

    def _append(self, event: e.HistoryEvent) -> e.HistoryEvent:
        self.history_length += 1
        details = e.details_of(event)
        self._decision.events.append(e.EventRecord(self.history_length, event.type, event.call_id, details, self.time))
        if isinstance(event, e.TERMINAL):
            self._decision.end = event
        return event

    def _decide(self) -> Decision:
        decision = self._decision
        end = decision.end
        if end is None:
            decision.wake_at = self._wake_at()
            decision.waiting_for = self._waiting_for()
            return decision
        if self.settings.block_on_error and self._failure is not None:
            raise CodeFailed(decision.error_of(end)) from self._failure
        decision.close(end)
        decision.abandoned = [child for child, canceled in self._children.values() if canceled]
        if decision.status is Status.COMPLETED:
            self._warn_of_unawaited()
        return decision

    def _warn_of_unawaited(self) -> None:
        unawaited = sum(self._ends_with_the_run(future) for future in self._futures.values())
        if unawaited:
            self._decision.warnings.append(
                f"The workflow returned while {unawaited} of its activities or children were still under way; they are "
                "canceled. Wait for them, or start what shall outlive it with cancel_with_parent=False."
            )

    def _ends_with_the_run(self, future: Future) -> bool:
        _, canceled = self._children.get(future.call_id, (None, True))
        return future.fact is None and canceled

    def _wake_at(self) -> datetime | None:
        times = [self.info.deadline] if self.info.deadline is not None else []
        if self._wait is not None and self._wait.timer is not None:
            times.append(self._wait.timer[1])
        return min(times, default=None)

    def _waiting_for(self) -> str | None:
        wait = self._wait
        if wait is None:
            return None
        until = "null" if wait.timer is None else f'"{wait.timer[1].isoformat()}"'
        return f'{_wait_of(*wait.waiting, *self._place())},"since":"{wait.since.isoformat()}","until":{until}}}'


_UNSTOPPABLE: list[greenlet] = []


@lru_cache(maxsize=4096)
def _wait_of(kind: str, what: str, file: str, line: int) -> str:
    """The part of `waiting_for` that is the same for all runs that wait at one place; its brace is left open."""
    return encode({"kind": kind, "what": what, "at": f"{file}:{line}"})[:-1]
