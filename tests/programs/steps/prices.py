"""An order, which is a dataclass of all kinds of values, handed to an activity and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.programs import language as p
from tests.programs.prices import PRICED, order_of, priced
from tests.programs.scripts import Script
from tests.programs.steps.activities import called

if TYPE_CHECKING:
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Price(p.Binding):
    """The trace has the order as it reads in Python, with the names of all its types."""

    number: int  # of the order
    times: int

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Price:
        number, times = author.random.randrange(1_000), author.random.randint(-1, 3)
        return Price(**author.labeled(), number=number, times=times, binds=author.bind(scope.values))

    def run(self, code: Interpreter) -> None:
        code.activities += 1
        key, order = f"{code.path}:{code.activities}", order_of(self.number)
        code.value(self, lambda: repr(code.ctx.run_activity(PRICED, key, self.number, order, self.times)))

    def see(self, model: Model) -> None:
        expected = repr(priced(order_of(self.number), self.times))
        call = called(model, Script(value=p.Const(expected)))
        model.values[self.binds] = model.see_end(self, call, None)

    def write(self, writer: Writer) -> None:
        writer.write("activities += 1")
        given = f'f"{{path}}:{{activities}}", {self.number}, order_of({self.number}), {self.times}'
        writer.bind(self, f"repr(ctx.run_activity({PRICED!r}, {given}))")
