"""A world of simulated workers and clients, over one store and one queue, from its first fault to its last breath."""

from __future__ import annotations

import logging
import random as global_random
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

from durable_core.crashpoints import watched
from durable_core.definitions import Registry
from durable_core.ports import ids_from
from durable_core.testing import InMemoryHistoryStore
from durable_core.worker import Worker, WorkerSettings
from tests.simulation.hub import Hub, Process
from tests.simulation.queues import LyingQueue
from tests.simulation.rim import Rim, Storm, queue_of, store_of
from tests.simulation.threads import SimulatedClock, SimulatedThreads
from tests.simulation.trace import KEPT, Trace
from tests.simulation.vault import Vault
from tests.simulation.weather import drawn
from tests.simulation.witness import Witness

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.customers import Customer

START = datetime(2026, 1, 1, tzinfo=UTC)
START_NANOSECONDS = int(START.timestamp()) * 1_000_000_000
BOUND = timedelta(minutes=10)  # after the last fault: twenty redeliveries, and what programs wait for
REPLACEMENT = 4.0  # seconds until there is another worker for one that is gone, at most


class StoreTime:
    """The store's own clock, which is nobody else's."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def now(self) -> datetime:
        return START + timedelta(microseconds=self._hub.now)


class World:
    """Everything that one seed stands for, but for what its clients do."""

    def __init__(self, seed: int, *, kept: int | None = KEPT) -> None:
        """*kept*: steps that the trace shows, None for all."""
        self.seed = seed
        self.random = Random(seed)
        self.weather = drawn(self.random)
        self.hub = Hub(self.generator(), gap=self.weather.gap)
        self.trace = Trace(self.hub, kept=kept)
        self.clock = StoreTime(self.hub)
        self.store = InMemoryHistoryStore(self.clock)
        self.vault = Vault(seed, is_rough=self.weather.is_rough)
        self.opened = self.vault.as_it_is(self.store)
        self.queue = LyingQueue(self.clock, self.weather, self.generator(), self.store)
        self.storm = Storm(self.weather, self.generator())
        self.registry = Registry()
        self.calm_since: datetime | None = None
        self.bound = BOUND
        self.is_ending = False
        self.witness = Witness(self.clock, self.store, sees_begins=not self.weather.is_rough)
        self.customers: list[Customer] = []
        self._entropy = self.generator()
        self._rims: dict[Process, Rim] = {}
        self._workers: dict[Process, Worker] = {}
        self._hired = 0
        self._old: list[Worker] = []
        self.hub.before_switch = self._check_no_transaction

    def generator(self) -> Random:
        """Of its own: what one part of the world draws is no other part's business."""
        return Random(self.random.getrandbits(64))

    # Who is in it

    def process(self, name: str, *, rate: float = 1.0, offset: float = 0.0) -> Rim:
        process = Process(self.hub, name, rate=rate, offset=offset)
        rim = self._rims[process] = Rim(process, self.storm, self.weather, self.trace)
        return rim

    def hire(self) -> None:
        """One more worker."""
        self._hired += 1
        is_old = self.calm_since is None and self.random.random() < self.weather.old_code
        skew = self.weather.skew
        rate = self.random.choice((1.0, skew, 1 / skew))
        rim = self.process(f"worker-{self._hired}", rate=rate, offset=self.random.uniform(0, 1_000_000))
        process = rim.process
        reached, key = store_of(rim, self.store), self.vault.lend(self.hub) if self.calm_since is None else None
        worker = Worker(
            self.vault.opened(reached, key),
            queue_of(rim, self.queue),
            self._old_code() if is_old else self.registry,
            SimulatedClock(process),
            self._settings(),
            threads=SimulatedThreads(process),
        )
        self._workers[process] = worker
        if is_old:
            self._old.append(worker)
        rim.drain = worker.stop
        process.on_death = lambda: self._lost(process)

        def work() -> None:
            worker.run()
            self.hub.kill(process)  # its other threads end with it

        self.hub.spawn(process, "loop", work)

    def _old_code(self) -> Registry:
        """Without workflows, and perhaps without activities: what others ask for must be left to them."""
        old = Registry()
        if self.random.random() < 0.5:
            old.activities.update(self.registry.activities)
        return old

    def _settings(self) -> WorkerSettings:
        weather = self.weather
        return WorkerSettings(
            batch=weather.batch,
            tick=weather.tick,
            threads=weather.threads,
            cache_size=weather.cache_size,
            heartbeat_interval=weather.heartbeat,
            worker_timeout=weather.worker_timeout,
            max_crashes=weather.max_crashes,
            redelivery=weather.redelivery,
            drain_timeout=5.0,
            around_activity=self.witness.around_activity,
        )

    def _lost(self, process: Process) -> None:
        worker = self._workers.pop(process)
        worker._runs.forget_all()  # or its workflows' code would be unwound whenever Python collects it
        self.trace.note(f"{process} is gone")
        if not self.is_ending:
            self.hub.call_in(self.random.uniform(0, REPLACEMENT), self._replace)

    def _replace(self) -> None:
        while len(self._workers) < self.weather.workers:
            self.hire()

    # Its course

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What is the process's own belongs to this world meanwhile: ids, random numbers, named places, logging."""
        state = global_random.getstate()
        before = logging.root.manager.disable
        with ExitStack() as stack:
            stack.callback(global_random.setstate, state)
            stack.callback(logging.disable, before)
            global_random.seed(self.seed)
            logging.disable(logging.CRITICAL)
            stack.enter_context(ids_from(lambda: START_NANOSECONDS + self.hub.now * 1_000, self._entropy))
            stack.enter_context(watched(self._place))
            stack.callback(self._end)
            yield

    def run(self) -> bool:
        """Until everything has come to its end; False if it does not, within bounds."""
        self._replace()
        for customer in self.customers:
            customer.come()
        self.hub.call_in(self.weather.calm_after, self._calm)
        return self.hub.run(self._is_over) and not self._is_late()

    def _calm(self) -> None:
        """Nothing goes wrong from now on."""
        self.trace.note("calm")
        self.storm.is_over = True
        self.queue.calm()
        self.vault.calm()
        self.calm_since = self.clock.now()
        for rim in self._rims.values():
            rim.heal()
        for worker in self._old:
            worker.stop("the deployment is over")
        self._replace()

    def _is_over(self) -> bool:
        return self._is_late() or (self.calm_since is not None and self.is_done() and self.is_quiet())

    def _is_late(self) -> bool:
        return self.calm_since is not None and self.clock.now() - self.calm_since > BOUND

    def is_done(self) -> bool:
        """Whether nothing is left to do for anybody."""
        return all(customer.is_done for customer in self.customers) and not any(run.is_open for run in self.store._runs)

    def is_quiet(self) -> bool:
        """Whether nothing is left of what was done: no entry, and no attempt of a run that has closed."""
        return self.queue.is_empty() and all(task.record.status.is_closed for task in self.store._tasks)

    def _end(self) -> None:
        """Or what hangs in the air would go on whenever Python collects it."""
        self.is_ending = True
        for process in self._rims:
            if process.is_alive:
                self.hub.kill(process)
        self.hub.run(lambda: True)

    def pass_time(self, seconds: float) -> None:
        """Of the strand that calls."""
        self.hub.wait(seconds)

    def _place(self, name: str) -> None:
        strand = self.hub.current
        assert strand is not None
        self._rims[strand.process].place(name)

    def _check_no_transaction(self) -> None:
        assert not self.store.in_transaction(), "another strand would join this one's transaction"
        assert not self.queue._journal.in_transaction()
