"""Activities: run, or started and waited for; calls that are refused; money that is moved by two of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from tests.programs import language as p
from tests.programs.activities import arguments, options, transfer, wrong_call
from tests.programs.model import Disagreement, Started
from tests.programs.scripts import Script, allowance, may_end
from tests.programs.source import value_of
from tests.programs.steps.cancels import REASON

if TYPE_CHECKING:
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.trace import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class RunActivity(p.Binding):
    script: Script

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> RunActivity:
        script, given = author.script(scope), author.labeled()
        if author.chance(0.1):
            script, given["guarded"] = author.mendable(script), False
        return RunActivity(**given, script=script, binds=author.bind(scope.values))

    def run(self, code: Interpreter) -> None:
        activity, given = code.scripted.using(**options(self.script)), asked(code, self.script)
        code.value(self, lambda: code.ctx.run_activity(activity, **given))

    def see(self, model: Model) -> None:
        model.values[self.binds] = model.see_end(self, called(model, self.script), None)

    def write(self, writer: Writer) -> None:
        writer.bind(self, f"ctx.run_activity({written(writer, self.script)})")


@dataclass(frozen=True, slots=True, kw_only=True)
class StartActivity(p.Step):
    binds: str  # a handle
    script: Script

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> StartActivity:
        script = author.script(scope)
        return StartActivity(script=script, binds=author.bind(scope.activities))

    def run(self, code: Interpreter) -> None:
        activity = code.scripted.using(**options(self.script))
        code.values[self.binds] = code.ctx.start_activity(activity, **asked(code, self.script))

    def see(self, model: Model) -> None:
        model.values[self.binds] = called(model, self.script)

    def write(self, writer: Writer) -> None:
        writer.write(f"{self.binds} = ctx.start_activity({written(writer, self.script)})")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitActivity(p.Binding):
    handle: str
    timeout: p.Seconds | None = None

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> WaitActivity:
        handle = author.pick(scope.activities)
        given = author.labeled()
        return WaitActivity(**given, handle=handle, timeout=author.sometimes(), binds=author.bind(scope.values))

    def run(self, code: Interpreter) -> None:
        code.value(self, lambda: code.ctx.wait_activity(code.values[self.handle], timeout=self.timeout))

    def see(self, model: Model) -> None:
        model.values[self.binds] = model.see_end(self, model.values[self.handle], self.timeout)

    def write(self, writer: Writer) -> None:
        writer.bind(self, f"ctx.wait_activity({self.handle}, timeout={self.timeout!r})")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongCall(p.Labeled):
    """A call that is refused where it stands: an unknown name, a surplus argument, one that JSON cannot hold."""

    how: str  # "name", "argument", "payload"

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> WrongCall:
        return WrongCall(**author.labeled(), how=author.pick(("name", "argument", "payload")))

    def run(self, code: Interpreter) -> None:
        code.do(self, lambda: wrong_call(code.ctx, self.how))

    def see(self, model: Model) -> None:
        errors = {"name": "UnknownActivityError", "argument": "TypeError", "payload": "PayloadError"}
        model.see(self, ["failed", errors[self.how]])

    def write(self, writer: Writer) -> None:
        writer.call(self, f"wrong_call(ctx, {self.how!r})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(p.Binding):
    """Money from one account to another; where the other refuses it, back again."""

    moves_money: ClassVar[bool] = True

    source: str
    target: str
    amount: int
    bounces: bool = False

    def run(self, code: Interpreter) -> None:
        code.value(self, lambda: transfer(code.ctx, self.source, self.target, self.amount, self.bounces))

    def see(self, model: Model) -> None:
        found = model.next(self.label)
        endings = (["value", "refused"], ["value", "returned" if self.bounces else "moved"])
        if found not in endings and not model.is_cancel(found):
            raise Disagreement(f"step {self.label} saw {found}; expected one of {endings}")
        model.values[self.binds] = found[-1] if found[0] == "value" else None
        model.settle(self, found)

    def write(self, writer: Writer) -> None:
        writer.bind(self, f"transfer(ctx, {self.source!r}, {self.target!r}, {self.amount}, {self.bounces})")


# A call of the activity that scripts are for


@dataclass
class Call(Started):
    key: str  # of its effects
    script: Script
    value: Any

    def may_end(self, model: Model, ending: Entry) -> bool:
        around = model.around
        faults, reopened = around.faults, around.reopened
        may = may_end(self.script, self.value, ending, faults=faults, reopened=reopened)
        may = may or (self.may_be_unwanted and ending[:2] == ["failed", "ActivityCanceled"] and self._is_why(ending[3]))
        self.allow(model, ending if may else None)
        return may

    def allow(self, model: Model, ending: Entry | None) -> None:
        """Say how often it may have had its effect; None: nobody has waited for its end."""
        around = model.around
        model.judgement.effects[self.key] = allowance(
            self.script, ending, faults=around.faults, reopened=around.reopened
        )

    def _is_why(self, reason: str) -> bool:
        return (self.is_unwanted and reason == REASON) or any(part.is_for(reason) for part in self.parts)


def asked(code: Interpreter, script: Script) -> dict[str, Any]:
    """The arguments of a call."""
    code.activities += 1
    return arguments(script, f"{code.path}:{code.activities}", code.read(script.value))


def called(model: Model, script: Script, kind: type[Call] = Call) -> Call:
    model.activities += 1
    call = model.started(kind(f"{model.seen.path}:{model.activities}", script, model.read(script.value)))
    call.allow(model, None)
    return call


def written(writer: Writer, script: Script, activity: str = "scripted.using(**options({}))") -> str:
    """The activity and its arguments; *activity* of a script's name."""
    writer.write("activities += 1")
    name = f"script{len(writer.lines)}"
    changed = [field for field in fields(script) if getattr(script, field.name) != field.default]
    said = [f"{field.name}={getattr(script, field.name)!r}" for field in changed if field.name != "value"]
    writer.write(f"{name} = Script({', '.join(['value=Const(None)', *said])})")
    key = 'f"{path}:{activities}"'
    return f"{activity.format(name)}, **arguments({name}, {key}, {value_of(script.value)})"
