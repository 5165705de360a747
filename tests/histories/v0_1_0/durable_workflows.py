from __future__ import annotations

from datetime import timedelta

from django_durable import (
    ActivityError,
    ActivityTimeout,
    SideEffectError,
    WaitTimeout,
    WorkflowCanceled,
    WorkflowError,
    register,
)

from .durable_activities import (
    ONCE,
    Line,
    Order,
    echo,
    fails_until_open,
    gated,
    goes_on,
    greet,
    lingers,
    refuses,
    refuses_until_open,
    stumbles,
    total_of,
)
from .gates import is_open

# Activities


@register.workflow
def activity_completes(ctx, name):
    first = ctx.run_activity(greet, name, mark="?")
    handle = ctx.start_activity("greet", "by name")
    return [first, ctx.wait_activity(handle), ctx.wait_activity(handle), ctx.run_activity(echo, None)]


@register.workflow
def activities_run_here(ctx, name):
    first = ctx.run_local_activity(greet, name, mark="?")
    try:
        ctx.run_local_activity(refuses, "no")
    except ActivityError as error:
        return [first, ctx.run_local_activity(stumbles), error.type_name, error.message]


@register.workflow
def activity_retried(ctx):
    return ctx.run_activity(stumbles)


@register.workflow
def activity_fails(ctx):
    try:
        ctx.run_activity(refuses, "no")
    except ActivityError as error:
        return [error.type_name, error.message, error.attempt]


@register.workflow
def time_limits(ctx, gate):
    found = []
    for activity in (
        lingers.using(timeout=0.1),
        lingers.using(start_to_close=0.1),
        lingers.using(heartbeat_timeout=0.1),
    ):
        try:
            ctx.run_activity(activity, gate)
        except ActivityTimeout as error:
            found.append(error.kind)
    try:
        ctx.run_activity(echo.using(queue="nobody", schedule_to_start=0.1), 1)
    except ActivityTimeout as error:
        found.append(error.kind)
    return found


@register.workflow
def late_activity(ctx, gate):
    handle = ctx.start_activity(gated, gate, "late")
    try:
        ctx.wait_activity(handle, timeout=0.05)
    except WaitTimeout:
        ctx.wait_signal("go")
    return ctx.wait_activity(handle, timeout=600)


@register.workflow
def side_by_side(ctx, gates):
    """Two that end in the other order."""
    handles = [ctx.start_activity(gated, gate, gate) for gate in gates]
    return [ctx.wait_activity(handle) for handle in handles]


@register.workflow
def told_to_stop(ctx):
    try:
        return ctx.run_activity(echo.using(queue="nobody"), 1)
    except ActivityError as error:
        return type(error).__name__


@register.workflow
def many_steps(ctx, n):
    return sum(ctx.run_activity(echo, number) for number in range(n))


# Time and signals


@register.workflow
def sleeps(ctx, seconds):
    ctx.sleep(0)
    ctx.sleep(seconds)
    return "awake"


@register.workflow
def signals(ctx):
    found = [ctx.wait_signal("early")]
    try:
        ctx.wait_signal("missing", timeout=0.05)
    except WaitTimeout as error:
        found.append(str(error))
    found.append(ctx.wait_signal("late", timeout=600))
    found.append(ctx.wait_signal("late"))
    return found


# Recorded values


@register.workflow
def several_things(ctx):
    """Branches, a condition, races, and a timer that is stopped."""
    votes = []

    def collect():
        while True:
            votes.append(ctx.wait_signal("vote"))

    def steps(number):
        return [ctx.run_activity(echo, number), ctx.run_activity(echo, -number)]

    ctx.spawn(collect)
    timer = ctx.timer(3600)
    branch = ctx.spawn(steps, 1)
    ctx.wait_until(lambda: len(votes) >= 2, timeout=3600)
    first = ctx.select(timer=timer, go=ctx.signal("go"), timeout=600)
    return [votes, first, ctx.cancel(timer), ctx.select(timeout=0.01), ctx.gather(branch)]


@register.workflow
def side_effects(ctx):
    found = [ctx.side_effect(lambda: {"b": 1, "a": [True, None, 1.5]})]
    try:
        ctx.side_effect(lambda: 1 // 0)
    except SideEffectError as error:
        found.append(error.type_name)
    return found


@register.workflow
def chance(ctx):
    """What is drawn goes into arguments, which a replay compares."""
    numbers = [ctx.random().random(), ctx.random().randint(1, 10**9)]
    ctx.run_activity(echo, f"r:{numbers}")
    ctx.run_activity(echo, [str(ctx.uuid4()), ctx.now().isoformat()])
    ctx.random().shuffle(numbers)
    return ctx.run_activity(echo, f"r:{numbers}")


@register.workflow
def versions(ctx):
    found = [ctx.patched("first"), ctx.get_version("second", 3)]
    ctx.deprecate_patch("third")
    for number in range(2):
        found.append(ctx.patched("in-a-loop"))
        ctx.run_activity(echo, number)
    return [*found, ctx.get_version("second", 3)]


@register.workflow
def values(ctx, given):
    ctx.side_effect(lambda: given)
    signaled = ctx.wait_signal("values")
    return [ctx.run_activity(echo, given), signaled]


# Children


@register.workflow
def child(ctx, then="completes"):
    if then == "fails":
        raise ValueError("the child's own")
    if then == "waits":
        ctx.wait_signal("never")
    return then


@register.workflow
def children(ctx):
    found = [ctx.run_workflow(child)]
    for then, options in (("fails", {}), ("waits", {"timeout": 0.05})):
        try:
            ctx.run_workflow(child.using(**options), then=then)
        except WorkflowError as error:
            found.append(type(error).__name__)
    return found


@register.workflow
def canceled_child(ctx):
    handle = ctx.start_workflow(child, then="waits")
    try:
        ctx.wait_workflow(handle)
    except WorkflowError as error:
        return type(error).__name__


@register.workflow
def late_child(ctx):
    """One ends before it is waited for, another one after the wait."""
    handle = ctx.start_workflow("child")
    ctx.wait_signal("go")
    found = [ctx.wait_workflow(handle)]
    try:
        ctx.wait_workflow(ctx.start_workflow(child, then="waits"), timeout=0.05)
    except WaitTimeout:
        found.append("late")
    return found


@register.workflow
def leaves_children(ctx):
    """One goes down with it, the other does not."""
    ctx.start_workflow(child, then="waits")
    ctx.start_workflow(child.using(cancel_with_parent=False), then="waits")
    ctx.wait_signal("go")


# Ends


@register.workflow
def returns_none(ctx):
    pass


@register.workflow
def fails(ctx):
    ctx.run_activity(echo, 1)
    try:
        raise KeyError("cause")
    except KeyError as cause:
        raise RuntimeError("the workflow's own") from cause


@register.workflow
def canceled_outside(ctx):
    ctx.start_activity(echo.using(queue="nobody"), 1)
    ctx.wait_signal("never")


@register.workflow
def canceled_inside(ctx):
    try:
        ctx.wait_signal("never")
    except WorkflowCanceled as canceled:
        ctx.run_activity(echo, canceled.reason)
        raise


@register.workflow
def cancel_is_caught(ctx):
    try:
        ctx.wait_signal("never")
    except WorkflowCanceled:
        return ctx.run_activity(echo, "cleaned up")


@register.workflow
def shielded(ctx, gate):
    with ctx.shield():
        ctx.run_activity(gated, gate)
        ctx.run_activity(echo, "inside")
    ctx.run_activity(echo, "never")


@register.workflow
def blocked(ctx, gate):
    """Whoever serves it blocks what fails, until the gate is open."""
    ctx.run_activity(echo, 1)
    if not is_open(gate):
        raise RuntimeError("mend me")
    return ctx.run_activity(echo, "mended")


@register.workflow
def cancels_what_it_started(ctx):
    """An activity that nobody has begun, and a child that waits."""
    task, other = ctx.start_activity(echo.using(queue="nobody"), 1), ctx.start_workflow(child, then="waits")
    ctx.wait_signal("stop")
    answers = [ctx.cancel(task, "enough"), ctx.cancel(other, "enough")]
    ended = ctx.gather(task, other, return_exceptions=True)
    return [answers, [type(error).__name__ for error in ended], ctx.cancel(task)]


@register.workflow
def reopened(ctx, gate):
    """Fails for an activity, until the gate is open."""
    ctx.run_activity(echo, 1)
    return ctx.run_activity(refuses_until_open, gate)


@register.workflow
def updated(ctx):
    """Of two updates one fails; a third is not accepted, and leaves no trace."""
    taken = []

    def take(value):
        taken.append(ctx.run_activity(echo, value))
        if value == "bad":
            raise ValueError("bad")
        return len(taken)

    def check(value):
        if value == "refused":
            raise ValueError("refused")

    ctx.on_update("take", take, check)
    ctx.wait_signal("stop")
    return taken


@register.workflow
def typed_payloads(ctx, order: Order, after: timedelta) -> tuple[str, Order]:
    """Its result quotes what it was given at each step, so that every form is read back as what it was."""
    total = ctx.run_activity(total_of, order, at=ctx.now())
    line = ctx.wait_signal("line", type=Line)
    return repr((order, after, total, line)), order


@register.workflow
def writes_to_others(ctx):
    """To a child, and to a run that is not there."""
    other = ctx.start_workflow(child, then="waits")
    ctx.signal_workflow("hello", 1, to=other)
    ctx.cancel_workflow(to=other, reason="enough")
    try:
        ctx.signal_workflow("hello", to="00000000-0000-0000-0000-000000000000")
    except WorkflowError as error:
        return type(error).__name__


@register.workflow
def goes_on_as_new(ctx, turn=0):
    """The last turn reads what came in the first."""
    if turn < 2:
        ctx.wait_signal(f"turn-{turn}")
        ctx.continue_as_new(turn=turn + 1)
    return [turn, ctx.wait_signal("kept")]


@register.workflow
def forked(ctx):
    """From where its first activity is done, and its child is not."""
    numbers = ctx.random()
    ctx.start_workflow(child, then="waits")
    drawn = [ctx.run_activity(echo, f"r:{[numbers.random()]}")]
    ctx.wait_signal("go")
    return [*drawn, ctx.run_activity(echo, f"r:{[numbers.random()]}")]


@register.workflow
def asks_people(ctx):
    """One answers, one question is withdrawn, one is answered by nobody."""
    answer = ctx.ask("Ship it?", form=["yes", "no"], assignee="ann")
    withdrawn = ctx.start_ask("Or never?")
    ctx.cancel(withdrawn, "nobody needs to know")
    ends = ctx.gather(withdrawn, ctx.start_ask("Now?", timeout=0.05), return_exceptions=True)
    return [answer, *[type(end).__name__ for end in ends]]


# What others may read


@register.workflow
def tells_others(ctx):
    ctx.set_event("stage", {"done": 1})
    ctx.publish([1, 2])
    ctx.publish(None, stream="other")
    ctx.sleep(0.05)
    ctx.set_event("stage", None)


# In the middle of their lives


@register.workflow
def hit_by_a_crash(ctx, gate):
    return ctx.run_activity(goes_on, gate)


@register.workflow
def in_backoff(ctx, gate):
    return ctx.run_activity(fails_until_open, gate)


@register.workflow
def waits_for_child(ctx):
    return ctx.run_workflow(child_that_waits)


@register.workflow
def child_that_waits(ctx):
    return ctx.wait_signal("go")


@register.workflow
def queued_elsewhere(ctx):
    return ctx.run_activity(echo.using(queue="later", retry_policy=ONCE), "elsewhere")
