"""Workflows whose code depends on the release that a worker was started with (see `release`).

They wait for the signal "go", which a test sends when the next release is there.
"""

from __future__ import annotations

from django_durable import ActivityError, RetryPolicy, register, remote_activity, remote_workflow

from .durable_activities import echo, effect, effect_anew
from .release import CODE

NEW = CODE >= 2


def _end(ctx):
    ctx.wait_signal("go")
    return f"code {CODE}"


# Changes that nobody guarded


@register.workflow
def swapped(ctx, key):
    if NEW:
        ctx.sleep(0.01)
        ctx.run_activity(effect, key)
    else:
        ctx.run_activity(effect, key)
        ctx.sleep(0.01)
    return _end(ctx)


@register.workflow
def signal_swapped(ctx, key):
    """The reference let this one pass, and ran the activity again."""
    if NEW:
        ctx.wait_signal("first")
        ctx.run_activity(effect, key)
    else:
        ctx.run_activity(effect, key)
        ctx.wait_signal("first")
    return _end(ctx)


@register.workflow
def missing_call(ctx, key):
    ctx.run_activity(effect, key)
    if not NEW:
        ctx.run_activity(echo, 1)
    return _end(ctx)


@register.workflow
def surplus_call(ctx, key):
    ctx.run_activity(effect, key)
    if NEW:
        ctx.run_activity(effect, key)
    return _end(ctx)


@register.workflow
def renamed_activity(ctx, key):
    ctx.run_activity(echo if NEW else effect, key)
    return _end(ctx)


@register.workflow
def renamed_child(ctx, key):
    ctx.start_workflow("echoes" if NEW else "returns", value=1)
    ctx.run_activity(effect, key)
    return _end(ctx)


@register.workflow
def ends_early(ctx, key):
    ctx.run_activity(effect, key)
    return "too soon" if NEW else _end(ctx)


@register.workflow
def raises_early(ctx, key):
    ctx.run_activity(effect, key)
    if NEW:
        raise RuntimeError("a bug of this release")
    return _end(ctx)


@register.workflow
def other_signal(ctx, key):
    ctx.run_activity(effect, key)
    ctx.wait_signal("gone" if NEW else "first")
    return _end(ctx)


@register.workflow
def changed_arguments(ctx, key):
    result = ctx.run_activity(effect, key, "new" if NEW else "old")
    ctx.wait_signal("go")
    return result


# A change that is guarded, through its whole life


def _mail(ctx, key):
    match CODE:
        case 1:
            kind = "old"
        case 2:
            kind = "new" if ctx.patched("new-mail") else "old"
        case 3:
            ctx.deprecate_patch("new-mail")
            kind = "new"
        case _:
            kind = "new"
    return ctx.run_activity(effect if kind == "old" else effect_anew, f"{key}-{kind}", kind)


@register.workflow
def patched_once(ctx, key):
    mail = _mail(ctx, key)
    ctx.wait_signal("go")
    return [mail]


@register.workflow
def patched_in_loop(ctx, key):
    mails = []
    for _ in range(3):
        mails.append(_mail(ctx, key))
        ctx.wait_signal("go")
    return mails


@register.workflow
def patched_in_branch(ctx, key):
    """The change is in a branch that is taken behind the wait."""
    return _mail(ctx, key) if ctx.wait_signal("go") else "not taken"


@register.workflow
def versioned(ctx, key):
    """`get_version`, which this code raises with each release."""
    version = ctx.get_version("plan", CODE)
    ctx.run_activity(effect, key, version)
    ctx.wait_signal("go")
    return version


# What an older release does not have

if NEW:

    @register.workflow
    def newcomer(ctx):
        return "new"


@register.workflow
def needs_new_activity(ctx, queue):
    return ctx.run_activity(register.find_activity("new_activity").using(queue=queue))


@register.workflow
def delegates(ctx, queue):
    """Release 1 knows neither the activity nor the child; workers of *queue* do."""
    activity = remote_activity("new_activity", queue=queue, retry_policy=RetryPolicy(maximum_attempts=1))
    done = ctx.run_activity(activity)
    child = ctx.run_workflow(remote_workflow("newcomer", queue=queue))
    try:
        ctx.run_activity(activity, "surplus argument")
    except ActivityError as error:
        return [done, child, error.type_name]
