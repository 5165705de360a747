"""One generator of programs: the same seed gives the same program everywhere."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.programs import language as p

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
SIGNALS = ("go", "stöp")
CHANGES = ("change-1", "change-2")
ACCOUNTS = ("alice", "bob", "carol")
DEEPEST = 3  # blocks in blocks
DEEPEST_CHILD = 2


def generate(random: Random, *, size: int = 8, pace: float = 1.0) -> p.Program:
    """A program of about *size* steps. Waits and timeouts are multiples of *pace* / 20 seconds, up to *pace*."""
    return _Author(random, pace).program(size, depth=0)


def generate_transfers(random: Random, *, size: int = 8) -> p.Program:
    """A program that moves money between `ACCOUNTS`, and must not be canceled: what is under way would be lost."""
    author = _Author(random, 0.0)
    return p.Program(body=tuple(author.transfer() for _ in range(size)))


class _Scope:
    """The names that are bound where a block begins."""

    def __init__(self, outer: _Scope | None = None) -> None:
        self.values: list[str] = [*outer.values] if outer else []
        self.activities: list[str] = [*outer.activities] if outer else []
        self.children: list[str] = [*outer.children] if outer else []
        self.timers: list[str] = [*outer.timers] if outer else []
        self.branches: list[str] = [*outer.branches] if outer else []

    @property
    def handles(self) -> list[str]:
        return [*self.activities, *self.children, *self.branches, *self.timers]


class _Author:
    def __init__(self, random: Random, pace: float) -> None:
        self.random = random
        self.pace = pace
        self.names = 0
        self.child_depth = 0
        self.in_branch = False

    def program(self, size: int, *, depth: int) -> p.Program:
        self.child_depth = depth
        body = self.block(_Scope(), size, 0)
        timeout = 3 * self.duration() if self.chance(0.1) else None
        if self.chance(0.15):
            body = (*body, p.Raise(message=self.pick(("", "ä", "no"))))
        return p.Program(body=body, timeout=timeout)

    def block(self, scope: _Scope, size: int, depth: int) -> p.Block:
        steps = [self.step(scope, depth) for _ in range(self.random.randint(0 if depth else 1, max(size, 1)))]
        return tuple(steps)

    def step(self, scope: _Scope, depth: int) -> p.Step:
        makers: list[tuple[int, Callable[[_Scope, int], p.Step]]] = [
            (6, self.run_activity),
            (3, self.start_activity),
            (3, self.sleep),
            (3, self.wait_signal),
            (1, self.now),
            (1, self.side_effect),
            (1, self.wrong_call),
            (1, self.start_timer),
            (1, self.select),
        ]
        if not self.in_branch:  # who is first there is for the queue to say, and the model does not know it
            makers += [(1, self.draw), (1, self.version)]
            if depth < DEEPEST:
                makers.append((2, self.spawn))
        if scope.handles:
            makers.append((2, self.gather))
        if scope.timers:
            makers += [(2, self.wait_timer), (1, self.cancel_timer)]
        if scope.branches:
            makers.append((4, self.wait_branch))
        if scope.activities:
            makers.append((6, self.wait_activity))
        if self.child_depth < DEEPEST_CHILD:
            makers += [(2, self.run_child), (1, self.start_child)]
        if scope.children:
            makers.append((4, self.wait_child))
        if depth < DEEPEST:
            makers += [(3, self.attempt), (1, self.shield), (1, self.choice), (1, self.loop)]
        if depth:
            makers += [(1, self.leave)]
        [make] = self.random.choices([make for _, make in makers], [weight for weight, _ in makers])
        return make(scope, depth)

    # Steps

    def run_activity(self, scope: _Scope, depth: int) -> p.Step:
        script = self.script(scope)
        return p.RunActivity(**self.labeled(), script=script, binds=self.bind(scope.values))

    def start_activity(self, scope: _Scope, depth: int) -> p.Step:
        script = self.script(scope)
        return p.StartActivity(script=script, binds=self.bind(scope.activities))

    def wait_activity(self, scope: _Scope, depth: int) -> p.Step:
        handle = self.pick(scope.activities)
        return p.WaitActivity(**self.labeled(), handle=handle, timeout=self.sometimes(), binds=self.bind(scope.values))

    def run_child(self, scope: _Scope, depth: int) -> p.Step:
        return p.RunChild(**self.labeled(), program=self.child(), binds=self.bind(scope.values))

    def start_child(self, scope: _Scope, depth: int) -> p.Step:
        return p.StartChild(program=self.child(), binds=self.bind(scope.children))

    def wait_child(self, scope: _Scope, depth: int) -> p.Step:
        handle = self.pick(scope.children)
        return p.WaitChild(**self.labeled(), handle=handle, timeout=self.sometimes(), binds=self.bind(scope.values))

    def gather(self, scope: _Scope, depth: int) -> p.Step:
        return p.Gather(**self.labeled(), handles=self.some(scope.handles))

    def select(self, scope: _Scope, depth: int) -> p.Step:
        handles = self.some(scope.handles) if scope.handles and self.chance(0.7) else ()
        signals = (self.pick(SIGNALS),) if self.chance(0.6) else ()
        return p.Select(**self.labeled(), handles=handles, signals=signals, timeout=self.duration())

    def start_timer(self, scope: _Scope, depth: int) -> p.Step:
        return p.StartTimer(seconds=self.duration(), binds=self.bind(scope.timers))

    def wait_timer(self, scope: _Scope, depth: int) -> p.Step:
        return p.WaitTimer(**self.labeled(), handle=self.pick(scope.timers))

    def cancel_timer(self, scope: _Scope, depth: int) -> p.Step:
        return p.CancelTimer(**self.labeled(), handle=self.pick(scope.timers))

    def wait_branch(self, scope: _Scope, depth: int) -> p.Step:
        return p.WaitBranch(**self.labeled(), handle=self.pick(scope.branches), timeout=self.sometimes())

    def sleep(self, scope: _Scope, depth: int) -> p.Step:
        return p.Sleep(**self.labeled(), seconds=self.duration())

    def wait_signal(self, scope: _Scope, depth: int) -> p.Step:
        # Nobody sends signals to children: their waits end by a timeout.
        timeout = self.duration() if self.child_depth else self.sometimes()
        return p.WaitSignal(**self.labeled(), name=self.pick(SIGNALS), timeout=timeout, binds=self.bind(scope.values))

    def now(self, scope: _Scope, depth: int) -> p.Step:
        return p.Now(**self.labeled())

    def draw(self, scope: _Scope, depth: int) -> p.Step:
        kind: type[p.DrawRandom | p.DrawUuid] = self.pick((p.DrawRandom, p.DrawUuid))
        return kind(**self.labeled(), binds=self.bind(scope.values))

    def side_effect(self, scope: _Scope, depth: int) -> p.Step:
        value = self.expression(scope)
        how = self.pick(("returns", "returns", "raises", "spoils"))
        return p.SideEffect(**self.labeled(), value=value, how=how, binds=self.bind(scope.values))

    def version(self, scope: _Scope, depth: int) -> p.Step:
        change = self.pick(CHANGES)
        match self.random.randrange(3):
            case 0:
                version = self.random.randint(1, 3)
                return p.GetVersion(**self.labeled(), change_id=change, version=version, binds=self.bind(scope.values))
            case 1:
                return p.Patched(**self.labeled(), change_id=change, binds=self.bind(scope.values))
            case _:
                return p.DeprecatePatch(change_id=change)

    def wrong_call(self, scope: _Scope, depth: int) -> p.Step:
        return p.WrongCall(**self.labeled(), how=self.pick(("name", "argument", "payload")))

    def leave(self, scope: _Scope, depth: int) -> p.Step:
        if self.chance(0.5):
            return p.Return(value=self.expression(scope))
        return p.Raise(message=self.pick(("", "ä", "no")))

    def transfer(self) -> p.Transfer:
        source, target = self.random.sample(ACCOUNTS, 2)
        amount = self.random.randint(1, 60)
        return p.Transfer(
            label=self.label(), source=source, target=target, amount=amount, bounces=self.chance(0.2), binds="moved"
        )

    # Blocks

    def attempt(self, scope: _Scope, depth: int) -> p.Step:
        body = self.block(_Scope(scope), 3, depth + 1)
        handler = self.block(_Scope(scope), 2, depth + 1)
        final = self.block(_Scope(scope), 1, depth + 1)
        # A return in a finally would swallow what was raised, which nobody writes on purpose.
        return p.Try(body=body, handler=handler, final=tuple(step for step in final if _goes_on(step)))

    def shield(self, scope: _Scope, depth: int) -> p.Step:
        label = self.label()
        return p.Shield(label=label, body=self.block(_Scope(scope), 3, depth + 1))

    def spawn(self, scope: _Scope, depth: int) -> p.Step:
        self.in_branch = True
        try:
            # Without handles: which of two strands was first at one, the trace does not tell the model.
            inner = _Scope()
            inner.values += scope.values
            return p.Spawn(body=self.block(inner, 3, depth + 1), binds=self.bind(scope.branches))
        finally:
            self.in_branch = False

    def choice(self, scope: _Scope, depth: int) -> p.Step:
        condition = self.expression(scope)
        then = self.block(_Scope(scope), 3, depth + 1)
        return p.If(condition=condition, then=then, otherwise=self.block(_Scope(scope), 3, depth + 1))

    def loop(self, scope: _Scope, depth: int) -> p.Step:
        inner = _Scope(scope)
        items = tuple(p.Const(self.pick(VALUES)) for _ in range(self.random.randint(1, 3)))
        return p.For(items=items, binds=self.bind(inner.values), body=self.block(inner, 2, depth + 1))

    # Parts

    def script(self, scope: _Scope) -> p.Script:
        fails = self.random.randint(1, 3) if self.chance(0.3) else 0
        attempts = self.random.randint(1, 3) if self.chance(0.4) else 0
        return p.Script(
            value=self.expression(scope),
            fails=fails,
            spoils=self.chance(0.05),
            takes=self.duration() if self.chance(0.3) else 0.0,
            beats=self.chance(0.1),
            attempts=attempts,
            interval=self.duration() / 10,
            refused=self.chance(0.1),
            timeout=self.duration() if self.chance(0.15) else None,
            start_to_close=self.duration() + self.pace / 20 if attempts and self.chance(0.1) else None,
        )

    def child(self) -> p.Program:
        depth = self.child_depth
        try:
            return self.program(3, depth=depth + 1)
        finally:
            self.child_depth = depth

    def expression(self, scope: _Scope) -> p.Expression:
        if scope.values and self.chance(0.4):
            return p.Ref(self.pick(scope.values))
        return p.Const(self.pick(VALUES))

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


def _goes_on(step: p.Step) -> bool:
    return not any(isinstance(inner, p.Return) for inner in p.executed((step,)))
