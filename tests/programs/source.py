"""A program as the source of a module, for a bug report: a workflow as people write them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.programs import language as p
from tests.programs.interpreter import SEEN, THEN

if TYPE_CHECKING:
    from collections.abc import Iterator

PRELUDE = '''\
"""To be run with two names more: register, a Registry, and scripted = install(register, ledger)."""

import asyncio
from dataclasses import replace
from functools import partial
from itertools import count

from tests.programs.activities import arguments, here, options, transfer, wrong_call
from tests.programs.coroutines import settled, together
from tests.programs.interpreter import ended
from tests.programs.language import Const
from tests.programs.prices import order_of
from tests.programs.scripts import Script
from tests.programs.steps.asks import asked
from tests.programs.steps.batches import mapped, or_fail
from tests.programs.steps.handles import gathered, selected
from tests.programs.steps.sagas import Action, Asked, in_saga
from tests.programs.steps.updates import refusing
from tests.programs.trace import ProgramError, Trace, answered, entry_of_result, failure, is_cancel, odd


def spoiled():
    return object()  # which JSON cannot hold


def broken():
    raise ProgramError("from a side effect")


def returning(value):
    return lambda: value
'''


def source_of(program: p.Program) -> str:
    """Source that registers ``program(ctx, path)``, and its children likewise."""
    return Writer().module(program)


class Writer:
    def __init__(self) -> None:
        self.functions: list[str] = []
        self.children = 0
        self.lines: list[str] = []
        self.depth = 0

    def module(self, program: p.Program) -> str:
        self.function("program", program)
        return "\n\n".join([PRELUDE, *self.functions])

    def function(self, name: str, program: p.Program) -> None:
        """Functions of children come first, so that each can be read from above."""
        outer = self.lines, self.depth
        self.lines, self.depth = [], 0
        define, call = ("async def", "await code") if program.is_coroutine else ("def", "code")
        if program.timeout is not None:
            self.write(f"# started with timeout={program.timeout!r}")
        self.write("@register.workflow")
        runs = list(program.runs)
        with self.inside(f"{define} {name}(ctx, path{', run=0' if len(runs) > 1 else ''}):"):
            self.write("trace, run_id, value = Trace(), str(ctx.info.execution_id), None")
            self.write("activities = children = branches = handlers = 0")
            self.write(f"ctx.on_query({SEEN!r}, lambda: trace.entries)")
            self.write("")
            for number, run in enumerate(runs):
                self.code(f"{define} code_{number}" if len(runs) > 1 else f"{define} code", run, number)
                self.write("")
            names = ", ".join(f"code_{number}" for number in range(len(runs)))
            self.write("try:")
            self.write(f"    value = [{names}][run]()" if len(runs) > 1 else f"    value = {call}()")
            self.write("except Exception as error:")
            self.write("    if is_cancel(error):")
            self.write("        raise")
            self.write("    raise failure(run_id, trace, error) from error")
            self.write('return {"run": run_id, "trace": trace.entries, "value": value}')
        self.functions.append("\n".join(self.lines) + "\n")
        self.lines, self.depth = outer

    def code(self, head: str, program: p.Program, number: int) -> None:
        """What one run does, of those that go on for each other."""
        with self.inside(f"{head}():"):
            self.write("nonlocal activities, children, branches, handlers")
            self.block(program.body)
            if program.then is not None:
                given = f'path=f"{{path}}\'", run={number + 1}'
                self.write(f"trace.noted({THEN!r}, lambda: ctx.continue_as_new({given}))")

    def block(self, steps: p.Block) -> None:
        for step in steps:
            step.write(self)
        if not steps:
            self.write("pass")

    # For steps

    def write(self, line: str) -> None:
        self.lines.append("    " * self.depth + line if line else "")

    @contextmanager
    def inside(self, head: str) -> Iterator[None]:
        self.write(head)
        self.depth += 1
        yield
        self.depth -= 1

    def inner(self, head: str, steps: p.Block) -> None:
        with self.inside(head):
            self.block(steps)

    def call(self, step: p.Labeled, call: str, *, note: str = "", target: str = "") -> None:
        """*note*: what makes the entry of it, in `Trace`."""
        tried = "tried" if step.guarded else "noted"
        self.write(f"{target}trace.{tried}{note}({step.label!r}, lambda: {call})")

    def bind(self, step: p.Binding, call: str, *, note: str = "") -> None:
        self.call(step, call, note=note, target=f"{step.binds} = ")


def value_of(expression: p.Expression) -> str:
    return expression.name if isinstance(expression, p.Ref) else repr(expression.value)
