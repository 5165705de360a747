"""What an audit reads of a store that lets itself be audited. It is optional: others have nothing to pass here."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from durable_core.codec import NULL, Payload
from durable_core.events import WorkflowCancelRequested
from durable_core.execution import Status, TaskStatus
from durable_core.ports import AuditableStore, AuditedRun, Letter, Outline, new_id
from durable_core.testing.contracts.builders import StoreCases, a_letter, a_run, a_worker, outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID


class StoreAuditCases(StoreCases):
    def audited(self, run_id: UUID) -> AuditedRun:
        assert isinstance(self.store, AuditableStore)
        [run] = self.store.audited([run_id])
        return run

    def test_audit_turns_pages_from_the_oldest_run_on(self) -> None:
        if not isinstance(self.store, AuditableStore):
            return
        runs = []
        for _ in range(5):
            runs.append(self.start())
            self.pass_time(0.01)
        self.commit(runs[0], "workflow_started")
        pages = list(self._pages())
        assert [[outline.run_id for outline in page] for page in pages] == [runs[:2], runs[2:4], runs[4:]]
        assert [outline.history_length for page in pages for outline in page] == [1, 0, 0, 0, 0]

    def _pages(self) -> Iterator[list[Outline]]:
        assert isinstance(self.store, AuditableStore)
        after: Outline | None = None
        while page := self.store.outlines(after=after, since=None, limit=2):
            after = page[-1]
            yield page

    def test_audit_may_leave_out_older_runs(self) -> None:
        if not isinstance(self.store, AuditableStore):
            return
        older = self.start()
        self.pass_time(0.05)
        newer = self.start()
        since = self.record_of(newer).created_at
        assert [outline.run_id for outline in self.store.outlines(after=None, since=since, limit=9)] == [newer]
        since = self.record_of(older).created_at
        assert [outline.run_id for outline in self.store.outlines(after=None, since=since, limit=9)] == [older, newer]

    def test_audit_sees_a_run_with_its_history_and_mail(self) -> None:
        if not isinstance(self.store, AuditableStore):
            return
        run_id, due_at = self.start(workflow_id="a"), self.later()
        self.commit(run_id, "workflow_started", "signal_received", waiting_for='{"kind":"signal"}', due_at=due_at)
        self.deliver(a_letter(run_id, "one"), a_letter(run_id, "two"))
        run = self.audited(run_id)
        loaded = self.store.load([run_id])[run_id]
        assert run.record == loaded.record
        assert list(run.events) == loaded.events
        assert [letter.mail for letter in run.mail] == loaded.mail
        assert all(letter.due_at is not None for letter in run.mail)
        assert (run.waiting_for, run.due_at, list(run.namesakes)) == ('{"kind":"signal"}', due_at, [])

    def test_audit_sees_activities_open_and_closed(self) -> None:
        if not isinstance(self.store, AuditableStore):
            return
        run_id, worker = self.start(), a_worker()
        self.store.add_worker(worker)
        alive = self.begin(run_id, worker_id=worker.id, call_id="0")
        lost = self.begin(run_id, worker_id=new_id(), call_id="1")
        done = self.begin(run_id, worker_id=worker.id, call_id="2")
        self.report(outcome_of(done, result=Payload("7")))
        tasks = {task.record.call_id: task for task in self.audited(run_id).tasks}
        assert {call: task.record.id for call, task in tasks.items()} == {"0": alive.id, "1": lost.id, "2": done.id}
        assert [tasks[call].record.status for call in "012"] == [
            TaskStatus.RUNNING,
            TaskStatus.RUNNING,
            TaskStatus.COMPLETED,
        ]
        assert [tasks[call].has_worker for call in "01"] == [True, False]
        assert (tasks["2"].result, tasks["0"].result) == ("7", None)

    def test_audit_sees_children_and_whether_they_are_told_to_stop(self) -> None:
        if not isinstance(self.store, AuditableStore):
            return
        parent = self.start()
        children = [a_run(parent_id=parent, parent_call_id=call) for call in ("0", "1")]
        self.commit(parent, children=children)
        self.close(children[0].id, result=NULL)
        request = WorkflowCancelRequested(reason="", graceful=False)
        self.deliver(Letter.of(children[1].id, request))
        seen = {child.id: child for child in self.audited(parent).children}
        assert seen.keys() == {child.id for child in children}
        first, second = (seen[child.id] for child in children)
        assert (first.status, first.result, first.call_id, first.is_told) == (Status.COMPLETED, NULL, "0", False)
        assert (second.status, second.result, second.call_id, second.is_told) == (Status.PENDING, None, "1", True)

    def test_audit_of_unknown_runs_sees_none(self) -> None:
        if not isinstance(self.store, AuditableStore):
            return
        assert self.store.audited([]) == []
        assert self.store.audited([new_id()]) == []

    def test_nothing_is_written_in_a_snapshot(self) -> None:
        if not isinstance(self.store, AuditableStore):
            return
        run = a_run()
        with suppress(Exception), self.store.snapshot():
            self.store.create([run])
        assert self.store.audited([run.id]) == []
        self.start()  # which can write again

    def test_time_of_a_snapshot_is_over_with_it(self) -> None:
        if not isinstance(self.store, AuditableStore):
            return
        with self.store.snapshot():
            assert self.store.outlines(after=None, since=None, limit=9) == []
        run_id = self.start()
        with self.store.snapshot():
            assert [outline.run_id for outline in self.store.outlines(after=None, since=None, limit=9)] == [run_id]
