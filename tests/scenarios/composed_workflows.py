"""Workflows that do several things at once."""

from __future__ import annotations

from typing import Any

from django_durable import (
    ActivityError,
    BatchFailed,
    CompletionPolicy,
    TimerCanceled,
    WaitTimeout,
    WorkflowCanceled,
    register,
)

from .durable_activities import echo, effect, fails, gated, votes


@register.workflow
def gathers(ctx, key):
    """The slowest is the first of the arguments."""
    slow = ctx.start_activity(gated, f"{key}-slow", "slow")
    child = ctx.start_workflow("echoes", value="child")
    quick = [ctx.start_activity(echo, n) for n in range(3)]
    return ctx.gather(slow, child, *quick)


@register.workflow
def gathers_failures(ctx):
    handles = [ctx.start_activity(fails, "first"), ctx.start_activity(echo, 1), ctx.start_activity(fails, "second")]
    together = ctx.gather(*handles, return_exceptions=True)
    try:
        ctx.gather(*handles)
    except ActivityError as error:
        return [error.message, *[type(result).__name__ for result in together]]


@register.workflow
def selects(ctx, key, patience):
    match ctx.select(answer=ctx.signal("answer"), done=ctx.start_activity(gated, key, "done"), timeout=patience):
        case "answer", value:
            return ["answer", value]
        case "done", value:
            return ["done", value]
        case "timeout", None:
            return ["timeout"]


@register.workflow
def selects_in_turn(ctx, n):
    """Signals of two names, in the order in which they were sent, and none twice."""
    return [ctx.select(a=ctx.signal("a"), b=ctx.signal("b")) for _ in range(n)]


@register.workflow
def branches(ctx, key, n=3):
    """Each has its steps; one of them fails behind its first."""

    def steps(number: int) -> list[Any]:
        first = ctx.run_activity(effect, f"{key}-{number}-a", number)
        ctx.sleep(0.01 * number)
        if number == 1:
            raise ValueError("one")
        return [first, ctx.run_activity(effect, f"{key}-{number}-b", -number)]

    handles = [ctx.spawn(steps, number) for number in range(n)]
    results = ctx.gather(*handles, return_exceptions=True)
    return [str(result) if isinstance(result, ValueError) else result for result in results]


@register.workflow
def maps(ctx, key, n=6):
    """Activities, children and functions, two at a time; then as many as are needed."""

    def steps(number: int) -> list[Any]:
        return [ctx.run_activity(effect, f"{key}-{number}", number), ctx.run_workflow("echoes", value=-number)]

    doubled = ctx.map(echo, range(n), max_concurrency=2).results
    children = ctx.map("echoes", ["a", "b"]).results
    branches = ctx.map(steps, range(n), max_concurrency=4).results
    return [doubled, children, branches]


@register.workflow
def asks_for_a_quorum(ctx, key):
    """The gates of others stay closed: they are told to stop, or never begin."""
    names = [f"{key}-{n}" for n in range(5)]
    policy = CompletionPolicy(min_successful=2, tolerated_failures=1)
    try:
        result = ctx.map(votes, names, max_concurrency=4, completion=policy)
    except BatchFailed as error:
        result = error.result
    return [sorted(result.results), [str(item.status) for item in result.outcomes]]


@register.workflow
def counts_votes(ctx, needed, patience=None):
    votes: list[Any] = []

    def collect():
        while True:
            votes.append(ctx.wait_signal("vote"))

    ctx.spawn(collect)
    try:
        ctx.wait_until(lambda: len(votes) >= needed, timeout=patience)
    except WaitTimeout as error:
        return [str(error), len(votes)]
    return votes[:needed]


@register.workflow
def reminds(ctx, key):
    """A timer that is stopped when the answer comes first."""
    timer = ctx.timer(3600)
    name, value = ctx.select(answer=ctx.signal("answer"), reminder=timer)
    stopped = ctx.cancel(timer)
    try:
        ctx.wait(timer)
    except TimerCanceled:
        return [name, value, stopped, ctx.cancel(timer)]


@register.workflow
def clears_up_in_branches(ctx, key):
    def works(number: int) -> None:
        try:
            ctx.wait_signal("never")
        except WorkflowCanceled as canceled:
            ctx.run_activity(effect, f"{key}-{number}", canceled.reason)
            raise

    ctx.gather(*[ctx.spawn(works, number) for number in range(3)])
