"""One activity, child or function for many items, so many at a time, until enough of them have succeeded or too many
failed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from durable_core.policies import CompletionPolicy, ItemStatus
from tests.programs import language as p
from tests.programs.activities import arguments, options
from tests.programs.interpreter import WORKFLOW
from tests.programs.model import Disagreement, Part
from tests.programs.scripts import Allowance, Script
from tests.programs.source import value_of
from tests.programs.steps.activities import Call, called
from tests.programs.steps.branches import Branch, started_branch
from tests.programs.steps.children import Child, write_child
from tests.programs.trace import BranchEnd, ItemFailed, entries_of

DEEPEST = 2  # a batch of branches stands in so many blocks at most
DEEPEST_CHILD = 1  # and one of children in so many of their parents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable_core.context import WorkflowContext
    from durable_core.policies import BatchResult
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model, Started
    from tests.programs.source import Writer
    from tests.programs.trace import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(p.Part):
    value: p.Expression
    fails: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch(p.Labeled, ABC):
    """The trace has how it ended and, behind that, an entry of each item."""

    waits_for_canceled: ClassVar[bool] = False  # items, which may come to another end then

    at_once: int | None
    min_successful: int | None
    tolerated_failures: int | None

    @abstractmethod
    def handles(self, model: Model) -> Sequence[Started]:
        """Of all items, as if they had been started."""

    @abstractmethod
    def see_unstarted(self, model: Model, handle: Started) -> None:
        """An item has not begun, and never will."""

    @property
    def limits(self) -> tuple[int | None, int | None, int | None]:
        return self.at_once, self.min_successful, self.tolerated_failures

    def see(self, model: Model) -> None:
        handles = self.handles(model)
        found = model.next(self.label)
        match found:
            case ["batch" | "failed" as how, *_] if not model.is_cancel(found):
                entries = found[1:] if how == "batch" else found[2:]
                if len(entries) != len(handles):
                    raise Disagreement(f"step {self.label} saw {found}; expected an end of {len(handles)} items")
                self.see_items(model, handles, entries, how)
                (self._see_that_it_had_to if self.waits_for_canceled else self._see_how)(entries, how)
            case _ if not model.is_cancel(found):
                raise Disagreement(f"step {self.label} saw {found}; expected a batch")
        model.settle(self, found)

    def see_items(self, model: Model, handles: Sequence[Started], entries: Sequence[Entry], how: str) -> None:
        for handle, entry, before in zip(handles, entries, [None, *entries], strict=False):
            if before == [ItemStatus.NOT_STARTED] and entry != before:
                raise Disagreement(f"step {self.label} began an item behind one that it did not: {entries}")
            if entry == [ItemStatus.NOT_STARTED]:
                self.see_unstarted(model, handle)
            elif entry != [ItemStatus.CANCELED]:
                model.accept(self, handle, entry)

    def _see_how(self, entries: Sequence[Entry], how: str) -> None:
        """Whether it was done, neither before nor after it had to be, and failed if it had to."""
        succeeded, failed, limits = sum(map(_succeeded, entries)), sum(map(_failed, entries)), self._most(entries)
        is_enough = False
        if self.min_successful is not None:
            is_enough = succeeded == self.min_successful
            if succeeded > self.min_successful:
                raise Disagreement(f"step {self.label} of {self} went on with {entries}")
        if limits and failed > max(min(limits) + 1, 0):
            raise Disagreement(f"step {self.label} of {self} went on with {entries}")
        is_done = is_enough or succeeded + failed == len(entries) or (limits and failed > min(limits))
        has_failed = not is_enough and failed > min(limits, default=0)
        if not is_done or has_failed is not (how == "failed"):
            raise Disagreement(f"step {self.label} of {self} was {how} with {entries}")

    def _see_that_it_had_to(self, entries: Sequence[Entry], how: str) -> None:
        """The same, where some items have come to their end behind that of the batch."""
        succeeded, failed, limits = sum(map(_succeeded, entries)), sum(map(_failed, entries)), self._most(entries)
        if how == "failed":
            had_to = failed > min(limits, default=0)
        elif self.min_successful is not None:
            had_to = succeeded >= self.min_successful
        else:
            had_to = succeeded + failed == len(entries) and failed <= min(limits, default=0)
        if not had_to:
            raise Disagreement(f"step {self.label} of {self} was {how} with {entries}")

    def _most(self, entries: Sequence[Entry]) -> list[int]:
        """Failures that it bears, for each reason."""
        limits = [] if self.tolerated_failures is None else [self.tolerated_failures]
        return limits if self.min_successful is None else [*limits, len(entries) - self.min_successful]

    def write_call(self, writer: Writer, what: str, items: str) -> None:
        writer.call(self, f"mapped(ctx, {what}, {items}, {', '.join(map(repr, self.limits))})", note="_entry")


def _succeeded(entry: Entry) -> bool:
    return bool(entry[0] in ("value", "child") or (entry[0] == "branch" and entry[2] == "returned"))


def _failed(entry: Entry) -> bool:
    return bool(entry[0] == "failed" or (entry[0] == "branch" and entry[2] != "returned"))


def _drawn_limits(author: Author) -> dict[str, Any]:
    return {
        "at_once": author.random.randint(1, 3) if author.chance(0.6) else None,
        "min_successful": author.random.randint(1, 3) if author.chance(0.4) else None,
        "tolerated_failures": author.random.randint(0, 3) if author.chance(0.5) else None,
    }


def draw_batch(author: Author, scope: Scope, depth: int) -> Batch:
    if not author.in_branch and depth < DEEPEST and author.chance(0.2):
        return MapBranches.draw(author, scope, depth)
    if author.child_depth < DEEPEST_CHILD and author.chance(0.2):
        return MapChildren.draw(author, scope, depth)
    return Map.draw(author, scope, depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Map(Batch):
    """An activity."""

    script: Script  # but for what its items say
    items: tuple[Item, ...]

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Map:
        script, number = author.script(scope), author.random.randint(0, 5)
        items = tuple(
            Item(value=author.expression(scope), fails=author.random.choice((0, 0, script.fails, 1)))
            for _ in range(number)
        )
        return Map(**author.labeled(), script=script, items=items, **_drawn_limits(author))

    def run(self, code: Interpreter) -> None:
        items = []
        for item in self.items:
            code.activities += 1
            key = f"{code.path}:{code.activities}"
            items.append(arguments(replace(self.script, fails=item.fails), key, code.read(item.value)))
        activity = code.scripted.using(**options(self.script))
        code.entry(self, lambda: mapped(code.ctx, activity, items, *self.limits))

    def handles(self, model: Model) -> Sequence[Started]:
        return [called(model, replace(self.script, fails=item.fails, value=item.value)) for item in self.items]

    def see_unstarted(self, model: Model, handle: Started) -> None:
        assert isinstance(handle, Call)
        model.judgement.effects[handle.key] = Allowance(0, 0)

    def write(self, writer: Writer) -> None:
        name, items = f"script{len(writer.lines)}", f"items{len(writer.lines)}"
        writer.write(f"{name}, {items} = {replace(self.script, value=p.Const(None))!r}, []")
        for item in self.items:
            writer.write("activities += 1")
            script = f"replace({name}, fails={item.fails})"
            writer.write(f'{items}.append(arguments({script}, f"{{path}}:{{activities}}", {value_of(item.value)}))')
        self.write_call(writer, f"scripted.using(**options({name}))", items)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapChildren(Batch):
    """A child workflow, which is the same program for each of *number* items."""

    program: p.Program
    number: int

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> MapChildren:
        number, given = author.random.randint(1, 3), author.labeled()
        return MapChildren(**given, program=author.child(), number=number, **_drawn_limits(author))

    def run(self, code: Interpreter) -> None:
        items = []
        for _ in range(self.number):
            code.children += 1
            items.append({"program": self.program.to_text(), "path": f"{code.path}/{code.children}"})
        code.entry(self, lambda: mapped(code.ctx, WORKFLOW, items, *self.limits))

    def handles(self, model: Model) -> Sequence[Started]:
        return [model.started(Child(replace(self.program, timeout=None))) for _ in range(self.number)]

    def see_unstarted(self, model: Model, handle: Started) -> None:
        return

    def write(self, writer: Writer) -> None:
        items = f"items{len(writer.lines)}"
        writer.write(f"{items} = []")
        for _ in range(self.number):
            writer.write("children += 1")
            writer.write(f'{items}.append(f"{{path}}/{{children}}")')
        self.write_call(writer, repr(write_child(writer, replace(self.program, timeout=None))), items)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapBranches(Batch):
    """Code of this program: a branch for each item, which is bound to a name there."""

    spawns: ClassVar[bool] = True
    waits_for_canceled: ClassVar[bool] = True

    items: tuple[p.Expression, ...]
    binds: str
    body: p.Block

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> MapBranches:
        items = tuple(author.expression(scope) for _ in range(author.random.randint(0, 3)))
        inner, given = scope.values_only(), author.labeled()
        binds = author.bind(inner.values)
        with author.branch():
            body = author.block(inner, 2, depth + 1)
        return MapBranches(**given, items=items, binds=binds, body=body, **_drawn_limits(author))

    def run(self, code: Interpreter) -> None:
        strands = []
        for item in self.items:
            strand = code.branch()
            strand.values[self.binds] = code.read(item)
            strands.append(strand)
        code.entry(self, lambda: mapped(code.ctx, lambda s: or_fail(s.whole(self.body)), strands, *self.limits))

    def handles(self, model: Model) -> Sequence[Started]:
        branches = []
        for item in self.items:
            values = {**model.values, self.binds: model.read(item)}
            branches.append(started_branch(model, self.body, values))
        return branches

    def see_items(self, model: Model, handles: Sequence[Started], entries: Sequence[Entry], how: str) -> None:
        """Those that went on when it ended were canceled with it."""
        end = Part(reason=TOO_MANY if how == "failed" else DONE)
        for handle in handles:
            assert isinstance(handle, Branch)
            handle.around = [*handle.around, end]
        Batch.see_items(self, model, handles, entries, how)

    def see_unstarted(self, model: Model, handle: Started) -> None:
        assert isinstance(handle, Branch)
        model.judgement.unseen.discard(handle.path)

    def write(self, writer: Writer) -> None:
        items, name = f"items{len(writer.lines)}", f"each_{len(writer.lines)}"
        writer.write(f"{items} = []")
        for item in self.items:
            writer.write("branches += 1")
            writer.write(f'{items}.append((f"{{path}}~{{branches}}", {value_of(item)}))')
        captured = "".join(f", {value}={value}" for value in sorted(p.free_names(self.body) - {self.binds}))
        with writer.inside(f"def {name}(item{captured}):"):
            writer.write(f"path, {self.binds} = item")
            writer.write("trace, activities, children, branches = Trace(), 0, 0, 0")
            with writer.inside("def code():"):
                writer.write(f"nonlocal activities, children, branches, {self.binds}")
                writer.block(self.body)
            writer.write("return or_fail(ended(trace, code))")
        self.write_call(writer, name, items)

    def blocks(self) -> Iterable[p.Block]:
        return [self.body for _ in self.items]


TOO_MANY, DONE = "too many items of its batch have failed", "its batch is done"


def or_fail(end: BranchEnd) -> BranchEnd:
    """What became of an item; one that did not return has failed."""
    if end.how != "returned":
        raise ItemFailed(end)
    return end


def mapped(
    ctx: WorkflowContext,
    activity: Any,
    items: list[Any],
    at_once: int | None,
    min_successful: int | None,
    tolerated_failures: int | None,
) -> Entry:
    policy = CompletionPolicy(min_successful=min_successful, tolerated_failures=tolerated_failures)
    result: BatchResult[Any] = ctx.map(activity, items, at_once, policy)
    return ["batch", *entries_of(result)]
