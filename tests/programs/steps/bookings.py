"""Bookings: a transactional activity, which writes beside its outcome, both or neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.programs import language as p
from tests.programs.bookings import ATTEMPTS, BOOKED, TIME_LIMIT
from tests.programs.scripts import Allowance, Script
from tests.programs.source import value_of
from tests.programs.steps.activities import Call, called

if TYPE_CHECKING:
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.trace import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Book(p.Binding):
    value: p.Expression
    fails: int  # attempts with a number up to this raise, when they have written

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Book:
        fails, given = author.pick((0, 0, 1, ATTEMPTS)), author.labeled()
        return Book(**given, value=author.expression(scope), fails=fails, binds=author.bind(scope.values))

    def run(self, code: Interpreter) -> None:
        code.activities += 1
        key, value = f"{code.path}:{code.activities}", code.read(self.value)
        code.value(self, lambda: code.ctx.run_activity(BOOKED, key, value, self.fails))

    def see(self, model: Model) -> None:
        is_late = bool(model.around.faults)  # or may be
        limit = TIME_LIMIT if is_late else None
        script = Script(value=self.value, fails=self.fails, attempts=ATTEMPTS, start_to_close=limit)
        call = called(model, script, Booking)
        model.judgement.bookings[call.key] = Allowance(0, 1)
        model.values[self.binds] = model.see_end(self, call, None)

    def write(self, writer: Writer) -> None:
        writer.write("activities += 1")
        given = f'f"{{path}}:{{activities}}", {value_of(self.value)}, {self.fails}'
        writer.bind(self, f"ctx.run_activity({BOOKED!r}, {given})")


@dataclass
class Booking(Call):
    def may_end(self, model: Model, ending: Entry) -> bool:
        """Whoever is told that it succeeded has its booking, once; who is told that it failed has none."""
        match ending:
            case ["value", *_]:
                there = Allowance(1, 1)
            case ["failed", "ActivityCanceled", *_]:  # which may have come when it was committed
                there = Allowance(0, 1)
            case _:
                there = Allowance(0, 0)
        may_end = Call.may_end(self, model, ending)
        model.judgement.bookings[self.key] = there
        return may_end or (model.around.faults > 0 and ending[:3] == ["failed", "ActivityError", "StoreUnavailable"])
