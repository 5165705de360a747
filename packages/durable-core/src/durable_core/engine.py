"""What the calls of workflow code do: find their fact in the history, or become a command; wait until a fact is there.

The code comes in through `WorkflowContext`, on its own greenlet. `WorkflowRun` stands on the other side: it hands in
what comes from outside, and takes out the decision.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from durable_core import commands as c
from durable_core import events as e
from durable_core.branches import Branches
from durable_core.cancellation import Cancellation
from durable_core.codec import NULL, decode, encode
from durable_core.decision import MAX_HISTORY, Decision
from durable_core.errors import (
    BranchCanceled,
    CodeFailed,
    CodeStuck,
    ConfigurationError,
    LimitExceeded,
    NewerCodeNeeded,
    RunEvicted,
    ScopeCanceled,
)
from durable_core.execution import MessageStatus, record
from durable_core.failures import describe
from durable_core.inbox import CancelFact, Outcomes, Signals
from durable_core.patches import Patches
from durable_core.places import caller, stuck_at
from durable_core.queries import Queries
from durable_core.seeds import Seeds
from durable_core.timers import Timers
from durable_core.transcript import Transcript
from durable_core.updates import IN_VALIDATOR, UpdateNews, Updates
from durable_core.waits import BranchEnd, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from durable_core.branch import Branch
    from durable_core.codec import Payload
    from durable_core.decision import RunSettings
    from durable_core.definitions import Registry, WorkflowDefinition
    from durable_core.errors import DurableError
    from durable_core.updates import Handler
    from durable_core.waits import Future, Waiting

MAX_CALL_ID = 200  # characters; stores keep 255
IN_SIDE_EFFECT = (
    "the function of a side effect, which a replay does not call. Use ctx before or behind ctx.side_effect()."
)
IN_CONDITION = (
    "the condition of ctx.wait_until(), which is asked again and again. Let it look at variables that other code sets."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInfo:
    """Who the run is."""

    execution_id: UUID
    workflow_name: str
    workflow_id: str | None
    parent_id: UUID | None
    queue: str
    priority: int
    created_at: datetime  # aware, UTC
    deadline: datetime | None  # aware, UTC; when the run times out


class Engine:
    """What a run knows while its code is in memory, and what it offers to its code."""

    def __init__(
        self, definition: WorkflowDefinition, info: WorkflowInfo, registry: Registry, settings: RunSettings
    ) -> None:
        self.definition = definition
        self.info = info
        self.registry = registry
        self.settings = settings
        self.payload_limit = settings.payload_limit
        self.time = info.created_at  # of the fact that the code is working on
        self.step = 0  # its seq
        self.past: Transcript | None = None  # while the code is brought back to where it was
        self.decision = Decision()  # what is made of new facts
        self.branches = Branches()
        self.timers = Timers()
        self.ends: dict[str, Future] = {}  # of branches, and of timers that code has a handle of, by call_id
        self.outcomes = Outcomes()
        self.signals = Signals()
        self.cancellation = Cancellation(info.execution_id, self.branches.run)
        self.patches = Patches()
        self.seeds = Seeds(info.execution_id)
        self.queries = Queries(info.workflow_name)
        self.updates = Updates(info.workflow_name)
        self.closing: c.Command | None = None  # how the code ended
        self.lost_tasks = 0  # of asyncio: as branches, when the code has ended
        self._length = 0
        self.heard: Callable[[c.Command, e.HistoryEvent], None] | None = None  # while the code is brought back

    # Where the code is

    @property
    def branch(self) -> Branch:
        """Whose turn it is."""
        return self.branches.current

    @property
    def replaying(self) -> bool:
        return self.past is not None

    @property
    def is_silent(self) -> bool:
        """Whether what the code does has no effect: it is brought back to where it was, or unwound."""
        return self.past is not None or self.branch.evicted

    @property
    def history_length(self) -> int:
        """The seq of the last event: of those replayed so far, or of all."""
        past = self.past  # once: another thread may ask while a replay ends
        return self._length if past is None else past.length

    def begin_replay(self, records: Sequence[e.EventRecord]) -> Transcript:
        past = Transcript(records, self.patches, park=self.park, strict_inputs=self.settings.strict_inputs)
        if (turn := past.first_turn) is not None:
            self.info = replace(self.info, deadline=turn.deadline_before)
        if (fork := past.first_fork) is not None:
            self.seeds.sow(fork.first_seed)
        self.past = past
        return past

    def end_replay(self) -> None:
        self._length, self.past = self.history_length, None

    def rest(self, length: int) -> None:
        """Stop before the last step, which is to be made with new facts."""
        self._length, self.past = length, None

    def append(self, event: e.HistoryEvent) -> e.HistoryEvent:
        """A new fact, for the decision."""
        self._length += 1
        details = e.details_of(event)
        self.decision.events.append(e.EventRecord(self._length, event.type, event.call_id, details, self.time))
        if isinstance(event, e.TERMINAL):
            self.decision.end = event
        return event

    # Calls

    def check_caller(self) -> None:
        self.branch.check_caller()

    def next_call_id(self) -> str:
        return self.branch.next_call_id()

    def recorded_input(self, event_type: str, name: str) -> Payload | None:
        """Of the next call, if the history holds it already, of this type and with this name."""
        if self.past is None:
            return None
        match self.past.upcoming():
            case e.ActivityScheduled(activity_name=found) | e.ChildWorkflowScheduled(workflow_name=found) as fact:
                is_it = fact.type == event_type and found == name and fact.call_id == self.branch.coming_call_id
                return fact.input if is_it else None
            case _:
                return None

    def recorded_items(self, event_type: str, name: str) -> list[e.ActivityScheduled | e.ChildWorkflowScheduled]:
        """Those with which the next call begins, if it is one for many, and the history holds it already."""
        if self.past is None:
            return []
        first = f"{self.branch.coming_call_id}."
        items: list[e.ActivityScheduled | e.ChildWorkflowScheduled] = []
        for fact in self.past.coming():
            match fact:
                case e.ActivityScheduled(activity_name=found) | e.ChildWorkflowScheduled(workflow_name=found):
                    if (fact.type, found, fact.call_id) != (event_type, name, f"{first}{len(items)}"):
                        break
                    items.append(fact)
                case _:
                    break
        return items

    def issue(self, command: c.Command) -> e.HistoryEvent:
        """The fact of a command: found in the history, or made now."""
        self.branch.check_caller()
        return self.carry_out(command)

    def carry_out(self, command: c.Command) -> e.HistoryEvent:
        """The same where it need not be the code that asks: the time limit of a part of it may have come."""
        past = self.past
        if past is not None:
            past.skip_markers()
        if self.history_length >= MAX_HISTORY:
            raise LimitExceeded(
                f"The history of this run has {self.history_length:,} events; the limit is {MAX_HISTORY:,}. "
                "Split the work into child workflows."
            )
        event = self.append(record(command)) if past is None else self._recorded(past, command)
        match command:
            case c.ScheduleActivity():
                self.outcomes.expect(command)
                if past is None:
                    self.decision.activities.append(command)
            case c.StartChildWorkflow():
                assert isinstance(event, e.ChildWorkflowScheduled)
                self.outcomes.expect_child(command, event.child_id)
                if past is None:
                    self.decision.children.append(command)
            case c.AskPerson():
                self.outcomes.expect_answer(command)
                if past is None:
                    self.decision.asked.append(command)
            case c.CancelActivity() | c.CancelChild() | c.CancelTask():
                assert isinstance(event, CancelFact)
                self.outcomes.ask_to_end(event)
                if past is None:
                    self.decision.cancels.append(command)
            case c.SetEvent():
                if past is None:
                    self.decision.values[command.key] = command.value
            case c.PublishItem():
                if past is None:
                    self.decision.items.append((self._length, command))
            case c.SendSignal() | c.SendCancel():
                self.outcomes.expect_word(command.call_id)
                if past is None:
                    self.decision.outgoing.append(command)
            case _:
                pass
        return event

    def _recorded(self, past: Transcript, command: c.Command) -> e.HistoryEvent:
        event = past.fact_of(command)
        if self.heard is not None and not past.is_anothers:
            self.heard(command, event)
        self.pass_turns()
        return event

    def pass_turns(self) -> None:
        """Where the run was forked, behind the last of what was taken over into this step, the code is free."""
        past = self.past
        if past is None or not past.was_forked:
            return
        for fact, placed in past.turns():
            if isinstance(fact, e.WorkflowForked):
                self.seeds.sow(fact.seed)
            self.turn(fact)
            self.time = placed.created_at
        if past.is_free:
            self.end_replay()

    def turn(self, fact: e.WorkflowForked | e.WorkflowReopened) -> None:
        self.info = replace(self.info, deadline=fact.deadline)

    def run_here(self, command: c.RunLocalActivity) -> None:
        """Its outcome is the first that the history hears of it; it may be there already."""
        self.branch.check_caller()
        if self.past is not None:
            self.past.skip_markers()
            self.past.check_local(command)
        self.outcomes.expect_here(command)

    def side_effect(self, call_id: str, perform: Callable[[], c.Command]) -> e.HistoryEvent:
        """The recorded value, or the one that *perform* makes now."""
        self.branch.check_caller()
        if self.past is None:
            with self._without_ctx(IN_SIDE_EFFECT):
                command = perform()
            return self.issue(command)
        fact = self.past.upcoming()
        if isinstance(fact, e.SideEffectRecorded) and fact.call_id == call_id:
            return self.issue(c.RecordSideEffect(call_id=call_id, result=fact.result, failure=fact.failure))
        return self.issue(c.RecordSideEffect(call_id=call_id, result=NULL, failure=None))  # tells of the mismatch

    def version(self, change_id: str, version: int, *, deprecated: bool = False) -> int:
        """The version this run goes by; found by id wherever the code asks, so it takes no call_id."""
        self.branch.check_caller()
        chosen = self.patches.chosen(change_id)
        if chosen is not None:
            return chosen
        recorded = self.patches.recorded(change_id)
        if recorded is not None:
            if recorded > version and not deprecated:
                self.branch.park(
                    NewerCodeNeeded(
                        f"The history has version {recorded} of change {change_id!r}, but this code, at {caller()}, "
                        f"knows only versions up to {version}: newer code wrote it. The run waits for a worker with "
                        "that code."
                    )
                )
            return self.patches.choose(change_id, recorded)
        if self.past is not None:
            return self.patches.choose(change_id, 0)
        self.issue(c.RecordVersion(change_id=change_id, version=version, deprecated=deprecated))
        return self.patches.choose(change_id, version)

    def continue_as_new(self, command: c.ContinueAsNew) -> NoReturn:
        """The code goes no further, in no branch; a new run begins where this one ends."""
        self.branch.check_caller()
        self.cancellation.check_at_the_end(self.branch)  # a new run would not know of it
        self.closing = self.cancellation.command() if self.cancellation.was_raised else command
        self.signals.stop_listening()
        self.branch.leave_off()

    # Waits

    def end_of(self, call_id: str) -> Future:
        """How something ends that the code has started."""
        return self.ends.get(call_id) or self.outcomes.of(call_id)

    def wait(
        self, futures: Sequence[Future], waiting: Waiting, *, until: datetime | None = None, for_all: bool = False
    ) -> None:
        """Suspend the code until one of *futures* is done, or all of them; raises a cancel that comes meanwhile.

        *until* is what `waiting_for` says: the wait ends with one of its futures, which may be a timer.
        """
        branch = self.branches.current
        branch.check_caller()
        left = [future for future in futures if not future.done_at]
        if not left or (len(left) < len(futures) and not for_all):
            return
        wait = Wait(branch, left, len(left) if for_all else 1, waiting, self.time, until)
        if self.cancellation.is_under_way:
            self.cancellation.check_before(wait)
        wait.begin()
        try:
            branch.wait_for(wait)
        finally:
            wait.end()
        self.cancellation.check(branch)

    def holds(self, predicate: Callable[[], bool]) -> bool:
        """What a condition says. Its function has no ctx: how often it is asked is not in the history."""
        self.branch.check_caller()
        with self._without_ctx(IN_CONDITION):
            return bool(predicate())

    def wait_until(
        self, predicate: Callable[[], bool], waiting: Waiting, timer: Sequence[Future], until: datetime | None
    ) -> bool:
        """Suspend the code until *predicate* holds (True), or *timer* is done (False), if there is one."""
        branch = self.branch
        wait = Wait(branch, timer, 1, waiting, self.time, until)
        wait.begin()
        self.branches.look(branch)
        try:
            while True:
                self.cancellation.check(branch)
                branch.wait_for(wait)
                self.cancellation.check(branch)
                if self.holds(predicate):
                    return True
                if any(future.done_at for future in timer):
                    return False
        finally:
            wait.end()
            self.branches.look_away(branch)

    def spawn(self, call_id: str, fn: Callable[[], Any]) -> Branch:
        """Another strand of code."""
        if len(call_id) > MAX_CALL_ID:
            raise LimitExceeded(
                f"Branches are nested too deep: call {call_id[:40]}... has a name of over {MAX_CALL_ID}."
            )
        branch = self.branches.spawn(call_id)
        end = BranchEnd(call_id, branch.scope)
        self.ends[call_id] = end
        branch.begin(lambda: self._run_branch(branch, end, fn))
        return branch

    def lost_branches(self) -> int:
        """How many branches did not come to their end, or failed without anybody having heard of it."""
        ends = [end for end in self.ends.values() if isinstance(end, BranchEnd)]
        unheard = sum(not end.done_at or (end.has_failed and not end.was_asked) for end in ends)
        return self.lost_tasks + unheard

    def _run_branch(self, branch: Branch, end: BranchEnd, fn: Callable[[], Any]) -> None:
        """All that runs on the greenlet of a branch."""
        try:
            end.value = fn()
        except RunEvicted:
            return
        except CodeStuck as stuck:
            branch.problem = too_long(stuck)
            return
        except KeyboardInterrupt:
            raise  # Ctrl-C is for the process, whose code happened to be this
        except ScopeCanceled as canceled:
            end.error = BranchCanceled(str(canceled).replace("part", "branch", 1), reason=canceled.reason)
            end.error.__cause__ = canceled
        except BaseException as error:  # noqa: BLE001 - it is for whoever waits for the branch
            end.error = error
        if not branch.evicted:
            end.resolve(None)

    # Updates

    def judge(self, request: e.WorkflowUpdateAccepted) -> e.WorkflowUpdateAccepted | None:
        """The fact that an update is accepted; None: it was rejected."""
        verdict = self.updates.judge(request, self.branches.nobodys_turn(IN_VALIDATOR))
        if isinstance(verdict, UpdateNews):
            self.decision.tell(verdict)
            return None
        self.decision.tell(UpdateNews(verdict.update_id, MessageStatus.ACCEPTED))
        return verdict

    def begin_update(self, fact: e.WorkflowUpdateAccepted, handler: Handler) -> None:
        """Another strand of code, which acts on an update; or a task, among coroutines."""
        assert fact.call_id is not None
        self.updates.accept(fact)
        if handler.begin is not None:
            handler.begin(fact, handler.act)
            return
        branch = self.branches.begin_update(fact.call_id)
        branch.begin(partial(self._run_update, branch, fact, handler.act))

    def _run_update(self, branch: Branch, fact: e.WorkflowUpdateAccepted, act: Callable[..., Any]) -> None:
        """All that runs on its greenlet."""
        try:
            self.end_update(self.outcome_of(fact, lambda: act(**decode(fact.input))))
        except RunEvicted:
            return
        except CodeStuck as stuck:
            branch.problem = too_long(stuck)

    def outcome_of(self, fact: e.WorkflowUpdateAccepted, came_to: Callable[[], Any]) -> c.Command:
        """Of an update whose handler *came_to* what that returns, or raises."""
        call_id = fact.call_id
        assert call_id is not None
        try:
            result = encode(came_to(), what=f"the result of update {fact.name!r}", limit=self.payload_limit)
        except (RunEvicted, CodeStuck, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - it is for whoever has sent the update
            return c.FailUpdate(call_id=call_id, failure=describe(error))
        return c.CompleteUpdate(call_id=call_id, result=result)

    def end_update(self, command: c.Command) -> None:
        self.branch.check_caller()
        # Not by issue(): the outcome of what was accepted finds its place in a full history too.
        past = self.past
        end = self.append(record(command)) if past is None else self._recorded(past, command)
        news = self.updates.end(end)
        if past is None:
            self.decision.tell(news)

    # Time

    def moment_in(self, span: timedelta) -> datetime:
        try:
            return self.time + span
        except OverflowError:
            raise ConfigurationError(f"a wait of {span} ends after the year 9999; expected a shorter one.") from None

    @contextmanager
    def armed(self, call_id: str, fire_at: datetime | None) -> Iterator[list[Future]]:
        """A timer for as long as the block lasts; None means none."""
        if fire_at is None:
            yield []
            return
        try:
            yield [self.timers.arm(call_id, fire_at)]
        finally:
            self.timers.disarm(call_id)

    # Inside

    def park(self, problem: DurableError) -> NoReturn:
        """The code goes no further: it must be mended first."""
        if not self.branch.is_running:
            raise problem
        self.branch.park(problem)

    @contextmanager
    def _without_ctx(self, inside: str) -> Iterator[None]:
        branch = self.branch
        branch.without_ctx = inside
        try:
            yield
        finally:
            branch.without_ctx = ""


def too_long(stuck: CodeStuck) -> CodeFailed:
    return CodeFailed(
        "The workflow's code ran for too long without a ctx call, and was stopped. Long work belongs in an activity. "
        f"{stuck_at(stuck)}"
    )
