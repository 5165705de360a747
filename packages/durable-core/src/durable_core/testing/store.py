"""A `HistoryStore` in memory, with the transactions of a real one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from durable_core.execution import TRANSITIONS, Status, TaskStatus
from durable_core.ports import (
    MAX_UNREAD,
    CommitResult,
    Committed,
    Created,
    Due,
    LoadedRun,
    Verdict,
    has_ended,
    mailbox_full,
    unheard_of,
)
from durable_core.testing.activities import ActivityMethods
from durable_core.testing.auditing import AuditMethods
from durable_core.testing.life import LifeMethods
from durable_core.testing.liveness import WorkerMethods
from durable_core.testing.messages import MessageMethods
from durable_core.testing.outputs import OutputMethods
from durable_core.testing.people import HumanTaskMethods
from durable_core.testing.rows import new_run, new_task

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from durable_core.ports import Commit, Letter, Mail, NewRun, RunRecord, Wake
    from durable_core.testing.rows import RunRow


class InMemoryHistoryStore(
    ActivityMethods, MessageMethods, OutputMethods, WorkerMethods, LifeMethods, HumanTaskMethods, AuditMethods
):
    """Runs, histories, mail, tasks and workers, in this process and gone with it.

    Transactions run one after another, so no row is ever busy; one inside another joins it. May be used from
    many threads. Mail that nobody has read is due after `ports.REDELIVERY`, an attempt given back after
    `ports.GRACE`.
    """

    # Runs

    def create(self, runs: Sequence[NewRun]) -> list[Created]:
        with self.transaction():
            return [self._create(run) for run in runs]

    def get(self, run_id: UUID) -> RunRecord | None:
        with self.transaction():
            run = self._runs.get(run_id)
            return None if run is None else run.record

    def load(self, run_ids: Collection[UUID]) -> dict[UUID, LoadedRun]:
        with self.transaction():
            return {
                run_id: LoadedRun(run.record, list(self._events.get(run_id, ())), self._unread(run_id))
                for run_id in run_ids
                if (run := self._runs.get(run_id)) is not None
            }

    def newest(self, run_id: UUID) -> RunRecord | None:
        with self.transaction():
            run = self._newest(run_id)
            return None if run is None else run.record

    def unread(self, versions: Mapping[UUID, int]) -> dict[UUID, list[Mail]]:
        with self.transaction():
            return {
                run_id: self._unread(run_id)
                for run_id, version in versions.items()
                if (run := self._runs.get(run_id)) is not None and run.record.version == version
            }

    def lock(self, run_id: UUID) -> LoadedRun | None:
        """Whoever is in a transaction holds all rows already."""
        assert self.in_transaction(), "lock() outside of a transaction would hold nothing"
        run = self._runs.get(run_id)
        last = self._events.get(run_id, [])[-1:]
        return None if run is None else LoadedRun(run.record, last, self._unread(run_id))

    def children(self, run_id: UUID) -> list[UUID]:
        with self.transaction():
            return [
                child.record.id
                for child in self._runs.group("parent", run_id)
                if child.is_open and child.record.cancel_with_parent
            ]

    def commit(self, commits: Sequence[Commit]) -> Committed:
        with self.transaction():
            verdicts = {commit.run_id: self._decide(commit) for commit in commits}
            assert len(verdicts) == len(commits), "one decision per run and batch"
            letters = [
                letter
                for commit in commits
                if verdicts[commit.run_id] is Verdict.COMMITTED
                for letter in commit.letters
            ]
            letters += [
                letter
                for commit in commits
                if verdicts[commit.run_id] is Verdict.COMMITTED
                for letter in self._cancel(commit.run_id, commit.cancels)
            ]
            for commit in commits:
                if verdicts[commit.run_id] is Verdict.COMMITTED:
                    letters += self._withdraw(commit)
                    letters += self._outgoing_letters(commit)
            for commit in commits:
                if verdicts[commit.run_id] is Verdict.COMMITTED and commit.status.is_closed:
                    self._keep_words(commit, letters)
            # Last, so that a run that closes in this batch gets none, wherever in the batch it stands.
            wakes = self._put_letters(letters)
            return Committed(
                {commit.run_id: self._result(commit, verdicts[commit.run_id]) for commit in commits}, wakes
            )

    def annotate(self, waiting_for: Mapping[UUID, str]) -> None:
        with self.transaction():
            for run_id, text in waiting_for.items():
                if (run := self._open_run(run_id)) is not None:
                    self._runs.put(run_id, replace(run, waiting_for=text))

    def crashed(self, run_ids: Collection[UUID]) -> set[UUID]:
        found = {run_id: self.get(run_id) for run_id in run_ids}
        return {run_id for run_id, record in found.items() if record is not None and record.crashes}

    def charge(self, run_ids: Collection[UUID]) -> None:
        with self.transaction():
            for run_id in run_ids:
                if (run := self._open_run(run_id)) is not None:
                    record = replace(run.record, crashes=run.record.crashes + 1)
                    self._runs.put(run_id, replace(run, record=record))

    # Mail

    def deliver(self, letters: Sequence[Letter]) -> list[Wake]:
        with self.transaction():
            for run_id, new in Counter(letter.run_id for letter in letters).items():
                newest = self._newest(run_id)
                waiting = 0 if newest is None else len(self._unread(newest.record.id))
                if waiting + new > MAX_UNREAD:
                    raise mailbox_full(run_id, waiting)
            return self._put_letters(letters)

    # Time

    def next_due(self) -> datetime | None:
        with self.transaction():
            times = (table.next_due() for table in (self._runs, self._mail, self._tasks))
            return min((time for time in times if time is not None), default=None)

    def due(self, now: datetime, *, limit: int, again_at: datetime | None) -> Due:
        wakes: dict[UUID, Wake] = {}
        with self.transaction():
            for run in self._runs.due(now, limit):
                self._runs.put(run.record.id, replace(run, due_at=again_at))
                wakes[run.record.id] = self._wake_of(run)
            for row in self._mail.due(now, limit):
                addressee = self._open_run(row.run_id)
                if addressee is None:
                    self._mail.remove(row.mail.id)
                else:
                    self._mail.put(row.mail.id, replace(row, due_at=again_at))
                    wakes[row.run_id] = self._wake_of(addressee)
            return Due(list(wakes.values()), [row.record for row in self._tasks.due(now, limit)])

    # For tests: what no worker reads

    def waiting_for(self, run_id: UUID) -> str | None:
        """What an existing run was last said to wait for."""
        run = self._runs.get(run_id)
        assert run is not None, run_id
        return run.waiting_for

    def task_status(self, task_id: UUID) -> TaskStatus:
        """Of an existing task, closed or not."""
        row = self._tasks.get(task_id)
        assert row is not None, task_id
        return row.record.status

    # Steps of the above, inside its transaction

    def _create(self, run: NewRun) -> Created:
        older = self._runs.get(run.id)  # the same call again, because its reply was lost
        if older is None and run.workflow_id is not None:
            older = next(iter(self._runs.group("open workflow_id", run.workflow_id)), None)
        if older is not None:
            return Created(older.record.id, False, older.record.workflow_name, older.record.input)
        self._runs.put(run.id, new_run(run, self.now()))
        return Created(run.id, True, run.workflow_name, run.input)

    def _decide(self, commit: Commit) -> Verdict:
        run = self._open_run(commit.run_id)
        if run is None or run.record.version != commit.version:
            return Verdict.CONFLICT
        if not all(map(self._is_acceptable, commit.outcomes)):
            return Verdict.CONFLICT
        if commit.status.is_closed and self._unseen(commit):
            return Verdict.UNREAD
        if commit.expired and has_ended(commit.expired, self._unseen(commit)):
            return Verdict.UNREAD
        self._apply(commit, run)
        return Verdict.COMMITTED

    def _apply(self, commit: Commit, run: RunRow) -> None:
        assert commit.status in TRANSITIONS[run.record.status], f"{run.record.status} to {commit.status}"
        self._append(commit.run_id, commit.events, commit.history_length)
        record = replace(
            run.record,
            status=commit.status,
            version=commit.version + 1,
            history_length=commit.history_length,
            result=commit.result,
            error=commit.error,
            failures=commit.failures,
            crashes=commit.crashes,
            worker_id=commit.worker_id,
        )
        due_at = None if commit.status.is_closed else commit.due_at
        self._runs.put(commit.run_id, replace(run, record=record, waiting_for=commit.waiting_for, due_at=due_at))
        mine = {row.mail.id for row in self._mail.group("run", commit.run_id)}
        for mail_id in commit.mail_read:
            if mail_id in mine:
                self._mail.remove(mail_id)
        for outcome in commit.outcomes:
            self._accept(outcome)
        for task in commit.tasks:
            self._tasks.put(task.id, new_task(task, commit.run_id, commit.worker_id, self.now()))
        for child in commit.children:
            self._create(child)
        self._tell(commit.run_id, commit.updates)
        if commit.status is Status.CONTINUED_AS_NEW:
            self._forget_messages(run.record.chain_id or commit.run_id)
        self._set_values(commit.run_id, commit.values)
        self._put_items(commit.run_id, commit.items)
        self._decide_human_tasks(commit)
        if commit.status.is_closed:
            self._close_queued(commit.run_id, commit.close_tasks_as)

    def _keep_words(self, commit: Commit, letters: Sequence[Letter]) -> None:
        run = self._runs.get(commit.run_id)
        assert run is not None
        self._runs.put(commit.run_id, replace(run, record=replace(run.record, unheard=unheard_of(commit, letters))))

    def _result(self, commit: Commit, verdict: Verdict) -> CommitResult:
        match verdict:
            case Verdict.COMMITTED:
                return CommitResult(verdict, self._unread(commit.run_id))
            case Verdict.UNREAD:
                return CommitResult(verdict, self._unseen(commit))
            case _:
                return CommitResult(verdict)

    def _unseen(self, commit: Commit) -> list[Mail]:
        return [mail for mail in self._unread(commit.run_id) if mail.id not in commit.mail_read]
