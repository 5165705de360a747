"""What the calls of workflow code do: find their fact in the history, or become a command; wait until a fact is there.

The code comes in through `WorkflowContext`, on its own greenlet. `WorkflowRun` stands on the other side: it hands in
what comes from outside, and takes out the decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from durable_core import commands as c
from durable_core import events as e
from durable_core.branch import Branch
from durable_core.cancellation import Cancellation
from durable_core.codec import NULL
from durable_core.decision import MAX_HISTORY, Decision
from durable_core.errors import LimitExceeded, NewerCodeNeeded
from durable_core.execution import record
from durable_core.inbox import Listener, Outcomes, Signals
from durable_core.patches import Patches
from durable_core.places import caller
from durable_core.transcript import Transcript
from durable_core.waits import Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from durable_core.codec import Payload
    from durable_core.decision import RunSettings
    from durable_core.definitions import Registry
    from durable_core.waits import Future, Timer, Waiting


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

    def __init__(self, info: WorkflowInfo, registry: Registry, settings: RunSettings) -> None:
        self.info = info
        self.registry = registry
        self.settings = settings
        self.payload_limit = settings.payload_limit
        self.time = info.created_at  # of the fact that the code is working on
        self.past: Transcript | None = None  # while the code is brought back to where it was
        self.decision = Decision()  # what is made of new facts
        self.branch = Branch()
        self.outcomes = Outcomes()
        self.signals = Signals()
        self.cancellation = Cancellation(info.execution_id)
        self.patches = Patches()
        self._length = 0
        self.heard: Callable[[c.Command, e.HistoryEvent], None] | None = None  # while the code is brought back

    # Where the code is

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
        self.past = Transcript(records, self.patches, park=self.branch.park, strict_inputs=self.settings.strict_inputs)
        return self.past

    def end_replay(self) -> None:
        self._length, self.past = self.history_length, None

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

    def issue(self, command: c.Command) -> e.HistoryEvent:
        """The fact of a command: found in the history, or made now."""
        self.branch.check_caller()
        past = self.past
        if past is not None:
            past.skip_markers()
        if self.history_length >= MAX_HISTORY:
            raise LimitExceeded(
                f"The history of this run has {self.history_length:,} events; the limit is {MAX_HISTORY:,}. "
                "Split the work into child workflows."
            )
        event = self.append(record(command)) if past is None else past.fact_of(command)
        if past is not None and self.heard is not None:
            self.heard(command, event)
        match command:
            case c.ScheduleActivity():
                self.outcomes.expect(command)
                if past is None:
                    self.decision.activities.append(command)
            case c.StartChildWorkflow():
                self.outcomes.expect(command)
                if past is None:
                    self.decision.children.append(command)
            case _:
                pass
        return event

    def side_effect(self, call_id: str, perform: Callable[[], c.Command]) -> e.HistoryEvent:
        """The recorded value, or the one that *perform* makes now."""
        self.branch.check_caller()
        if self.past is None:
            self.branch.in_side_effect = True
            try:
                command = perform()
            finally:
                self.branch.in_side_effect = False
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

    # Waits

    def outcome(self, call_id: str) -> Future:
        """What the outcome of a call will be put into."""
        return self.outcomes.of(call_id)

    def signal(self, call_id: str, name: str) -> Future:
        """What the oldest unread signal of this name is in, or the next one will be."""
        return self.signals.listen(call_id, name)

    def wait(self, future: Future, waiting: Waiting, timer: Timer | None = None) -> bool:
        """Suspend the code until *future* has its fact (True) or *timer* fires (False)."""
        self.branch.check_caller()
        if future.fact is not None:
            return True
        self.branch.wait_for(Wait(future, waiting, self.time, timer))
        if isinstance(future, Listener) and future.fact is None:
            self.signals.withdraw(future)
        if self.cancellation.is_due:
            self.cancellation.raise_it()
        return future.fact is not None

    def enter_shield(self) -> None:
        self.branch.check_caller()
        self.cancellation.enter_shield()

    def leave_shield(self) -> None:
        self.branch.check_caller()
        self.cancellation.leave_shield()
