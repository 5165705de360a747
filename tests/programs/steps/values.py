"""Values that replay must find again: drawn at random, made by a side effect, chosen for a change of the code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from durable_core.execution import Status
from tests.programs import language as p
from tests.programs.source import value_of
from tests.programs.trace import ProgramError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer
    from tests.programs.trace import Entry

CHANGES = ("change-1", "change-2")


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawRandom(p.Binding):
    def run(self, code: Interpreter) -> None:
        code.value(self, lambda: code.ctx.random().random())

    def see(self, model: Model) -> None:
        model.bind(self, model.random.random())

    def write(self, writer: Writer) -> None:
        writer.bind(self, "ctx.random().random()")


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawUuid(p.Binding):
    def run(self, code: Interpreter) -> None:
        code.value(self, lambda: str(code.ctx.uuid4()))

    def see(self, model: Model) -> None:
        model.bind(self, str(UUID(int=model.random.getrandbits(128), version=4)))

    def write(self, writer: Writer) -> None:
        writer.bind(self, "str(ctx.uuid4())")


def draw_chance(author: Author, scope: Scope, depth: int) -> DrawRandom | DrawUuid:
    kind: type[DrawRandom | DrawUuid] = author.pick((DrawRandom, DrawUuid))
    return kind(**author.labeled(), binds=author.bind(scope.values))


@dataclass(frozen=True, slots=True, kw_only=True)
class SideEffect(p.Binding):
    value: p.Expression
    how: str = "returns"  # or "raises", or "spoils": returns what JSON cannot hold

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> SideEffect:
        value = author.expression(scope)
        how = author.pick(("returns", "returns", "raises", "spoils"))
        return SideEffect(**author.labeled(), value=value, how=how, binds=author.bind(scope.values))

    def run(self, code: Interpreter) -> None:
        made = self._made(code.read(self.value))
        code.value(self, lambda: code.ctx.side_effect(made))

    def _made(self, value: Any) -> Callable[[], Any]:
        def make() -> Any:
            match self.how:
                case "raises":
                    raise ProgramError("from a side effect")
                case "spoils":
                    return object()
                case _:
                    return value

        return make

    def see(self, model: Model) -> None:
        model.values[self.binds] = None
        match self.how:
            case "raises":
                model.see(self, ["failed", "SideEffectError", "ProgramError", "from a side effect"])
            case "spoils":
                model.see(self, ["failed", "PayloadError"])
            case _:
                model.bind(self, model.read(self.value))

    def write(self, writer: Writer) -> None:
        made = {"raises": "broken", "spoils": "spoiled"}.get(self.how, f"returning({value_of(self.value)})")
        writer.bind(self, f"ctx.side_effect({made})")


# Changes of code. Whatever was chosen first stays for the whole run.


@dataclass(frozen=True, slots=True, kw_only=True)
class GetVersion(p.Binding):
    change_id: str
    version: int

    def run(self, code: Interpreter) -> None:
        code.value(self, lambda: code.ctx.get_version(self.change_id, self.version))

    def see(self, model: Model) -> None:
        model.bind(self, _version(self, model, self.version, before=["value", 0]))

    def write(self, writer: Writer) -> None:
        writer.bind(self, f"ctx.get_version({self.change_id!r}, {self.version})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patched(p.Binding):
    change_id: str

    def run(self, code: Interpreter) -> None:
        code.value(self, lambda: code.ctx.patched(self.change_id))

    def see(self, model: Model) -> None:
        model.bind(self, _version(self, model, 1, before=["value", False]) > 0)

    def write(self, writer: Writer) -> None:
        writer.bind(self, f"ctx.patched({self.change_id!r})")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeprecatePatch(p.Step):
    change_id: str

    def run(self, code: Interpreter) -> None:
        code.ctx.deprecate_patch(self.change_id)

    def see(self, model: Model) -> None:
        model.versions.setdefault(self.change_id, 1)

    def write(self, writer: Writer) -> None:
        writer.write(f"ctx.deprecate_patch({self.change_id!r})")


def _version(step: GetVersion | Patched, model: Model, wanted: int, *, before: Entry) -> int:
    """*before*: what the step sees in a run that is older than the change.

    A run that was ended from outside may have facts behind its last decision. Code that is brought there, for somebody
    who looks, decides nothing any more: it is as old as the run.
    """
    looks_only = model.seen.status in (Status.CANCELED, Status.TIMED_OUT) and model.peek(step.label) == before
    return model.versions.setdefault(step.change_id, 0 if looks_only else wanted)


def draw_change(author: Author, scope: Scope, depth: int) -> GetVersion | Patched | DeprecatePatch:
    change = author.pick(CHANGES)
    match author.random.randrange(3):
        case 0:
            version = author.random.randint(1, 3)
            return GetVersion(**author.labeled(), change_id=change, version=version, binds=author.bind(scope.values))
        case 1:
            return Patched(**author.labeled(), change_id=change, binds=author.bind(scope.values))
        case _:
            return DeprecatePatch(change_id=change)
