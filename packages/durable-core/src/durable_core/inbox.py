"""What comes from outside, and which call of the code it is for: outcomes by call_id, signals by name."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from durable_core import commands as c
from durable_core import events as e
from durable_core.errors import DurableError
from durable_core.waits import Future, next_moment

if TYPE_CHECKING:
    from uuid import UUID

OUTCOMES = (
    e.ActivityCompleted,
    e.ActivityFailed,
    e.ActivityTimedOut,
    e.ActivityCanceled,
    e.LocalActivityCompleted,
    e.LocalActivityFailed,
    e.ChildWorkflowCompleted,
    e.ChildWorkflowFailed,
    e.ChildWorkflowCanceled,
    e.ChildWorkflowTimedOut,
    *e.TASK_ENDS,
    e.ExternalMessageDelivered,
    e.ExternalMessageFailed,
)


CancelFact = e.ActivityCancelRequested | e.ChildWorkflowCancelRequested | e.TaskCancelRequested


class _Child(NamedTuple):
    id: UUID
    ends_with_the_run: bool


class Outcomes:
    """How the activities and children end that the code has started."""

    def __init__(self) -> None:
        self._futures: dict[str, Future] = {}
        self._children: dict[str, _Child] = {}  # open ones
        self._words: set[str] = set()  # calls that sent or asked something; nothing of theirs is under way
        self._questions: dict[str, UUID] = {}  # of those, human tasks, by call_id
        self._asked_to_end: dict[str, str] = {}  # why, by call_id
        self._local: dict[str, c.RunLocalActivity] = {}  # without an outcome, by call_id

    def expect(self, command: c.ScheduleActivity | c.StartChildWorkflow) -> None:
        """Something was started."""
        self._futures[command.call_id] = Future(command.call_id)

    def expect_child(self, command: c.StartChildWorkflow, child_id: UUID) -> None:
        """A child was started, as the history has it."""
        self.expect(command)
        self._children[command.call_id] = _Child(child_id, command.options.cancel_with_parent)

    def expect_here(self, command: c.RunLocalActivity) -> None:
        """A local activity was asked for."""
        self._futures[command.call_id] = Future(command.call_id)
        self._local[command.call_id] = command

    def local(self) -> list[c.RunLocalActivity]:
        """Local activities that have not ended."""
        return list(self._local.values())

    def expect_word(self, call_id: str) -> None:
        """A message was sent to another run; the store says what has become of it."""
        self._futures[call_id] = Future(call_id)
        self._words.add(call_id)

    def expect_answer(self, command: c.AskPerson) -> None:
        """A person was asked."""
        self.expect_word(command.call_id)
        self._questions[command.call_id] = command.task_id

    def question(self, call_id: str) -> UUID | None:
        """The human task of a call; None: it is of another kind."""
        return self._questions.get(call_id)

    def ask_to_end(self, fact: CancelFact) -> None:
        """The code wants it no more. How it ends is up to itself: it may have ended before it hears of that."""
        self._asked_to_end[fact.call_id] = fact.reason

    def was_asked_to_end(self, call_id: str) -> bool:
        return call_id in self._asked_to_end

    def awaits(self, call_id: str) -> bool:
        """Whether this call started something that has not ended."""
        future = self._futures.get(call_id)
        return future is not None and not future.done_at

    def resolve(self, call_id: str, fact: e.HistoryEvent) -> bool:
        """Whether the fact belongs to a call of the code. The first one holds."""
        future = self._futures.get(call_id)
        if future is None:
            return False
        if not future.done_at:
            future.resolve(self._with_our_reason(fact))
            self._children.pop(call_id, None)
            self._local.pop(call_id, None)
        return True

    def _with_our_reason(self, fact: e.HistoryEvent) -> e.HistoryEvent:
        """Who reports that an activity let itself be canceled does not know why the code wanted that."""
        if isinstance(fact, e.ActivityCanceled) and (reason := self._asked_to_end.get(fact.call_id)):
            return replace(fact, reason=reason)
        return fact

    def of(self, call_id: str) -> Future:
        """What the outcome of a call will be put into."""
        future = self._futures.get(call_id)
        if future is None:
            raise DurableError(f"This run has started nothing by call {call_id}; the handle is another run's.")
        return future

    def abandoned(self) -> list[UUID]:
        """Open children that are canceled with the run."""
        return [child.id for child in self._children.values() if child.ends_with_the_run]

    def unawaited(self) -> int:
        """How many activities and children are under way that end with the run, and were not asked to end before."""
        return sum(
            not future.done_at and call_id not in self._asked_to_end and self._ends_with_the_run(future)
            for call_id, future in self._futures.items()
        )

    def _ends_with_the_run(self, future: Future) -> bool:
        if future.call_id in self._words:
            return False
        child = self._children.get(future.call_id)
        return child is None or child.ends_with_the_run


class Listener(Future):
    """A wait for the next signal of a name."""

    __slots__ = ("name",)

    def __init__(self, call_id: str, name: str) -> None:
        super().__init__(call_id)
        self.name = name


class _Unread(NamedTuple):
    moment: int  # at which it came
    signal: e.SignalReceived


class Signals:
    """Signals that nobody has read, and waits that no signal has come for: of one name, never both."""

    def __init__(self) -> None:
        self._unread: dict[str, deque[_Unread]] = {}
        self._listeners: dict[str, deque[Listener]] = {}
        self._is_deaf = False

    def receive(self, signal: e.SignalReceived) -> None:
        listeners = self._listeners.get(signal.name)
        if listeners and not self._is_deaf:
            listeners.popleft().resolve(signal)
        else:
            self._unread.setdefault(signal.name, deque()).append(_Unread(next_moment(), signal))

    def unread(self) -> list[e.SignalReceived]:
        """Those that nobody has read, the oldest first."""
        return [unread.signal for unread in sorted(u for box in self._unread.values() for u in box)]

    def stop_listening(self) -> None:
        """The code goes no further: what comes from now on is for nobody here."""
        self._is_deaf = True  # not by forgetting who listens: those withdraw when their code is unwound

    def came_at(self, name: str) -> int:
        """The moment at which the oldest unread signal of this name came; 0: there is none."""
        unread = self._unread.get(name)
        return unread[0].moment if unread else 0

    def listen(self, call_id: str, name: str) -> Listener:
        """What the oldest unread signal of this name is in, or the next one will be."""
        listener = Listener(call_id, name)
        unread = self._unread.get(name)
        if unread:
            moment, signal = unread.popleft()
            listener.resolve(signal, moment)
        else:
            self._listeners.setdefault(name, deque()).append(listener)
        return listener

    def withdraw(self, listener: Listener) -> None:
        """A wait ended without its signal: the next one is for somebody else."""
        self._listeners[listener.name].remove(listener)
