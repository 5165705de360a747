"""Queries of live state: answered by code that was brought back for it, and that changes nothing."""

from __future__ import annotations

import pytest

from durable_core.errors import (
    ConfigurationError,
    DurableError,
    NondeterminismError,
    PayloadError,
    QueryFailed,
    UnknownQueryError,
)
from durable_core.execution import Status
from durable_core.querying import ask
from tests.core.test_worker import Bench


def counts(bench):
    """A run that has seen some items, and answers for them."""
    seen = []

    @bench.registry.activity
    def note(item):
        seen.append(item)

    @bench.registry.workflow
    def collects(ctx, most=3):
        items: list[str] = []
        ctx.on_query("items", lambda: items)
        ctx.on_query("is_there", lambda item, *, twice=False: items.count(item) > twice)
        while len(items) < most:
            items.append(ctx.wait_signal("item"))
            ctx.run_activity(note, items[-1])
        return len(items)

    return seen


def question(bench, run_id, name, registry=None, watch=None, **payload):
    loaded = bench.store.load([run_id])[run_id]
    return ask(loaded, name, payload, registry=registry or bench.registry, settings=bench.settings.run, watch=watch)


def begun(bench, *items, name="collects"):
    run_id = bench.start(name)
    for item in items:
        bench.client.signal(run_id, "item", item)
    bench.worker().run(until_idle=True)
    return run_id


def test_the_code_answers_from_its_variables_again_and_again():
    bench = Bench()
    seen = counts(bench)
    run_id = begun(bench, "a", "b")
    before = bench.store.load([run_id])[run_id]
    assert question(bench, run_id, "items") == ["a", "b"]
    assert question(bench, run_id, "is_there", item="b") is True
    assert question(bench, run_id, "is_there", item="b", twice=True) is False
    assert bench.store.load([run_id])[run_id] == before
    assert seen == ["a", "b"]
    bench.client.signal(run_id, "item", "c")
    assert question(bench, run_id, "items") == ["a", "b"]  # nobody has read it yet
    bench.drive(run_id)
    assert question(bench, run_id, "items") == ["a", "b", "c"]


def test_the_answer_is_what_the_codec_makes_of_it():
    bench = Bench()

    @bench.registry.workflow
    def odd(ctx):
        ctx.on_query("pair", lambda: (1, {2: "x"}))
        ctx.on_query("set", lambda: {1})
        ctx.on_query("same", lambda given: given)
        ctx.wait_signal("go")

    run_id = begun(bench, name="odd")
    assert question(bench, run_id, "pair") == [1, {"2": "x"}]
    assert question(bench, run_id, "same", given=(1,)) == [1]
    with pytest.raises(PayloadError, match="the answer of query 'set'"):
        question(bench, run_id, "set")
    with pytest.raises(PayloadError, match="the payload of query 'same'"):
        question(bench, run_id, "same", given=object())


def test_the_last_handler_answers():
    bench = Bench()

    @bench.registry.workflow
    def stages(ctx):
        ctx.on_query("stage", lambda: 1)
        ctx.wait_signal("item")
        ctx.on_query("stage", lambda: 2)
        ctx.wait_signal("item")

    first, second = begun(bench, name="stages"), begun(bench, None, name="stages")
    assert [question(bench, run_id, "stage") for run_id in (first, second)] == [1, 2]


@pytest.mark.parametrize(
    "use",
    [
        lambda ctx: ctx.run_activity("note", 1),
        lambda ctx: ctx.sleep(1),
        lambda ctx: ctx.wait_signal("item"),
        lambda ctx: ctx.side_effect(list),
        lambda ctx: ctx.random(),
        lambda ctx: ctx.patched("x"),
        lambda ctx: ctx.spawn(list),
        lambda ctx: ctx.wait_until(lambda: True),
        lambda ctx: ctx.continue_as_new(),
        lambda ctx: ctx.on_query("other", list),
        lambda ctx: ctx.shield().__enter__(),
    ],
)
@pytest.mark.parametrize("closed", [False, True])
def test_a_handler_may_not_use_ctx(use, closed):
    bench = Bench()
    counts(bench)

    @bench.registry.workflow
    def tries(ctx):
        ctx.on_query("try", lambda: use(ctx))
        ctx.on_query("now", lambda: [ctx.now().year, ctx.info.workflow_name])
        ctx.wait_signal("item")

    run_id = begun(bench, name="tries")
    if closed:
        bench.client.cancel(run_id)
    length = len(bench.store.load([run_id])[run_id].events)
    with pytest.raises(DurableError, match="inside the handler of a query"):
        question(bench, run_id, "try")
    assert question(bench, run_id, "now") == [bench.clock.now().year, "tries"]
    assert len(bench.store.load([run_id])[run_id].events) == length


def test_names_and_keywords_that_do_not_fit_say_what_would():
    bench = Bench()
    counts(bench)

    @bench.registry.query("collects", name="summary")
    def summary(execution): ...

    run_id = begun(bench)
    with pytest.raises(UnknownQueryError, match="Did you mean 'items'"):
        question(bench, run_id, "item")
    with pytest.raises(UnknownQueryError, match="Registered: is_there, items, status, summary"):
        question(bench, run_id, "zzz")
    with pytest.raises(TypeError, match=r"query 'is_there'.*its signature is is_there\(item, \*, twice=False\)"):
        question(bench, run_id, "is_there", thing=1)


@pytest.mark.parametrize(
    ("name", "handler", "error"),
    [("status", list, ConfigurationError), ("", list, ConfigurationError), ("a", 1, TypeError)],
)
def test_a_registration_that_cannot_work_raises_in_the_code(name, handler, error):
    bench = Bench()

    @bench.registry.workflow
    def wrong(ctx):
        ctx.on_query(name, handler)

    run_id = bench.start("wrong")
    bench.drive(run_id)
    assert bench.client.find(run_id).error.startswith(error.__name__)


def test_what_the_handler_raises_reaches_who_asked_and_nobody_else():
    bench = Bench()

    @bench.registry.workflow
    def fails(ctx):
        ctx.on_query("fail", lambda: int("no number"))
        ctx.wait_signal("item")

    run_id = begun(bench, name="fails")
    with pytest.raises(ValueError, match="no number"):
        question(bench, run_id, "fail")
    bench.client.signal(run_id, "item")
    bench.drive(run_id)
    assert bench.client.find(run_id).status is Status.COMPLETED


def test_a_mismatch_is_an_error_of_the_query():
    bench, changed = Bench(), Bench()
    counts(bench)

    @changed.registry.workflow(name="collects")
    def other(ctx, most=3):
        ctx.on_query("items", lambda: "wrong")
        ctx.sleep(1)

    run_id = begun(bench, "a")
    with pytest.raises(QueryFailed, match="NondeterminismError: The history holds") as caught:
        question(bench, run_id, "items", registry=changed.registry)
    assert isinstance(caught.value.__cause__, NondeterminismError)
    assert caught.value.execution_id == run_id
    assert bench.client.find(run_id).status is Status.RUNNING


def test_a_run_without_code_or_without_beginning_cannot_answer():
    bench = Bench()
    counts(bench)
    run_id = bench.start("collects")
    with pytest.raises(UnknownQueryError, match="PENDING, and no worker has begun it"):
        question(bench, run_id, "items")
    with pytest.raises(QueryFailed, match="its code is not here"):
        question(bench, run_id, "items", registry=Bench().registry)
    bench.client.cancel(run_id)
    with pytest.raises(UnknownQueryError, match="CANCELED, and no worker has begun it"):
        question(bench, run_id, "items")


@pytest.mark.parametrize("graceful", [False, True])
def test_a_canceled_run_answers_as_its_code_left_things(graceful):
    bench = Bench()
    counts(bench)
    run_id = begun(bench, "a")
    bench.client.signal(run_id, "item", "too late")
    bench.client.cancel(run_id, graceful=graceful)
    bench.worker().run(until_idle=True)
    assert bench.client.find(run_id).status is Status.CANCELED
    assert question(bench, run_id, "items") == (["a", "too late"] if graceful else ["a"])


def test_code_that_is_stuck_while_it_is_brought_back_or_answers_is_stopped():
    bench = Bench()
    counts(bench)
    run_id = begun(bench, "a")

    class StopsAtOnce:
        def over(self, run):
            return self

        def __enter__(self): ...

        def __exit__(self, *_):
            from durable_core.errors import CodeStuck

            raise CodeStuck

    with pytest.raises(QueryFailed, match="ran for too long"):
        question(bench, run_id, "items", watch=StopsAtOnce())
