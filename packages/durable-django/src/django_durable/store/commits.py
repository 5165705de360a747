"""Decisions of many runs in one transaction.

    lock tasks, lock runs, read mail      which of the decisions still stand
    write events, runs, tasks, mail       what these decided

Every step is one statement, whatever the number of runs; a step with nothing to do is none. Rows that others hold are
left alone (BUSY), so no worker waits for a user's long transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_durable.store.base import GRACE
from django_durable.store.database import hex_of
from django_durable.store.mail import Mailboxes
from django_durable.store.records import earliest, failure_text, mail_of, row_of_task, storable
from django_durable.store.runs import Runs
from durable_core.execution import Status, TaskStatus
from durable_core.ports import CommitResult, Committed, Mail, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from django_durable.store.database import Row
    from durable_core.ports import Commit, TaskOutcome

LIVE_TASKS = frozenset(("QUEUED", "RUNNING"))
CLOSED_RUNS = frozenset(status.value for status in Status if status.is_closed)
WHY_CLOSED = {Status.CANCELED: "workflow canceled", Status.TIMED_OUT: "workflow timed out"}


class Commits(Runs, Mailboxes):
    def commit(self, commits: Sequence[Commit]) -> Committed:
        if not commits:
            return Committed({}, [])
        with self.db.transaction():
            refused = self._check_attempts([outcome for commit in commits for outcome in commit.outcomes])
            results = self._check_runs(commits, refused)
            return Committed(
                results, self._write([c for c in commits if results[c.run_id].verdict is Verdict.COMMITTED])
            )

    # Which decisions still stand

    def _check_attempts(self, outcomes: list[TaskOutcome]) -> dict[UUID, Verdict]:
        """Lock the tasks of outcomes. The runs of those that cannot be accepted, and why."""
        if not outcomes:
            return {}
        key = self.db.key
        rows = self.db.rows(self.sql.own_free_tasks, self.db.ids(outcome.task_id for outcome in outcomes))
        held = {row[0]: row for row in rows}
        refused: dict[UUID, Verdict] = {}
        missing: list[TaskOutcome] = []
        for outcome in outcomes:
            row = held.get(key(outcome.task_id))
            if row is None:
                missing.append(outcome)
            elif row[2] != outcome.token or row[1] not in LIVE_TASKS:
                refused[outcome.run_id] = Verdict.CONFLICT
        if missing:
            there = self.db.rows(self.sql.tasks_there, self.db.ids(outcome.task_id for outcome in missing))
            busy = {row[0] for row in there}
            for outcome in missing:
                found = Verdict.BUSY if key(outcome.task_id) in busy else Verdict.CONFLICT
                refused.setdefault(outcome.run_id, found)
        return refused

    def _check_runs(self, commits: Sequence[Commit], refused: dict[UUID, Verdict]) -> dict[UUID, CommitResult]:
        """Lock the runs, read their mail, and give each decision its verdict."""
        key = self.db.key
        ids = self.db.ids(commit.run_id for commit in commits)
        held = {row[0]: row for row in self.db.rows(self.sql.own_free_runs, ids)}
        missing = [commit.run_id for commit in commits if key(commit.run_id) not in held]
        there = self.db.rows(self.sql.runs_there, self.db.ids(missing)) if missing else ()
        busy = {row[0] for row in there}
        boxes = mail_of(self.db.rows(self.sql.mail, ids))
        results: dict[UUID, CommitResult] = {}
        for commit in commits:
            run = key(commit.run_id)
            row = held.get(run)
            if row is None:
                verdict = Verdict.BUSY if run in busy else Verdict.CONFLICT
            elif row[2] != commit.version or row[1] in CLOSED_RUNS:
                verdict = Verdict.CONFLICT
            else:
                verdict = refused.get(commit.run_id, Verdict.COMMITTED)
            mail = _without(boxes.get(run), commit.mail_read)
            if verdict is Verdict.COMMITTED and mail:
                if commit.status.is_closed:
                    verdict = Verdict.UNREAD
                elif commit.status is Status.BLOCKED:
                    mail = []  # it waits for a person, and is read once the code can go on
            results[commit.run_id] = CommitResult(verdict, mail)
        return results

    # What they decided

    def _write(self, commits: list[Commit]) -> list[Any]:
        db, sql = self.db, self.sql
        now = db.stamp()
        db.run_many(sql.insert_events, list(self._event_rows(commits)))
        db.run_many(sql.decide_runs, [self._decision_row(commit, now) for commit in commits])
        db.run_many(
            sql.insert_tasks,
            [row_of_task(task, c.run_id, c.worker_id, now, db) for c in commits for task in c.tasks],
        )
        db.run_many(
            sql.end_attempts, [self._outcome_row(outcome, None, now) for c in commits for outcome in c.outcomes]
        )
        self._close_tasks([commit for commit in commits if commit.status.is_closed], now)
        db.run_many(sql.delete_read, [(number, c.run_id.hex) for c in commits for number in c.mail_read])
        if children := [child for commit in commits for child in commit.children]:
            self._insert_runs(children)
        return self._post([letter for commit in commits for letter in commit.letters], sql.open_runs)

    def _event_rows(self, commits: Iterable[Commit]) -> Iterable[Row]:
        text_of = self.db.dialect.text_of
        last, text = None, ""
        for commit in commits:
            run_id = commit.run_id.hex
            for seq, kind, call_id, details, created_at in commit.events:
                if created_at is not last:  # most events of a batch share their instant
                    last, text = created_at, text_of(created_at)
                yield (run_id, seq, kind, call_id, details, text)

    def _decision_row(self, commit: Commit, now: str) -> Row:
        closed = commit.status.is_closed
        return (
            commit.run_id.hex,
            commit.status.value,
            commit.history_length,
            commit.result,
            storable(commit.error),
            None if closed else commit.waiting_for,
            None if closed else self.db.at(commit.due_at),
            commit.failures,
            commit.crashes,
            hex_of(commit.worker_id),
            now,
            now if closed else None,
        )

    def _outcome_row(self, outcome: TaskOutcome, expires_at: datetime | None, now: str) -> Row:
        """For `end_attempts`; *expires_at* bounds the wait of one that is tried again."""
        error, failure = failure_text(outcome.failure)
        again = outcome.status is TaskStatus.QUEUED
        at = self.db.at(outcome.retry_at) if again else None
        return (
            outcome.task_id.hex,
            outcome.status.value,
            outcome.result,
            error,
            failure,
            at,
            outcome.crashes,
            (at or now) if again else None,
            None if again else now,
            self.db.at(earliest(outcome.retry_at or self.db.now() + GRACE, expires_at)) if again else None,
            1 if again else 0,
        )

    def _close_tasks(self, commits: list[Commit], now: str) -> None:
        """QUEUED tasks of runs that close end with them or are kept; RUNNING ones are told to stop."""
        if not commits:
            return
        rules = {self.db.key(commit.run_id): commit for commit in commits}
        rows: list[Row] = []
        ids = self.db.ids(commit.run_id for commit in commits)
        for task_id, run_id, status in self.db.rows(self.sql.own_tasks_of_runs, ids):
            commit = rules[run_id]
            if status == "RUNNING":
                rows.append((str(task_id), None, "", None, True))
            elif commit.close_tasks_as is None:
                rows.append((str(task_id), None, "", None, False))
            else:
                why = WHY_CLOSED.get(commit.status, "workflow closed")
                rows.append((str(task_id), commit.close_tasks_as.value, why, now, False))
        self.db.run_many(self.sql.close_tasks, rows)


def _without(mail: list[Mail] | None, read: Sequence[int]) -> list[Mail]:
    if not mail:
        return []
    seen = frozenset(read)
    return [letter for letter in mail if letter.id not in seen]
