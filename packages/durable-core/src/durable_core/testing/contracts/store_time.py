"""What is due is found, once, by whoever looks first."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from durable_core.execution import Status
from durable_core.testing.contracts.base import Interrupted
from durable_core.testing.contracts.builders import HOUR, SECOND, StoreCases, a_letter, outcome_of

DAY = timedelta(days=1)


class TimeCases(StoreCases):
    def test_nothing_is_due_in_an_empty_store(self) -> None:
        assert self.store.next_due() is None
        due = self.due(self.later(DAY))
        assert (due.wakes, due.tasks) == ([], [])

    def test_new_run_is_due_when_it_says(self) -> None:
        due_at = self.later()
        run_id = self.start(due_at=due_at, queue="slow", priority=4)
        assert self.store.next_due() == due_at
        assert self.due_runs(due_at - SECOND) == []
        (wake,) = self.due(due_at).wakes
        assert wake == (run_id, "slow", 4, None)

    def test_run_without_due_time_is_not_due(self) -> None:
        self.start()
        self.commit(self.start(due_at=self.later()), due_at=None)
        assert self.store.next_due() is None
        assert self.due_runs(self.later(DAY)) == []

    def test_next_due_is_the_earliest_of_all_kinds(self) -> None:
        soon = self.later()
        run_id = self.start()
        self.schedule(run_id, due_at=soon + SECOND)
        assert self.store.next_due() == soon + SECOND
        self.commit(run_id, due_at=soon)
        assert self.store.next_due() == soon

    def test_due_run_is_due_again_when_told(self) -> None:
        due_at, again_at = self.later(), self.later(2 * HOUR)
        run_id = self.start()
        self.commit(run_id, due_at=due_at)
        assert self.due_runs(due_at, again_at=again_at) == [run_id]
        assert self.store.next_due() == again_at
        assert self.due_runs(again_at - SECOND) == []
        assert self.due_runs(again_at) == [run_id]

    def test_due_run_is_not_due_again_by_itself(self) -> None:
        run_id = self.start()
        self.commit(run_id, due_at=self.store.now())
        assert self.due_runs(self.later()) == [run_id]
        assert self.store.next_due() is None
        assert self.due_runs(self.later(DAY)) == []

    def test_no_more_rows_than_the_limit_the_earliest_first(self) -> None:
        first = self.later()
        runs = [self.start(due_at=first + n * SECOND) for n in (3, 1, 4, 0, 2)]
        by_time = [runs[n] for n in (3, 1, 4, 0, 2)]
        assert set(self.due_runs(self.later(DAY), limit=2)) == set(by_time[:2])
        assert set(self.due_runs(self.later(DAY), limit=2)) == set(by_time[2:4])
        assert set(self.due_runs(self.later(DAY), limit=2)) == set(by_time[4:])

    def test_blocked_and_pending_runs_are_found(self) -> None:
        blocked, pending = self.start(), self.start(due_at=self.store.now())
        self.commit(blocked, status=Status.BLOCKED, due_at=self.store.now())
        assert set(self.due_runs(self.later())) == {blocked, pending}

    def test_due_changes_no_version(self) -> None:
        run_id = self.start(due_at=self.store.now())
        self.due(self.later())
        assert self.record_of(run_id).version == 0

    def test_rolled_back_look_leaves_rows_due(self) -> None:
        run_id = self.start(due_at=self.store.now())
        self.deliver(a_letter(run_id))
        for _ in range(2):
            with suppress(Interrupted), self.store.transaction():
                assert self.due_runs(self.later()) == [run_id]
                raise Interrupted
        assert self.due_runs(self.later()) == [run_id]

    # Mail

    def test_unread_mail_is_due_before_long(self) -> None:
        """If the queue lost the entry of the letter, the run must hear of it all the same."""
        run_id = self.start(queue="slow")
        self.deliver(a_letter(run_id))
        next_due = self.store.next_due()
        assert next_due is not None
        assert next_due <= self.later(timedelta(minutes=2))
        (wake,) = self.due(self.later()).wakes
        assert (wake.run_id, wake.queue) == (run_id, "slow")

    def test_run_with_much_due_mail_is_woken_once(self) -> None:
        run_id = self.start(due_at=self.store.now())
        self.deliver(*[a_letter(run_id)] * 3)
        assert self.due_runs(self.later()) == [run_id]

    def test_due_mail_is_due_again_when_told_and_stays_unread(self) -> None:
        run_id, again_at = self.start(), self.later(2 * HOUR)
        self.deliver(a_letter(run_id))
        assert self.due_runs(self.later(), again_at=again_at) == [run_id]
        assert len(self.mail_ids(run_id)) == 1
        assert self.due_runs(again_at - SECOND) == []
        assert self.due_runs(again_at) == [run_id]
        assert self.store.next_due() is None

    def test_mail_that_was_read_is_not_due(self) -> None:
        run_id = self.start()
        self.deliver(a_letter(run_id))
        self.commit(run_id, mail_read=self.mail_ids(run_id))
        assert self.store.next_due() is None

    # Activities

    def test_task_is_due_when_it_says(self) -> None:
        due_at = self.later()
        task_id = self.schedule(self.start(), due_at=due_at)
        assert self.due_tasks(due_at - SECOND) == []
        assert self.due_tasks(due_at) == [task_id]

    def test_task_stays_due_until_somebody_acts(self) -> None:
        task_id = self.schedule(self.start(), due_at=self.store.now())
        assert self.due_tasks(self.later()) == [task_id]
        assert self.due_tasks(self.later()) == [task_id]
        self.store.requeue({task_id: self.later(2 * HOUR)})
        assert self.due_tasks(self.later()) == []
        assert self.due_tasks(self.later(2 * HOUR)) == [task_id]

    def test_retry_is_due_when_its_backoff_ends(self) -> None:
        task, retry_at = self.begin(self.start()), self.later()
        self.retry(task, retry_at)
        assert self.store.next_due() == retry_at
        assert self.due_tasks(retry_at - SECOND) == []
        (due,) = self.due(retry_at).tasks
        assert (due.id, due.retry_at, due.attempt) == (task.id, retry_at, 1)

    def test_running_attempt_is_due_at_each_of_its_limits(self) -> None:
        limits: list[dict[str, Any]] = [
            {"expires_at": self.later()},
            {"start_to_close": HOUR},
            {"heartbeat_timeout": HOUR},
        ]
        for limit in limits:
            task = self.begin(self.start(), **limit)
            assert task.id not in self.due_tasks(self.later(HOUR / 2)), limit
            assert task.id in self.due_tasks(self.later(2 * HOUR)), limit

    def test_closed_task_is_not_due(self) -> None:
        run_id = self.start()
        task = self.begin(run_id, start_to_close=HOUR)
        self.report(outcome_of(task))
        self.commit(run_id, mail_read=self.mail_ids(run_id))
        assert self.store.next_due() is None
        assert self.due_tasks(self.later(DAY)) == []

    # Closed runs

    def test_nothing_of_a_closed_run_is_due_but_what_still_runs(self) -> None:
        run_id = self.start(due_at=self.store.now())
        self.schedule(run_id, due_at=self.store.now())
        running = self.begin(run_id, start_to_close=HOUR)
        self.deliver(a_letter(run_id))
        self.close(run_id, due_at=self.store.now())
        due = self.due(self.later(DAY))
        assert due.wakes == []
        assert [task.id for task in due.tasks] == [running.id]
