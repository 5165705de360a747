"""A program in plain Python: given what a run of it saw, is there anything that it may not have seen?

The model runs the program beside the trace. Where only one outcome is possible the trace must have it; where two may
race (a timeout and a result, a signal and a timeout, a cancel and anything) it must be one of them, and the model goes
on from there. It knows nothing of histories, queues or replays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never
from uuid import UUID

from durable_core.codec import decode
from durable_core.execution import Status
from tests.programs import language as p
from tests.programs.scripts import Allowance, allowance, may_end, same
from tests.programs.trace import odd

if TYPE_CHECKING:
    from durable_core.ports import RunRecord
    from tests.programs.activities import Effect
    from tests.programs.seen import Seen
    from tests.programs.trace import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What happened around a run."""

    signals: Mapping[str, Sequence[Any]] = field(default_factory=dict)  # payloads by name, in the order they came
    signals_first: bool = False  # all of them before the start
    may_be_canceled: bool = False  # somebody asked for it, or a parent may have closed
    faults: int = 0  # how often a worker died, lost its time or its database; 0: every outcome is the script's
    runs: Mapping[UUID, RunRecord] = field(default_factory=dict)  # where its children are found


@dataclass
class Judgement:
    complaints: list[str] = field(default_factory=list)
    effects: dict[str, Allowance] = field(default_factory=dict)  # by key, of all calls that the run has made
    unseen: set[str] = field(default_factory=set)  # paths of branches that nobody has waited for


def judge(seen: Seen, circumstances: Circumstances | None = None) -> Judgement:
    """What is wrong with what a closed run saw and how it ended, and how often its effects may have happened."""
    model = _Model(seen, circumstances or Circumstances())
    try:
        model.check_end()
    except _Disagreement as disagreement:
        model.judgement.complaints.append(f"{seen.path} ({seen.run_id}): {disagreement}")
    return model.judgement


def judge_effects(judgements: Collection[Judgement], effects: Iterable[Effect]) -> list[str]:
    """Which effects happened too often, too seldom, or for nobody. All runs that had any must be judged."""
    allowed = {key: times for judgement in judgements for key, times in judgement.effects.items()}
    unseen = tuple(f"{path}:" for judgement in judgements for path in judgement.unseen)
    happened = Counter(effect.key for effect in effects if not effect.key.startswith(unseen))
    return [
        f"effect {key} happened {happened[key]} times; expected {allowed.get(key, 'none')}"
        for key in sorted(allowed.keys() | happened.keys())
        if key not in allowed or not allowed[key].permits(happened[key])
    ]


class _Disagreement(Exception):
    """The program cannot have done this."""


class _TraceEnds(Exception):
    """The run was closed from outside while the program waited here."""


class _Raised(Exception):
    """The program goes on with an exception, whose type has this name."""


class _Returned(NamedTuple):
    value: Any


@dataclass
class _Handle:
    key: str
    given: Any  # the script and its value, or the child's program
    ending: Entry | None = None  # once it was seen


@dataclass
class _Branch:
    """Where it was spawned; what it did is known when somebody has waited for it."""

    path: str
    body: p.Block
    values: dict[str, Any]
    shields: int
    canceled: bool
    time: datetime | None
    ending: Entry | None = None


@dataclass
class _Timer:
    ending: Entry | None = None  # once it was seen


class _Model:
    def __init__(self, seen: Seen, circumstances: Circumstances) -> None:
        self.seen = seen
        self.around = circumstances
        self.judgement = Judgement()
        self.values: dict[str, Any] = {}
        self.place = 0  # in the trace
        self.activities = 0
        self.branches = 0
        self.is_alone = not seen.program.has_branches  # nobody else in the run takes its signals
        self.random = Random(seen.run_id.int)
        self.versions: dict[str, int] = {}
        self.consumed: dict[str, set[int]] = {}  # numbers of signals, by name
        self.time: datetime | None = None  # not before
        self.shields = 0
        self.canceled = False

    # The end

    def check_end(self) -> None:
        status, value = self.seen.status, self.seen.value
        if status is Status.CANCELED and not self.around.may_be_canceled:
            raise _Disagreement("it was canceled, and nobody wanted that")
        if status is Status.TIMED_OUT and self.seen.program.timeout is None:
            raise _Disagreement("it timed out, and has no timeout")
        if not self.seen.began:
            return
        try:
            expected = self.end()
        except _TraceEnds:
            if status not in (Status.CANCELED, Status.TIMED_OUT):
                raise _Disagreement(f"it is {status} in the middle of its program") from None
            return
        if self.place != len(self.seen.trace):
            raise _Disagreement(f"its program had ended when it saw {self.seen.trace[self.place :]}")
        if expected[0] is not status or (status is not Status.CANCELED and not same(expected[1], value)):
            raise _Disagreement(f"it ended {status} {value!r}; expected {expected[0]} {expected[1]!r}")

    def end(self) -> tuple[Status, Any]:
        try:
            returned = self.block(self.seen.program.body)
        except _Raised as raised:
            name = str(raised)
            return (Status.CANCELED, None) if name == "WorkflowCanceled" else (Status.FAILED, name)
        if self.canceled:
            return Status.CANCELED, None
        return Status.COMPLETED, returned.value if returned else None

    # The program

    def block(self, steps: p.Block) -> _Returned | None:
        for step in steps:
            returned = self.step(step)
            if returned is not None:
                return returned
        return None

    def step(self, step: p.Step) -> _Returned | None:
        match step:
            case p.RunActivity():
                self.see_activity(step, self.started_activity(step.script), None)
            case p.StartActivity():
                self.values[step.binds] = self.started_activity(step.script)
            case p.WaitActivity():
                self.see_activity(step, self.values[step.handle], step.timeout)
            case p.RunChild():
                self.see_child(step, _Handle("", step.program), None)
            case p.StartChild():
                self.values[step.binds] = _Handle("", step.program)
            case p.WaitChild():
                self.see_child(step, self.values[step.handle], step.timeout)
            case p.Gather():
                self.see_gather(step)
            case p.Select():
                self.see_select(step)
            case p.StartTimer():
                self.values[step.binds] = _Timer()
            case p.WaitTimer():
                self.see_end(step, self.values[step.handle], None)
            case p.CancelTimer():
                self.see_timer_canceled(step, self.values[step.handle])
            case p.Spawn():
                self.values[step.binds] = self.spawned(step)
            case p.WaitBranch():
                self.see_end(step, self.values[step.handle], step.timeout)
            case p.Sleep():
                if self.see_wait(step, ["value", None]):
                    self.pass_time(step.seconds)
            case p.WaitSignal():
                self.see_signal(step)
            case p.Now():
                self.see_time(step)
            case p.DrawRandom():
                self.bind(step, self.random.random())
            case p.DrawUuid():
                self.bind(step, str(UUID(int=self.random.getrandbits(128), version=4)))
            case p.SideEffect():
                self.see_side_effect(step)
            case p.GetVersion():
                self.bind(step, self.versions.setdefault(step.change_id, step.version))
            case p.Patched():
                self.bind(step, self.versions.setdefault(step.change_id, 1) > 0)
            case p.DeprecatePatch():
                self.versions.setdefault(step.change_id, 1)
            case p.WrongCall():
                errors = {"name": "UnknownActivityError", "argument": "TypeError", "payload": "PayloadError"}
                self.see(step, ["failed", errors[step.how]])
            case p.Raise():
                raise _Raised("ProgramError")
            case p.Return():
                return _Returned(self.read(step.value))
            case p.Transfer():
                self.see_transfer(step)
            case p.Try():
                return self.attempt(step)
            case p.Shield():
                return self.shield(step)
            case p.If():
                return self.block(step.then if odd(self.read(step.condition)) else step.otherwise)
            case p.For():
                for item in step.items:
                    self.values[step.binds] = item.value
                    returned = self.block(step.body)
                    if returned is not None:
                        return returned
            case _:
                assert_never(step)
        return None

    def attempt(self, step: p.Try) -> _Returned | None:
        try:
            try:
                returned = self.block(step.body)
            except _Raised:
                returned = self.block(step.handler)
        except _Raised:
            self.block(step.final)
            raise
        self.block(step.final)
        return returned

    def shield(self, step: p.Shield) -> _Returned | None:
        self.shields += 1
        raised, returned = None, None
        try:
            returned = self.block(step.body)
        except _Raised as error:
            raised = error
        finally:
            self.shields -= 1
        if self.place < len(self.seen.trace) and self.seen.trace[self.place][0] == step.label:
            self.take_cancel(self.next(step.label))
            raise _Raised("WorkflowCanceled")
        if raised is not None:
            raise raised
        return returned

    def read(self, expression: p.Expression) -> Any:
        return self.values[expression.name] if isinstance(expression, p.Ref) else expression.value

    # What it must have seen

    def see(self, step: p.Labeled, expected: Entry) -> None:
        """One thing is possible, at once."""
        found = self.next(step.label)
        if not same(found, expected):
            raise _Disagreement(f"step {step.label} saw {found}; expected {expected}")
        self.settle(step, found)

    def bind(self, step: Any, value: Any) -> None:
        self.values[step.binds] = value
        self.see(step, ["value", value])

    def see_wait(self, step: p.Labeled, expected: Entry) -> bool:
        """One thing is possible, or a cancel: then False."""
        found = self.next(step.label)
        if self.is_cancel(found):
            self.settle(step, found)
            return False
        if not same(found, expected):
            raise _Disagreement(f"step {step.label} saw {found}; expected {expected}")
        return True

    def see_activity(self, step: p.RunActivity | p.WaitActivity, handle: _Handle, timeout: float | None) -> None:
        self.values[step.binds] = self.see_end(step, handle, timeout)

    def see_child(self, step: p.RunChild | p.WaitChild, handle: _Handle, timeout: float | None) -> None:
        self.values[step.binds] = self.see_end(step, handle, timeout)

    def see_end(self, step: p.Labeled, handle: Any, timeout: float | None) -> Any:
        """The value of something that was started; None for a failure that went no further."""
        found = self.next(step.label)
        if found == ["timeout"] and timeout is not None and handle.ending is None:
            self.pass_time(timeout)
        elif not self.is_cancel(found):
            self.accept(step, handle, found)
        self.settle(step, found)
        return found[-1] if found[0] in ("value", "child") else None

    def child_may_end(self, program: p.Program, ending: Entry) -> bool:
        match ending:
            case ["child", run_id, value]:
                child = self.child(run_id, Status.COMPLETED)
                return child is None or (child.result is not None and same(decode(child.result)["value"], value))
            case ["failed", "WorkflowFailed", run_id]:
                self.child(run_id, Status.FAILED)
                return True
            case ["failed", "WorkflowTimeout", run_id]:
                self.child(run_id, Status.TIMED_OUT)
                return program.timeout is not None
            case _:
                return False

    def child(self, run_id: str, status: Status) -> RunRecord | None:
        if not self.around.runs:
            return None
        child = self.around.runs.get(UUID(run_id))
        if child is None or child.parent_id != self.seen.run_id or child.status is not status:
            raise _Disagreement(f"it saw the child {run_id} end {status}; that is {child}")
        return child

    def see_gather(self, step: p.Gather) -> None:
        found = self.next(step.label)
        if not self.is_cancel(found):
            if found[0] != "gathered" or len(found) != 1 + len(step.handles):
                raise _Disagreement(f"step {step.label} saw {found}; expected {len(step.handles)} endings")
            for name, ending in zip(step.handles, found[1:], strict=True):
                self.accept(step, self.values[name], ending)
        self.settle(step, found)

    def see_select(self, step: p.Select) -> None:
        found = self.next(step.label)
        match found:
            case ["selected", name, *ending] if name in step.handles:
                self.accept(step, self.values[name], ending)
            case ["selected", name, *ending] if name.removeprefix("signal_") in step.signals:
                self.take_signal(step.label, name.removeprefix("signal_"), ending)
            case ["timeout"]:
                self.pass_time(step.timeout)
            case _ if not self.is_cancel(found) and not self.may_fail(step, found):
                raise _Disagreement(f"step {step.label} saw {found}, which none of what it waits for allows")
        if found != ["timeout"]:  # here it is nothing that is raised
            self.settle(step, found)

    def may_fail(self, step: p.Select, found: Entry) -> bool:
        """Whether what came first may have failed like this; which one it was, the trace does not say."""
        for name in step.handles:
            try:
                self.accept(step, self.values[name], found)
            except _Disagreement:
                continue
            return True
        return False

    def accept(self, step: p.Labeled, handle: Any, ending: Entry) -> None:
        """Something that was started has ended like this, now or before."""
        if handle.ending is not None:
            if not same(ending, handle.ending):
                raise _Disagreement(f"step {step.label} saw {ending} of what had ended as {handle.ending}")
            return
        match handle:
            case _Timer():
                expected = ["value", None]
                may = ending == expected
            case _Branch():
                may = ending[0] == "branch"
                if may:
                    self.judgement.unseen.discard(handle.path)
                    self.check_branch(handle, ending)
            case _Handle(given=p.Program()):
                may = self.child_may_end(handle.given, ending)
            case _:
                script, value = handle.given
                may = may_end(script, value, ending, faults=self.faults)
                self.judgement.effects[handle.key] = allowance(script, ending if may else None, faults=self.faults)
        if not may:
            raise _Disagreement(f"step {step.label} saw {ending}, which {handle} does not allow")
        handle.ending = ending

    def see_timer_canceled(self, step: p.CancelTimer, timer: _Timer) -> None:
        found = self.next(step.label)
        allowed = [["value", False]] if timer.ending is not None else [["value", False], ["value", True]]
        if found not in allowed:
            raise _Disagreement(f"step {step.label} saw {found}; expected one of {allowed}")
        timer.ending = timer.ending or (["failed", "TimerCanceled"] if found[1] else ["value", None])

    def spawned(self, step: p.Spawn) -> _Branch:
        self.branches += 1
        path = f"{self.seen.path}~{self.branches}"
        self.judgement.unseen.add(path)
        return _Branch(path, step.body, {**self.values}, self.shields, self.canceled, self.time)

    def check_branch(self, branch: _Branch, ending: Entry) -> None:
        """Run the model of a branch beside its trace."""
        _, trace, how, value = ending
        model = _Model(self.seen._replace(path=branch.path, trace=trace), self.around)
        model.judgement, model.consumed, model.is_alone = self.judgement, self.consumed, self.is_alone
        model.values, model.shields, model.time = branch.values, branch.shields, branch.time
        model.canceled = branch.canceled
        try:
            returned = model.block(branch.body)
        except _Raised as raised:
            expected: tuple[str, Any] = str(raised), None
        except _TraceEnds:
            raise _Disagreement(f"branch {branch.path} has ended in the middle of its program") from None
        else:
            expected = "returned", returned.value if returned else None
        if model.place != len(trace):
            raise _Disagreement(f"branch {branch.path} had ended when it saw {trace[model.place :]}")
        if expected[0] != how or not same(expected[1], value):
            raise _Disagreement(f"branch {branch.path} ended {how} {value!r}; expected {expected}")

    def take_signal(self, label: str, name: str, found: Entry) -> Any:
        """The payload of the next signal of this name; with branches, of one that nobody else has had."""
        sent = self.around.signals.get(name, ())
        taken = self.consumed.setdefault(name, set())
        left = [number for number in range(len(sent)) if number not in taken]
        for number in left if not self.is_alone else left[:1]:
            if same(found, ["value", sent[number]]):
                taken.add(number)
                return sent[number]
        raise _Disagreement(f"step {label} saw {found}; of the signals {list(sent)}, {sorted(taken)} were taken")

    def see_signal(self, step: p.WaitSignal) -> None:
        found = self.next(step.label)
        value = None
        if found == ["timeout"] and step.timeout is not None:
            left = len(self.around.signals.get(step.name, ())) - len(self.consumed.get(step.name, ()))
            if self.around.signals_first and self.is_alone and left:
                raise _Disagreement(f"step {step.label} waited in vain for {step.name}, which had come")
            self.pass_time(step.timeout)
        elif not self.is_cancel(found):
            value = self.take_signal(step.label, step.name, found)
        self.values[step.binds] = value
        self.settle(step, found)

    def see_time(self, step: p.Now) -> None:
        found = self.next(step.label)
        if len(found) != 2 or found[0] != "value":
            raise _Disagreement(f"step {step.label} saw {found}; expected a time")
        time = datetime.fromisoformat(found[1])
        if self.time is not None and time < self.time:
            raise _Disagreement(f"step {step.label} saw {time}; it cannot be before {self.time}")
        self.time = time

    def see_side_effect(self, step: p.SideEffect) -> None:
        match step.how:
            case "raises":
                self.values[step.binds] = None
                self.see(step, ["failed", "SideEffectError", "ProgramError", "from a side effect"])
            case "spoils":
                self.values[step.binds] = None
                self.see(step, ["failed", "PayloadError"])
            case _:
                self.bind(step, self.read(step.value))

    def see_transfer(self, step: p.Transfer) -> None:
        found = self.next(step.label)
        endings = (["value", "refused"], ["value", "returned" if step.bounces else "moved"])
        if found not in endings and not self.is_cancel(found):
            raise _Disagreement(f"step {step.label} saw {found}; expected one of {endings}")
        self.values[step.binds] = found[-1] if found[0] == "value" else None
        self.settle(step, found)

    # The trace

    def next(self, label: str) -> Entry:
        """The next entry, without its label."""
        if self.place == len(self.seen.trace):
            raise _TraceEnds
        found_label, *found = self.seen.trace[self.place]
        self.place += 1
        if found_label != label:
            raise _Disagreement(f"it came to step {found_label} ({found}); expected step {label}")
        return found

    def settle(self, step: p.Labeled, found: Entry) -> None:
        """A failure goes further, unless the step is guarded."""
        if self.is_cancel(found):
            self.take_cancel(found)
        if found[0] in ("failed", "timeout") and not step.guarded:
            raise _Raised("WaitTimeout" if found[0] == "timeout" else found[1])

    def is_cancel(self, found: Entry) -> bool:
        return found[:2] == ["failed", "WorkflowCanceled"]

    def take_cancel(self, found: Entry) -> None:
        if self.canceled or self.shields or not self.around.may_be_canceled or not self.is_cancel(found):
            raise _Disagreement(f"it saw {found}: twice, in a shield, or unasked for")
        self.canceled = True

    # Inside

    @property
    def faults(self) -> int:
        return self.around.faults

    def started_activity(self, script: p.Script) -> _Handle:
        self.activities += 1
        handle = _Handle(f"{self.seen.path}:{self.activities}", (script, self.read(script.value)))
        self.judgement.effects[handle.key] = allowance(script, None, faults=self.faults)
        return handle

    def pass_time(self, seconds: float) -> None:
        if self.time is not None:
            self.time += timedelta(seconds=seconds)
