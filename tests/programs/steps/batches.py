"""One activity for many items, so many at a time, until enough of them have succeeded or too many failed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from durable_core.policies import CompletionPolicy, ItemStatus
from tests.programs import language as p
from tests.programs.activities import arguments, options
from tests.programs.model import Disagreement
from tests.programs.scripts import Allowance, Script
from tests.programs.source import value_of
from tests.programs.steps.activities import Call, called
from tests.programs.trace import entries_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable_core.context import WorkflowContext
    from durable_core.policies import BatchResult
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.trace import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(p.Part):
    value: p.Expression
    fails: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Map(p.Labeled):
    """The trace has how it ended and, behind that, an entry of each item."""

    script: Script  # but for what its items say
    items: tuple[Item, ...]
    at_once: int | None
    min_successful: int | None
    tolerated_failures: int | None

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Map:
        script, number = author.script(scope), author.random.randint(0, 5)
        items = tuple(
            Item(value=author.expression(scope), fails=author.random.choice((0, 0, script.fails, 1)))
            for _ in range(number)
        )
        return Map(
            **author.labeled(),
            script=script,
            items=items,
            at_once=author.random.randint(1, 3) if author.chance(0.6) else None,
            min_successful=author.random.randint(1, 3) if author.chance(0.4) else None,
            tolerated_failures=author.random.randint(0, 3) if author.chance(0.5) else None,
        )

    def run(self, code: Interpreter) -> None:
        items = []
        for item in self.items:
            code.activities += 1
            key = f"{code.path}:{code.activities}"
            items.append(arguments(replace(self.script, fails=item.fails), key, code.read(item.value)))
        activity = code.scripted.using(**options(self.script))
        limits = self.at_once, self.min_successful, self.tolerated_failures
        code.entry(self, lambda: mapped(code.ctx, activity, items, *limits))

    def see(self, model: Model) -> None:
        calls = [called(model, replace(self.script, fails=item.fails, value=item.value)) for item in self.items]
        found = model.next(self.label)
        match found:
            case ["batch" | "failed" as how, *_] if not model.is_cancel(found):
                entries = found[1:] if how == "batch" else found[2:]
                if len(entries) != len(calls):
                    raise Disagreement(f"step {self.label} saw {found}; expected an end of {len(calls)} items")
                self._see_items(model, calls, entries)
                self._see_how(entries, how)
            case _ if not model.is_cancel(found):
                raise Disagreement(f"step {self.label} saw {found}; expected a batch")
        model.settle(self, found)

    def _see_items(self, model: Model, calls: Sequence[Call], entries: Sequence[Entry]) -> None:
        for call, entry, before in zip(calls, entries, [None, *entries], strict=False):
            if before == [ItemStatus.NOT_STARTED] and entry != before:
                raise Disagreement(f"step {self.label} began an item behind one that it did not: {entries}")
            if entry == [ItemStatus.NOT_STARTED]:
                model.judgement.effects[call.key] = Allowance(0, 0)
            elif entry != [ItemStatus.CANCELED]:
                model.accept(self, call, entry)

    def _see_how(self, entries: Sequence[Entry], how: str) -> None:
        """Whether it was done, neither before nor after it had to be, and failed if it had to."""
        succeeded = sum(entry[0] == "value" for entry in entries)
        failed = sum(entry[0] == "failed" for entry in entries)
        limits = [] if self.tolerated_failures is None else [self.tolerated_failures]
        is_enough = False
        if self.min_successful is not None:
            limits.append(len(entries) - self.min_successful)
            is_enough = succeeded == self.min_successful
            if succeeded > self.min_successful:
                raise Disagreement(f"step {self.label} of {self} went on with {entries}")
        if limits and failed > max(min(limits) + 1, 0):
            raise Disagreement(f"step {self.label} of {self} went on with {entries}")
        is_done = is_enough or succeeded + failed == len(entries) or (limits and failed > min(limits))
        has_failed = not is_enough and failed > min(limits, default=0)
        if not is_done or has_failed is not (how == "failed"):
            raise Disagreement(f"step {self.label} of {self} was {how} with {entries}")

    def write(self, writer: Writer) -> None:
        name, items = f"script{len(writer.lines)}", f"items{len(writer.lines)}"
        writer.write(f"{name}, {items} = {replace(self.script, value=p.Const(None))!r}, []")
        for item in self.items:
            writer.write("activities += 1")
            script = f"replace({name}, fails={item.fails})"
            writer.write(f'{items}.append(arguments({script}, f"{{path}}:{{activities}}", {value_of(item.value)}))')
        limits = f"{self.at_once}, {self.min_successful}, {self.tolerated_failures}"
        writer.call(self, f"mapped(ctx, scripted.using(**options({name})), {items}, {limits})", note="_entry")


def mapped(
    ctx: WorkflowContext,
    activity: Any,
    items: list[dict[str, Any]],
    at_once: int | None,
    min_successful: int | None,
    tolerated_failures: int | None,
) -> Entry:
    policy = CompletionPolicy(min_successful=min_successful, tolerated_failures=tolerated_failures)
    result: BatchResult[Any] = ctx.map(activity, items, at_once, policy)
    return ["batch", *entries_of(result)]
