"""One generator of programs: the same seed gives the same program everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from tests.programs import language as p
from tests.programs import steps as s
from tests.programs.scripts import Script
from tests.programs.steps.batches import draw_batch
from tests.programs.steps.blocks import draw_exit
from tests.programs.steps.coroutines import draw_coroutine
from tests.programs.steps.values import draw_chance, draw_change

VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**53 + 1,
    0.1,
    1e308,
    "",
    "ä€😀",
    "\x00\ud800",
    [],
    [1, [2, [None]]],
    {},
    {"a": {"b": ["ü", 1.5]}, "": False},
)
DURATIONS = (0.0, 0.05, 0.2, 1.0)  # seconds, times the pace
ACCOUNTS = ("alice", "bob", "carol")
COROUTINES = 0.06  # of programs that are nobody's child
DEEPEST = 3  # blocks in blocks
DEEPEST_CHILD = 2


def generate(
    random: Random, *, size: int = 8, pace: float = 1.0, books: bool = False, others: bool = False
) -> p.Program:
    """A program of about *size* steps. Waits and timeouts are multiples of *pace* / 20 seconds, up to *pace*.

    *books*: there is something in the store's own transactions to write to; *others*: people who
    answer, and are given tokens.
    """
    return Author(random, pace, books=books, others=others).program(size, depth=0)


def generate_transfers(random: Random, *, size: int = 8) -> p.Program:
    """A program that moves money between `ACCOUNTS`, and must not be canceled: what is under way would be lost."""
    author = Author(random, 0.0)
    return p.Program(body=tuple(author.transfer() for _ in range(size)))


class Scope:
    """The names that are bound where a block begins."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self.activities: list[str] = []
        self.children: list[str] = []
        self.timers: list[str] = []
        self.branches: list[str] = []
        self.scopes: list[str] = []
        self.questions: list[str] = []
        self.open_questions: list[str] = []  # as long as the run

    @property
    def handles(self) -> list[str]:
        return [*self.activities, *self.children, *self.branches, *self.timers, *self.questions]

    @property
    def cancelable(self) -> list[str]:
        return [*self.handles, *self.open_questions]

    def inner(self) -> Scope:
        """What is bound in there is not known outside."""
        scope = Scope()
        for name, bound in vars(self).items():
            getattr(scope, name).extend(bound)
        return scope

    def values_only(self) -> Scope:
        """Without handles: which of two strands was first at one, the trace does not tell the model."""
        scope = Scope()
        scope.values += self.values
        return scope


Draw = Callable[["Author", Scope, int], p.Step]


class Author:
    """Draws the parts of a program; those of a kind of step stand with it, in its `draw`."""

    def __init__(self, random: Random, pace: float, *, books: bool = False, others: bool = False) -> None:
        self.random = random
        self.pace = pace
        self.books = books
        self.others = others
        self.names = 0
        self.child_depth = 0
        self.in_branch = False

    def program(self, size: int, *, depth: int) -> p.Program:
        self.child_depth = depth
        timeout = 3 * self.duration() if self.chance(0.1) else None
        if not depth and self.chance(COROUTINES):
            return draw_coroutine(self, Scope(), timeout=timeout)
        return self.runs(size, timeout)

    def runs(self, size: int, timeout: p.Seconds | None) -> p.Program:
        """A program, and those that it goes on with as a new run."""
        scope = Scope()
        ready = (s.OnUpdate.draw(self, scope, 0),) if not self.child_depth and self.chance(0.3) else ()
        body = (*ready, *self.block(scope, size, 0))
        if self.chance(0.15):
            return p.Program(body=(*body, s.Raise.draw(self)), timeout=timeout)
        then = self.runs(max(size // 2, 1), timeout) if self.chance(0.2) else None
        return p.Program(body=body, timeout=timeout, then=then)

    def block(self, scope: Scope, size: int, depth: int) -> p.Block:
        steps = [self.step(scope, depth) for _ in range(self.random.randint(0 if depth else 1, max(size, 1)))]
        return tuple(steps)

    def step(self, scope: Scope, depth: int) -> p.Step:
        weights, draws = zip(*self.choices(scope, depth), strict=True)
        [draw] = self.random.choices(draws, weights)
        step: p.Step = draw(self, scope, depth)
        return step

    def choices(self, scope: Scope, depth: int) -> Iterator[tuple[int, Draw]]:
        """What may stand here, and how often it shall."""
        yield 6, s.RunActivity.draw
        yield 3, s.StartActivity.draw
        yield 3, s.Sleep.draw
        yield 3, s.WaitSignal.draw
        yield 1, s.Now.draw
        yield 1, s.SideEffect.draw
        yield 1, s.WrongCall.draw
        yield 1, s.RunLocal.draw
        yield 1, s.StartTimer.draw
        yield 1, s.Select.draw
        yield 1, draw_batch
        yield 1, s.Price.draw
        if self.books:
            yield 1, s.Book.draw
        if self.others:
            yield 1, s.Entrust.draw
            yield 1, s.Ask.draw
        if not self.in_branch:  # who is first there is for the queue to say, and the model does not know it
            yield 1, draw_chance
            yield 1, draw_change
            yield 1, s.SetEvent.draw
            yield 1, s.Publish.draw
            if depth < DEEPEST:
                yield 2, s.Spawn.draw
                if not self.child_depth:  # nobody asks children
                    yield 1, s.OnUpdate.draw
        if scope.handles:
            yield 2, s.Gather.draw
        if scope.timers:
            yield 2, s.WaitTimer.draw
        if scope.cancelable:
            yield 2, s.Cancel.draw
        if scope.branches:
            yield 4, s.WaitBranch.draw
        if scope.activities:
            yield 6, s.WaitActivity.draw
        if scope.questions or scope.open_questions:
            yield 4, s.WaitAnswer.draw
        if self.child_depth < DEEPEST_CHILD:
            yield 2, s.RunChild.draw
            yield 1, s.StartChild.draw
            yield 1, s.RunCoroutine.draw
        if scope.children:
            yield 4, s.WaitChild.draw
            yield 4, s.TellChild.draw
            yield 2, s.EndChild.draw
        if self.child_depth:
            yield 3, s.TellParent.draw
        if depth < DEEPEST:
            yield 3, s.Try.draw
            yield 1, s.Shield.draw
            yield 1, s.RunSaga.draw
            yield 2, s.CancelScope.draw
            yield 1, s.If.draw
            yield 1, s.For.draw
        if scope.scopes:
            yield 3, s.GiveUp.draw
        if depth:
            yield 1, draw_exit

    def transfer(self) -> s.Transfer:
        source, target = self.random.sample(ACCOUNTS, 2)
        amount = self.random.randint(1, 60)
        return s.Transfer(
            label=self.label(), source=source, target=target, amount=amount, bounces=self.chance(0.2), binds="moved"
        )

    # Parts

    def script(self, scope: Scope) -> Script:
        fails = self.random.randint(1, 3) if self.chance(0.3) else 0
        attempts = self.random.randint(1, 3) if self.chance(0.4) else 0
        once = attempts == 1 and self.chance(0.5)
        return Script(
            value=self.expression(scope),
            fails=fails,
            spoils=self.chance(0.05),
            takes=self.duration() if self.chance(0.3) else 0.0,
            beats=self.chance(0.1),
            attempts=attempts,
            once=once,
            interval=self.duration() / 10,
            refused=self.chance(0.1),
            timeout=self.duration() if self.chance(0.15) else None,
            start_to_close=self.duration() + self.pace / 20 if attempts and self.chance(0.1) else None,
        )

    def mendable(self, script: Script) -> Script:
        """It fails for good, and once its run was reopened that may be over."""
        attempts = self.random.randint(1, 2)
        return Script(
            value=script.value,
            takes=script.takes,
            interval=script.interval,
            attempts=attempts,
            fails=self.random.randint(attempts, 2 * attempts),
            heals=True,
        )

    def child(self) -> p.Program:
        depth = self.child_depth
        try:
            return self.program(3, depth=depth + 1)
        finally:
            self.child_depth = depth

    @contextmanager
    def branch(self) -> Iterator[None]:
        self.in_branch = True
        yield
        self.in_branch = False

    def expression(self, scope: Scope) -> p.Expression:
        if scope.values and self.chance(0.4):
            return p.Ref(self.pick(scope.values))
        return p.Const(self.value())

    def value(self) -> Any:
        return self.pick(VALUES)

    def labeled(self) -> dict[str, Any]:
        return {"label": self.label(), "guarded": self.chance(0.7)}

    def label(self) -> str:
        self.names += 1
        return str(self.names)

    def bind(self, names: list[str]) -> str:
        """A new name, for what follows in the block."""
        self.names += 1
        names.append(f"v{self.names}")
        return names[-1]

    def duration(self) -> float:
        return self.pace * float(self.pick(DURATIONS))

    def sometimes(self) -> float | None:
        return self.duration() if self.chance(0.4) else None

    def some(self, names: list[str]) -> tuple[str, ...]:
        """Up to three of them, none twice."""
        return tuple(self.random.sample(names, self.random.randint(1, min(3, len(names)))))

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def pick(self, among: Any) -> Any:
        return self.random.choice(among)
