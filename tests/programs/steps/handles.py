"""Waits for several things at once: handles of all kinds, and signals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.programs import language as p
from tests.programs.model import Disagreement
from tests.programs.steps.signals import SIGNALS
from tests.programs.trace import entry_of_result

if TYPE_CHECKING:
    from durable_core.context import WorkflowContext
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.trace import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather(p.Labeled):
    """Everything, failures among the results; the trace has an entry of each."""

    handles: tuple[str, ...]

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Gather:
        return Gather(**author.labeled(), handles=author.some(scope.handles))

    def run(self, code: Interpreter) -> None:
        handles = [code.values[name] for name in self.handles]
        code.entry(self, lambda: gathered(code.ctx, handles))

    def see(self, model: Model) -> None:
        found = model.next(self.label)
        if not model.is_cancel(found):
            if found[0] != "gathered" or len(found) != 1 + len(self.handles):
                raise Disagreement(f"step {self.label} saw {found}; expected {len(self.handles)} endings")
            for name, ending in zip(self.handles, found[1:], strict=True):
                model.accept(self, model.values[name], ending)
        model.settle(self, found)

    def write(self, writer: Writer) -> None:
        writer.call(self, f"gathered(ctx, [{', '.join(self.handles)}])", note="_entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Select(p.Labeled):
    """Whichever comes first of handles and signals; the trace has its name in front of its entry."""

    handles: tuple[str, ...]
    signals: tuple[str, ...]
    timeout: p.Seconds

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Select:
        handles = author.some(scope.handles) if scope.handles and author.chance(0.7) else ()
        signals = (author.pick(SIGNALS),) if author.chance(0.6) else ()
        return Select(**author.labeled(), handles=handles, signals=signals, timeout=author.duration())

    def run(self, code: Interpreter) -> None:
        waitables = {name: code.values[name] for name in self.handles}
        waitables |= {f"signal_{name}": code.ctx.signal(name) for name in self.signals}
        code.entry(self, lambda: selected(code.ctx, waitables, self.timeout))

    def see(self, model: Model) -> None:
        found = model.next(self.label)
        match found:
            case ["selected", name, *ending] if name in self.handles:
                model.accept(self, model.values[name], ending)
            case ["selected", name, *ending] if name.removeprefix("signal_") in self.signals:
                model.take_signal(self.label, name.removeprefix("signal_"), ending)
            case ["timeout"] if not any(model.values[name].is_over for name in self.handles):
                model.pass_time(self.timeout)
            case _ if not model.is_cancel(found) and not self._may_fail(model, found):
                raise Disagreement(f"step {self.label} saw {found}, which none of what it waits for allows")
        if found != ["timeout"]:  # here it is nothing that is raised
            model.settle(self, found)

    def _may_fail(self, model: Model, found: Entry) -> bool:
        """Whether what came first may have failed like this; which one it was, the trace does not say."""
        for name in self.handles:
            try:
                model.accept(self, model.values[name], found)
            except Disagreement:
                continue
            return True
        return False

    def write(self, writer: Writer) -> None:
        waited = [f"{name!r}: {name}" for name in self.handles]
        waited += [f"'signal_{name}': ctx.signal({name!r})" for name in self.signals]
        writer.call(self, f"selected(ctx, {{{', '.join(waited)}}}, {self.timeout!r})", note="_entry")

    def awaited(self) -> tuple[str, ...]:
        return self.signals


def gathered(ctx: WorkflowContext, handles: list[Any]) -> Entry:
    return ["gathered", *[entry_of_result(result) for result in ctx.gather(*handles, return_exceptions=True)]]


def selected(ctx: WorkflowContext, waitables: dict[str, Any], timeout: float) -> Entry:
    name, result = ctx.select(**waitables, timeout=timeout)
    return ["timeout"] if name == "timeout" else ["selected", name, *entry_of_result(result)]
