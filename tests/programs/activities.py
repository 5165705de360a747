"""The activities of programs: their arguments say what they do, and a ledger outside of every transaction keeps it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from durable_core.activity import activity_heartbeat, current_activity
from durable_core.errors import ActivityError
from durable_core.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from durable_core.async_context import AsyncWorkflowContext
    from durable_core.context import WorkflowContext
    from durable_core.definitions import ActivityDefinition, ActivityFunction, Registry
    from tests.programs.scripts import Script

SCRIPTED = "scripted"
HERE = "scripted_here"  # the same, run locally: witnesses must tell the two apart
OPENING_BALANCE = 100


class Scripted(Exception):
    """What activities raise when they are told to."""


class Refused(Exception):
    """The account cannot give, or does not take."""


class Effect(NamedTuple):
    """An attempt of an activity."""

    key: str  # of the call: "<path of its run>:<number of the activity in it>"
    call: str  # the idempotency key: "<id of the run>:<call_id>"
    attempt: int
    is_local: bool = False


class Ledger(Protocol):
    """Where effects go. It may be called from many threads, and from activities that are about to be killed."""

    def begin(self, effect: Effect) -> None: ...

    def end(self, effect: Effect) -> None: ...

    def times(self, call: str) -> int:
        """How often it was begun so far."""

    def move(self, call: str, account: str, amount: int) -> bool:
        """Add to an account, once per *call* however often it is asked; False if that would overdraw it."""


class MemoryLedger:
    """In this process."""

    def __init__(self) -> None:
        self.begun: list[Effect] = []
        self.ended: set[Effect] = set()
        self.moves: dict[str, tuple[str, int]] = {}  # by call; refused ones are of 0

    def begin(self, effect: Effect) -> None:
        self.begun.append(effect)

    def end(self, effect: Effect) -> None:
        self.ended.add(effect)

    def times(self, call: str) -> int:
        return sum(effect.call == call for effect in self.begun)

    def move(self, call: str, account: str, amount: int) -> bool:
        if call not in self.moves:
            granted = self.balance(account) + amount >= 0
            self.moves[call] = (account, amount if granted else 0)
        return amount == 0 or self.moves[call][1] != 0

    def balance(self, account: str) -> int:
        return OPENING_BALANCE + sum(amount for of, amount in self.moves.values() if of == account)


def install(
    registry: Registry, ledger: Ledger, *, pause: Callable[[float], None] = lambda seconds: None
) -> ActivityFunction[..., Any]:
    """Register the activities, and `run_program`; the activity that scripts are for. *pause* lets time go by."""
    from tests.programs.coroutines import follow
    from tests.programs.interpreter import COROUTINE, WORKFLOW, run
    from tests.programs.language import Program
    from tests.programs.prices import install_prices

    def scripted(
        key: Any,
        value: Any = None,
        fails: int = 0,
        spoils: bool = False,
        takes: float = 0.0,
        beats: bool = False,
        heals: bool = False,
    ) -> Any:
        if isinstance(key, dict):  # an item of a batch, with all of this
            return scripted(**key)
        current = current_activity()
        effect = Effect(key, current.idempotency_key, current.attempt, current.name == HERE)
        ledger.begin(effect)
        if beats:
            activity_heartbeat({"attempt": current.attempt})
        if takes:
            pause(takes)
        attempt = ledger.times(effect.call) if heals else current.attempt
        if attempt <= fails:
            raise Scripted(message_of(attempt))
        ledger.end(effect)
        return object() if spoils else value

    def scripted_here(key: Any, value: Any = None, **told: Any) -> Any:
        return scripted(key, value, **told)

    def withdraw(account: str, amount: int) -> None:
        if not ledger.move(current_activity().idempotency_key, account, -amount):
            raise Refused(account)

    def deposit(account: str, amount: int, bounces: bool = False) -> None:
        if bounces:
            raise Refused(account)
        assert ledger.move(current_activity().idempotency_key, account, amount), "a deposit overdraws nothing"

    def run_program(ctx: WorkflowContext, program: str | dict[str, str], path: str = "") -> Any:
        if isinstance(program, dict):  # an item of a batch, with all of this
            return run_program(ctx, **program)
        return run(ctx, Program.from_text(program), path=path, scripted=scripted_activity)

    async def run_coroutine(ctx: AsyncWorkflowContext, program: str, path: str) -> Any:
        return await follow(ctx, Program.from_text(program), path=path, scripted=scripted_activity)

    quick = RetryPolicy(initial_interval=0.01, maximum_interval=0.05, non_retryable_error_types=("Refused",))
    scripted_activity: ActivityFunction[..., Any] = registry.activity(name=SCRIPTED)(scripted)
    registry.activity(name=HERE)(scripted_here)
    registry.activity(retry_policy=quick)(withdraw)
    registry.activity(retry_policy=quick)(deposit)
    install_prices(registry, ledger)
    registry.workflow(name=WORKFLOW)(run_program)
    registry.workflow(name=COROUTINE)(run_coroutine)
    return scripted_activity


def message_of(attempt: int) -> str:
    return f"nö {attempt} \x00"


# What calls consist of


def options(script: Script) -> dict[str, Any]:
    """What the script says to `using()`."""
    policy = RetryPolicy(
        initial_interval=script.interval,
        maximum_interval=10 * script.interval,
        maximum_attempts=script.attempts,
        non_retryable_error_types=("Scripted",) if script.refused else (),
    )
    given: dict[str, Any] = {"timeout": script.timeout, "start_to_close": script.start_to_close}
    given |= {"at_most_once": True} if script.once else {"retry_policy": policy}
    return {name: value for name, value in given.items() if value is not None}


def here(scripted: ActivityFunction[..., Any], script: Script) -> ActivityDefinition[..., Any]:
    """What the script is for, as a local activity."""
    return replace(scripted.using(**options(script)), name=HERE)


def arguments(script: Script, key: str, value: Any) -> dict[str, Any]:
    """What the script says to the activity itself."""
    said = "fails", "spoils", "takes", "beats", "heals"
    given = {name: getattr(script, name) for name in said}
    return {"key": key, "value": value, **{name: value for name, value in given.items() if value}}


def wrong_call(ctx: WorkflowContext, how: str) -> Any:
    match how:
        case "name":
            return ctx.run_activity("no_such_activity")
        case "argument":
            return ctx.run_activity(SCRIPTED, "key", surplus=1)
        case _:
            return ctx.run_activity(SCRIPTED, key=object())


def transfer(ctx: WorkflowContext, source: str, target: str, amount: int, bounces: bool) -> str:
    """How it ended: refused by the source, moved, or returned because the target refused it."""
    try:
        ctx.run_activity("withdraw", source, amount)
    except ActivityError as error:
        if error.type_name != "Refused":
            raise
        return "refused"
    try:
        ctx.run_activity("deposit", target, amount, bounces)
    except ActivityError as error:
        if error.type_name != "Refused":
            raise
        ctx.run_activity("deposit", source, amount)
        return "returned"
    return "moved"
