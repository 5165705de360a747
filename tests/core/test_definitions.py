"""The registry: what can be registered, under which name, with which options; and what is refused at once."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_core.definitions import DuplicateName, Registry, remote_activity, remote_workflow
from durable_core.errors import ConfigurationError, UnknownActivityError, UnknownQueryError, UnknownWorkflowError
from durable_core.options import LONGEST, ActivityOptions, ExecutorKind, as_timedelta
from durable_core.retry import DEFAULT_RETRY_POLICY, RetryPolicy


@pytest.fixture
def registry():
    return Registry()


# Names


def test_a_decorated_function_stays_the_function_it_was(registry):
    @registry.workflow
    def onboard(ctx, user_id):
        return user_id

    @registry.activity()
    def send(user_id):
        return user_id

    assert onboard(None, 7) == send(7) == 7
    assert registry.find_workflow("onboard").fn is onboard
    assert registry.find_workflow(onboard) is registry.find_workflow("onboard")
    assert registry.find_activity(send).name == "send"
    assert (onboard.__name__, send.__name__) == ("onboard", "send")


def test_a_name_may_be_given_and_then_is_the_identity(registry):
    @registry.workflow(name="onboard-user", timeout=3600, queue="slow")
    def onboard(ctx): ...

    definition = registry.find_workflow("onboard-user")
    assert (definition.options.timeout, definition.options.queue) == (timedelta(hours=1), "slow")
    with pytest.raises(UnknownWorkflowError, match="Did you mean 'onboard-user'"):
        registry.find_workflow("onboard")


def test_unknown_names_come_with_the_nearest_ones(registry):
    registry.activity_from(lambda: None, name="send_mail")
    with pytest.raises(
        UnknownActivityError, match=r"Unknown activity 'send_mial'\. Did you mean 'send_mail'\?"
    ) as caught:
        registry.find_activity("send_mial")
    assert isinstance(caught.value, LookupError)
    with pytest.raises(UnknownActivityError, match="Registered: send_mail"):
        registry.find_activity("zzz")
    with pytest.raises(UnknownWorkflowError, match="Nothing is registered"):
        registry.find_workflow("x")


def test_a_function_that_is_not_registered_says_how_to(registry):
    def plain(): ...

    with pytest.raises(UnknownActivityError, match=r"plain is not a registered activity: decorate it with @register"):
        registry.find_activity(plain)
    registry.activity(plain)
    with pytest.raises(UnknownWorkflowError, match="not a registered workflow"):
        registry.find_workflow(plain)
    with pytest.raises(UnknownActivityError, match=r"^5 is not a registered activity: .* @register\.activity\.$"):
        registry.find_activity(5)
    with pytest.raises(UnknownWorkflowError, match=r"^5 is not a registered workflow: .* @register\.workflow\.$"):
        registry.find_workflow(5)
    with pytest.raises(UnknownWorkflowError, match=f"^{re.escape(f'{__name__}.{plain.__qualname__}')} is not"):
        registry.query(plain)(lambda execution: None)


def test_two_callables_with_one_name_are_noted_and_the_first_stays(registry):
    def make():
        def send(): ...

        return send

    def other(): ...

    first = registry.activity_from(make(), name="send")
    registry.activity_from(other, name="send")
    registry.workflow_from(lambda ctx: None, name="send")  # names of workflows are others
    where = [f"{__name__}.{fn.__qualname__}" for fn in (first, other)]
    assert registry.duplicates == [DuplicateName("activity", "send", *where)]
    assert registry.activities["send"].fn is first
    assert not hasattr(other, "using")


def test_two_workflows_with_one_name_are_noted_as_such(registry):
    def flow(ctx): ...

    def other(ctx): ...

    registry.workflow(flow)
    registry.workflow(name="flow")(other)
    where = [f"{__name__}.{fn.__qualname__}" for fn in (flow, other)]
    assert registry.duplicates == [DuplicateName("workflow", "flow", *where)]
    assert registry.find_workflow("flow").fn is flow


def test_the_same_function_may_be_registered_again_as_when_its_module_is_reloaded(registry):
    def make():
        def send(): ...

        return send

    registry.activity_from(make())
    again = registry.activity_from(make())
    assert registry.duplicates == []
    assert registry.activities["send"].fn is again


@pytest.mark.parametrize("name", ["", "x" * 201, "a\x00b", "a\ud800b", 5, b"x"])
def test_senseless_names_are_refused(registry, name):
    for register in (registry.workflow_from, registry.activity_from):
        with pytest.raises(ConfigurationError, match=r"^name is .*; expected a text of 1 to 200 characters"):
            register(lambda ctx: None, name=name)


@pytest.mark.parametrize("name", ["x" * 200, "é\U0001f600", "a b", "'; --", "%s"])
def test_any_other_text_is_a_name(registry, name):
    registry.workflow_from(lambda ctx: None, name=name)
    assert registry.find_workflow(name).name == name


# What can be registered


async def _coroutine(ctx): ...


def _generator(ctx):
    yield


async def _async_generator(ctx):
    yield


@pytest.mark.parametrize("fn", [_generator, _async_generator])
def test_a_workflow_is_no_generator(registry, fn):
    with pytest.raises(ConfigurationError, match="is a generator function"):
        registry.workflow(fn)


def test_a_workflow_may_be_async(registry):
    registry.workflow(_coroutine)
    assert registry.find_workflow("_coroutine").is_async


@pytest.mark.parametrize("fn", [_generator, _async_generator])
def test_an_activity_is_no_generator(registry, fn):
    with pytest.raises(ConfigurationError, match="is a generator function"):
        registry.activity(fn)


@pytest.mark.parametrize("fn", [lambda: None, lambda *, ctx: None, lambda **kwargs: None])
def test_a_workflow_takes_the_context_first(registry, fn):
    with pytest.raises(ConfigurationError, match="takes no context"):
        registry.workflow(fn)


def test_the_parameter_timeout_is_reserved(registry):
    with pytest.raises(ConfigurationError, match="'timeout'"):
        registry.workflow(lambda ctx, timeout: None)


@pytest.mark.parametrize("fn", [functools.partial(print), 5, "print", print, Registry().find_query])
def test_what_is_no_function_is_refused(registry, fn):
    for register in (registry.workflow_from, registry.activity_from):
        with pytest.raises(ConfigurationError, match="cannot be registered"):
            register(fn, name="named")


def test_async_activities_are_known_as_such(registry):
    registry.activity(_coroutine)
    registry.activity_from(lambda: None, name="sync")
    assert registry.find_activity("_coroutine").is_async
    assert not registry.find_activity("sync").is_async


# Calls


def test_arguments_that_do_not_fit_are_refused_with_the_signature(registry):
    registry.activity_from(lambda a, *, b=1: None, name="act")
    registry.workflow_from(lambda ctx, a, *, b=1: None, name="flow")
    registry.find_activity("act").check_input((1,), {"b": 2})
    registry.find_workflow("flow").check_input({"a": 1})
    with pytest.raises(TypeError, match=r"activity 'act': .* its signature is act\(a, \*, b=1\)"):
        registry.find_activity("act").check_input((1, 2), {})
    with pytest.raises(TypeError, match=r"workflow 'flow': .* its signature is flow\(ctx, a, \*, b=1\)"):
        registry.find_workflow("flow").check_input({"b": 1})


@pytest.mark.parametrize(
    ("fn", "args", "fits"),
    [
        (lambda a, b=2: None, (), False),
        (lambda a, b=2: None, (1,), True),
        (lambda a, b=2: None, (1, 2), True),
        (lambda a, b=2: None, (1, 2, 3), False),
        (lambda a, /: None, (1,), True),
        (lambda *many: None, (1, 2, 3), True),
        (lambda a, *many: None, (), False),
        (lambda a, *, b: None, (1,), False),
        (lambda a=1, *, b: None, (), False),
        (lambda *, b=1: None, (), True),
        (lambda **rest: None, (), True),
    ],
)
def test_positional_arguments_fit_or_are_refused(registry, fn, args, fits):
    registry.activity_from(fn, name="act")
    definition = registry.find_activity("act")
    if fits:
        definition.check_input(args, {})
    else:
        with pytest.raises(TypeError, match="activity 'act'"):
            definition.check_input(args, {})


# Elsewhere


def test_a_remote_workflow_takes_any_input_and_the_options_of_a_start(registry):
    flow = remote_workflow("elsewhere", queue="far", timeout=5, priority=2)
    assert (flow.name, flow.options.queue, flow.options.priority) == ("elsewhere", "far", 2)
    assert flow.options.timeout == timedelta(seconds=5)
    assert registry.find_workflow(flow) is flow
    flow.check_input({"anything": 1, "more": 2})


def test_a_remote_activity_takes_any_arguments_and_the_options_of_a_call(registry):
    act = remote_activity("elsewhere", queue="far", heartbeat_timeout=5, priority=2)
    assert (act.name, act.options.queue, act.options.priority) == ("elsewhere", "far", 2)
    assert act.options.heartbeat_timeout == timedelta(seconds=5)
    assert registry.find_activity(act) is act
    act.check_input((), {})
    act.check_input((1, 2, 3), {})
    act.check_input((1,), {"anything": 2})


@pytest.mark.parametrize(("make", "kind"), [(remote_workflow, "workflow"), (remote_activity, "activity")])
def test_a_remote_definition_needs_a_name_and_a_queue_and_has_no_code(make, kind):
    with pytest.raises(ConfigurationError, match=rf"^the name of a remote {kind} is ''"):
        make("", queue="far")
    with pytest.raises(ConfigurationError, match=r"^elsewhere: queue is ''"):
        make("elsewhere", queue="")
    with pytest.raises(AssertionError, match="is in another process"):
        make("elsewhere", queue="far").fn()


# Options


def test_using_returns_a_changed_copy(registry):
    @registry.activity(timeout=60, queue="mail")
    def send(): ...

    changed = send.using(timeout=5, priority=9)
    assert (changed.options.timeout, changed.options.queue, changed.options.priority) == (
        timedelta(seconds=5),
        "mail",
        9,
    )
    assert registry.find_activity(send).options.timeout == timedelta(seconds=60)
    assert registry.find_activity(changed) is changed
    assert changed.using(timeout=None).options.timeout is None
    assert send.using().retry_policy is DEFAULT_RETRY_POLICY
    policy = RetryPolicy(maximum_attempts=2)
    assert send.using(retry_policy=policy).retry_policy is policy


def test_a_decorator_takes_the_options_of_its_activities(registry):
    policy = RetryPolicy(retry_if=bool)  # each worker has the decorator

    @registry.activity(
        name="mail",
        retry_policy=policy,
        timeout=1,
        schedule_to_start=2,
        start_to_close=3,
        heartbeat_timeout=4,
        queue="slow",
        priority=5,
    )
    def send(): ...

    one = timedelta(seconds=1)
    assert registry.find_activity("mail").options == ActivityOptions(
        retry_policy=policy,
        timeout=one,
        schedule_to_start=2 * one,
        start_to_close=3 * one,
        heartbeat_timeout=4 * one,
        queue="slow",
        priority=5,
    )
    with pytest.raises(ConfigurationError, match=r"^mail: timeout is -1"):
        registry.activity(name="mail", timeout=-1)(send)
    with pytest.raises(ConfigurationError, match=r"^flow: timeout is -1"):
        registry.workflow(name="flow", timeout=-1)(lambda ctx: None)


def test_workflows_take_the_options_of_a_start(registry):
    @registry.workflow
    def flow(ctx): ...

    at = datetime(2027, 1, 1, tzinfo=UTC)
    options = flow.using(workflow_id="user-7", run_after=60, queue="q", priority=-5, timeout=3600).options
    assert (options.workflow_id, options.run_after, options.timeout) == (
        "user-7",
        timedelta(minutes=1),
        timedelta(hours=1),
    )
    assert flow.using(run_after=at).options.run_after == at


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tiemout": 5}, "it.using() got an unknown option 'tiemout'. Did you mean 'timeout'?"),
        ({"timeout": -1}, "it: timeout is -1; expected 0 or more"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"timeout": timedelta.max}, "at most 365,000 days"),
        ({"timeout": "5"}, "expected seconds"),
        ({"timeout": True}, "expected seconds"),
        ({"queue": ""}, "queue is ''"),
        ({"queue": 5}, "queue is 5"),
        ({"priority": 1.5}, "priority is 1.5"),
        ({"priority": True}, "priority is True"),
        ({"priority": 40_000}, "-32768 to 32767"),
    ],
)
def test_senseless_options_are_refused(registry, options, message):
    registry.activity_from(lambda: None, name="it")
    registry.workflow_from(lambda ctx: None, name="it")
    for definition in (registry.find_activity("it"), registry.find_workflow("it")):
        with pytest.raises(ConfigurationError) as caught:
            definition.using(**options)
        assert message in str(caught.value)


def test_senseless_options_of_one_kind_are_refused(registry):
    registry.activity_from(lambda: None, name="a")
    registry.workflow_from(lambda ctx: None, name="w")
    activity, workflow = registry.find_activity("a"), registry.find_workflow("w")
    with pytest.raises(ConfigurationError, match="expected a RetryPolicy"):
        activity.using(retry_policy={"maximum_attempts": 3})
    with pytest.raises(ConfigurationError, match=r"^a\.using\(\) got .* put retry_if into the policy of the decorator"):
        activity.using(retry_policy=RetryPolicy(retry_if=bool))
    with pytest.raises(ConfigurationError, match="naive time"):
        workflow.using(run_after=datetime(2027, 1, 1))  # noqa: DTZ001 - that is the mistake
    with pytest.raises(ConfigurationError, match="workflow_id"):
        workflow.using(workflow_id="x" * 201)
    with pytest.raises(ConfigurationError, match="unknown option 'heartbeat_timeout'"):
        workflow.using(heartbeat_timeout=1)


# Durations


@given(st.floats() | st.integers() | st.timedeltas())
def test_a_duration_is_one_that_a_date_can_take_or_an_error(value):
    try:
        span = as_timedelta(value, what="it")
    except ConfigurationError:
        return
    assert span is not None
    assert timedelta(0) <= span <= LONGEST
    assert (datetime(2100, 1, 1, tzinfo=UTC) + span + span + span).year < 6000


def test_none_is_no_duration():
    assert as_timedelta(None, what="it") is None
    assert as_timedelta(0, what="it") == timedelta(0)
    assert as_timedelta(1.5, what="it") == timedelta(seconds=1.5)


# Queries


def test_queries_are_found_by_workflow_and_name(registry):
    @registry.query("later", name="progress")
    def of_a_later_workflow(execution): ...

    assert registry.orphan_queries == [("later", "progress")]

    @registry.workflow
    def later(ctx): ...

    @registry.query(later)
    def count(execution): ...

    assert registry.orphan_queries == []
    assert registry.find_query("later", "progress") is of_a_later_workflow
    assert registry.find_query("later", "count") is count
    with pytest.raises(UnknownQueryError, match="Did you mean 'progress'"):
        registry.find_query("later", "progres")
    says = r"^Workflow 'later' has no query 'zzz'\. Registered: count, progress, status"
    with pytest.raises(UnknownQueryError, match=says):
        registry.find_query("later", "zzz")


# Positional arguments


def test_positional_arguments_of_a_workflow_become_its_keywords(registry):
    @registry.workflow
    def onboard(ctx, user_id, plan="free", *, trial=False): ...

    definition = registry.find_workflow(onboard)
    assert definition.named((7,), {"trial": True}) == {"user_id": 7, "trial": True}
    assert definition.named((7, "pro"), {}) == {"user_id": 7, "plan": "pro"}
    assert definition.named((), {"user_id": 7}) == {"user_id": 7}
    with pytest.raises(TypeError, match=r"3 positional arguments were given, and it takes 2; its signature is onboard"):
        definition.named((7, "pro", True), {})
    with pytest.raises(TypeError, match="'user_id' was given twice"):
        definition.named((7,), {"user_id": 8})


def test_what_runs_at_most_once_has_no_retry_policy(registry):
    def send(): ...

    with pytest.raises(ConfigurationError, match="never retried"):
        registry.activity_from(send, name="both", at_most_once=True, retry_policy=RetryPolicy())
    with pytest.raises(ConfigurationError, match="at_most_once is 1; expected True or False"):
        registry.activity_from(send, name="number", at_most_once=1)
    registry.activity_from(send, name="often", retry_policy=RetryPolicy())
    assert registry.activities["often"].using(at_most_once=True).options.at_most_once
    registry.activity_from(send, name="once", at_most_once=True)
    with pytest.raises(ConfigurationError, match="never retried"):
        registry.activities["once"].using(retry_policy=RetryPolicy())
    assert registry.activities["once"].using(at_most_once=False, retry_policy=RetryPolicy()).options.retry_policy


def test_what_performs_an_activity_is_chosen_in_its_decorator(registry):
    def len_of():
        pass

    async def fetch():
        pass

    with pytest.raises(ConfigurationError, match="executor is 'fork'; expected one of thread, process"):
        registry.activity_from(len_of, name="forked", executor="fork")
    with pytest.raises(ConfigurationError, match="is async and has executor='process'"):
        registry.activity_from(fetch, executor="process")
    with pytest.raises(ConfigurationError, match="is transactional and has executor='process'"):
        registry.activity_from(len_of, name="both", executor="process", transactional=True)
    registry.activity_from(len_of, name="there", executor="process", at_most_once=True)
    assert registry.activities["there"].executor is ExecutorKind.PROCESS
    with pytest.raises(ConfigurationError, match="put it into the decorator"):
        registry.activities["there"].using(executor="thread")
    registry.activity_from(len_of, name="here")
    assert registry.activities["here"].executor is ExecutorKind.THREAD


def test_what_is_transactional_need_not_run_at_most_once(registry):
    def send(): ...

    with pytest.raises(ConfigurationError, match="transactional and at_most_once"):
        registry.activity_from(send, name="both", at_most_once=True, transactional=True)
    registry.activity_from(send, name="books", transactional=True)
    with pytest.raises(ConfigurationError, match="transactional and at_most_once"):
        registry.activities["books"].using(at_most_once=True)
