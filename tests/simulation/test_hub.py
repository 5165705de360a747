"""What worlds are made of: turns, time, death, pauses, and all interleavings."""

from __future__ import annotations

from contextlib import suppress
from math import comb
from random import Random

import pytest

from durable_core.ports import WorkerInfo, new_id
from tests.simulation.hub import SECOND, Exhausted, Hub, Process
from tests.simulation.interleaving import interleavings
from tests.simulation.rim import Storm, store_of
from tests.simulation.threads import SimulatedThreads
from tests.simulation.weather import Fault, drawn
from tests.simulation.world import World


@pytest.fixture
def hub() -> Hub:
    return Hub(Random(1))


def test_time_moves_only_when_all_wait(hub: Hub) -> None:
    seen = []

    def sleep() -> None:
        hub.wait(2.0)
        seen.append(("slept", hub.now / SECOND))

    def work() -> None:
        for _ in range(50):
            hub.point()
        seen.append(("worked", hub.now / SECOND))

    process = Process(hub, "p")
    hub.spawn(process, "sleeper", sleep)
    hub.spawn(process, "worker", work)
    assert hub.run(lambda: False) is False
    assert seen == [("worked", 0.0), ("slept", 2.0)]


def test_what_a_killed_process_does_on_its_way_reaches_nobody(hub: Hub) -> None:
    process = Process(hub, "p")
    reached, unwound = [], []

    def call() -> None:
        hub.point()
        reached.append(1)

    def work() -> None:
        try:
            hub.wait()
        finally:
            unwound.append(1)
            call()

    hub.spawn(process, "a", work)
    hub.spawn(process, "b", work)
    hub.call_in(1.0, lambda: hub.kill(process))
    hub.run(lambda: False)
    assert (unwound, reached, process.strands, hub.failures) == ([1, 1], [], [], [])


def test_paused_process_stands_still_while_others_go_on(hub: Hub) -> None:
    paused, other = Process(hub, "p"), Process(hub, "q")
    seen = []

    def tick(name: str) -> None:
        for _ in range(3):
            hub.wait(1.0)
            seen.append((name, round(hub.now / SECOND)))

    hub.spawn(paused, "a", lambda: tick("paused"))
    hub.spawn(other, "b", lambda: tick("other"))
    hub.pause(paused, 10.0)
    hub.run(lambda: False)
    assert seen[:3] == [("other", 1), ("other", 2), ("other", 3)]
    assert [moment for _, moment in seen[3:]] == [11, 12, 13]


def test_interruption_is_raised_when_the_strand_goes_on(hub: Hub) -> None:
    process = Process(hub, "p")
    threads = SimulatedThreads(process)
    seen = []

    def work() -> None:
        with suppress(KeyError):
            hub.wait(5.0)
            seen.append("went on")
        seen.append(f"at {hub.now // SECOND}")

    strand = hub.spawn(process, "a", work)
    hub.spawn(process, "b", lambda: threads.interrupt(strand.number, KeyError))
    hub.run(lambda: False)
    assert seen == ["at 5"]


def test_world_that_turns_in_circles_is_ended() -> None:
    hub = Hub(Random(1), patience=100)

    def work() -> None:
        while True:
            hub.point()

    hub.spawn(Process(hub, "p"), "a", work)
    hub.run(lambda: False)
    [(_, error)] = hub.failures
    assert isinstance(error, Exhausted)


def test_world_in_which_somebody_is_always_busy_comes_to_its_end() -> None:
    hub = Hub(Random(1), patience=1_000)

    def work() -> None:
        while True:
            hub.now += SECOND  # a call that takes time
            hub.point()
            hub.step_aside()

    def beat() -> None:
        while True:
            hub.wait(1.0)

    process = Process(hub, "p")
    hub.spawn(process, "worker", work)
    hub.spawn(process, "heartbeat", beat)
    assert hub.run(lambda: hub.now > 10 * SECOND)


def test_nobody_else_goes_on_inside_a_transaction() -> None:
    world = World(1)
    rim = world.process("p")

    def work() -> None:
        with world.store.transaction():
            world.hub.step_aside()

    world.hub.spawn(rim.process, "a", work)
    world.hub.run(lambda: False)
    [(_, error)] = world.hub.failures
    assert "would join this one's transaction" in str(error)


class Certain(Storm):
    """Strikes at once, wherever it can, with one fault."""

    def __init__(self, world: World, fault: Fault) -> None:
        super().__init__(world.weather, world.random)
        self._fault = fault

    def strikes(self, possible: frozenset[Fault]) -> Fault | None:
        return self._fault if self._fault in possible else None


def test_commit_that_is_not_done_leaves_nothing() -> None:
    world = World(1)
    rim = world.process("p")
    store = store_of(rim, world.store)
    rim._storm = Certain(world, Fault.UNDONE)  # which strikes at the commit, and nowhere inside
    worker = WorkerInfo(id=new_id(), host="h", pid=1, queues=())
    seen = []

    def work() -> None:
        try:
            with store.transaction():
                store.add_worker(worker)
                seen.append("inside")
        except Exception as error:  # noqa: BLE001 - whatever it is
            seen.append(str(error))

    rim.before = lambda name, **_: None  # type: ignore[method-assign] # the first call is not the point
    world.hub.spawn(rim.process, "a", work)
    world.hub.run(lambda: False)
    assert seen == ["inside", "undone"]
    assert not world.store.beat(worker.id, []).known


def test_weather_differs_from_seed_to_seed() -> None:
    weathers = [drawn(Random(seed)) for seed in range(200)]
    assert {weather.workers for weather in weathers} == {1, 2, 3, 4}
    assert {fault for weather in weathers for fault in weather.faults} == set(Fault)
    assert {weather.transactional for weather in weathers} == {True, False}
    assert any(not weather.faults for weather in weathers), "some worlds have no faults at all"


@pytest.mark.parametrize(("one", "other"), [(1, 1), (3, 2), (5, 4)])
def test_every_interleaving_is_met_once(one: int, other: int) -> None:
    orders = set()
    number = 0
    for run in interleavings():
        order: list[str] = []

        def walk(process: Process, order: list[str] = order) -> None:
            for _ in range(one if process.name == "first" else other):
                order.append(process.name)
                process.hub.point()

        run([("first", walk), ("second", walk)])
        orders.add(tuple(order))
        number += 1
    assert len(orders) == comb(one + other, one)
    assert number >= len(orders)
