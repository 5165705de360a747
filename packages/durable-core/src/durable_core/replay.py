"""`WorkflowRun`: feed it facts, it answers with a Decision. Pure: no I/O, no clock, no database.

A run applies one fact at a time and lets the code go on until it waits again; what the code asks for on the way
becomes the events behind that fact. So a history is an exact interleaving::

    fact, what the code asked for then, fact, what the code asked for then, ...

and replaying it needs no rule but this: apply each fact, and demand that the code asks for exactly what stands behind
it. A race is decided by which fact stands first.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from durable_core import async_context, mismatch
from durable_core import commands as c
from durable_core import events as e
from durable_core.codec import EMPTY_OBJECT
from durable_core.context import WorkflowContext
from durable_core.decision import LOCAL_PATIENCE, Decision, RunSettings
from durable_core.engine import Engine, too_long
from durable_core.errors import CodeFailed, CodeStuck, PayloadError, RunEvicted
from durable_core.execution import Status, error_of, record
from durable_core.failures import describe
from durable_core.inbox import OUTCOMES
from durable_core.places import Place, raised_at
from durable_core.queries import IN_HANDLER
from durable_core.rewinding import lived

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from durable_core.definitions import Registry, WorkflowDefinition
    from durable_core.engine import WorkflowInfo
    from durable_core.errors import DurableError
    from durable_core.transcript import Transcript


class WorkflowRun:
    """One run in memory: its code, suspended where it waits, and what it waits for.

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
        self._definition = definition
        self._settings = settings or RunSettings()
        self._engine = Engine(definition, info, registry, self._settings)
        self._branches = self._engine.branches
        self._input = EMPTY_OBJECT
        self._warnings: list[str] = []  # for the next decision
        self._failure: BaseException | None = None  # what left it
        self._missed: list[e.HistoryEvent] = []  # cancels and updates that came when the code had ended
        self._ended = False  # the terminal event is in the history
        self._was_opened = False  # again, or by a fork, and has decided nothing since
        # The step in which it was forked, to be made with the next facts.
        self._left_open: tuple[Transcript, e.HistoryEvent, e.EventRecord] | None = None

    @property
    def info(self) -> WorkflowInfo:
        """Who the run is, as of its last step: a reopened one has got another deadline."""
        return self._engine.info

    @property
    def is_closed(self) -> bool:
        return self._ended

    @property
    def time(self) -> datetime:
        """Of the last step."""
        return self._engine.time

    @property
    def history_length(self) -> int:
        return self._engine.history_length

    # Driving

    @property
    def ending(self) -> e.HistoryEvent | None:
        """The terminal fact that the code has come to by itself, written or not."""
        return None if self._engine.closing is None else record(self._engine.closing)

    def replay(
        self, history: Iterable[e.EventRecord], *, heard: Callable[[c.Command, e.HistoryEvent], None] | None = None
    ) -> None:
        """Bring the code to where *history* ends.

        *heard* is told what the code asks for, and the fact that the history holds in its place.

        Raises `NondeterminismError` when the code asks for something else than it holds, `NewerCodeNeeded` when the
        history was written by newer code. The run must be closed then; nothing of it can be used.
        """
        engine = self._engine
        engine.heard = heard
        records = lived(list(history))
        past = engine.begin_replay(records)
        self._was_opened = bool(records) and records[-1].type in (e.WorkflowReopened.type, e.WorkflowForked.type)
        for fact, placed in past.steps():
            if past.is_left_open:
                self._left_open = (past, fact, placed)
                engine.rest(records[-1].seq)
                return
            self._repeat(past, fact, placed)
        if self._engine.closing is not None and not self._ended and past.length:
            raise self._newer_code() or mismatch.ended_early(self._how_it_ended(), past.length)
        if (newer := self._newer_code()) is not None:
            raise newer
        self._warnings += past.warnings
        engine.end_replay()

    def _repeat(self, past: Transcript, fact: e.HistoryEvent, placed: e.EventRecord) -> None:
        """One step of the history."""
        engine = self._engine
        engine.time, engine.step = placed.created_at, placed.seq
        engine.pass_turns()  # first: a fact may ask for something by itself, as the time limit of a scope does
        if isinstance(fact, e.TERMINAL):
            self._end_as_recorded(fact, placed)
        else:
            self._apply(fact)
        self._go_on()
        if past.upcoming() is not None and not self._branches.main.evicted:
            raise past.never_asked(self._whereabouts())

    def _end_what_was_left_open(self) -> None:
        """The step in which the run was forked: as far as it is history, and then as the code likes."""
        if self._left_open is None:
            return
        past, fact, placed = self._left_open
        self._left_open, self._engine.past = None, past
        self._repeat(past, fact, placed)
        if (newer := self._newer_code()) is not None:
            raise newer
        self._engine.decision.warnings += past.warnings

    def advance(self, facts: Iterable[e.HistoryEvent], now: datetime) -> Decision:
        """Apply *facts* in this order, then the timers that are due at *now*; the decision about all of it.

        Facts that came too late (a second outcome, anything after the end but signals) leave no trace. Raises
        `NondeterminismError` for a fact that belongs to no call of the code, `CodeFailed` for code that is stuck, or
        fails under `block_on_error`; the run must be closed then.
        """
        engine = self._engine
        engine.decision = Decision(warnings=self._warnings, is_first=self._was_opened)
        self._warnings, self._was_opened = [], False
        self._end_what_was_left_open()
        engine.time = max(engine.time, now)
        left = iter(facts)
        for fact in left:
            if self._ended:
                break
            if isinstance(fact, e.WorkflowCancelRequested) and not fact.graceful and not self._is_too_late(fact):
                self._cancel_at_once(fact, left)
                break
            self._take(fact)
        deadline = self.info.deadline
        # A timer behind the deadline never fires, however late anybody looks.
        until = now if deadline is None else min(now, deadline)
        while not self._ended and self._engine.closing is None and (call_id := engine.timers.due(until)) is not None:
            self._take(self._over(call_id))
        if not self._ended and self._engine.closing is None and deadline is not None and deadline <= now:
            self._stop(e.WorkflowTimedOut(deadline=deadline))
        if self._engine.closing is not None and not self._ended:
            engine.append(self._closing_fact(self._engine.closing))
            self._ended = True
            self.close()  # branches that nobody has waited for
        return self._decide(engine.decision)

    def close(self) -> None:
        """Take the run out of memory. Its code is unwound by `RunEvicted`; what it does on the way has no effect."""
        self._branches.close()

    # Asking

    def find_query(self, name: str, elsewhere: list[str]) -> Callable[..., Any]:
        """The handler that the code has registered. Raises `UnknownQueryError`; *elsewhere* are other names to tell."""
        return self._engine.queries.find(name, elsewhere)

    def only_looking(self, look: Callable[[], Any]) -> Any:
        """What *look* returns, a function of the run's code that may use ctx for nothing but to read."""
        with self._branches.nobodys_turn(IN_HANDLER):
            return look()

    def _over(self, call_id: str) -> e.HistoryEvent:
        """The fact that a time has come: of a timer or, if that bounds a human task, of the task."""
        engine = self._engine
        task_id = engine.outcomes.question(call_id)
        if task_id is None:
            return e.TimerFired(call_id=call_id)
        engine.decision.expired[call_id] = task_id
        return e.TaskExpired(call_id=call_id)

    def _closing_fact(self, closing: c.Command) -> e.HistoryEvent:
        """Signals may have come behind the fact that the code failed on: then it is named."""
        if isinstance(closing, c.FailWorkflow) and closing.step == self._engine.step:
            closing = replace(closing, step=None)
        return record(closing)

    # Facts

    def _take(self, fact: e.HistoryEvent) -> None:
        if self._is_too_late(fact):
            if isinstance(fact, e.WorkflowCancelRequested | e.WorkflowUpdateAccepted):
                self._missed.append(fact)
            elif isinstance(fact, e.WORDS):
                self._engine.decision.unheard.append(fact)
            return
        if isinstance(fact, e.WorkflowUpdateAccepted):
            accepted = self._engine.judge(fact)
            if accepted is None:
                return
            fact = accepted
        engine = self._engine
        engine.append(fact)
        engine.step = engine.history_length
        self._apply(fact)
        self._go_on()

    def _is_too_late(self, fact: e.HistoryEvent) -> bool:
        """Whether something came first that leaves nothing for this fact to do."""
        if self._engine.closing is not None and not isinstance(fact, e.ACKNOWLEDGED):
            return True
        if isinstance(fact, OUTCOMES):
            return not self._engine.outcomes.awaits(fact.call_id)
        match fact:
            case e.WorkflowStarted():
                return self._branches.main.has_begun
            case e.WorkflowCancelRequested(graceful=True):
                return self._engine.cancellation.request is not None
            case _:
                return False

    def _apply(self, fact: e.HistoryEvent) -> None:
        if isinstance(fact, OUTCOMES):
            if not self._engine.outcomes.resolve(fact.call_id, fact):
                self._refuse(fact)
            if isinstance(fact, e.TASK_ENDS):
                self._engine.timers.disarm(fact.call_id)
            return
        match fact:
            case e.WorkflowStarted():
                self._input = fact.input
                self._branches.main.begin(self._main)
            case e.SignalReceived():
                self._engine.signals.receive(fact)
            case e.WorkflowUpdateAccepted():
                handler = self._engine.updates.handler(fact.name)
                if handler is None:
                    self._refuse(fact)
                self._engine.begin_update(fact, handler)
            case e.TimerFired():
                if not self._engine.timers.fire(fact):
                    self._refuse(fact)
            case e.WorkflowCancelRequested():
                self._engine.cancellation.ask(fact, self._branches)
            case e.WorkflowReopened():
                self._engine.turn(fact)
            case _:
                self._refuse(fact)

    def _cancel_at_once(self, request: e.WorkflowCancelRequested, left: Iterable[e.HistoryEvent]) -> None:
        """Signals and answers among the facts that are *left* were acknowledged, so they are in the history."""
        for fact in left:
            if isinstance(fact, e.ACKNOWLEDGED) and not self._is_too_late(fact):
                self._engine.append(fact)
            elif isinstance(fact, e.WORDS):
                self._engine.decision.unheard.append(fact)
        self._stop(e.WorkflowCanceled(reason=request.reason))

    def _stop(self, end: e.HistoryEvent) -> None:
        """The run ends without its code being asked."""
        self._engine.append(end)
        self._ended = True
        self.close()

    # The code

    def _main(self) -> None:
        """All that runs on the code's own greenlet."""
        cancellation = self._engine.cancellation
        try:
            kwargs = self._definition.decode_input(self._input)
        except PayloadError as misfit:
            self._branches.main.problem = CodeFailed(
                f"{misfit} Give the annotation that fits what is stored, or cancel the run."
            )
            return
        try:
            value = self._value(kwargs)
            result = self._definition.encode_result(value, limit=self._settings.payload_limit)
            command: c.Command = c.CompleteWorkflow(result=result)
            if cancellation.was_raised:
                command = cancellation.command()
        except RunEvicted:
            return
        except CodeStuck as stuck:
            self._branches.main.problem = too_long(stuck)
            return
        except KeyboardInterrupt:
            raise  # Ctrl-C is for the process, whose code happened to be this
        except BaseException as error:  # noqa: BLE001 - whatever leaves workflow code ends the run
            if self._branches.main.evicted:
                return
            if cancellation.caused(error):
                command = cancellation.command()
            else:
                self._failure = error
                command = c.FailWorkflow(failure=describe(error), step=self._engine.step)
        if not self._branches.main.evicted:
            self._engine.closing = command

    def _value(self, kwargs: dict[str, Any]) -> Any:
        fn = self._definition.fn
        if self._definition.is_async:
            return async_context.run(self._engine, fn, kwargs)
        return fn(WorkflowContext(self._engine), **kwargs)

    def _go_on(self) -> None:
        """Let the code run until it waits for something that is not there."""
        self._branches.go_on(self._has_closed)
        if (problem := self._branches.problem) is not None:
            raise problem

    def _has_closed(self) -> bool:
        return self._engine.closing is not None

    # Mismatches

    def _end_as_recorded(self, fact: e.HistoryEvent, placed: e.EventRecord) -> None:
        self._ended = True
        if self._engine.closing is None:
            if isinstance(fact, e.WorkflowCompleted | e.WorkflowFailed | e.WorkflowContinuedAsNew):
                self._refuse(fact)
            self.close()  # canceled or timed out from outside
        elif (asked := record(self._engine.closing)).type != fact.type:
            raise mismatch.ended_otherwise(fact, placed.seq, asked)

    def _refuse(self, fact: e.HistoryEvent) -> NoReturn:
        raise self._newer_code() or mismatch.unexpected_fact(fact, self.history_length, self._whereabouts())

    def _newer_code(self) -> DurableError | None:
        return self._engine.patches.newer_code()

    def _whereabouts(self) -> str:
        if self._branches.main.wait is not None:
            return f"waits at {self._branches.main.place}"
        return "waits for nothing" if self._engine.closing is None else f"has ended {self._how_it_ended()}"

    def _how_it_ended(self) -> str:
        """How, and at which line: the one that raised, or the head of the function that returned."""
        assert self._engine.closing is not None
        how = f"({mismatch.describe(record(self._engine.closing))})"
        if self._failure is not None:
            return f"{how} at {raised_at(self._failure)}"
        code = getattr(inspect.unwrap(self._definition.fn), "__code__", None)
        return how if code is None else f"{how} in {Place(code.co_filename, code.co_firstlineno)}"

    # Deciding

    def _decide(self, decision: Decision) -> Decision:
        end = decision.end
        if end is None:
            main = self._branches.main
            if main.wait is not None:
                decision.waiting_for = main.wait.told(main.place)
            deadline, timer = self.info.deadline, self._engine.timers.next()
            decision.wake_at = timer if deadline is None or timer is None else min(deadline, timer)
            decision.wake_at = decision.wake_at or deadline
            decision.local = self._engine.outcomes.local()
            if decision.local:  # nothing in the store says so, if the worker dies that performs them
                back_by = self._engine.time + LOCAL_PATIENCE
                decision.wake_at = back_by if decision.wake_at is None else min(decision.wake_at, back_by)
            return decision
        if self._settings.block_on_error and self._failure is not None:
            raise CodeFailed(error_of(end)) from self._failure
        decision.close(end)
        decision.abandoned = self._engine.outcomes.abandoned()
        if decision.continued is not None:
            decision.carried = [*self._engine.signals.unread(), *self._missed]
        if unfinished := self._engine.updates.under_way:
            decision.warnings.append(
                f"The run ended while {unfinished} of the updates that it had accepted were under way; who waits for "
                "them gets WorkflowClosed. Wait first, with ctx.wait_until(ctx.all_handlers_finished)."
            )
        if decision.status is Status.COMPLETED and (unawaited := self._engine.outcomes.unawaited()):
            decision.warnings.append(
                f"The workflow returned while {unawaited} of its activities or children were still under way; they are "
                "canceled. Wait for them, or start what shall outlive it with cancel_with_parent=False."
            )
        if decision.status is Status.COMPLETED and (lost := self._engine.lost_branches()):
            decision.warnings.append(
                f"The workflow returned, and nobody had waited for {lost} of its branches that were still under way or "
                "had failed. Wait for them, with ctx.gather() or ctx.wait()."
            )
        return decision
