"""What a person does to a run of a customer's: pauses it for a while, opens it again when it has failed, forks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.errors import NotForkable, NotReopenable, WorkflowClosed
from durable_core.execution import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random
    from uuid import UUID

    from durable_core.client import Client
    from durable_core.ports import RunRecord
    from durable_core.testing import InMemoryHistoryStore
    from tests.simulation.hub import Hub
    from tests.simulation.orders import Order

LOOKS = 8  # for the end of a run, before it is left to itself
BETWEEN = 3.0  # seconds between two of them, at most
LONGEST_PAUSE = 8.0  # seconds, beside what the customer does meanwhile
UNASKED = (Status.CANCELED, Status.TIMED_OUT)  # how a run can end without its code


class Operator:
    def __init__(self, order: Order, store: InMemoryHistoryStore, hub: Hub, random: Random) -> None:
        self._order = order
        self._store = store
        self._hub = hub
        self._random = random
        self._paused: tuple[UUID, int] | None = None  # the run, and how long its history was

    def pause(self, client: Client) -> None:
        try:
            client.pause(self._run_id, reason="let me look")
        except WorkflowClosed:
            assert self._newest().status.is_closed, "told that an open run is closed"
            return
        if self._order.workflow_id is None:  # or another may have resumed it
            record = self._newest()
            self._paused = record.id, record.history_length

    def resume(self, client: Client) -> None:
        if self._paused is not None:
            self._hub.wait(self._random.random() ** 3 * LONGEST_PAUSE)
            run_id, length = self._paused
            self._paused = None  # it may be resumed although this call fails
            self._check_still(run_id, length)
        try:
            client.resume(self._run_id)
        except WorkflowClosed:
            assert self._newest().status.is_closed, "told that an open run is closed"

    def _check_still(self, run_id: UUID, length: int) -> None:
        run = self._store._runs.get(run_id)
        assert run is not None
        record = run.record
        if record.status.is_closed:
            assert record.status in UNASKED, f"a paused run is {record.status}"
        else:
            assert record.paused_at is not None, "a paused run goes on"
            assert record.history_length == length, "something was decided for a paused run"

    def reopen(self, client: Client, again: Callable[[], None]) -> None:
        """*again*: what to do once it is open, since who has sent something to a closed run was refused."""
        for _ in range(LOOKS):
            if self._newest().status.is_closed:
                break
            self._hub.wait(self._random.random() * BETWEEN)
        try:
            client.reopen(self._run_id, reason="mended")
        except NotReopenable:
            pass
        else:
            assert self._was_reopened(), "told of a reopening that has not happened"
        if self._was_reopened():  # perhaps by a call that got no reply
            again()

    def fork(self, client: Client) -> None:
        """Anywhere, while it runs or when it has ended."""
        before = list(self._store._events.get(self._run_id, ()))
        try:
            client.fork_run(self._run_id, self._random.randint(2, max(2, len(before))), keep_signals=True)
        except NotForkable:
            pass
        finally:
            after = self._store._events.get(self._run_id, ())
            assert list(after[: len(before)]) == before, "a fork has changed its origin"

    def forks(self) -> list[UUID]:
        """Also those of calls that got no reply."""
        return [row.record.id for row in self._store._runs if row.record.forked_from == self._run_id]

    def _was_reopened(self) -> bool:
        """It, or a run that it goes on for: once open, it may have been continued before anybody looks."""
        newest = self._newest()
        chain = newest.chain_id or newest.id
        runs = [row.record.id for row in self._store._runs if chain in (row.record.id, row.record.chain_id)]
        return any(
            event.type == e.WorkflowReopened.type for run_id in runs for event in self._store._events.get(run_id, ())
        )

    @property
    def _run_id(self) -> UUID:
        assert self._order.run_id is not None
        return self._order.run_id

    def _newest(self) -> RunRecord:
        run = self._store.newest(self._run_id)
        assert run is not None
        return run
