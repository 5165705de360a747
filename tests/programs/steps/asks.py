"""Questions to people, who may answer, and may not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.programs import language as p
from tests.programs.model import Started

if TYPE_CHECKING:
    from durable_core.context import WorkflowContext
    from durable_core.handles import TaskHandle
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.trace import Entry

CHOICES = ("yes", "nö")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(p.Step):
    binds: str  # a handle
    timeout: p.Seconds | None  # None: until the run ends

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Ask:
        timeout = author.duration() if author.chance(0.7) else None
        names = scope.questions if timeout is not None else scope.open_questions
        return Ask(timeout=timeout, binds=author.bind(names))

    def run(self, code: Interpreter) -> None:
        code.activities += 1  # which counts all that has a name by its number
        code.values[self.binds] = asked(code.ctx, f"{code.path}:{code.activities}", self.timeout)

    def see(self, model: Model) -> None:
        model.activities += 1
        question = Question(f"{model.seen.path}:{model.activities}", self.timeout is not None)
        model.values[self.binds] = model.started(question)

    def write(self, writer: Writer) -> None:
        writer.write("activities += 1")
        writer.write(f'{self.binds} = asked(ctx, f"{{path}}:{{activities}}", {self.timeout!r})')


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitAnswer(p.Binding):
    handle: str
    timeout: p.Seconds | None = None

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> WaitAnswer:
        handle = author.pick([*scope.questions, *scope.open_questions])
        given = author.labeled()
        # Perhaps nobody answers, and a wait must end.
        timeout = author.duration() if handle in scope.open_questions else author.sometimes()
        return WaitAnswer(**given, handle=handle, timeout=timeout, binds=author.bind(scope.values))

    def run(self, code: Interpreter) -> None:
        code.value(self, lambda: code.ctx.wait(code.values[self.handle], timeout=self.timeout))

    def see(self, model: Model) -> None:
        model.values[self.binds] = model.see_end(self, model.values[self.handle], self.timeout)

    def write(self, writer: Writer) -> None:
        writer.bind(self, f"ctx.wait({self.handle}, timeout={self.timeout!r})")


@dataclass
class Question(Started):
    key: str
    expires: bool

    def may_end(self, model: Model, ending: Entry) -> bool:
        match ending:
            case ["value", str() as answer]:
                return answer in answers_to(self.key) and answer in model.around.answers
            case ["failed", "WaitTimeout"]:
                return self.expires
            case ["failed", "TaskCanceled"]:
                return self.may_be_unwanted
            case _:
                return False


def asked(ctx: WorkflowContext, key: str, timeout: float | None) -> TaskHandle:
    return ctx.start_ask(f"What of {key}?", form=answers_to(key), timeout=timeout)


def answers_to(key: str) -> list[str]:
    """Of no other question: so it is known whose an answer is."""
    return [f"{choice} to {key}" for choice in CHOICES]
