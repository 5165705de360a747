"""Payloads as the annotations of functions say: at the call, in the code, and on every replay."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from durable_core import events as e
from durable_core.definitions import Registry, remote_activity, remote_workflow
from durable_core.errors import CodeFailed, PayloadError
from durable_core.execution import Status
from tests.core.stories import Story, child_completed, completed, loads, signal
from tests.core.test_worker import Bench, blocked

if TYPE_CHECKING:
    from fractions import Fraction  # not there at run time

MOMENT = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)


@dataclass
class Order:
    id: UUID
    total: Decimal
    due: date | None = None


ORDER = Order(UUID(int=7), Decimal("9.50"))
STORED = {"id": "00000000-0000-0000-0000-000000000007", "total": "9.50", "due": None}


@pytest.fixture
def registry():
    registry = Registry()

    @registry.activity
    def price(order: Order, *discounts: Decimal, on: date | None = None) -> Decimal:
        return Decimal(0)

    @registry.activity
    def plain(n: int, name: str = "", **more: float) -> dict[str, int]:
        return {}

    @registry.workflow
    def child(ctx, order: Order, after: timedelta = timedelta(0)) -> set[UUID]:
        return set()

    return registry


# In a workflow


def test_arguments_are_stored_as_json_and_results_come_as_annotated(registry):
    seen = []

    def fn(ctx):
        total = ctx.run_activity("price", ORDER, Decimal("0.1"), on=date(2026, 1, 31))
        found = ctx.run_workflow("child", order=ORDER, after=timedelta(hours=1))
        seen.append((total, found))

    story = Story(fn, registry=registry)
    [asked] = story.start().activities
    assert loads(asked.input) == {"args": [STORED, "0.1"], "kwargs": {"on": "2026-01-31"}}
    [child] = story.give(completed(0, "8.55")).children
    assert loads(child.input) == {"order": STORED, "after": "P0DT3600S"}
    story.give(child_completed(1, [str(ORDER.id)]))
    story.check()
    assert set(map(repr, seen)) == {repr((Decimal("8.55"), {ORDER.id}))}
    assert len(seen) > 1  # on replay the same


def test_handles_convert_wherever_they_are_waited_for(registry):
    def fn(ctx):
        one, two = ctx.start_activity("price", ORDER), ctx.start_activity("price", ORDER)
        _, first = ctx.select(one=one, two=two)
        return [repr(value) for value in (first, *ctx.gather(one, two), ctx.wait(two))]

    story = Story(fn, registry=registry)
    story.start()
    story.give(completed(0, "1"))
    story.give(completed(1, "2"))
    assert story.result == ["Decimal('1')", "Decimal('1')", "Decimal('2')", "Decimal('2')"]
    story.check()


def test_local_activities_are_as_annotated():
    bench = Bench()

    @bench.registry.activity
    def later(on: date) -> date:
        return on + timedelta(days=1)

    @bench.registry.workflow
    def looks(ctx) -> date:
        with pytest.raises(PayloadError, match="parameter 'on' of activity 'later'"):
            ctx.run_local_activity("later", "someday")
        found: date = ctx.run_local_activity("later", date(2026, 1, 31))
        return found

    run_id = bench.start("looks")
    bench.drive(run_id)
    assert bench.result(run_id) == date(2026, 2, 1)


def test_items_of_a_batch_are_as_annotated(registry):
    def fn(ctx):
        with pytest.raises(PayloadError, match="parameter 'order' of activity 'price'"):
            ctx.map("price", [ORDER, "order 7"])
        prices = ctx.map("price", [ORDER]).results
        return [repr(value) for value in (*prices, *ctx.map("child", [ORDER]).results)]

    story = Story(fn, registry=registry)
    [asked] = story.start().activities
    assert loads(asked.input) == {"args": [STORED], "kwargs": {}}
    [child] = story.give(completed(asked.call_id, "1")).children
    assert loads(child.input) == {"order": STORED}
    story.give(child_completed(child.call_id, [str(ORDER.id)]))
    assert story.result == ["Decimal('1')", repr({ORDER.id})]
    story.check()


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        (
            "order 7",
            r"parameter 'order' of activity 'price' does not fit its annotation: found 'order 7' \(str\), expected O",
        ),
        ({"id": "x", "total": "1"}, r"parameter 'order' .* expected UUID .* at \$\.id"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_call_and_leaves_nothing(registry, order, problem):
    def fn(ctx):
        with pytest.raises(PayloadError, match=problem):
            ctx.run_activity("price", order)
        with pytest.raises(PayloadError, match="parameter 'after' of workflow 'child'"):
            ctx.start_workflow("child", order=ORDER, after=5)
        return "refused"

    story = Story(fn, registry=registry)
    story.start()
    assert story.types == ["workflow_started", "workflow_completed"]
    story.check()


def test_a_refused_call_is_refused_on_replay_where_the_next_is_of_the_same_name(registry):
    def fn(ctx):
        try:
            ctx.run_activity("price", "order 7")
        except PayloadError:
            return repr(ctx.run_activity("price", ORDER))

    story = Story(fn, registry=registry)
    story.start()
    story.give(completed(0, "1"))
    assert story.result == "Decimal('1')"
    story.check()


def test_a_call_of_the_history_stands_though_its_annotation_is_another_now(registry):
    def fn(ctx):
        return str(ctx.run_activity("price", ORDER))

    story = Story(fn, registry=registry)
    story.start()
    registry.activities.clear()

    @registry.activity
    def price(order: date) -> Decimal:
        return Decimal(0)

    story.evict()
    story.give(completed(0, "1"))
    assert story.result == "1"


def test_a_result_that_does_not_fit_any_more_blocks_the_run(registry):
    def fn(ctx):
        try:
            ctx.run_activity("price", ORDER)
        except Exception:  # noqa: BLE001 - as users do
            return "caught"

    story = Story(fn, registry=registry)
    story.start()
    with pytest.raises(CodeFailed, match="the result of activity 'price' does not fit its annotation: found 'much'"):
        story.give(completed(0, "much"))


def test_an_input_that_does_not_fit_blocks_the_run():
    def fn(ctx, on: date): ...

    story = Story(fn, on="someday")
    with pytest.raises(CodeFailed, match=r"parameter 'on' of workflow 'story' .*found 'someday'"):
        story.start()


def test_input_and_result_of_a_workflow_are_as_annotated():
    def fn(ctx, on: date, *, order: Order, note=None) -> tuple[date, Order]:
        assert (type(on), type(order)) == (date, Order)
        return on + timedelta(days=1), order

    story = Story(fn, on="2026-01-31", order=STORED, note={"a": [1]})
    story.start()
    assert story.result == ["2026-02-01", STORED]
    story.check()


def test_a_result_that_is_not_what_is_annotated_fails_the_run():
    def fn(ctx) -> date:
        return None  # type: ignore[return-value]

    decision = Story(fn).start()
    assert decision.status is Status.FAILED
    said = "the result of workflow 'story' does not fit its annotation: found None, expected date (2026-01-31)."
    assert decision.error == f"PayloadError: {said}"


def test_a_signal_comes_as_the_type_that_the_wait_names():
    def fn(ctx):
        order = ctx.wait_signal("order", type=Order)
        name, on = ctx.select(day=ctx.signal("day", type=date))
        try:
            ctx.wait_signal("order", type=Order)
        except PayloadError as error:
            return [repr(order), name, repr(on), str(error), ctx.wait_signal("order")]

    story = Story(fn)
    story.start()
    for name, payload in [("order", STORED), ("day", "2026-01-31"), ("order", {"id": 1}), ("order", STORED)]:
        story.give(signal(name, payload))
    order, name, on, error, as_it_is = story.result
    assert (order, name, on) == (repr(ORDER), "day", "datetime.date(2026, 1, 31)")
    assert "the payload of signal 'order' does not fit its annotation" in error
    assert as_it_is == STORED
    story.check()


def test_continue_as_new_writes_the_input_as_the_annotations_say():
    def fn(ctx, on: date):
        ctx.continue_as_new(on=on + timedelta(days=1))

    end = Story(fn, on="2026-01-31").start().continued
    assert isinstance(end, e.WorkflowContinuedAsNew)
    assert loads(end.input) == {"on": "2026-02-01"}


def test_functions_elsewhere_get_values_by_what_they_are():
    def fn(ctx):
        ctx.start_activity(remote_activity("far", queue="q"), ORDER, on=[date(2026, 1, 31)])
        ctx.start_workflow(remote_workflow("away", queue="q"), order=ORDER)

    decision = Story(fn).start()
    assert loads(decision.activities[0].input) == {"args": [STORED], "kwargs": {"on": ["2026-01-31"]}}
    assert loads(decision.children[0].input) == {"order": STORED}


# Nothing to do


def test_plain_annotations_cost_nothing_and_change_nothing(registry):
    typed = registry.activities["plain"].typed
    args, kwargs = ("7",), {"name": 5}
    assert typed.dump_arguments(args, kwargs) == (args, kwargs)
    assert typed.dump_arguments(args, kwargs)[0] is args
    assert typed.if_result is None


def test_a_parameter_that_is_none_by_default_takes_none():
    registry = Registry()

    @registry.activity
    def plan(on: date = None): ...  # type: ignore[assignment]  # noqa: RUF013 - as people write it

    typed = registry.activities["plan"].typed
    assert typed.dump_arguments((None,), {}) == ([None], {})
    assert typed.load_arguments(["2026-01-31"], {}) == ([date(2026, 1, 31)], {})


def test_an_annotation_that_is_not_there_at_run_time_is_told_of():
    registry = Registry()

    @registry.activity
    def scale(by: Fraction, on: date) -> None: ...

    typed = registry.activities["scale"].typed
    assert typed.unresolved == ("Fraction",)
    assert typed.load_arguments(["1/2", "2026-01-31"], {}) == (["1/2", date(2026, 1, 31)], {})


# Through a worker


def test_activities_get_and_give_what_is_annotated_and_so_do_callers():
    bench = Bench()
    seen = []

    @bench.registry.activity
    def raise_price(order: Order, *, by: Decimal = Decimal(1)) -> Order:
        seen.append((order, by))
        return Order(order.id, order.total + by, date(2026, 1, 31))

    @bench.registry.workflow
    def sells(ctx, order: Order) -> Order:
        raised: Order = ctx.run_activity(raise_price, order, by=Decimal("0.5"))
        return raised

    run_id = bench.start("sells", order=ORDER)
    bench.drive(run_id)
    assert seen == [(ORDER, Decimal("0.5"))]
    assert bench.result(run_id) == Order(ORDER.id, Decimal("10.00"), date(2026, 1, 31))
    with pytest.raises(PayloadError, match="parameter 'order' of workflow 'sells'"):
        bench.start("sells", order="7")


def test_a_result_that_does_not_fit_fails_the_activity_after_one_effect():
    bench = Bench()
    effects = []

    @bench.registry.activity
    def counts() -> Decimal:
        effects.append(1)
        return None  # type: ignore[return-value]

    @bench.registry.workflow
    def asks(ctx):
        return ctx.run_activity(counts)

    run_id = bench.start("asks")
    bench.drive(run_id)
    assert len(effects) == 1
    assert "the result of activity 'counts' does not fit its annotation" in bench.client.find(run_id).error


def test_a_run_that_was_blocked_by_an_annotation_goes_on_when_it_is_put_right():
    bench = Bench(cache_size=0)

    @bench.registry.workflow(name="plans")
    def wrong(ctx, on: Decimal):
        return ctx.wait_signal("go")

    with pytest.raises(PayloadError):
        bench.start("plans", on="someday")
    wrong_definition = bench.registry.workflows.pop("plans")

    @bench.registry.workflow(name="plans")
    def right(ctx, on: str):
        return on

    run_id = bench.start("plans", on="someday")
    right_definition = bench.registry.workflows["plans"]
    bench.registry.workflows["plans"] = wrong_definition
    bench.drive(run_id, to=blocked)
    assert "parameter 'on' of workflow 'plans'" in bench.client.find(run_id).error
    bench.registry.workflows["plans"] = right_definition
    bench.clock.advance(timedelta(minutes=1))
    bench.drive(run_id)
    assert bench.result(run_id) == "someday"
