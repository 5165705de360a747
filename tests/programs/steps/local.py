"""Local activities: performed beside the code that asks for them, in whichever worker has its run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.programs import language as p
from tests.programs.activities import here
from tests.programs.scripts import Allowance, Script, may_end
from tests.programs.steps.activities import Call, asked, called, written

if TYPE_CHECKING:
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.trace import Entry

LONGEST = 0.2  # of the pace: all attempts of one have ten seconds, those that wait for a thread of their worker too


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLocal(p.Binding):
    script: Script  # which must not say once

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> RunLocal:
        script = author.script(scope)
        script = replace(script, once=False, takes=min(script.takes, LONGEST * author.pace))
        return RunLocal(**author.labeled(), script=script, binds=author.bind(scope.values))

    def run(self, code: Interpreter) -> None:
        activity, given = here(code.scripted, self.script), asked(code, self.script)
        code.value(self, lambda: code.ctx.run_local_activity(activity, **given))

    def see(self, model: Model) -> None:
        model.values[self.binds] = model.see_end(self, called(model, self.script, LocalCall), None)

    def write(self, writer: Writer) -> None:
        writer.bind(self, f"ctx.run_local_activity({written(writer, self.script, 'here(scripted, {})')})")


@dataclass
class LocalCall(Call):
    def may_end(self, model: Model, ending: Entry) -> bool:
        around = model.around
        match ending:
            case ["failed", "ActivityError", "WorkerDied", *_]:
                return False  # it is begun again
            case ["failed", "ActivityTimeout", "schedule_to_close", _]:
                may = self.script.timeout is not None or around.faults > 0  # there is a limit without one, too
            case _:
                may = may_end(self.script, self.value, ending, faults=around.faults, reopened=around.reopened)
        self.allow(model, ending if may else None)
        return may

    def allow(self, model: Model, ending: Entry | None) -> None:
        """Each worker that has the run in its hands performs it from the first attempt on, until it hears the end."""
        super().allow(model, ending)
        least, most = model.judgement.effects[self.key]
        model.judgement.effects[self.key] = Allowance(least, None if model.around.performs_again else most)
