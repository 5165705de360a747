"""What programs are made of: frozen values, and their JSON.

A step that can fail has a *label*, under which its outcome stands in the trace, and may be *guarded*: then its failure
goes into the trace and no further, and the name it binds is None.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Any

Seconds = float


# Values


@dataclass(frozen=True, slots=True)
class Const:
    value: Any  # JSON


@dataclass(frozen=True, slots=True)
class Ref:
    name: str  # of a step that bound it


Expression = Const | Ref


# What an activity does


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """One activity call: what the activity does, and under which policy and limits."""

    value: Expression
    fails: int = 0  # attempts with a number up to this raise
    spoils: bool = False  # returns what JSON cannot hold, instead of the value
    takes: Seconds = 0.0
    beats: bool = False  # with details, at the beginning
    attempts: int = 0  # RetryPolicy.maximum_attempts
    interval: Seconds = 0.0  # RetryPolicy.initial_interval
    refused: bool = False  # its error is among the non-retryable ones
    timeout: Seconds | None = None  # schedule-to-close
    start_to_close: Seconds | None = None


# Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Labeled:
    label: str
    guarded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunActivity(Labeled):
    binds: str
    script: Script


@dataclass(frozen=True, slots=True, kw_only=True)
class StartActivity:
    binds: str  # a handle
    script: Script


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitActivity(Labeled):
    binds: str
    handle: str
    timeout: Seconds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChild(Labeled):
    binds: str
    program: Program


@dataclass(frozen=True, slots=True, kw_only=True)
class StartChild:
    binds: str  # a handle
    program: Program


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitChild(Labeled):
    binds: str
    handle: str
    timeout: Seconds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather(Labeled):
    """Everything, failures among the results; the trace has an entry of each."""

    handles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Select(Labeled):
    """Whichever comes first of handles and signals; the trace has its name in front of its entry."""

    handles: tuple[str, ...]
    signals: tuple[str, ...]
    timeout: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTimer:
    binds: str  # a handle
    seconds: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitTimer(Labeled):
    handle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTimer(Labeled):
    handle: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep(Labeled):
    seconds: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitSignal(Labeled):
    binds: str
    name: str
    timeout: Seconds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Now(Labeled):
    """The trace has the time; nothing is bound, so that no model need know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawRandom(Labeled):
    binds: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawUuid(Labeled):
    binds: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SideEffect(Labeled):
    binds: str
    value: Expression
    how: str = "returns"  # or "raises", or "spoils": returns what JSON cannot hold


@dataclass(frozen=True, slots=True, kw_only=True)
class GetVersion(Labeled):
    binds: str
    change_id: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Patched(Labeled):
    binds: str
    change_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeprecatePatch:
    change_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongCall(Labeled):
    """A call that is refused where it stands: an unknown name, a surplus argument, one that JSON cannot hold."""

    how: str  # "name", "argument", "payload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise:
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    value: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Labeled):
    """Money from one account to another; where the other refuses it, back again."""

    binds: str
    source: str
    target: str
    amount: int
    bounces: bool = False


# Blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    body: Block
    handler: Block
    final: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Shield:
    label: str  # of a cancel that is raised at its end
    body: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn:
    """A branch, with a trace of its own; it starts from the values of where it is spawned."""

    binds: str  # a handle
    body: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitBranch(Labeled):
    handle: str
    timeout: Seconds | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class If:
    """Whether the value's JSON has an odd number of characters."""

    condition: Expression
    then: Block
    otherwise: Block


@dataclass(frozen=True, slots=True, kw_only=True)
class For:
    binds: str
    items: tuple[Const, ...]
    body: Block


Step = (
    RunActivity
    | StartActivity
    | WaitActivity
    | RunChild
    | StartChild
    | WaitChild
    | Gather
    | Select
    | StartTimer
    | WaitTimer
    | CancelTimer
    | Sleep
    | WaitSignal
    | Now
    | DrawRandom
    | DrawUuid
    | SideEffect
    | GetVersion
    | Patched
    | DeprecatePatch
    | WrongCall
    | Raise
    | Return
    | Transfer
    | Try
    | Shield
    | Spawn
    | WaitBranch
    | If
    | For
)
Block = tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    body: Block
    timeout: Seconds | None = None  # from start to close

    def signals(self) -> list[tuple[str, Any]]:
        """(name, payload) of all the signals that the program may wait for, in the order in which to send them."""
        names = [name for step in executed(self.body) for name in _signals(step)]
        return [(name, f"{name}{names[:place].count(name)}") for place, name in enumerate(names)]

    @property
    def has_branches(self) -> bool:
        return any(isinstance(step, Spawn) for step in executed(self.body))

    @property
    def moves_money(self) -> bool:
        return any(isinstance(step, Transfer) for step in executed(self.body))

    def to_json(self) -> dict[str, Any]:
        dumped: dict[str, Any] = _dump(self)
        return dumped

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Program:
        program = _load(data)
        assert isinstance(program, cls)
        return program

    def to_text(self) -> str:
        return json.dumps(self.to_json())

    @staticmethod
    @lru_cache(maxsize=1_000)  # a run without the sticky cache reads its program anew at every step
    def from_text(text: str) -> Program:
        return Program.from_json(json.loads(text))


def executed(block: Block) -> Iterator[Step]:
    """Every step, as often as the program can come to it at most; those of children are theirs."""
    for step in block:
        yield step
        match step:
            case Try():
                yield from executed(step.body)
                yield from executed(step.handler)
                yield from executed(step.final)
            case Shield() | Spawn():
                yield from executed(step.body)
            case If():
                yield from executed(step.then)
                yield from executed(step.otherwise)
            case For():
                for _ in step.items:
                    yield from executed(step.body)


def free_names(block: Block) -> set[str]:
    """What a block uses and does not bind."""
    used, bound = set(), set()

    def look(part: Any) -> None:
        match part:
            case Ref():
                used.add(part.name)
            case Program():
                pass  # a child has names of its own
            case tuple():
                for item in part:
                    look(item)
            case _ if is_dataclass(part):
                for f in fields(part):
                    value = getattr(part, f.name)
                    if f.name == "binds":
                        bound.add(value)
                    elif f.name == "handle":
                        used.add(value)
                    elif f.name == "handles":
                        used.update(value)
                    else:
                        look(value)

    look(block)
    return used - bound


def _signals(step: Step) -> tuple[str, ...]:
    match step:
        case WaitSignal():
            return (step.name,)
        case Select():
            return step.signals
        case _:
            return ()


# JSON


_KINDS = {
    kind.__name__: kind
    for kind in (
        *(Program, Script, Const, Ref, RunActivity, StartActivity, WaitActivity, RunChild, StartChild, WaitChild),
        *(Sleep, WaitSignal, Now, DrawRandom, DrawUuid, SideEffect, GetVersion, Patched, DeprecatePatch, WrongCall),
        *(Gather, Select, StartTimer, WaitTimer, CancelTimer, Spawn, WaitBranch),
        *(Raise, Return, Transfer, Try, Shield, If, For),
    )
}


def _dump(part: Any) -> Any:
    match part:
        case Const():
            return {"kind": "Const", "value": part.value}
        case tuple():
            return [_dump(item) for item in part]
        case _ if is_dataclass(part):
            return {"kind": type(part).__name__, **{f.name: _dump(getattr(part, f.name)) for f in fields(part)}}
        case _:
            return part


def _load(data: Any) -> Any:
    match data:
        case {"kind": "Const", "value": value}:
            return Const(value)
        case dict():
            parts = {str(name): _load(value) for name, value in data.items() if name != "kind"}
            return _KINDS[data["kind"]](**parts)
        case list():
            return tuple(_load(item) for item in data)
        case _:
            return data
