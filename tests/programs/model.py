"""A program in plain Python: given what a run of it saw, is there anything that it may not have seen?

The model runs the program beside the trace. Where only one outcome is possible the trace must have it; where two may
race (a timeout and a result, a signal and a timeout, a cancel and anything) it must be one of them, and the model goes
on from there. It knows nothing of histories, queues or replays. What may be seen of a step stands with the step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import takewhile
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from durable_core.execution import Status
from tests.programs import language as p
from tests.programs.interpreter import THEN
from tests.programs.scripts import same

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from durable_core.ports import RunRecord
    from tests.programs.activities import Effect
    from tests.programs.errands import Word
    from tests.programs.scripts import Allowance
    from tests.programs.seen import Seen
    from tests.programs.trace import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What happened around a run."""

    signals: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # payloads by name, in the order they came
    signals_first: bool = False  # all of them before the start
    may_be_canceled: bool = False  # somebody asked for it, or a parent may have closed
    faults: int = 0  # how often a worker died, lost its time or its database; 0: every outcome is the script's
    reopened: int = 0  # how often
    performs_again: bool = False  # its local activities, for it was paused, or several workers had it
    words: Sequence[Word] = ()  # of who had tokens
    runs: Mapping[UUID, RunRecord] = field(default_factory=dict)  # where its children are found
    answers: Collection[str] = ()  # that people have given


@dataclass
class Judgement:
    complaints: list[str] = field(default_factory=list)
    effects: dict[str, Allowance] = field(default_factory=dict)  # by key, of all calls that the run has made
    bookings: dict[str, Allowance] = field(default_factory=dict)  # by key, of all transactional calls
    orders: list[list[str]] = field(default_factory=list)  # keys of effects that come one behind another, if at all
    unseen: set[str] = field(default_factory=set)  # paths of strands of which nothing was told
    consumed: dict[str, set[int]] = field(default_factory=dict)  # numbers of signals, by name; not in branches unseen
    values: dict[str, Any] = field(default_factory=dict)  # that it has set, by the key of the event
    items: dict[str, list[Any]] = field(default_factory=dict)  # that it has published, by stream
    handlers: dict[str, Callable[[str], Started]] = field(default_factory=dict)  # of updates; each makes a call


def judge(seen: Seen, circumstances: Circumstances | None = None) -> Judgement:
    """What is wrong with what a closed run saw and how it ended, and how often its effects may have happened."""
    model = Model(seen, circumstances or Circumstances())
    try:
        model.check_end()
        model.check_updates()
    except Disagreement as disagreement:
        model.judgement.complaints.append(f"{seen.path} ({seen.run_id}): {disagreement}")
    return model.judgement


def judge_effects(judgements: Collection[Judgement], effects: Iterable[Effect]) -> list[str]:
    """Which effects happened too often, too seldom, or for nobody. All runs that had any must be judged."""
    allowed = {key: times for judgement in judgements for key, times in judgement.effects.items()}
    unseen = tuple(f"{path}{mark}" for judgement in judgements for path in judgement.unseen for mark in ":~!")
    keys = [effect.key for effect in effects]
    happened = Counter(key for key in keys if not key.startswith(unseen))
    complaints = [
        f"effect {key} happened {happened[key]} times; expected {allowed.get(key, 'none')}"
        for key in sorted(allowed.keys() | happened.keys())
        if key not in allowed or not allowed[key].permits(happened[key])
    ]
    for order in (order for judgement in judgements for order in judgement.orders):
        began = list(dict.fromkeys(key for key in keys if key in order))
        if began != [key for key in order if key in began]:
            complaints.append(f"effects began in the order {began}; expected {order}")
    return complaints


S = TypeVar("S", bound="Started")


class Disagreement(Exception):
    """The program cannot have done this."""


class TraceEnds(Exception):
    """The run was closed from outside while the program waited here."""


class Raised(Exception):
    """The program goes on with an exception, whose type has this name."""


@dataclass(eq=False)
class Part:
    """A part of the code that cancels end, or do not reach."""

    is_shield: bool = False
    timeout: float | None = None
    reason: str | None = None  # why it was canceled, once that is known
    was_raised: bool = False  # and taken at its end

    @property
    def may_be_canceled(self) -> bool:
        return self.timeout is not None or self.reason is not None

    @property
    def may_have_been_canceled(self) -> tuple[bool, ...]:
        if self.reason is not None or self.was_raised:
            return (True,)
        return (False, True) if self.may_be_canceled else (False,)

    def is_for(self, reason: str) -> bool:
        if self.reason is not None or self.timeout is None:
            return reason == self.reason
        return reason == f"its time limit of {self.timeout:g} s was over"

    def give_up(self, label: str, reason: str, *, in_time: bool) -> None:
        """The code was told whether it was canceled by this."""
        if self.reason is not None if in_time else not self.may_be_canceled:
            raise Disagreement(f"step {label} was told {in_time} of {self}")
        if in_time:
            self.reason = reason


@dataclass
class Started(ABC):
    """Something that the program has a handle of."""

    ends_at_once: ClassVar[bool] = False  # when it is canceled
    ending: Entry | None = field(default=None, init=False)  # once it was seen
    is_over: bool = field(default=False, init=False)  # it has ended, seen or not
    is_unwanted: bool = field(default=False, init=False)  # it was canceled before it had ended
    parts: Sequence[Part] = field(default=(), init=False)  # in which it was started

    @property
    def may_be_unwanted(self) -> bool:
        return self.is_unwanted or any(part.may_be_canceled for part in self.parts)

    @abstractmethod
    def may_end(self, model: Model, ending: Entry) -> bool:
        """Whether it may end like this, as *model* has just seen."""


class Model:
    """A strand of a program, beside its trace."""

    def __init__(self, seen: Seen, around: Circumstances) -> None:
        self.seen = seen
        self.around = around
        self.judgement = Judgement()
        self.values: dict[str, Any] = {}
        self.place = 0  # in the trace
        self.activities = 0
        self.branches = 0
        self.handlers = 0
        self.is_alone = not seen.program.has_branches  # nobody else in the run takes its signals
        self.random = Random(seen.run_id.int)
        self.versions: dict[str, int] = {}
        self.time: datetime | None = None  # not before
        self.parts: list[Part] = []  # of the code in which it is, the innermost last
        self.heard: set[Part] = set()  # of whose cancel
        self.canceled = False

    # The end

    def check_end(self) -> None:
        status, value = self.seen.status, self.seen.value
        if status is Status.CANCELED and not self.around.may_be_canceled:
            raise Disagreement("it was canceled, and nobody wanted that")
        if status is Status.TIMED_OUT and self.seen.program.timeout is None:
            raise Disagreement("it timed out, and has no timeout")
        if not self.seen.began:
            self.judgement.unseen.add(self.seen.path)  # as far as anybody knows: what it began may be local
            return
        try:
            expected = self.end()
        except TraceEnds:
            if status not in (Status.CANCELED, Status.TIMED_OUT):
                raise Disagreement(f"it is {status} in the middle of its program") from None
            return
        if self.place != len(self.seen.trace):
            raise Disagreement(f"its program had ended when it saw {self.seen.trace[self.place :]}")
        if expected[0] is not status or (status is not Status.CANCELED and not same(expected[1], value)):
            raise Disagreement(f"it ended {status} {value!r}; expected {expected[0]} {expected[1]!r}")

    def end(self) -> tuple[Status, Any]:
        try:
            returned = self.block(self.seen.program.body)
        except Raised as raised:
            name = str(raised)
            is_canceled = name == "WorkflowCanceled" or self.may_be_canceled_unseen
            return (Status.CANCELED, None) if is_canceled else (Status.FAILED, name)
        goes_on = returned is None and self.seen.program.then is not None
        if goes_on and self.comes(THEN):  # a new run would not know of it
            self.take_cancel(self.next(THEN))
        if self.canceled or self.may_be_canceled_unseen:
            return Status.CANCELED, None
        if goes_on:
            return Status.CONTINUED_AS_NEW, None
        return Status.COMPLETED, returned.value if returned else None

    @property
    def may_be_canceled_unseen(self) -> bool:
        """A cancel is not in the trace of a coroutine; asyncio may lose it to what ends at once, and yet it holds."""
        return self.seen.program.is_coroutine and self.seen.status is Status.CANCELED

    def block(self, steps: p.Block) -> p.Returned | None:
        for step in steps:
            returned = step.see(self)
            if returned is not None:
                return returned
        return None

    def check_updates(self) -> None:
        """What was answered to whoever asked for something; of calls without an answer nothing is known."""
        handlers = self.judgement.handlers
        calls = [f"{path}.{number}" for path in handlers for number in range(1, self.seen.accepted + 1)]
        self.judgement.unseen.update(calls)
        for answer in self.seen.answers:
            if answer.path not in calls:
                raise Disagreement(f"an update was answered by {answer.path}; expected one of {calls}")
            calls.remove(answer.path)
            call = handlers[answer.path.rpartition(".")[0]](answer.path)
            call.may_end(self, ["branch", answer.trace, answer.how, answer.value])

    # What steps must have seen

    def see(self, step: p.Labeled, expected: Entry) -> None:
        """One thing is possible, at once."""
        found = self.next(step.label)
        if not same(found, expected):
            raise Disagreement(f"step {step.label} saw {found}; expected {expected}")
        self.settle(step, found)

    def bind(self, step: p.Binding, value: Any) -> None:
        self.values[step.binds] = value
        self.see(step, ["value", value])

    def see_wait(self, step: p.Labeled, expected: Entry) -> bool:
        """One thing is possible, or a cancel: then False."""
        found = self.next(step.label)
        if self.is_cancel(found):
            self.settle(step, found)
            return False
        if not same(found, expected):
            raise Disagreement(f"step {step.label} saw {found}; expected {expected}")
        return True

    def see_end(self, step: p.Labeled, handle: Started, timeout: float | None) -> Any:
        """The value of something that was started; None for a failure that went no further."""
        found = self.next(step.label)
        if found == ["timeout"] and timeout is not None and not handle.is_over:
            self.pass_time(timeout)
        elif not self.is_cancel(found):
            self.accept(step, handle, found)
        self.settle(step, found)
        return found[-1] if found[0] in ("value", "child") else None

    def accept(self, step: p.Labeled, handle: Started, ending: Entry) -> None:
        """Something that was started has ended like this, now or before."""
        if handle.ending is not None:
            if not same(ending, handle.ending):
                raise Disagreement(f"step {step.label} saw {ending} of what had ended as {handle.ending}")
            return
        if not handle.may_end(self, ending):
            raise Disagreement(f"step {step.label} saw {ending}, which {handle} does not allow")
        handle.ending, handle.is_over = ending, True

    def cancel(self, step: p.Labeled, handle: Started, *, in_time: bool) -> None:
        """Somebody has been told whether it was still under way, and to be canceled."""
        if in_time and handle.is_over:
            raise Disagreement(f"step {step.label} canceled what had ended: {handle}")
        handle.is_over = not in_time or handle.ends_at_once
        handle.is_unwanted = handle.is_unwanted or in_time

    def take_signal(self, label: str, name: str, found: Entry) -> Any:
        """The payload of the next signal of this name; with branches, of one that nobody else has had."""
        sent = self.around.signals.get(name, ())
        taken = self.judgement.consumed.setdefault(name, set())
        left = [number for number in range(len(sent)) if number not in taken]
        for number in left if not self.is_alone else left[:1]:
            if same(found, ["value", sent[number]]):
                taken.add(number)
                return sent[number]
        raise Disagreement(f"step {label} saw {found}; of the signals {list(sent)}, {sorted(taken)} were taken")

    # The trace

    def next(self, label: str) -> Entry:
        """The next entry, without its label."""
        if self.place == len(self.seen.trace):
            raise TraceEnds
        found_label, *found = self.seen.trace[self.place]
        self.place += 1
        if found_label != label:
            raise Disagreement(f"it came to step {found_label} ({found}); expected step {label}")
        return found

    def peek(self, label: str) -> Entry | None:
        """The next entry, if it is of this label."""
        return self.seen.trace[self.place][1:] if self.comes(label) else None

    def comes(self, label: str) -> bool:
        """Whether the next entry is of this label."""
        return self.place < len(self.seen.trace) and self.seen.trace[self.place][0] == label

    def settle(self, step: p.Labeled, found: Entry) -> None:
        """A failure goes further, unless the step is guarded."""
        if self.is_cancel(found):
            self.take_cancel(found)
        if found[0] in ("failed", "timeout") and not step.guarded:
            raise Raised("WaitTimeout" if found[0] == "timeout" else found[1])

    def is_cancel(self, found: Entry) -> bool:
        return found[:2] in (["failed", "WorkflowCanceled"], ["failed", "ScopeCanceled"])

    def take_cancel(self, found: Entry) -> None:
        unshielded = list(takewhile(lambda part: not part.is_shield, reversed(self.parts)))
        match found:
            case ["failed", "ScopeCanceled", reason]:
                ended = [part for part in unshielded if part not in self.heard and part.is_for(reason)]
                if not ended:
                    raise Disagreement(f"it saw {found}, in {self.parts}, of which it heard {self.heard}")
                self.heard.add(ended[-1])  # the outermost: what leaves that leaves all inside of it
            case _:
                is_shielded = len(unshielded) < len(self.parts)
                if self.canceled or is_shielded or not self.around.may_be_canceled or not self.is_cancel(found):
                    raise Disagreement(f"it saw {found}: twice, in a shield, or unasked for")
                self.canceled = True

    # For steps

    def started(self, handle: S) -> S:
        handle.parts = tuple(self.parts)
        return handle

    def read(self, expression: p.Expression) -> Any:
        return self.values[expression.name] if isinstance(expression, p.Ref) else expression.value

    def pass_time(self, seconds: float) -> None:
        if self.time is not None:
            self.time += timedelta(seconds=seconds)

    def branch(self, path: str, trace: list[Entry]) -> Model:
        """Of another strand of the same run."""
        model = Model(self.seen._replace(path=path, trace=trace), self.around)
        model.judgement, model.is_alone = self.judgement, self.is_alone
        return model
