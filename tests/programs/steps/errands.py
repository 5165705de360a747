"""Activities that are left to others, who have a token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.programs import language as p
from tests.programs.errands import ATTEMPTS, ENTRUSTED, SAYINGS, message_of
from tests.programs.scripts import Allowance, Script, same
from tests.programs.steps.activities import Call

if TYPE_CHECKING:
    from tests.programs.errands import Word
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.trace import Entry

UNFORESEEN = ("WorkerDied", "StoreUnavailable", "DurableError")  # types of what ends attempts when something breaks
NOTHING = Script(value=p.Const(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrust(p.Binding):
    sayings: tuple[str, ...]  # what becomes of each attempt
    expires: p.Seconds

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Entrust:
        sayings = tuple(author.pick(tuple(SAYINGS)) for _ in range(ATTEMPTS))
        expires = author.pace * author.pick((0.2, 1.0, 3.0))
        return Entrust(**author.labeled(), sayings=sayings, expires=expires, binds=author.bind(scope.values))

    def run(self, code: Interpreter) -> None:
        code.activities += 1
        given: dict[str, Any] = {"sayings": list(self.sayings), "expires": self.expires}
        key = f"{code.path}:{code.activities}"
        code.value(self, lambda: code.ctx.run_activity(ENTRUSTED, key=key, **given))

    def see(self, model: Model) -> None:
        model.activities += 1
        call = model.started(Commission(f"{model.seen.path}:{model.activities}", NOTHING, None))
        call.allow(model, None)
        model.values[self.binds] = model.see_end(self, call, None)

    def write(self, writer: Writer) -> None:
        writer.write("activities += 1")
        key, said = 'f"{path}:{activities}"', f"sayings={list(self.sayings)!r}, expires={self.expires!r}"
        writer.bind(self, f"ctx.run_activity({ENTRUSTED!r}, key={key}, {said})")


@dataclass
class Commission(Call):
    """It ends as one of those who had its tokens has said, or when nobody has in time."""

    def may_end(self, model: Model, ending: Entry) -> bool:
        may = self._may_end(model, ending)
        self.allow(model, ending if may else None)
        return may

    def _may_end(self, model: Model, ending: Entry) -> bool:
        around = model.around
        asked = str(model.seen.run_id), self.key  # the second run of a workflow_id has the keys of the first
        words = [word for word in around.words if (word.errand.run_id, word.errand.key) == asked]
        is_done = any(word.how == "complete" and word.may_hold and word.is_certain for word in words)
        is_last = bool(around.reopened)
        match ending:
            case ["value", found]:
                return any(word.how == "complete" and word.may_hold and same(word.what, found) for word in words)
            case ["failed", "ActivityCanceled", _, reason]:
                return self.may_be_unwanted and self._is_why(reason)
            case ["failed", *_] if is_done and not around.reopened:
                return False
            case ["failed", "ActivityError", "CompletionFailed", message, attempt]:
                said = [word for word in words if _says(word, message, attempt)]
                return any(word.how == "refuse" or is_last or attempt == ATTEMPTS for word in said)
            case ["failed", "ActivityTimeout", "completion", attempt]:
                return is_last or attempt == ATTEMPTS
            case ["failed", "ActivityError", name, *_]:
                return around.faults > 0 and name in UNFORESEEN
            case _:
                return False

    def allow(self, model: Model, ending: Entry | None) -> None:
        """Nobody has a token of what was not begun."""
        around = model.around
        had_token = ending is not None and (ending[0] == "value" or ending[2] in ("CompletionFailed", "completion"))
        most = (around.reopened + 1) * ATTEMPTS + around.faults
        model.judgement.effects[self.key] = Allowance(int(had_token), most)


def _says(word: Word, message: str, attempt: int) -> bool:
    is_failure = word.how in ("fail", "refuse") and word.may_hold
    return is_failure and word.errand.attempt == attempt and message_of(word.what) == message
