"""Workers say that they live; what the dead leave behind is found once."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from durable_core.codec import Payload
from durable_core.execution import Status, TaskStatus
from durable_core.ports import DEFAULT_QUEUE, Beat, BeatReply, TaskRecord, new_id, private_queue
from durable_core.testing.contracts.builders import HOUR, SECOND, StoreCases, a_task, a_worker, outcome_of

SILENCE = 0.2  # seconds, for cases in which a worker must not be heard of


class WorkerCases(StoreCases):
    def hire(self) -> UUID:
        worker = a_worker(queues=("default", "slow"))
        self.store.add_worker(worker)
        return worker.id

    def hire_alone(self) -> UUID:
        worker_id = new_id()
        self.store.add_worker(a_worker(id=worker_id, queues=(private_queue(worker_id),)))
        return worker_id

    def beat(self, worker_id: UUID, *beats: Beat) -> BeatReply:
        with self.store.transaction():
            return self.store.beat(worker_id, beats)

    def sign_of_life(self, task: TaskRecord, details: str | None = None) -> Beat:
        payload = None if details is None else Payload(details)
        return Beat(task.id, task.token, payload, self.later(), is_sign_of_life=True)

    def test_beat_of_a_known_worker_is_answered(self) -> None:
        assert self.beat(self.hire()) == BeatReply(known=True, canceled=frozenset(), lost=frozenset())

    def test_beat_of_an_unknown_worker_tells_it_so(self) -> None:
        assert not self.beat(new_id()).known

    def test_removed_worker_is_unknown(self) -> None:
        worker_id = self.hire()
        self.store.remove_worker(worker_id)
        assert not self.beat(worker_id).known

    def test_own_attempt_is_neither_canceled_nor_lost(self) -> None:
        worker_id = self.hire()
        task = self.begin(self.start(), worker_id=worker_id)
        reply = self.beat(worker_id, self.sign_of_life(task))
        assert (reply.canceled, reply.lost) == (frozenset(), frozenset())

    def test_attempt_committed_as_claimed_is_the_committing_workers(self) -> None:
        worker_id, task = self.hire(), a_task(claimed=True)
        self.commit(self.start(), tasks=[task], worker_id=worker_id)
        reply = self.beat(worker_id, Beat(task.id, 1, None, None, is_sign_of_life=True))
        assert reply.lost == frozenset()
        assert [left.id for left in self.bury(worker_id)] == [task.id]

    def test_running_activities_hear_that_their_run_closed(self) -> None:
        for close_tasks_as in (TaskStatus.CANCELED, TaskStatus.FAILED, None):
            worker_id, run_id = self.hire(), self.start()
            task = self.begin(run_id, worker_id=worker_id)
            self.close(run_id, status=Status.CANCELED, close_tasks_as=close_tasks_as)
            reply = self.beat(worker_id, self.sign_of_life(task))
            assert reply.canceled == {task.id}
            assert reply.lost == frozenset()

    def test_attempt_that_another_worker_has_now_is_lost(self) -> None:
        worker_id, other = self.hire(), self.hire()
        task = self.begin(self.start(), worker_id=worker_id)
        self.retry(task, self.store.now())
        (current,) = self.claim(task.id, worker_id=other)
        assert self.beat(worker_id, self.sign_of_life(task)).lost == {(task.id, task.token)}
        assert self.beat(other, self.sign_of_life(current)).lost == frozenset()

    def test_attempt_that_is_over_is_lost(self) -> None:
        worker_id, run_id = self.hire(), self.start()
        done = self.begin(run_id, worker_id=worker_id)
        retried = self.begin(run_id, worker_id=worker_id)
        self.report(outcome_of(done, TaskStatus.TIMED_OUT))
        self.retry(retried, self.later())
        stranger = Beat(new_id(), 1, None, None, is_sign_of_life=True)
        asked = [self.sign_of_life(done), self.sign_of_life(retried), stranger]
        reply = self.beat(worker_id, *asked)
        assert reply.lost == {(beat.task_id, beat.token) for beat in asked}

    def test_of_two_attempts_that_a_worker_has_of_one_task_only_the_older_is_lost(self) -> None:
        """The first goes on for a while after its run was reopened, or after its time was up."""
        worker_id = self.hire()
        first = self.begin(self.start(), worker_id=worker_id)
        self.retry(first, self.store.now())
        (second,) = self.claim(first.id, worker_id=worker_id)
        for order in ((first, second), (second, first)):
            reply = self.beat(worker_id, *map(self.sign_of_life, order))
            assert reply.lost == {(first.id, first.token)}

    def test_beat_puts_off_the_next_look_at_the_attempt(self) -> None:
        worker_id = self.hire()
        task = self.begin(self.start(), worker_id=worker_id, heartbeat_timeout=SECOND)
        self.beat(worker_id, self.sign_of_life(task))
        assert self.due_tasks(self.later(HOUR / 2)) == []
        (due,) = self.due(self.later(2 * HOUR)).tasks
        assert due.id == task.id
        assert due.heartbeat_at is not None

    def test_beat_that_names_no_due_time_keeps_the_one_there(self) -> None:
        worker_id, run_id = self.hire(), self.start()
        tasks = [self.begin(run_id, worker_id=worker_id, start_to_close=HOUR) for _ in range(2)]
        for task, is_sign_of_life in zip(tasks, (True, False), strict=True):
            self.beat(worker_id, Beat(task.id, task.token, None, None, is_sign_of_life))
        assert set(self.due_tasks(self.later(2 * HOUR))) == {task.id for task in tasks}

    def test_mere_question_is_no_sign_of_life(self) -> None:
        worker_id = self.hire()
        task = self.begin(self.start(), worker_id=worker_id)
        self.beat(worker_id, Beat(task.id, task.token, None, self.later(), is_sign_of_life=False))
        (due,) = self.due(self.later(2 * HOUR)).tasks
        assert due.heartbeat_at is None

    def test_heartbeat_details_reach_the_next_attempt(self) -> None:
        worker_id = self.hire()
        task = self.begin(self.start(), worker_id=worker_id)
        self.beat(worker_id, self.sign_of_life(task, '{"row":17}'))
        self.beat(worker_id, self.sign_of_life(task))  # nothing new to say
        self.retry(task, self.store.now())
        (second,) = self.claim(task.id)
        assert (second.heartbeat_details, second.heartbeat_at) == ('{"row":17}', None)

    def test_details_of_a_lost_attempt_are_not_kept(self) -> None:
        worker_id = self.hire()
        task = self.begin(self.start(), worker_id=worker_id)
        self.retry(task, self.store.now())
        self.beat(worker_id, self.sign_of_life(task, '"late"'))
        (second,) = self.claim(task.id)
        assert second.heartbeat_details is None

    def test_beat_of_a_lost_attempt_says_nothing_about_the_current_one(self) -> None:
        worker_id, other = self.hire(), self.hire()
        lost = self.begin(self.start(), worker_id=worker_id)
        self.retry(lost, self.store.now())
        (current,) = self.claim(lost.id, worker_id=other)
        self.beat(worker_id, self.sign_of_life(lost, '"late"'))
        self.retry(current, self.store.now())
        (next_one,) = self.claim(lost.id)
        assert next_one.heartbeat_details is None

    def test_worker_without_a_heartbeat_is_dead(self) -> None:
        silent, alive = self.hire(), self.hire()
        assert self.store.dead_workers(HOUR) == []
        self.pass_time(2 * SILENCE)
        self.beat(alive)
        assert self.store.dead_workers(timedelta(seconds=SILENCE)) == [silent]
        assert self.store.dead_workers(HOUR) == []

    def test_bury_answers_what_the_dead_were_running(self) -> None:
        dead, alive, run_id = self.hire(), self.hire(), self.start()
        running = self.begin(run_id, worker_id=dead)
        done = self.begin(run_id, worker_id=dead)
        self.report(outcome_of(done))
        self.begin(run_id, worker_id=alive)
        (left,) = self.bury(dead)
        assert left.id == running.id
        assert (left.status, left.token, left.attempt) == (TaskStatus.RUNNING, running.token, 1)
        assert not self.beat(dead).known
        assert self.beat(alive).known

    def test_worker_is_buried_once(self) -> None:
        dead = self.hire()
        task = self.begin(self.start(), worker_id=dead)
        (left,) = self.bury(dead)
        assert left.id == task.id
        self.report(outcome_of(left, TaskStatus.QUEUED, retry_at=self.store.now()))
        assert self.bury(dead) == []
        assert self.bury(new_id()) == []

    def test_what_a_worker_begins_after_its_burial_can_be_buried_too(self) -> None:
        buried, alive, run_id = self.hire(), self.hire(), self.start()
        self.bury(buried)
        claimed = self.begin(run_id, worker_id=buried)
        committed = a_task(claimed=True)
        self.commit(run_id, tasks=[committed], worker_id=buried)
        self.begin(run_id, worker_id=alive)
        assert self.store.dead_workers(HOUR) == []
        assert self.store.buried_alive() == [buried]
        left = self.bury(buried)
        assert {task.id for task in left} == {claimed.id, committed.id}
        for task in left:
            self.report(outcome_of(task, TaskStatus.QUEUED, retry_at=self.store.now()))
        assert self.store.buried_alive() == []

    def test_several_threads_bury_a_worker_once(self) -> None:
        dead = self.hire()
        task = self.begin(self.start(), worker_id=dead)

        def bury() -> list[UUID]:
            with self.store.transaction():
                left = self.store.bury([dead])
                self.store.record_outcomes([outcome_of(one) for one in left])
                return [one.id for one in left]

        assert sorted(self.in_threads([bury] * 4)) == [[], [], [], [task.id]]

    def test_what_a_buried_worker_reports_later_is_refused(self) -> None:
        dead, run_id = self.hire(), self.start()
        task = self.begin(run_id, worker_id=dead)
        with self.store.transaction():
            (left,) = self.store.bury([dead])
            self.store.record_outcomes([outcome_of(left, TaskStatus.QUEUED, retry_at=self.store.now(), crashes=1)])
        assert self.report(outcome_of(task)).rejected == {task.id}
        (second,) = self.claim(task.id)
        assert (second.attempt, second.crashes) == (2, 1)

    def test_runs_and_tasks_of_a_buried_workers_private_queue_go_to_the_default_queue(self) -> None:
        dead, alive = (self.hire_alone() for _ in range(2))
        moved, kept, other = (self.start(queue=queue) for queue in (private_queue(dead), private_queue(alive), "slow"))
        tasks = {run_id: a_task(queue=self.record_of(run_id).queue) for run_id in (moved, kept, other)}
        for run_id, task in tasks.items():
            self.commit(run_id, tasks=[task])
        self.bury(dead)
        assert self.record_of(moved).queue == DEFAULT_QUEUE
        assert [self.record_of(run_id).queue for run_id in (kept, other)] == [private_queue(alive), "slow"]
        claimed = self.claim(tasks[moved].id, tasks[kept].id)
        assert {task.run_id: task.queue for task in claimed} == {moved: DEFAULT_QUEUE, kept: private_queue(alive)}

    def test_runs_that_a_worker_died_over_are_told_from_others(self) -> None:
        charged, innocent = self.start(), self.start()
        with self.store.transaction():
            self.store.charge([charged])
        assert self.store.crashed([charged, innocent, new_id()]) == {charged}
        assert self.store.crashed([]) == set()
