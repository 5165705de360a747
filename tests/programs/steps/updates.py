"""Updates: what the program does for whoever asks, beside its own steps, and answers with a trace of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

from tests.programs import language as p
from tests.programs.steps.branches import Branch
from tests.programs.trace import Refusal, answered

if TYPE_CHECKING:
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer

UPDATE = "change"
MOST = 3  # that anybody sends: each may take a signal


@dataclass(frozen=True, slots=True, kw_only=True)
class OnUpdate(p.Step):
    """From here on updates get these steps, with the values that are known here."""

    spawns: ClassVar[bool] = True
    takes_updates: ClassVar[bool] = True

    body: p.Block

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> OnUpdate:
        with author.branch():
            return OnUpdate(body=author.block(scope.values_only(), 2, depth + 1))

    def run(self, code: Interpreter) -> None:
        code.handlers += 1
        path, values, calls = f"{code.path}!{code.handlers}", {**code.values}, count(1)

        def act(refuse: bool = False) -> dict[str, Any]:
            strand = code.strand(f"{path}.{next(calls)}", values)
            return answered(strand.path, strand.trace, lambda: strand.value_of(self.body))

        code.ctx.on_update(UPDATE, act, refusing)

    def see(self, model: Model) -> None:
        model.handlers += 1
        path, values = f"{model.seen.path}!{model.handlers}", {**model.values}
        model.judgement.handlers[path] = lambda call: Branch(call, self.body, {**values}, (), False, None)

    def write(self, writer: Writer) -> None:
        captured = "".join(f", {value}={value}" for value in sorted(p.free_names(self.body)))
        name = f"update_{len(writer.lines)}"
        writer.write("handlers += 1")
        with writer.inside(f'def {name}(refuse=False, path=f"{{path}}!{{handlers}}", calls=count(1){captured}):'):
            writer.write('path, trace, activities, children, branches = f"{path}.{next(calls)}", Trace(), 0, 0, 0')
            with writer.inside("def code():"):
                writer.write("nonlocal activities, children, branches")
                writer.block(self.body)
            writer.write("return answered(path, trace, code)")
        writer.write(f"ctx.on_update({UPDATE!r}, {name}, refusing)")

    def blocks(self) -> Iterable[p.Block]:
        return [self.body] * MOST


def refusing(refuse: bool = False) -> None:
    """The validator."""
    if refuse:
        raise Refusal
