"""Workflows that ask people."""

from __future__ import annotations

from django_durable import TaskCanceled, WaitTimeout, WorkflowCanceled, register

from .durable_activities import effect
from .forms import Approval


@register.workflow
def asks(ctx, question="Is it <b>good</b>?", within=None, **options):
    return ctx.ask(question, timeout=within, **options)


@register.workflow
def asks_with_a_form(ctx, permission=None):
    return ctx.ask("How much?", form=Approval, assignee="ann", permission=permission)


@register.workflow
def needs_two_of(ctx, names, key):
    """Goes on when two have said yes; the others need not answer any more."""
    asked = {name: ctx.start_ask(f"{name}, is it good?", form=["yes", "no"], assignee=name) for name in names}
    approved: list[str] = []
    while asked and len(approved) < 2:
        name, answer = ctx.select(**asked)
        del asked[name]
        if answer == "yes":
            approved.append(name)
    for task in asked.values():
        ctx.cancel(task, "two are enough")
    ended = []
    for name, task in asked.items():
        try:
            ended.append([name, ctx.wait(task)])
        except TaskCanceled as canceled:
            ended.append([name, canceled.reason])
    ctx.run_activity(effect, key)
    return [approved, ended]


@register.workflow
def reminds_and_escalates(ctx, key, first, last):
    task = ctx.start_ask("Is it good?", assignee="ann", timeout=last)
    try:
        return ctx.wait(task, timeout=first)
    except WaitTimeout:
        ctx.run_activity(effect, f"{key}-reminded")
    try:
        return ctx.wait(task)
    except WaitTimeout:
        return ctx.ask("Is it good? Ann says nothing.", assignee="boss")


@register.workflow
def asks_in_a_scope(ctx):
    with ctx.cancel_scope() as scope:
        ctx.spawn(lambda: [ctx.wait_signal("stop"), scope.cancel("stopped")])
        ctx.ask("?")
    return scope.reason


@register.workflow
def clears_up_behind_a_question(ctx):
    try:
        ctx.ask("?")
    except WorkflowCanceled:
        ctx.wait_signal("go")
        raise


@register.workflow
async def asks_as_a_coroutine(ctx):
    return await ctx.ask("?", form=["a", "b"])
