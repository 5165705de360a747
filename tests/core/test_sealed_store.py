"""A store that holds sealed payloads is a store like any other; what it cannot open is waited for, and never lost."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from durable_core.audit import examine
from durable_core.client import Client
from durable_core.codec import MARK
from durable_core.context import WorkflowContext
from durable_core.errors import (
    ActivityError,
    ConfigurationError,
    PayloadSealed,
    WorkflowAlreadyStarted,
    WorkflowFailed,
)
from durable_core.execution import Status, TaskStatus
from durable_core.ports import Entry, EntryKind
from durable_core.retry import RetryPolicy
from durable_core.sealing import SealedStore, Sealer
from durable_core.sealing.sealed_store import sealed
from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue, ManualClock
from durable_core.testing.contracts import HistoryStoreContract
from tests.core.sealing import Cellar, Mirror, a_sealer
from tests.core.test_worker import Bench, blocked

if TYPE_CHECKING:
    from uuid import UUID


class TestSealed(HistoryStoreContract):
    """What is longer than most stands in a payload store, too."""

    def make_store(self) -> SealedStore:
        self.memory = InMemoryHistoryStore(self.clock)
        return SealedStore(self.memory, a_sealer(Cellar()))

    def read_waiting_for(self, run_id: UUID) -> str | None:
        return self.memory.waiting_for(run_id)

    def read_task_status(self, task_id: UUID) -> TaskStatus:
        return self.memory.task_status(task_id)


class SealedBench(Bench):
    def __init__(self, sealer: Sealer | None = None, **settings: Any) -> None:
        self.memory: Any = None
        super().__init__(self._remember, **settings)
        self.queue = InMemoryTaskQueue(self.clock, store=self.memory)
        self.use(sealer)
        self._define()

    def _remember(self, clock: ManualClock) -> InMemoryHistoryStore:
        memory = self.memory = InMemoryHistoryStore(clock)
        return memory

    def use(self, sealer: Sealer | None) -> None:
        """As processes do that are started with other settings."""
        self.memory._seal = None
        self.store = self.memory if sealer is None else SealedStore(self.memory, sealer)
        self.client = Client(self.store, self.queue, self.registry)

    def _define(self) -> None:
        @self.registry.activity(retry_policy=RetryPolicy(maximum_attempts=1))
        def echo(value: Any) -> Any:
            self.performed = getattr(self, "performed", 0) + 1
            if value == "no":
                raise ValueError("no, it is")
            return value

        @self.registry.workflow
        def asks(ctx: WorkflowContext, secret: Any) -> Any:
            said = ctx.run_activity("echo", secret)
            return [said, ctx.wait_signal("go")]

        @self.registry.workflow
        def waits(ctx: WorkflowContext, secret: Any) -> Any:
            return [secret, ctx.wait_signal("go")]

        @self.registry.workflow
        def spills(ctx: WorkflowContext, secret: Any) -> Any:
            try:
                ctx.run_activity("echo", "no")
            except ActivityError as error:
                raise ValueError(f"{secret}: {error.message}") from None

    def waiting(self, name: str, **kwargs: Any) -> UUID:
        """A run that waits for a signal."""
        run_id: UUID = self.start(name, **kwargs)
        self.drive(run_id, to=lambda status: status is Status.RUNNING)
        self.worker().run(until_idle=True)
        return run_id

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))


class Other(Mirror):
    """As with another key."""

    def decode(self, data: bytes, place: bytes) -> bytes:
        raise PayloadSealed("it was sealed with another key")


@pytest.mark.parametrize("cache_size", [0, 1000])
def test_programs_run_as_ever(cache_size: int) -> None:
    bench = SealedBench(a_sealer(), cache_size=cache_size)
    run_id, fails = bench.waiting("asks", secret="S3CR3T"), bench.start("spills", secret="S3CR3T")
    bench.client.signal(run_id, "go", "S3CR3T too")
    bench.drive(run_id, fails)
    assert bench.result(run_id) == ["S3CR3T", "S3CR3T too"]
    with pytest.raises(WorkflowFailed, match="ValueError: S3CR3T: no, it is"):
        bench.result(fails)
    tables = [list(bench.memory._runs), bench.memory._events, list(bench.memory._mail), list(bench.memory._tasks)]
    assert b"S3CR3T" not in pickle.dumps(tables)
    assert b"no, it is" not in pickle.dumps(tables)
    assert examine(bench.store, bench.queue).violations == []


def test_a_history_without_its_key_blocks_the_run_until_that_is_back(caplog: pytest.LogCaptureFixture) -> None:
    bench = SealedBench(a_sealer(), cache_size=0)
    shut = bench.waiting("waits", secret=1)
    bench.use(Sealer([Other()]))
    bench.client.signal(shut, "go", 2)
    bench.drive(shut, to=blocked)
    record = bench.memory.get(shut)
    assert record.error == (
        "PayloadSealed: event workflow_started at seq 1 is sealed: it was sealed with another key"
    )  # plain: for people who have no key either
    assert "what opens its payloads" in bench.memory.waiting_for(shut)
    assert "a run is blocked: PayloadSealed" in caplog.text
    bench.use(a_sealer())
    bench.pass_time(2)
    bench.drive(shut)
    assert bench.result(shut) == [1, 2]


def test_without_any_codec_the_run_is_blocked_too() -> None:
    bench = SealedBench(a_sealer(), cache_size=0)
    shut, open_one = bench.waiting("waits", secret=1), None
    bench.use(None)
    open_one = bench.waiting("waits", secret=3)
    for run_id in (shut, open_one):
        bench.client.signal(run_id, "go", 2)
    bench.drive(open_one)
    bench.drive(shut, to=blocked)
    assert bench.result(open_one) == [3, 2]
    assert "DURABLE['CODECS']" in bench.client.find(shut).error
    bench.use(a_sealer())
    bench.pass_time(2)
    bench.drive(shut)
    assert bench.result(shut) == [1, 2]


def test_a_start_that_cannot_be_read_blocks_and_is_not_failed_by_its_code() -> None:
    bench = SealedBench(a_sealer())
    run_id = bench.start("waits", secret=1)
    bench.use(Sealer([Other()]))
    bench.drive(run_id, to=blocked)
    assert bench.memory.get(run_id).history_length == 0
    with pytest.raises(PayloadSealed, match="another key"):
        bench.client.cancel(run_id)  # it would have to write its input into another row
    assert bench.client.find(run_id).status is Status.BLOCKED
    bench.use(a_sealer())
    assert bench.client.cancel(run_id)


def test_mail_that_cannot_be_read_blocks_a_run_that_is_in_memory() -> None:
    bench = SealedBench(a_sealer())
    run_id = bench.waiting("waits", secret=1)
    bench.client.signal(run_id, "go", 2)
    [row] = bench.memory._mail
    whole = row.mail
    bench.memory._mail.put(whole.id, replace(row, mail=whole._replace(details=f'{MARK}mirror:AAAA"')))
    bench.drive(run_id, to=blocked)
    bench.memory._mail.put(whole.id, row)
    bench.pass_time(2)
    bench.drive(run_id)
    assert bench.result(run_id) == [1, 2]


def test_an_activity_that_cannot_be_read_is_given_back_uncharged(caplog: pytest.LogCaptureFixture) -> None:
    bench = SealedBench(a_sealer(), cache_size=0)
    run_id = bench.waiting("asks", secret=1)
    [task] = bench.memory._tasks
    bench.memory._tasks.put(
        task.record.id,
        replace(task, record=replace(task.record, status=TaskStatus.QUEUED, attempt=0), result=None),
    )
    entry = bench.memory.tasks_of(run_id)[0].record
    bench.use(Sealer([Other()]))
    bench.queue.enqueue([Entry(EntryKind.ACTIVITY, entry.id, entry.queue, entry.priority)])
    done = bench.performed
    bench.worker().run(until_idle=True)
    [after] = bench.memory._tasks
    assert (after.record.status, after.record.attempt, bench.performed) == (TaskStatus.QUEUED, 0, done)
    assert "its payload is sealed: it was sealed with another key" in caplog.text
    assert "a worker that can open the payloads" in bench.memory.waiting_for(run_id)
    bench.use(a_sealer())
    bench.pass_time(6)
    bench.worker().run(until_idle=True)
    assert bench.performed == done + 1


def test_events_that_were_swapped_or_moved_are_refused() -> None:
    bench = SealedBench(a_sealer(), cache_size=0)
    mine, other = bench.waiting("waits", secret=1), bench.waiting("waits", secret=2)
    first = bench.memory._events[mine][0]
    bench.memory._events[mine][0] = bench.memory._events[other][0]
    bench.client.signal(mine, "go")
    bench.drive(mine, to=blocked)
    assert "of another row" in bench.memory.get(mine).error
    bench.memory._events[mine][0] = first._replace(details='{"workflow_name":"waits","input":{"secret":9}}')
    bench.pass_time(2)
    bench.drive(mine)
    assert bench.result(mine) == [9, None]  # what is plain is read: that is how a site moves


def test_runs_of_before_go_on_and_are_sealed_from_then_on() -> None:
    bench = SealedBench(None, cache_size=0)
    run_id = bench.waiting("asks", secret=1)
    bench.use(a_sealer())
    bench.client.signal(run_id, "go", 2)
    bench.drive(run_id)
    assert bench.result(run_id) == [1, 2]
    sealed_ones = [event.details.startswith(MARK) for event in bench.memory._events[run_id]]
    assert (sealed_ones[0], sealed_ones[-1]) == (False, True)
    assert bench.memory.get(run_id).result.startswith(MARK)


def test_same_input_is_the_same_however_it_is_sealed() -> None:
    bench = SealedBench(a_sealer())
    workflow = bench.registry.workflows["waits"].using(workflow_id="w")
    first = bench.client.start(workflow, {"secret": 1})
    assert bench.client.start(workflow, {"secret": 1}).run_id == first.run_id
    with pytest.raises(WorkflowAlreadyStarted, match='"secret":1'):
        bench.client.start(workflow, {"secret": 2})
    bench.use(Sealer([Other()]))
    with pytest.raises(PayloadSealed, match="another key"):
        bench.client.start(workflow, {"secret": 1})


def test_audit_counts_what_it_cannot_read() -> None:
    bench = SealedBench(a_sealer())
    bench.waiting("waits", secret=1)
    assert examine(bench.store, bench.queue).unreadable == 0
    bench.use(Sealer([Other()]))
    report = examine(bench.store, bench.queue)
    assert (report.unreadable, report.violations) == (1, [])


def test_a_store_that_cannot_seal_letters_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="a object, cannot hold sealed payloads"):
        sealed(object(), a_sealer())  # type: ignore[arg-type] # on purpose
