"""Blocks of steps, and what leaves them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.programs import language as p
from tests.programs.model import Part, Raised
from tests.programs.source import value_of
from tests.programs.trace import ProgramError, odd

if TYPE_CHECKING:
    from tests.programs.generator import Author, Scope
    from tests.programs.interpreter import Interpreter
    from tests.programs.model import Model
    from tests.programs.source import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Raise(p.Step):
    message: str

    @staticmethod
    def draw(author: Author) -> Raise:
        return Raise(message=author.pick(("", "ä", "no")))

    def run(self, code: Interpreter) -> None:
        raise ProgramError(self.message)

    def see(self, model: Model) -> None:
        raise Raised("ProgramError")

    def write(self, writer: Writer) -> None:
        writer.write(f"raise ProgramError({self.message!r})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Return(p.Step):
    value: p.Expression

    def run(self, code: Interpreter) -> p.Returned:
        return p.Returned(code.read(self.value))

    def see(self, model: Model) -> p.Returned:
        return p.Returned(model.read(self.value))

    def write(self, writer: Writer) -> None:
        writer.write(f"return {value_of(self.value)}")


def draw_exit(author: Author, scope: Scope, depth: int) -> Return | Raise:
    return Return(value=author.expression(scope)) if author.chance(0.5) else Raise.draw(author)


@dataclass(frozen=True, slots=True, kw_only=True)
class Try(p.Step):
    body: p.Block
    handler: p.Block
    final: p.Block

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Try:
        body = author.block(scope.inner(), 3, depth + 1)
        handler = author.block(scope.inner(), 2, depth + 1)
        final = author.block(scope.inner(), 1, depth + 1)
        # A return in a finally would swallow what was raised, which nobody writes on purpose.
        return Try(body=body, handler=handler, final=tuple(step for step in final if _goes_on(step)))

    def run(self, code: Interpreter) -> p.Returned | None:
        try:
            return code.block(self.body)
        except Exception:  # noqa: BLE001 - as users do
            return code.block(self.handler)
        finally:
            code.block(self.final)

    def see(self, model: Model) -> p.Returned | None:
        try:
            try:
                returned = model.block(self.body)
            except Raised:
                returned = model.block(self.handler)
        except Raised:
            model.block(self.final)
            raise
        model.block(self.final)
        return returned

    def write(self, writer: Writer) -> None:
        writer.inner("try:", self.body)
        writer.inner("except Exception:", self.handler)
        writer.inner("finally:", self.final)

    def blocks(self) -> Iterable[p.Block]:
        return self.body, self.handler, self.final


def _goes_on(step: p.Step) -> bool:
    return not any(isinstance(inner, Return) for inner in p.executed((step,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shield(p.Step):
    label: str  # of a cancel that is raised at its end
    body: p.Block

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> Shield:
        label = author.label()
        return Shield(label=label, body=author.block(scope.inner(), 3, depth + 1))

    def run(self, code: Interpreter) -> p.Returned | None:
        try:
            with code.ctx.shield():
                return code.block(self.body)
        except Exception as error:
            code.trace.raised_at_the_end(self.label, error)
            raise

    def see(self, model: Model) -> p.Returned | None:
        part = Part(is_shield=True)
        model.parts.append(part)
        raised, returned = None, None
        try:
            returned = model.block(self.body)
        except Raised as error:
            raised = error
        finally:
            model.parts.remove(part)
        if model.comes(self.label):
            found = model.next(self.label)
            model.take_cancel(found)
            raise Raised(found[1])
        if raised is not None:
            raise raised
        return returned

    def write(self, writer: Writer) -> None:
        with writer.inside("try:"):
            writer.inner("with ctx.shield():", self.body)
        with writer.inside("except Exception as error:"):
            writer.write(f"trace.raised_at_the_end({self.label!r}, error)")
            writer.write("raise")

    def blocks(self) -> Iterable[p.Block]:
        return (self.body,)


@dataclass(frozen=True, slots=True, kw_only=True)
class If(p.Step):
    """Whether the value's JSON has an odd number of characters."""

    condition: p.Expression
    then: p.Block
    otherwise: p.Block

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> If:
        condition = author.expression(scope)
        then = author.block(scope.inner(), 3, depth + 1)
        return If(condition=condition, then=then, otherwise=author.block(scope.inner(), 3, depth + 1))

    def run(self, code: Interpreter) -> p.Returned | None:
        return code.block(self.then if odd(code.read(self.condition)) else self.otherwise)

    def see(self, model: Model) -> p.Returned | None:
        return model.block(self.then if odd(model.read(self.condition)) else self.otherwise)

    def write(self, writer: Writer) -> None:
        writer.inner(f"if odd({value_of(self.condition)}):", self.then)
        writer.inner("else:", self.otherwise)

    def blocks(self) -> Iterable[p.Block]:
        return self.then, self.otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class For(p.Step):
    binds: str
    items: tuple[p.Const, ...]
    body: p.Block

    @staticmethod
    def draw(author: Author, scope: Scope, depth: int) -> For:
        inner = scope.inner()
        items = tuple(p.Const(author.value()) for _ in range(author.random.randint(1, 3)))
        return For(items=items, binds=author.bind(inner.values), body=author.block(inner, 2, depth + 1))

    def run(self, code: Interpreter) -> p.Returned | None:
        for item in self.items:
            code.values[self.binds] = item.value
            returned = code.block(self.body)
            if returned is not None:
                return returned
        return None

    def see(self, model: Model) -> p.Returned | None:
        for item in self.items:
            model.values[self.binds] = item.value
            returned = model.block(self.body)
            if returned is not None:
                return returned
        return None

    def write(self, writer: Writer) -> None:
        writer.inner(f"for {self.binds} in {[item.value for item in self.items]!r}:", self.body)

    def blocks(self) -> Iterable[p.Block]:
        return [self.body for _ in self.items]
