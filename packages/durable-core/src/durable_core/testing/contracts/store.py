"""The suite of every `HistoryStore`, and that of stores whose transactions run side by side."""

from __future__ import annotations

from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from durable_core.codec import Payload
from durable_core.execution import Status, TaskStatus
from durable_core.ports import AttemptItems, ClaimedTasks, HistoryStore, Verdict, new_id
from durable_core.testing.contracts.base import PATIENCE, Interrupted
from durable_core.testing.contracts.builders import a_letter
from durable_core.testing.contracts.store_audit import StoreAuditCases
from durable_core.testing.contracts.store_cancels import CancelCases
from durable_core.testing.contracts.store_commits import CommitCases
from durable_core.testing.contracts.store_completion import CompletionCases
from durable_core.testing.contracts.store_life import LifeCases
from durable_core.testing.contracts.store_mail import MailCases
from durable_core.testing.contracts.store_messages import MessageCases
from durable_core.testing.contracts.store_outgoing import OutgoingCases
from durable_core.testing.contracts.store_outputs import OutputCases
from durable_core.testing.contracts.store_people import PeopleCases
from durable_core.testing.contracts.store_runs import RunCases
from durable_core.testing.contracts.store_sealing import SealingCases
from durable_core.testing.contracts.store_tasks import TaskCases
from durable_core.testing.contracts.store_text import TextCases
from durable_core.testing.contracts.store_time import TimeCases
from durable_core.testing.contracts.store_transactions import TransactionCases
from durable_core.testing.contracts.store_workers import WorkerCases

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

T = TypeVar("T")


class HistoryStoreContract(
    RunCases,
    CommitCases,
    MailCases,
    MessageCases,
    OutgoingCases,
    TaskCases,
    CompletionCases,
    CancelCases,
    TimeCases,
    LifeCases,
    WorkerCases,
    TextCases,
    TransactionCases,
    OutputCases,
    PeopleCases,
    SealingCases,
    StoreAuditCases,
):
    """Give `make_store`, `read_waiting_for` and `read_task_status`; `pass_time` and `session` if yours needs them."""

    def test_store_is_one(self) -> None:
        assert isinstance(self.store, HistoryStore)

    def test_time_of_the_store_is_aware_and_goes_on(self) -> None:
        before = self.store.now()
        assert before.utcoffset() is not None
        self.pass_time(0.05)
        assert self.store.now() >= before


class ConcurrentStoreContract(HistoryStoreContract):
    """For stores that lock rows: what somebody else holds is passed over, never waited for."""

    def while_held(self, run_id: UUID, work: Callable[[], T]) -> T:
        """What *work* answers while the transaction of another thread holds the run."""

        def lock() -> None:
            assert self.store.lock(run_id) is not None

        return self.while_open(lock, work)

    def while_open(self, act: Callable[[], None], work: Callable[[], T]) -> T:
        """What *work* answers after *act* in the transaction of another thread, which is rolled back afterwards."""
        held, done = Event(), Event()

        def hold() -> None:
            with suppress(Interrupted), self.store.transaction():
                act()
                held.set()
                assert done.wait(PATIENCE), "waited for a row that was held"
                raise Interrupted

        def look() -> T:
            try:
                assert held.wait(PATIENCE)
                return work()
            finally:
                done.set()

        works: list[Callable[[], T | None]] = [hold, look]
        _, answer = self.in_threads(works)
        assert answer is not None
        return answer

    def test_commit_of_a_held_run_is_busy_and_writes_nothing(self) -> None:
        run_id = self.start()
        decision = self.decision(run_id, "workflow_started", letters=[a_letter(self.start())])
        committed = self.while_held(run_id, lambda: self.store.commit([decision]))
        assert committed.results[run_id].verdict is Verdict.BUSY
        assert committed.wakes == []
        assert self.event_types(run_id) == []

    def test_busy_commit_can_be_tried_again_unchanged(self) -> None:
        run_id = self.start()
        decision = self.decision(run_id, "workflow_started")
        self.while_held(run_id, lambda: self.store.commit([decision]))
        assert self.store.commit([decision]).results[run_id].verdict is Verdict.COMMITTED
        assert self.event_types(run_id) == ["workflow_started"]

    def test_busy_run_does_not_stop_the_rest_of_its_batch(self) -> None:
        held, free = self.start(), self.start()
        batch = [self.decision(run_id, "workflow_started") for run_id in (held, free)]
        results = self.while_held(held, lambda: self.store.commit(batch)).results
        assert (results[held].verdict, results[free].verdict) == (Verdict.BUSY, Verdict.COMMITTED)

    def test_task_that_somebody_holds_is_busy_and_can_begin_afterwards(self) -> None:
        """Who holds it may roll back: whoever forgot it for good would have lost it."""
        run_id = self.start()
        held, free, done = self.schedule(run_id), self.schedule(self.start()), self.begin(run_id).id

        def cancel() -> None:
            self.close(run_id, status=Status.CANCELED, close_tasks_as=TaskStatus.FAILED)

        def claim() -> ClaimedTasks:
            with self.store.transaction():
                return self.store.claim_tasks([held, free, done, new_id()], new_id())

        claimed = self.while_open(cancel, claim)
        assert [task.id for task in claimed.begun] == [free]
        assert claimed.busy == {held}
        assert [task.id for task in self.claim(held)] == [held]

    def test_due_passes_over_rows_that_are_held(self) -> None:
        held, free = (self.start(due_at=self.store.now()) for _ in range(2))
        assert self.while_held(held, lambda: self.due_runs(self.later())) == [free]
        assert self.due_runs(self.later()) == [held]

    def test_items_for_a_run_that_is_held_are_to_be_tried_again(self) -> None:
        """Whoever holds it may be publishing too, and numbers of items must become visible in their order."""
        held, free = self.begin(self.start()), self.begin(self.start())
        batches = [AttemptItems(t.run_id, t.id, t.token, t.call_id, [("s", 0, Payload("7"))]) for t in (held, free)]
        published = self.while_held(held.run_id, lambda: self.store.publish(batches))
        assert published == (frozenset(), frozenset({held.id}))
        assert [len(self.store.items(t.run_id, "s", after=0, limit=9)) for t in (held, free)] == [0, 1]
        assert self.store.publish(batches) == (frozenset(), frozenset())
        assert [len(self.store.items(t.run_id, "s", after=0, limit=9)) for t in (held, free)] == [1, 1]

    def test_load_does_not_wait_for_a_run_that_is_held(self) -> None:
        run_id = self.start()
        assert self.while_held(run_id, lambda: self.store.load([run_id])).keys() == {run_id}
