"""The backends in memory pass the suites that every backend has to pass, and the suites have teeth."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any
from uuid import UUID

import pytest

from durable_core.codec import Payload
from durable_core.events import ActivityCanceled
from durable_core.execution import TaskStatus
from durable_core.hooks import load
from durable_core.ports import (
    AuditedRun,
    Beat,
    BeatReply,
    ClaimedTasks,
    Clock,
    Commit,
    CommitResult,
    Committed,
    Created,
    Detached,
    GivenBack,
    Letter,
    NewItem,
    NewRun,
    Outline,
    PastTask,
    Reopening,
    RunRecord,
    TaskCancel,
    TaskRecord,
    Verdict,
    Wake,
)
from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue, ManualClock, plugin
from durable_core.testing.contracts import HistoryStoreContract, TaskQueueContract, TransactionalQueueContract
from durable_core.testing.contracts.base import Contract, Interrupted
from durable_core.testing.contracts.builders import a_run
from durable_core.testing.contracts.queue_base import an_entry
from durable_core.testing.rows import RunRow, TaskRow, closed
from durable_core.testing.tables import Journal, Table
from tests.core.lies import messages, people, sealing


class TestStore(HistoryStoreContract):
    kind = InMemoryHistoryStore

    def make_store(self) -> InMemoryHistoryStore:
        self.memory = self.kind(self.clock)
        return self.memory

    def read_waiting_for(self, run_id: UUID) -> str | None:
        return self.memory.waiting_for(run_id)

    def read_task_status(self, task_id: UUID) -> TaskStatus:
        return self.memory.task_status(task_id)


class TestQueue(TaskQueueContract):
    kind = InMemoryTaskQueue

    def make_queue(self) -> InMemoryTaskQueue:
        return self.kind(self.clock)

    def test_entry_of_a_failed_transaction_stays(self) -> None:
        store = InMemoryHistoryStore(self.clock)
        with suppress(Interrupted), store.transaction():
            entry = self.enqueue()
            raise Interrupted
        assert self.claimed_refs() == [entry.ref]


class TestTransactionalQueue(TransactionalQueueContract):
    def make_store(self) -> InMemoryHistoryStore:
        self.memory = InMemoryHistoryStore(self.clock)
        return self.memory

    def make_queue(self) -> InMemoryTaskQueue:
        assert self.store is self.memory
        return InMemoryTaskQueue(self.clock, store=self.memory)

    def test_watcher_hears_of_an_entry_when_it_is_committed(self) -> None:
        woken = Event()
        with self.queue.watch(woken.set), self.store.transaction():
            self.enqueue()
            assert not woken.is_set()
        assert woken.is_set()

    def test_watcher_hears_nothing_of_an_entry_that_was_rolled_back(self) -> None:
        woken = Event()
        with self.queue.watch(woken.set), suppress(Interrupted), self.store.transaction():
            self.enqueue()
            raise Interrupted
        assert not woken.is_set()


# Stores that lie: each must fail the suite, by the case that is about its lie. For queues see test_lying_queue.


class StoreWithoutFence(InMemoryHistoryStore):
    def _is_acceptable(self, outcome: Any) -> bool:
        row = self._tasks.get(outcome.task_id)
        return row is not None and not row.record.status.is_closed


class StoreWithoutVersions(InMemoryHistoryStore):
    def commit(self, commits: Sequence[Commit]) -> Committed:
        now = [replace(commit, version=self._version(commit)) for commit in commits]
        return super().commit(now)

    def _version(self, commit: Commit) -> int:
        record = self.get(commit.run_id)
        return commit.version if record is None else record.version


class StoreThatClosesOverMail(InMemoryHistoryStore):
    def _unseen(self, commit: Commit) -> list[Any]:
        return []


class StoreThatTellsTheCanceledInSecret(InMemoryHistoryStore):
    def give_back(self, attempts: Mapping[UUID, int]) -> GivenBack:
        return super().give_back(attempts)._replace(wakes=())


class StoreThatLosesTheOrder(InMemoryHistoryStore):
    def deliver(self, letters: Sequence[Letter]) -> list[Wake]:
        return super().deliver(letters[::-1])


class StoreThatBuriesTwice(InMemoryHistoryStore):
    buried: tuple[TaskRecord, ...] = ()

    def bury(self, worker_ids: Collection[UUID]) -> list[TaskRecord]:
        self.buried += tuple(super().bury(worker_ids))
        return list(self.buried)


class StoreThatLooksForTheKnownOnly(InMemoryHistoryStore):
    def buried_alive(self) -> list[UUID]:
        return []


class StoreThatStopsAtTheFirstConflict(InMemoryHistoryStore):
    def commit(self, commits: Sequence[Commit]) -> Committed:
        written = Committed({}, [])
        for commit in commits:
            if any(result.verdict is Verdict.CONFLICT for result in written.results.values()):
                written.results[commit.run_id] = CommitResult(Verdict.CONFLICT)
            else:
                one = super().commit([commit])
                written.results.update(one.results)
                written.wakes.extend(one.wakes)
        return written


class StoreWithoutTransactions(InMemoryHistoryStore):
    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.journal.undo_with = lambda function, *args: None  # type: ignore[method-assign]


class StoreThatShowsAnAuditTheNewestFirst(InMemoryHistoryStore):
    def outlines(self, *, after: Outline | None, since: datetime | None, limit: int) -> list[Outline]:
        return super().outlines(after=after, since=since, limit=limit)[::-1]


class StoreThatForgetsWhatIsClosed(InMemoryHistoryStore):
    def audited(self, run_ids: Collection[UUID]) -> list[AuditedRun]:
        return [
            replace(run, tasks=[task for task in run.tasks if not task.record.status.is_closed])
            for run in super().audited(run_ids)
        ]


class StoreThatKeepsWorkersAlive(InMemoryHistoryStore):
    def audited(self, run_ids: Collection[UUID]) -> list[AuditedRun]:
        return [
            replace(run, tasks=[replace(task, has_worker=True) for task in run.tasks])
            for run in super().audited(run_ids)
        ]


class StoreThatHidesChildren(InMemoryHistoryStore):
    def audited(self, run_ids: Collection[UUID]) -> list[AuditedRun]:
        return [replace(run, children=()) for run in super().audited(run_ids)]


class StoreThatLetsAuditsWrite(InMemoryHistoryStore):
    def snapshot(self) -> AbstractContextManager[None]:
        return self.transaction()


class StoreThatLosesChains(InMemoryHistoryStore):
    def newest(self, run_id: UUID) -> RunRecord | None:
        return self.get(run_id)


class StoreWhoseLettersStayBehind(InMemoryHistoryStore):
    def _newest(self, run_id: UUID) -> RunRow | None:
        return self._runs.get(run_id)


class StoreThatForwardsOutcomes(InMemoryHistoryStore):
    def _put_letters(self, letters: Iterable[Letter]) -> list[Wake]:
        newest = [(letter, self._newest(letter.run_id)) for letter in letters]
        return super()._put_letters(letter._replace(run_id=run.record.id) for letter, run in newest if run is not None)


class StoreThatSharesNoTransaction(InMemoryHistoryStore):
    def shared_transaction(self) -> AbstractContextManager[None]:
        return nullcontext()


class StoreWhoseSharedTransactionIsAllOrNothing(InMemoryHistoryStore):
    def shared_transaction(self) -> AbstractContextManager[None]:
        self.journal.transaction = nullcontext  # type: ignore[method-assign,assignment]
        return nullcontext()


class StoreThatHoldsTasksAsTheyWere(InMemoryHistoryStore):
    def hold_task(self, task_id: UUID) -> TaskRecord | None:
        held = super().hold_task(task_id)
        return None if held is None else replace(held, status=TaskStatus.RUNNING)


class StoreThatCancelsInSilence(InMemoryHistoryStore):
    def _cancel(self, run_id: UUID, cancels: Sequence[TaskCancel]) -> list[Letter]:
        super()._cancel(run_id, cancels)
        return []


class StoreThatCancelsWhatRuns(InMemoryHistoryStore):
    def _cancel(self, run_id: UUID, cancels: Sequence[TaskCancel]) -> list[Letter]:
        for row in self._tasks.group("run", run_id):
            if row.record.status is TaskStatus.RUNNING:
                self._tasks.put(row.record.id, closed(row, TaskStatus.CANCELED))
        return super()._cancel(run_id, cancels)


class StoreThatCancelsAll(InMemoryHistoryStore):
    def _cancel(self, run_id: UUID, cancels: Sequence[TaskCancel]) -> list[Letter]:
        calls = [row.record.call_id for row in self._tasks.group("run", run_id)] if cancels else []
        return super()._cancel(run_id, [TaskCancel(call_id, "enough") for call_id in calls])


class StoreThatCancelsOfAllThatIsOpen(InMemoryHistoryStore):
    def _cancel(self, run_id: UUID, cancels: Sequence[TaskCancel]) -> list[Letter]:
        open_calls = {r.record.call_id for r in self._tasks.group("run", run_id) if not r.record.status.is_closed}
        told = super()._cancel(run_id, [])
        for call_id, reason in cancels:
            told += super()._cancel(run_id, [TaskCancel(call_id, reason)])
            if call_id not in open_calls:
                told.append(Letter.of(run_id, ActivityCanceled(call_id=call_id, reason=reason)))
        return told


class StoreThatTriesCanceledTasksAgain(InMemoryHistoryStore):
    def _is_wanted(self, row: TaskRow) -> bool:
        return super()._is_wanted(replace(row, is_canceled=False))


class StoreThatTellsNobodyToStop(InMemoryHistoryStore):
    def beat(self, worker_id: UUID, beats: Sequence[Beat]) -> BeatReply:
        return replace(super().beat(worker_id, beats), canceled=frozenset())


class StoreThatKnowsOneAttemptPerTask(InMemoryHistoryStore):
    def beat(self, worker_id: UUID, beats: Sequence[Beat]) -> BeatReply:
        reply = super().beat(worker_id, beats)
        tasks = {task_id for task_id, _ in reply.lost}
        return replace(reply, lost=frozenset((b.task_id, b.token) for b in beats if b.task_id in tasks))


class StoreThatForgetsWhatMustNotBeBegunAgain(InMemoryHistoryStore):
    def claim_tasks(self, task_ids: Collection[UUID], worker_id: UUID) -> ClaimedTasks:
        begun, busy = super().claim_tasks(task_ids, worker_id)
        return ClaimedTasks([replace(task, at_most_once=False) for task in begun], busy)


class StoreThatBelievesOldAttempts(InMemoryHistoryStore):
    def _begin_anew(self, reopening: Reopening) -> None:
        before = {past.record.id: past.record.token for past in self.tasks_of(reopening.run_id)}
        super()._begin_anew(reopening)
        for task_id in (restart.task_id for restart in reopening.tasks):
            row = self._tasks.get(task_id)
            assert row is not None
            self._tasks.put(task_id, replace(row, record=replace(row.record, token=before[task_id])))


class StoreThatReopensNamesakes(InMemoryHistoryStore):
    def reopen(self, reopening: Reopening) -> UUID | None:
        run = self._runs.get(reopening.run_id)
        assert run is not None
        self._runs.put(reopening.run_id, replace(run, record=replace(run.record, workflow_id=None)))
        super().reopen(reopening)
        return None


class StoreThatReopensWithoutAVersion(InMemoryHistoryStore):
    def reopen(self, reopening: Reopening) -> UUID | None:
        holder = super().reopen(reopening)
        run = self._runs.get(reopening.run_id)
        assert run is not None
        record = replace(run.record, version=reopening.version)
        self._runs.put(reopening.run_id, replace(run, record=record))
        return holder


class StoreThatKeepsTheOldDeadline(InMemoryHistoryStore):
    def reopen(self, reopening: Reopening) -> UUID | None:
        run = self._runs.get(reopening.run_id)
        assert run is not None
        return super().reopen(replace(reopening, deadline=run.record.deadline))


class StoreThatForgetsNames(InMemoryHistoryStore):
    def last_of(self, workflow_id: str, *, besides: UUID) -> RunRecord | None:
        last = super().last_of(workflow_id, besides=besides)
        return None if last is None or last.status.is_closed else last


class StoreThatPausesInSilence(InMemoryHistoryStore):
    def _mark(self, run_id: UUID, paused_at: datetime | None, due_at: datetime | None) -> None:
        before = self.get(run_id)
        super()._mark(run_id, paused_at, due_at)
        run = self._runs.get(run_id)
        assert run is not None
        assert before is not None
        self._runs.put(run_id, replace(run, record=replace(run.record, version=before.version)))


class StoreThatWakesThePaused(InMemoryHistoryStore):
    def pause(self, run_id: UUID, reason: str) -> None:
        self._mark(run_id, self.now(), self.now())


class StoreThatForgetsDeadlines(InMemoryHistoryStore):
    def _mark(self, run_id: UUID, paused_at: datetime | None, due_at: datetime | None) -> None:
        super()._mark(run_id, paused_at, due_at)
        run = self._runs.get(run_id)
        assert run is not None
        self._runs.put(run_id, replace(run, due_at=due_at))


class StoreThatForgetsClosedTasks(InMemoryHistoryStore):
    def tasks_of(self, run_id: UUID) -> list[PastTask]:
        return [past for past in super().tasks_of(run_id) if not past.record.status.is_closed]


class StoreThatExpectsNothing(InMemoryHistoryStore):
    def expect_completion(self, task_id: UUID, token: int, digest: str, expires_at: datetime) -> bool:
        return True


class StoreThatDetachesWhateverIsAsked(InMemoryHistoryStore):
    def detach(self, task_id: UUID, token: int, due_at: datetime) -> Detached:
        super().detach(task_id, token, due_at)
        return Detached.DONE


class StoreThatKeepsTheWorker(InMemoryHistoryStore):
    def detach(self, task_id: UUID, token: int, due_at: datetime) -> Detached:
        before = self._tasks.get(task_id)
        found = super().detach(task_id, token, due_at)
        if before is not None and (row := self._tasks.get(task_id)) is not None:
            with self.transaction():
                self._tasks.put(task_id, replace(row, worker_id=before.worker_id))
        return found


class StoreThatLooksAfterWorkersOnly(InMemoryHistoryStore):
    """What no worker has is left alone when its run ends, or its code wants it no more."""

    def detach(self, task_id: UUID, token: int, due_at: datetime) -> Detached:
        found = super().detach(task_id, token, due_at)
        if found is Detached.DONE and (row := self._tasks.get(task_id)) is not None:
            with self.transaction():
                self._tasks.put(task_id, replace(row, record=replace(row.record, is_detached=False)))
        return found


class StoreThatForgetsWhatCallsIn(InMemoryHistoryStore):
    def beat_detached(self, task_id: UUID, details: Payload | None, due_at: datetime | None) -> None:
        pass


class StoreThatForgetsOrigins(InMemoryHistoryStore):
    def create(self, runs: Sequence[NewRun]) -> list[Created]:
        return super().create([replace(run, forked_from=None) for run in runs])


class StoreThatTellsItemsOfTheChain(InMemoryHistoryStore):
    def published(self, run_id: UUID) -> list[NewItem]:
        chain_id = self._chain_of(run_id)
        return [row.new for row in sorted(self._items) if row.new.chain_id == chain_id]


class StoreThatTellsItemsOfItsCodeOnly(InMemoryHistoryStore):
    def published(self, run_id: UUID) -> list[NewItem]:
        tasks = {row.record.call_id for row in self._tasks.group("run", run_id)}
        return [new for new in super().published(run_id) if new.call_id not in tasks]


LIES: list[tuple[type[Any], str]] = [
    (StoreThatForgetsOrigins, "test_run_says_from_which_it_was_forked"),
    (StoreThatTellsItemsOfTheChain, "test_items_of_one_run_are_told_with_their_calls_in_order"),
    (StoreThatTellsItemsOfItsCodeOnly, "test_items_of_one_run_are_told_with_their_calls_in_order"),
    (StoreThatExpectsNothing, "test_attempt_that_has_begun_can_be_completed_from_outside"),
    (StoreThatDetachesWhateverIsAsked, "test_only_the_attempt_that_runs_can_be_completed_from_outside"),
    (StoreThatKeepsTheWorker, "test_attempt_that_has_begun_can_be_completed_from_outside"),
    (StoreThatLooksAfterWorkersOnly, "test_attempt_that_is_completed_from_outside_ends_with_its_run"),
    (StoreThatLooksAfterWorkersOnly, "test_attempt_that_is_completed_from_outside_can_be_canceled_at_once"),
    (StoreThatForgetsWhatCallsIn, "test_attempt_that_is_completed_from_outside_calls_in"),
    *messages.LIES,
    *people.LIES,
    *sealing.LIES,
    (StoreThatForgetsWhatMustNotBeBegunAgain, "test_claim_begins_the_first_attempt"),
    (StoreThatSharesNoTransaction, "test_shared_transaction_writes_together"),
    (
        StoreWhoseSharedTransactionIsAllOrNothing,
        "test_failure_that_is_caught_in_a_shared_transaction_takes_back_only_itself",
    ),
    (StoreThatHoldsTasksAsTheyWere, "test_held_task_is_as_it_stands"),
    (StoreThatCancelsInSilence, "test_canceled_queued_task_ends_at_once_and_its_run_is_told"),
    (StoreThatCancelsInSilence, "test_run_that_is_told_of_a_canceled_task_is_woken"),
    (StoreThatCancelsInSilence, "test_task_is_canceled_by_the_commit_that_makes_it"),
    (StoreThatCancelsInSilence, "test_claim_and_cancel_of_one_task_leave_it_told_once"),
    (StoreThatCancelsWhatRuns, "test_canceled_running_task_is_told_to_stop_and_says_how_it_ended"),
    (StoreThatCancelsAll, "test_cancel_leaves_other_calls_and_other_runs_alone"),
    (StoreThatCancelsOfAllThatIsOpen, "test_task_that_has_ended_is_not_canceled"),
    (StoreThatCancelsOfAllThatIsOpen, "test_outcome_in_the_commit_that_cancels_its_task_holds"),
    (StoreThatTriesCanceledTasksAgain, "test_retry_of_a_canceled_task_is_its_end_and_its_run_is_told"),
    (StoreThatTellsTheCanceledInSecret, "test_canceled_task_that_is_given_back_ends_and_its_run_is_told"),
    (StoreThatTriesCanceledTasksAgain, "test_canceled_task_that_is_given_back_ends_and_its_run_is_told"),
    (StoreThatKnowsOneAttemptPerTask, "test_of_two_attempts_that_a_worker_has_of_one_task_only_the_older_is_lost"),
    (StoreThatTellsNobodyToStop, "test_canceled_running_task_is_told_to_stop_and_says_how_it_ended"),
    (StoreWithoutVersions, "test_nobody_is_told_of_a_cancel_in_a_conflict"),
    (StoreThatForgetsNames, "test_last_run_with_a_workflow_id_is_found_open_or_closed"),
    (StoreThatForgetsNames, "test_of_starts_that_race_for_an_id_that_is_used_once_one_wins"),
    (StoreThatPausesInSilence, "test_decision_from_before_a_pause_or_a_resumption_is_a_conflict"),
    (StoreThatWakesThePaused, "test_paused_run_is_due_at_its_deadline_and_not_before"),
    (StoreThatForgetsDeadlines, "test_paused_run_is_due_at_its_deadline_and_not_before"),
    (StoreThatForgetsDeadlines, "test_resumed_run_is_due_when_it_is_told_or_at_its_deadline"),
    (StoreThatBelievesOldAttempts, "test_attempt_from_before_the_reopening_is_refused"),
    (StoreThatReopensNamesakes, "test_workflow_id_that_another_run_has_keeps_a_run_closed"),
    (StoreThatReopensNamesakes, "test_start_and_reopening_that_race_for_a_workflow_id_agree"),
    (StoreThatReopensWithoutAVersion, "test_reopened_run_is_decided_on_and_closes_again"),
    (StoreThatKeepsTheOldDeadline, "test_reopened_run_is_running_and_forgets_how_it_ended"),
    (StoreThatKeepsTheOldDeadline, "test_reopened_run_is_due_when_it_is_told_or_at_its_deadline"),
    (StoreThatForgetsClosedTasks, "test_activity_that_is_not_named_stays_as_it_is"),
    (StoreThatShowsAnAuditTheNewestFirst, "test_audit_turns_pages_from_the_oldest_run_on"),
    (StoreThatForgetsWhatIsClosed, "test_audit_sees_activities_open_and_closed"),
    (StoreThatKeepsWorkersAlive, "test_audit_sees_activities_open_and_closed"),
    (StoreThatHidesChildren, "test_audit_sees_children_and_whether_they_are_told_to_stop"),
    (StoreThatLetsAuditsWrite, "test_nothing_is_written_in_a_snapshot"),
    (StoreWithoutTransactions, "test_note_of_a_transaction_that_fails_was_never_made"),
    (StoreThatLosesChains, "test_newest_run_of_a_chain_is_found_by_any_of_them"),
    (StoreWhoseLettersStayBehind, "test_signals_and_cancels_follow_a_run_that_was_continued_as_new"),
    (StoreThatForwardsOutcomes, "test_signals_and_cancels_follow_a_run_that_was_continued_as_new"),
    (StoreWithoutFence, "test_stale_token_cannot_complete_a_reclaimed_task"),
    (StoreWithoutFence, "test_late_outcome_of_an_attempt_already_retried_is_refused"),
    (StoreWithoutVersions, "test_stale_version_is_a_conflict_and_writes_nothing"),
    (StoreThatClosesOverMail, "test_closing_commit_with_unread_mail_is_refused_and_writes_nothing"),
    (StoreThatLosesTheOrder, "test_letters_are_kept_in_order"),
    (StoreThatBuriesTwice, "test_worker_is_buried_once"),
    (StoreThatLooksForTheKnownOnly, "test_what_a_worker_begins_after_its_burial_can_be_buried_too"),
    (StoreThatStopsAtTheFirstConflict, "test_bad_run_in_a_batch_does_not_stop_the_others"),
    (StoreWithoutTransactions, "test_rolled_back_commit_leaves_nothing"),
]


@pytest.mark.parametrize(("liar", "case"), LIES, ids=lambda value: getattr(value, "__name__", value))
def test_lie_is_found_by_its_case(liar: type[Any], case: str) -> None:
    caught = type(liar.__name__, (TestStore,), {"kind": liar})()
    getattr(TestStore(), case)()
    with pytest.raises(AssertionError):
        getattr(caught, case)()


def cases(suite: type[Contract]) -> list[str]:
    return [name for name in dir(suite) if name.startswith("test_")]


def test_suites_are_as_large_as_promised() -> None:
    assert len(cases(HistoryStoreContract)) >= 60
    assert len(cases(TaskQueueContract)) >= 40


# Where the backends in memory promise more than the contract


class TestTransactionsInMemory:
    def test_failed_inner_transaction_takes_back_only_itself(self) -> None:
        store = InMemoryHistoryStore(ManualClock())
        kept, lost, later = a_run(), a_run(), a_run()
        with store.transaction():
            store.create([kept])
            with suppress(Interrupted), store.transaction():
                store.create([lost])
                raise Interrupted
            store.create([later])
        assert store.load([kept.id, lost.id, later.id]).keys() == {kept.id, later.id}

    def test_indexes_survive_any_number_of_failures(self) -> None:
        clock = ManualClock()
        store = InMemoryHistoryStore(clock)
        due_at = clock.now() + timedelta(hours=1)
        run = a_run(due_at=due_at, workflow_id="user-7")
        store.create([run])
        for _ in range(3):
            with suppress(Interrupted), store.transaction():
                assert len(store.due(due_at, limit=1, again_at=None).wakes) == 1
                assert store.next_due() is None
                raise Interrupted
            assert store.next_due() == due_at
            assert not store.create([a_run(workflow_id="user-7")])[0].created

    def test_same_calls_give_the_same_answers(self) -> None:
        def play() -> list[list[int]]:
            clock = ManualClock()
            store = InMemoryHistoryStore(clock)
            runs = [a_run(id=UUID(int=n), due_at=clock.now()) for n in (5, 1, 4, 2, 3)]
            store.create(runs)
            return [[wake.run_id.int for wake in store.due(clock.now(), limit=2, again_at=None).wakes] for _ in runs]

        assert play() == play() == [[5, 1], [4, 2], [3], [], []]

    def test_outdated_due_times_do_not_pile_up(self) -> None:
        journal = Journal()
        table: Table[str, datetime] = Table(journal, due_at=lambda row: row)
        start = datetime(2026, 1, 1, tzinfo=UTC)
        with journal.transaction():
            for n in range(10_000):
                table.put("row", start + timedelta(seconds=n))
        assert len(table._heap) < 100
        assert table.next_due() == start + timedelta(seconds=9_999)

    def test_what_is_stored_is_a_copy(self) -> None:
        suite = TestStore()
        policy = {"non_retryable_error_types": ("ValueError",)}
        task = suite.begin(suite.start(), retry_policy=policy)
        policy.clear()
        assert task.retry_policy == {"non_retryable_error_types": ["ValueError"]}


class TestManualClock:
    def test_time_stands_still(self) -> None:
        clock = ManualClock()
        assert (clock.now(), clock.monotonic()) == (clock.now(), 0.0)

    def test_advance_moves_both_times(self) -> None:
        clock = ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
        clock.advance(timedelta(minutes=1))
        clock.advance(1.5)
        assert clock.monotonic() == 61.5
        assert clock.now() == datetime(2030, 1, 1, 0, 1, 1, 500_000, tzinfo=UTC)

    def test_wait_lets_time_pass_at_once(self) -> None:
        clock = ManualClock()
        clock.wait(Event(), 3600)
        assert clock.monotonic() == 3600

    def test_wait_is_never_in_vain(self) -> None:
        clock = ManualClock()
        clock.wait(threading.Event(), 1e-16)  # as is left of 0.4 + 0.2 at 0.6 s
        assert clock.monotonic() == 1e-6
        clock.wait(threading.Event(), 0)
        assert clock.monotonic() == 1e-6

    def test_wait_for_what_has_happened_takes_no_time(self) -> None:
        clock, event = ManualClock(), Event()
        event.set()
        clock.wait(event, 3600)
        assert clock.monotonic() == 0

    def test_clock_does_not_go_back(self) -> None:
        with pytest.raises(ValueError, match="cannot go back"):
            ManualClock().advance(-1)

    def test_clock_is_a_clock(self) -> None:
        clock: Clock = ManualClock()
        tick: Callable[[], float] = clock.monotonic
        assert tick() == 0


def test_memory_is_registered_by_its_plugin() -> None:
    plugins = load(plugin)
    assert isinstance(plugins.queues.find("memory")(), InMemoryTaskQueue)
    assert isinstance(plugins.stores.find("memory")(), InMemoryHistoryStore)


def test_claiming_many_entries_does_not_slow_down() -> None:
    """Every entry is touched a bounded number of times: 5,000 of them in no more steps than a heap needs."""
    queue = InMemoryTaskQueue(ManualClock())
    queue.enqueue(an_entry() for _ in range(5_000))
    suite = TestQueue()
    suite.queue = queue
    claimed = 0
    while claims := suite.claim(runs=50):
        queue.complete(claims)
        claimed += len(claims)
    assert claimed == 5_000
    assert queue._ready[an_entry().kind, "default"] == []
