"""Sagas: activities, each with one that undoes it if a later one fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.programs import language as p
from tests.programs.activities import arguments, options
from tests.programs.model import Disagreement, Raised
from tests.programs.scripts import Allowance, Script, any_of
from tests.programs.steps.activities import Call
from tests.programs.trace import ProgramError

if TYPE_CHECKING:
    from durable_core.context import WorkflowContext
    from durable_core.definitions import ActivityDefinition
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.trace import Entry, Trace

DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action(p.Part):
    script: Script | None  # None: just the undo is added
    undo: Script


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSaga(p.Labeled):
    """The trace has an entry of each action, and how all ended. An action returns what its undo is to be told."""

    actions: tuple[Action, ...]
    raises: bool  # behind the last of them

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> RunSaga:
        def script() -> Script:
            return replace(author.script(scope), value=p.Const(None))

        actions = tuple(
            Action(
                script=script() if author.chance(0.8) else None,
                undo=replace(script(), once=False, timeout=None, start_to_close=None),
            )
            for _ in range(author.random.randint(1, 3))
        )
        return RunSaga(**author.labeled(), actions=actions, raises=author.chance(0.5))

    def run(self, code: Interpreter) -> None:
        asked = []
        for action in self.actions:
            code.activities += 1
            asked.append(Asked.of(code.scripted, action, f"{code.path}:{code.activities}"))
        code.do(self, lambda: in_saga(code.ctx, code.trace, self.label, asked, self.raises))

    def see(self, model: Model) -> None:
        keys = []
        for _ in self.actions:
            model.activities += 1
            keys.append(f"{model.seen.path}:{model.activities}")
        done, cause = self._see_actions(model, keys)
        found = model.next(self.label)
        if cause is None:
            if found != ["value", DONE]:
                raise Disagreement(f"step {self.label} saw {found}, and had no reason to fail")
            for undo in done:
                undo.is_not_done(model)
            return
        failures = found[2:] if found[:2] == ["failed", "SagaError"] else []
        if not failures and found != cause:
            raise Disagreement(f"step {self.label} saw {found}; expected {cause}")
        if not model.around.reopened:  # or each life has an order of its own
            model.judgement.orders.append([undo.call.key for undo in done[::-1]])
        ends = list(_ends(model, done[::-1], failures))
        if not ends:
            raise Disagreement(f"step {self.label} saw {found}, which its undos do not allow")
        for undo, endings in zip(done[::-1], zip(*ends, strict=True), strict=True):
            undo.allow(model, endings)
        if not self.guarded:
            raise Raised(found[1])

    def _see_actions(self, model: Model, keys: Sequence[str]) -> tuple[list[Undo], Entry | None]:
        """What is to be undone if it fails, and why it did."""
        done: list[Undo] = []
        for number, (action, key) in enumerate(zip(self.actions, keys, strict=True)):
            undo = Undo(Call(f"{key}-", action.undo, None))
            undo.call.allow(model, None)
            if action.script is None:
                done.append(undo)
                continue
            call = model.started(Call(key, action.script, arguments(action.undo, f"{key}-", None)))
            call.allow(model, None)
            found = model.next(f"{self.label}.{number}")
            if model.is_cancel(found):
                model.take_cancel(found)
                return [*done, undo._replace(is_uncertain=True)], found
            model.accept(self, call, found)
            if found[0] == "failed":
                undo.is_not_done(model)
                return done, found
            done.append(undo)
        return done, ["failed", ProgramError.__name__] if self.raises else None

    def write(self, writer: Writer) -> None:
        name = f"asked{len(writer.lines)}"
        writer.write(f"{name} = []")
        for action in self.actions:
            writer.write("activities += 1")
            writer.write(f'{name}.append(Asked.of(scripted, {action!r}, f"{{path}}:{{activities}}"))')
        writer.call(self, f"in_saga(ctx, trace, {self.label!r}, {name}, {self.raises})")


class Undo(NamedTuple):
    call: Call
    is_uncertain: bool = False  # its action was under way when the saga was left, and may have failed

    def is_not_done(self, model: Model) -> None:
        if not model.around.reopened:  # or it may have been, in an earlier life
            model.judgement.effects[self.call.key] = Allowance(0, 0)

    def allow(self, model: Model, endings: Sequence[Entry]) -> None:
        """Whichever of them it was: a failure does not tell which of two undos has failed."""
        allowed = []
        for ending in endings:
            self.call.allow(model, None if self.is_uncertain else ending)
            allowed.append(model.judgement.effects[self.call.key])
        model.judgement.effects[self.call.key] = any_of(allowed)


def _ends(model: Model, undos: Sequence[Undo], failures: Sequence[Entry]) -> Iterator[list[Entry]]:
    """How these, in the order in which they ran, may have ended if so many failed."""
    if not undos:
        if not failures:
            yield []
        return
    first, rest = undos[0], undos[1:]
    value: Entry = ["value", None]
    if first.is_uncertain or first.call.may_end(model, value):
        yield from ([value, *others] for others in _ends(model, rest, failures))
    if failures and first.call.may_end(model, failures[0]):
        yield from ([failures[0], *others] for others in _ends(model, rest, failures[1:]))


# The workflow's side


class Asked(NamedTuple):
    """An action as it is called."""

    activity: ActivityDefinition[..., Any] | None
    given: dict[str, Any]
    undo: ActivityDefinition[..., Any]
    undo_given: dict[str, Any]

    @classmethod
    def of(cls, scripted: Any, action: Action, key: str) -> Asked:
        told = arguments(action.undo, f"{key}-", None)
        undo = scripted.using(**options(action.undo))
        if action.script is None:
            return cls(None, {}, undo, told)
        return cls(scripted.using(**options(action.script)), arguments(action.script, key, told), undo, told)


def in_saga(ctx: WorkflowContext, trace: Trace, label: str, asked: Sequence[Asked], raises: bool) -> str:
    with ctx.saga() as saga:
        for number, one in enumerate(asked):
            if one.activity is None:
                saga.add(one.undo, **one.undo_given)
            else:
                trace.noted(f"{label}.{number}", partial(saga.run, one.activity, undo=one.undo, **one.given))
        if raises:
            raise ProgramError("behind the last")
    return DONE
