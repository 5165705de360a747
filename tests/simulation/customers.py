"""Clients: each starts a program, sends it what it waits for, and now and then wants something else of it.

They are told the truth, or that nobody knows. Then they look: what was done is not done again, for a signal that comes
twice is two signals.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from durable_core import events as e
from durable_core.client import Client
from durable_core.codec import decode
from durable_core.decision import RunSettings
from durable_core.errors import (
    StoreUnavailable,
    UnknownExecutionError,
    UnknownQueryError,
    WorkflowAlreadyStarted,
    WorkflowClosed,
)
from durable_core.execution import MessageStatus
from durable_core.querying import ask as query
from tests.programs.interpreter import SEEN, workflow_of
from tests.programs.steps.updates import MOST
from tests.simulation.operators import Operator
from tests.simulation.people import Person
from tests.simulation.rim import queue_of, store_of
from tests.simulation.updates import Told, ask
from tests.simulation.witness import Asked, first_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random
    from uuid import UUID

    from durable_core.testing import InMemoryHistoryStore
    from tests.simulation.orders import Order
    from tests.simulation.witness import Witness
    from tests.simulation.world import World

PATIENCE = 1.5  # seconds between two calls, at most
SURPLUS = "note"  # a signal that no program waits for
AGAIN = 0.3  # seconds before a call that failed is made again


class Customer:
    """One script of calls; it goes on where it was if its process dies."""

    def __init__(self, world: World, order: Order, random: Random, witness: Witness) -> None:
        self.order = order
        self._world = world
        self._store: InMemoryHistoryStore = world.store
        self._random = random
        self._witness = witness
        self._lives = 0
        self._sent: set[tuple[str, Any]] = set()  # of signals, name and payload
        self._greeting: str | None = None  # a signal with which it starts
        if order.workflow_id is not None and random.random() < 0.4:
            self._greeting = f"hello from {order.path}"
        self._operator = Operator(order, self._store, world.hub, random)
        self._person = Person(order, world, random, witness)
        self._left: deque[Callable[[Client], None]] = deque([self._start])
        calls: list[Callable[[Client], None]] = [
            self._signal(name, payload) for name, payload in order.program.signals()
        ]
        if random.random() < 0.5:  # what nobody waits for is taken all the same, as long as the run is open
            for number in range(random.randint(1, 4)):
                calls.insert(random.randint(0, len(calls)), self._signal(SURPLUS, number))
        if random.random() < 0.3:
            calls.insert(random.randint(0, len(calls)), self._look)
        if not order.program.moves_money and random.random() < 0.2:
            order.cancels = True
            calls.insert(random.randint(0, len(calls)), self._cancel)
        if order.program.takes_updates:
            for number in range(random.randint(1, MOST)):
                update = self._update(f"{order.path}-{number}", refuse=random.random() < 0.2)
                calls.insert(random.randint(0, len(calls) // 2), update)
        if order.program.asks:
            for _ in range(random.randint(0, 4)):
                calls.insert(random.randint(0, len(calls)), self._answer)
        if random.random() < 0.08:
            place = random.randint(0, len(calls))
            calls.insert(random.randint(place, len(calls)), self._operator.resume)
            calls.insert(place, self._operator.pause)
        if not order.program.moves_money and random.random() < 0.15:
            calls += [self._reopen] * random.randint(1, 2)
        if order.workflow_id is None and not order.program.moves_money and random.random() < 0.08:
            place = random.randint(0, len(calls))
            calls.insert(random.randint(place, len(calls)), self._tell_forks)
            calls.insert(place, self._operator.fork)
        self._left += calls

    @property
    def is_done(self) -> bool:
        return not self._left

    def come(self) -> None:
        self._lives += 1
        rim = self._world.process(f"customer-{self.order.path}" + "'" * (self._lives - 1))
        self._reached = self._world.vault.opened(store_of(rim, self._store, waits=True))
        client = Client(
            self._reached,
            queue_of(rim, self._world.queue),
            self._world.registry,
            after_commit=self._store.journal.after_commit,
            redelivery=self._world.weather.redelivery,
        )
        rim.process.on_death = self._come_again

        def work() -> None:
            while self._left:
                self._world.hub.wait(self._random.random() ** 2 * PATIENCE)
                try:
                    self._left[0](client)
                except StoreUnavailable:
                    self._world.hub.wait(AGAIN)
                else:
                    self._left.popleft()

        self._world.hub.spawn(rim.process, "main", work)

    def _come_again(self) -> None:
        if not self._world.is_ending:
            self._world.hub.call_in(AGAIN, self.come)

    # Calls. Each may be made again after a failure of which nobody knows what it has done.

    def _start(self, client: Client) -> None:
        order, witness = self.order, self._witness
        if order.workflow_id is None and (found := self._found()) is not None:
            order.run_id = found
            return
        definition = self._world.registry.find_workflow(workflow_of(order.program))
        if order.workflow_id is not None:
            definition = definition.using(workflow_id=order.workflow_id)
        given = {"program": order.program.to_text(), "path": order.workflow_id or order.path}
        timeout = order.program.timeout
        try:
            if self._greeting is None:
                order.run_id = client.start(definition, given, timeout=timeout).run_id
            else:
                order.run_id = self._greeted()
                if order.run_id is None:
                    greeted = client.signal_with_start(definition, given, SURPLUS, self._greeting, timeout=timeout)
                    order.run_id = greeted.run_id
                witness.sent(order.run_id, SURPLUS, self._greeting, order.path)
        except WorkflowAlreadyStarted:
            order.is_refused = True
            self._left.clear()
            self._left.append(lambda client: None)
            return
        witness.started(order.run_id, order.workflow_id)

    def _signal(self, name: str, payload: Any) -> Callable[[Client], None]:
        sender = self.order.path
        if self.order.workflow_id is not None:
            payload = f"{payload} from {sender}"
        key = f"{sender} {name} {payload}" if self._random.random() < 0.2 else None

        def send(client: Client) -> None:
            run_id = self.order.run_id
            assert run_id is not None
            if (name, payload) in self._sent:
                return
            if key is not None or not self._is_there(run_id, name, payload):
                try:
                    for _ in range(1 if key is None else 2):  # with a key it is one signal, however often it is sent
                        client.signal(run_id, name, payload, dedupe_key=key)
                except WorkflowClosed:
                    assert self._is_closed(run_id), "told that an open run is closed"
                    return
            self._sent.add((name, payload))
            self._witness.sent(run_id, name, payload, sender)

        return send

    def _tell_forks(self, client: Client) -> None:
        """What the origin has got since, or will get: some of it twice."""
        for fork in self._operator.forks():
            for name, payload in self.order.program.signals():
                with suppress(WorkflowClosed):
                    client.signal(fork, name, payload)

    def _reopen(self, client: Client) -> None:
        signals = [self._signal(name, payload) for name, payload in self.order.program.signals()]
        self._operator.reopen(client, lambda: self._left.extend(signals))

    def _update(self, update_id: str, *, refuse: bool) -> Callable[[Client], None]:
        def update(client: Client) -> None:
            run_id = self.order.run_id
            assert run_id is not None
            told = Told(self._first(run_id), update_id, refuse, MessageStatus.SENT)
            told = ask(client, self._reached, run_id, told, self._pause)
            is_over = self._is_closed(run_id) or len(self._chain(run_id)) > 1
            assert told.status is not None or is_over, "told that an open run is closed"
            self._witness.told.append(told)

        return update

    def _answer(self, client: Client) -> None:
        self._person.answer(client, self._reached, self._pause)

    def _pause(self) -> None:
        self._world.hub.wait(self._random.random() * PATIENCE)

    def _cancel(self, client: Client) -> None:
        run_id = self.order.run_id
        assert run_id is not None
        graceful, keep_queued = self._random.random() < 0.4, self._random.random() < 0.2
        if keep_queued:
            self._witness.kept.add(run_id)
        was_canceled = client.cancel(run_id, reason="enough", graceful=graceful, keep_queued=keep_queued)
        if was_canceled and not graceful:
            self._witness.canceled.add(run_id)
        elif not was_canceled:
            assert self._is_closed(run_id), "told that an open run is closed"

    def _look(self, client: Client) -> None:
        assert self.order.run_id is not None
        try:
            client.find(self.order.run_id)
        except UnknownExecutionError:
            raise AssertionError("an acknowledged run is not there") from None
        asked = self._witness.newest(self.order.run_id)
        [loaded] = self._world.opened.load([asked]).values()
        try:
            answer = query(loaded, SEEN, {}, registry=self._world.registry, settings=RunSettings())
        except UnknownQueryError:  # nobody has begun it
            answer = []
        self._witness.answers.append(Asked(asked, loaded.record.history_length, answer))

    # What is so, whatever anybody was told

    def _found(self) -> UUID | None:
        for loaded in self._world.opened.load([run.record.id for run in self._store._runs]).values():
            if loaded.record.parent_id is None and decode(loaded.record.input).get("path") == self.order.path:
                return loaded.record.id
        return None

    def _greeted(self) -> UUID | None:
        """Whom an earlier call has greeted that got no reply."""
        for run in self._store._runs:
            is_meant = run.record.workflow_id == self.order.workflow_id
            if is_meant and self._is_there(run.record.id, SURPLUS, self._greeting):
                return run.record.id
        return None

    def _is_closed(self, run_id: UUID) -> bool:
        run = self._store.newest(run_id)
        return run is not None and run.status.is_closed

    def _is_there(self, run_id: UUID, name: str, payload: Any) -> bool:
        facts = []
        for loaded in self._world.opened.load(self._chain(run_id)).values():
            facts += [e.event_of(record) for record in loaded.events if record.type == _SIGNAL]
            facts += [
                e.event_of(e.EventRecord(0, *mail[1:], self._world.clock.now()))
                for mail in loaded.mail
                if mail.type == _SIGNAL
            ]
        sent = [(fact.name, decode(fact.payload)) for fact in facts if isinstance(fact, e.SignalReceived)]
        return (name, payload) in sent

    def _first(self, run_id: UUID) -> UUID:
        run = self._store._runs.get(run_id)
        return run_id if run is None else first_of(run.record)

    def _chain(self, run_id: UUID) -> list[UUID]:
        """All runs that go on for each other, of which this is one."""
        first = self._first(run_id)
        return [row.record.id for row in self._store._runs if first_of(row.record) == first]


_SIGNAL = e.SignalReceived.type
