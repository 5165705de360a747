"""Time: sleeping, timers with a handle, and what time it is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from tests.programs import language as p
from tests.programs.model import Disagreement, Started

if TYPE_CHECKING:
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.trace import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep(p.Labeled):
    seconds: p.Seconds

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Sleep:
        return Sleep(**author.labeled(), seconds=author.duration())

    def run(self, code: Interpreter) -> None:
        code.do(self, lambda: code.ctx.sleep(self.seconds))

    def see(self, model: Model) -> None:
        if model.see_wait(self, ["value", None]):
            model.pass_time(self.seconds)

    def write(self, writer: Writer) -> None:
        writer.call(self, f"ctx.sleep({self.seconds!r})")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTimer(p.Step):
    binds: str  # a handle
    seconds: p.Seconds

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> StartTimer:
        return StartTimer(seconds=author.duration(), binds=author.bind(scope.timers))

    def run(self, code: Interpreter) -> None:
        code.values[self.binds] = code.ctx.timer(self.seconds)

    def see(self, model: Model) -> None:
        model.values[self.binds] = model.started(Timer())

    def write(self, writer: Writer) -> None:
        writer.write(f"{self.binds} = ctx.timer({self.seconds!r})")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitTimer(p.Labeled):
    handle: str

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> WaitTimer:
        return WaitTimer(**author.labeled(), handle=author.pick(scope.timers))

    def run(self, code: Interpreter) -> None:
        code.do(self, lambda: code.ctx.wait(code.values[self.handle]))

    def see(self, model: Model) -> None:
        model.see_end(self, model.values[self.handle], None)

    def write(self, writer: Writer) -> None:
        writer.call(self, f"ctx.wait({self.handle})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Now(p.Labeled):
    """The trace has the time; nothing is bound, so that no model need know it."""

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Now:
        return Now(**author.labeled())

    def run(self, code: Interpreter) -> None:
        code.do(self, lambda: code.ctx.now().isoformat())

    def see(self, model: Model) -> None:
        found = model.next(self.label)
        if len(found) != 2 or found[0] != "value":
            raise Disagreement(f"step {self.label} saw {found}; expected a time")
        time = datetime.fromisoformat(found[1])
        if model.time is not None and time < model.time:
            raise Disagreement(f"step {self.label} saw {time}; it cannot be before {model.time}")
        model.time = time

    def write(self, writer: Writer) -> None:
        writer.call(self, "ctx.now().isoformat()")


@dataclass
class Timer(Started):
    ends_at_once: ClassVar[bool] = True

    def may_end(self, model: Model, ending: Entry) -> bool:
        if ending == ["failed", "TimerCanceled"]:
            return self.may_be_unwanted
        return ending == ["value", None] and not self.is_unwanted
