"""What programs are made of: frozen values, and their JSON.

A kind of step is a class in `steps`, with four meanings: how it is drawn, what a workflow does for it, what its run may
have seen of it, and how it reads as source. A step that can fail has a *label*, under which its outcome stands in the
trace, and may be *guarded*: then its failure goes into the trace and no further, and the name it binds is None.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

if TYPE_CHECKING:
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer

Seconds = float

_KINDS: dict[str, Any] = {}  # by the name of the class


class Part:
    """Of a program."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        _KINDS[cls.__name__] = cls


# Values


@dataclass(frozen=True, slots=True)
class Const(Part):
    value: Any  # JSON


@dataclass(frozen=True, slots=True)
class Ref(Part):
    name: str  # of a step that bound it


Expression = Const | Ref


class Returned(NamedTuple):
    """The program is at its end."""

    value: Any


# Steps


class Step(Part, ABC):
    __slots__ = ()

    spawns: ClassVar[bool] = False  # a strand of its own
    takes_updates: ClassVar[bool] = False
    moves_money: ClassVar[bool] = False

    @abstractmethod
    def run(self, code: Interpreter) -> Returned | None:
        """Do it, in a real workflow."""

    @abstractmethod
    def see(self, model: Model) -> Returned | None:
        """Take from the trace what the run saw of it; raises `Disagreement` where it cannot have."""

    @abstractmethod
    def write(self, writer: Writer) -> None:
        """The same as source."""

    def blocks(self) -> Iterable[Block]:
        """What it is made of, as often as a program can come to it at most."""
        return ()

    def awaited(self) -> tuple[str, ...]:
        """Names of the signals that it waits for."""
        return ()


Block = tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Labeled(Step, ABC):
    label: str
    guarded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding(Labeled, ABC):
    binds: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Program(Part):
    body: Block
    timeout: Seconds | None = None  # from start to close
    is_coroutine: bool = False  # of steps that are awaited, and some that wait for nothing
    then: Program | None = None  # what its run goes on with, as a new run with as much time, at the body's end

    @property
    def runs(self) -> Iterator[Program]:
        """It, and those that its runs go on with."""
        program: Program | None = self
        while program is not None:
            yield program
            program = program.then

    def signals(self) -> list[tuple[str, Any]]:
        """(name, payload) of all the signals that the program may wait for, in the order in which to send them."""
        names = [name for run in self.runs for step in executed(run.body) for name in step.awaited()]
        return [(name, f"{name}{names[:place].count(name)}") for place, name in enumerate(names)]

    @property
    def has_branches(self) -> bool:
        return any(step.spawns for step in executed(self.body))

    @property
    def asks(self) -> bool:
        """People; children count."""
        return '"kind": "Ask"' in self.to_text()

    @property
    def takes_updates(self) -> bool:
        return any(step.takes_updates for run in self.runs for step in executed(run.body))

    @property
    def moves_money(self) -> bool:
        return any(step.moves_money for run in self.runs for step in executed(run.body))

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
        for inner in step.blocks():
            yield from executed(inner)


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


# JSON


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
