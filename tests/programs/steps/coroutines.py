"""Children that are coroutines, and what these wait for."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.programs import language as p
from tests.programs.activities import options
from tests.programs.coroutines import FOR_ONE, FOR_SEVERAL, settled, together
from tests.programs.interpreter import COROUTINE
from tests.programs.model import Disagreement
from tests.programs.scripts import Script
from tests.programs.steps.activities import asked, called, written
from tests.programs.steps.blocks import Raise, Return
from tests.programs.steps.children import Child
from tests.programs.steps.outputs import Publish, SetEvent
from tests.programs.steps.signals import SIGNALS, WaitSignal
from tests.programs.steps.values import SideEffect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.steps.activities import Call
    from tests.programs.trace import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCoroutine(p.Binding):
    program: p.Program  # is_coroutine

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> RunCoroutine:
        given, program = author.labeled(), draw_coroutine(author, type(scope)(), is_child=True)
        return RunCoroutine(**given, program=program, binds=author.bind(scope.values))

    def run(self, code: Interpreter) -> None:
        code.children += 1
        path, text = f"{code.path}/{code.children}", self.program.to_text()
        note = code.trace.tried_child if self.guarded else code.trace.noted_child
        code.values[self.binds] = note(self.label, lambda: code.ctx.run_workflow(COROUTINE, program=text, path=path))

    def see(self, model: Model) -> None:
        model.values[self.binds] = model.see_end(self, model.started(Child(self.program)), None)

    def write(self, writer: Writer) -> None:
        writer.children += 1
        name = f"child_{writer.children}"
        writer.function(name, self.program)
        writer.write("children += 1")
        writer.bind(self, f'ctx.run_workflow({name!r}, path=f"{{path}}/{{children}}")', note="_child")


def draw_coroutine(
    author: Author, scope: Scope, *, timeout: p.Seconds | None = None, is_child: bool = False
) -> p.Program:
    common = (Await, Await, Await, Doze, SideEffect, SetEvent, Publish)
    kinds = common if is_child else (*common, AwaitSignal)  # which nobody sends to children
    body: list[p.Step] = [author.pick(kinds).draw(author, scope, 0) for _ in range(author.random.randint(1, 4))]
    if author.chance(0.1):
        body.append(Raise.draw(author))
    elif author.chance(0.6):
        body.append(Return(value=author.expression(scope)))
    return p.Program(body=tuple(body), timeout=timeout, is_coroutine=True)


class Awaited(p.Binding, ABC):
    """Of coroutines only."""

    __slots__ = ()

    @abstractmethod
    async def await_in(self, code: Interpreter) -> None:
        """Do it, in a real workflow."""

    def run(self, code: Interpreter) -> None:
        raise AssertionError(f"{self} stands in a program that is no coroutine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Doze(Awaited):
    seconds: p.Seconds
    how: str  # whose sleep it is: "asyncio" or "ctx"

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Doze:
        given, how = author.labeled(), author.pick(("asyncio", "ctx"))
        return Doze(**given, seconds=author.duration(), how=how, binds=author.bind(scope.values))

    async def await_in(self, code: Interpreter) -> None:
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep if self.how == "asyncio" else code.ctx.sleep  # type: ignore[assignment]
        code.value(self, await settled(sleep(self.seconds)))

    def see(self, model: Model) -> None:
        model.bind(self, None)

    def write(self, writer: Writer) -> None:
        writer.write(f"made = await settled({self.how}.sleep({self.seconds!r}))")
        writer.bind(self, "made()")


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitSignal(Awaited, WaitSignal):
    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> AwaitSignal:
        given, name = author.labeled(), author.pick(SIGNALS)
        return AwaitSignal(**given, name=name, timeout=author.sometimes(), binds=author.bind(scope.values))

    async def await_in(self, code: Interpreter) -> None:
        waiting: Any = code.ctx.wait_signal(self.name, timeout=self.timeout)
        code.value(self, await settled(waiting))

    def write(self, writer: Writer) -> None:
        writer.write(f"made = await settled(ctx.wait_signal({self.name!r}, timeout={self.timeout!r}))")
        writer.bind(self, "made()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Strand(p.Part):
    """An activity, and for how long to sleep before it."""

    script: Script
    delay: p.Seconds | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Await(Awaited):
    """One strand, whose value it has, or several, of which it has how each has ended."""

    how: str
    strands: tuple[Strand, ...]
    limit: p.Seconds | None  # for all of it; then `TimeoutError`

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Await:
        how, given = author.pick((*FOR_ONE, *FOR_SEVERAL)), author.labeled()
        many = 1 if how in FOR_ONE else author.random.randint(0, 3)
        strands = tuple(Strand(script=author.script(scope), delay=author.sometimes()) for _ in range(many))
        return Await(**given, how=how, strands=strands, limit=author.sometimes(), binds=author.bind(scope.values))

    async def await_in(self, code: Interpreter) -> None:
        strands = [
            (
                strand.delay,
                partial(
                    code.ctx.run_activity, code.scripted.using(**options(strand.script)), **asked(code, strand.script)
                ),
            )
            for strand in self.strands
        ]
        code.value(self, await settled(together(self.how, self.limit, strands)))

    def see(self, model: Model) -> None:
        calls = [called(model, strand.script) for strand in self.strands]
        found = model.next(self.label)
        if found != ["failed", "TimeoutError"] or self.limit is None:
            for call, ending in zip(calls, self._endings(found, calls), strict=True):
                model.accept(self, call, ending)
        model.values[self.binds] = found[-1] if found[0] == "value" else None
        model.settle(self, found)

    def _endings(self, found: Entry, calls: list[Call]) -> list[Entry]:
        """Of each call."""
        match found:
            case _ if self.how in FOR_ONE:
                return [found]
            case ["value", list(endings)] if len(endings) == len(calls):
                return endings
            case _:
                raise Disagreement(f"step {self.label} saw {found}; expected an end of each of {calls}")

    def write(self, writer: Writer) -> None:
        names = []
        for strand in self.strands:
            begin = f"partial(ctx.run_activity, {written(writer, strand.script)})"
            names.append(f"strand{len(writer.lines)}")
            writer.write(f"{names[-1]} = ({strand.delay!r}, {begin})")
        writer.write(f"made = await settled(together({self.how!r}, {self.limit!r}, [{', '.join(names)}]))")
        writer.bind(self, "made()")
