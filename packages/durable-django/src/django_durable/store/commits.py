"""Decisions of many runs in one transaction.

    lock tasks, lock runs, read mail      which of the decisions still stand
    write events, runs, tasks, mail       what these decided

Every step is one statement, whatever the number of runs; a step with nothing to do is none. Rows that others hold are
left alone (BUSY), so no worker waits for a user's long transaction.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from django_durable.store.database import hex_of, uuid
from django_durable.store.messages import Messages
from django_durable.store.outgoing import OutgoingMail
from django_durable.store.outputs import Outputs
from django_durable.store.people import HumanTasks
from django_durable.store.records import failure_text, mail_of, row_of_task, storable
from django_durable.store.runs import Runs
from durable_core.events import ActivityCanceled
from durable_core.execution import Status, TaskStatus
from durable_core.ports import (
    GRACE,
    CommitResult,
    Committed,
    Letter,
    Mail,
    Verdict,
    Wake,
    earliest,
    has_ended,
    unheard_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from django_durable.store.database import Row
    from durable_core.ports import Commit, TaskOutcome

LIVE_TASKS = frozenset(("QUEUED", "RUNNING"))
CLOSED_RUNS = frozenset(status.value for status in Status if status.is_closed)
Held = dict[Any, tuple[str, int]]  # by id: status, and what a writer must name (token or version)

WHY_CLOSED = {Status.CANCELED: "workflow canceled", Status.TIMED_OUT: "workflow timed out"}


class Left(NamedTuple):
    """What runs that close have open: pairs of a run's key and an id."""

    tasks: list[tuple[Any, str]]
    asked: list[tuple[Any, str]]


class Commits(Runs, OutgoingMail, Messages, Outputs, HumanTasks):
    def commit(self, commits: Sequence[Commit]) -> Committed:
        if not commits:
            return Committed({}, [])
        with self.db.transaction():
            results, left = self._check(commits)
            self._hold_targets(commits, results)
            accepted = [commit for commit in commits if results[commit.run_id].verdict is Verdict.COMMITTED]
            wakes = self._write(accepted, left) if accepted else []
            self._read_again([c for c in accepted if c.cancels or c.withdrawn or c.outgoing], results)
            return Committed(results, wakes)

    def _read_again(self, commits: list[Commit], results: dict[UUID, CommitResult]) -> None:
        """These may have written mail to their own runs, which is there to be acted on at once."""
        if commits:
            boxes = mail_of(self.db.rows(self.sql.mail, self.db.ids(commit.run_id for commit in commits)))
            for commit in commits:
                results[commit.run_id].mail = boxes.get(self.db.key(commit.run_id), [])

    # Which decisions still stand

    def _check(self, commits: Sequence[Commit]) -> tuple[dict[UUID, CommitResult], Left]:
        """Lock tasks and runs, read mail, and give each decision its verdict."""
        outcomes = [outcome for commit in commits for outcome in commit.outcomes]
        db, sql = self.db, self.sql
        going_on = [commit.run_id for commit in commits if not commit.status.is_closed and not commit.expired]
        last_words = [commit.run_id for commit in commits if commit.status.is_closed or commit.expired]
        closing = db.ids(commit.run_id for commit in commits if commit.status.is_closed)
        tasks = db.ids(outcome.task_id for outcome in outcomes)
        queries: list[tuple[str, *tuple[Any, ...]]] = [
            (sql.own_free, tasks, db.ids(going_on + last_words), db.ids(going_on), closing, closing)
        ]
        if last_words:  # a statement after the lock sees all that its last holder wrote, under READ COMMITTED too
            queries.append((sql.mail, db.ids(last_words)))
        held: tuple[Held, Held] = ({}, {})
        mail: list[Row] = []
        left = Left([], [])
        rows, *behind_lock = db.rows_of_all(queries)
        for kind, key, text, number, call_id, details in rows:
            match kind:
                case 2:
                    mail.append((key, number, text, call_id, details))
                case 3:
                    left.tasks.append((key, text))
                case 4:
                    left.asked.append((key, text))
                case _:
                    held[kind][key] = (text, number)
        mail.sort(key=itemgetter(1))
        boxes = mail_of([*mail, *(row for more in behind_lock for row in more)])
        return self._check_runs(commits, self._check_attempts(outcomes, held[0]), held[1], boxes), left

    def _check_attempts(self, outcomes: list[TaskOutcome], held: Held) -> dict[UUID, Verdict]:
        """The runs of outcomes that cannot be accepted, and why."""
        key = self.db.key
        refused: dict[UUID, Verdict] = {}
        missing: list[TaskOutcome] = []
        for outcome in outcomes:
            row = held.get(key(outcome.task_id))
            if row is None:
                missing.append(outcome)
            elif row[1] != outcome.token or row[0] not in LIVE_TASKS:
                refused[outcome.run_id] = Verdict.CONFLICT
        if missing:
            there = self.db.rows(self.sql.tasks_there, self.db.ids(outcome.task_id for outcome in missing))
            busy = {row[0] for row in there}
            for outcome in missing:
                found = Verdict.BUSY if key(outcome.task_id) in busy else Verdict.CONFLICT
                refused.setdefault(outcome.run_id, found)
        return refused

    def _check_runs(
        self,
        commits: Sequence[Commit],
        refused: dict[UUID, Verdict],
        held: Held,
        boxes: dict[Any, list[Mail]],
    ) -> dict[UUID, CommitResult]:
        key = self.db.key
        missing = [commit.run_id for commit in commits if key(commit.run_id) not in held]
        there = self.db.rows(self.sql.runs_there, self.db.ids(missing)) if missing else ()
        busy = {row[0] for row in there}
        results: dict[UUID, CommitResult] = {}
        for commit in commits:
            run = key(commit.run_id)
            row = held.get(run)
            if row is None:
                verdict = Verdict.BUSY if run in busy else Verdict.CONFLICT
            elif row[1] != commit.version or row[0] in CLOSED_RUNS:
                verdict = Verdict.CONFLICT
            else:
                verdict = refused.get(commit.run_id, Verdict.COMMITTED)
            mail = _without(boxes.get(run), commit.mail_read)
            if verdict is Verdict.COMMITTED and mail:
                if commit.status.is_closed or has_ended(commit.expired, mail):
                    verdict = Verdict.UNREAD
                elif commit.status is Status.BLOCKED:
                    mail = []  # it waits for a person, and is read once the code can go on
            results[commit.run_id] = CommitResult(verdict, mail)
        return results

    # What they decided

    def _write(self, commits: list[Commit], left: Left) -> list[Wake]:
        db, sql, now = self.db, self.sql, self.db.stamp()
        db.run_all(
            (sql.insert_events, list(self._event_rows(commits))),
            (sql.decide_runs, [self._decision_row(commit, now) for commit in commits]),
            (
                sql.insert_tasks,
                [row_of_task(task, c.run_id, c.worker_id, now, db) for c in commits for task in c.tasks],
            ),
            (sql.end_attempts, [self._outcome_row(outcome, None, now) for c in commits for outcome in c.outcomes]),
            (sql.insert_items, list(self._item_rows(commits, now))),
            (sql.set_values, list(self._value_rows(commits, now))),
            (sql.delete_read, [(number, c.run_id.hex) for c in commits for number in c.mail_read]),
            (sql.tell_updates, self._update_rows(commits, now)),
            (sql.insert_asked, list(self._asked_rows(commits, now))),
        )
        # Of chains that have gone on; the next run of each is among its children.
        continued = [commit for commit in commits if commit.status is Status.CONTINUED_AS_NEW]
        self._forget_messages([run.chain_id for c in continued for run in c.children if run.chain_id is not None])
        # By itself: it must see the tasks that the statements before it have made.
        db.run_many(sql.close_tasks, list(self._closing_rows(commits, left.tasks, now)))
        self._end_asked(commits, left.asked, now)
        if children := [child for commit in commits for child in commit.children]:
            self._insert_runs(children)
        letters = [letter for commit in commits for letter in commit.letters]
        letters += self._cancel(commits, now) + self._withdraw(commits, now)
        outgoing = self._outgoing(commits)
        db.run_many(sql.keep_words, list(self._word_rows(commits, outgoing)))
        return self._post(letters + outgoing)

    def _word_rows(self, commits: list[Commit], outgoing: list[Letter]) -> Iterator[Row]:
        """For `keep_words`."""
        for commit in commits:
            if commit.status.is_closed and (commit.outgoing or commit.unheard):
                yield commit.run_id.hex, unheard_of(commit, outgoing)

    def _cancel(self, commits: list[Commit], now: str) -> list[Letter]:
        """End the canceled tasks that no worker has, tell the others to stop; what runs have to be told of that."""
        why = {(self.db.key(c.run_id), cancel.call_id): cancel.reason for c in commits for cancel in c.cancels}
        if not why:
            return []
        runs = self.db.ids(commit.run_id for commit in commits if commit.cancels)
        # By itself: it must see the tasks that the statements before it have made.
        held = self.db.rows(self.sql.own_tasks_of_calls, runs, self.db.texts({call_id for _, call_id in why}))
        asked = [(task, run, call, nobodys) for task, run, call, nobodys in held if (run, call) in why]
        self.db.run_many(
            self.sql.close_tasks,
            [(uuid(task).hex, "CANCELED", self._words(why[run, call]), now) for task, run, call, _ in asked],
        )
        return [
            Letter.of(uuid(run), ActivityCanceled(call_id=call, reason=why[run, call]))
            for _, run, call, nobodys in asked
            if nobodys
        ]

    def _words(self, reason: str) -> str:
        """Of a cancel; where letters are sealed, a column beside them does not tell what is in them."""
        return storable(reason) if reason and self.seal_letter is None else "canceled by its workflow"

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

    def _closing_rows(self, commits: list[Commit], open_tasks: list[tuple[Any, str]], now: str) -> Iterator[Row]:
        """For `close_tasks`: what is left open by runs that close, what they have just set in motion included."""
        left: dict[Any, list[str]] = {}
        for run, task_id in open_tasks:
            left.setdefault(run, []).append(task_id)
        for commit in commits:
            if commit.status.is_closed:
                ended = {str(self.db.key(outcome.task_id)) for outcome in commit.outcomes}
                tasks = left.get(self.db.key(commit.run_id), []) + [task.id.hex for task in commit.tasks]
                keep = commit.close_tasks_as is None
                status = None if commit.close_tasks_as is None else commit.close_tasks_as.value
                why = None if keep else WHY_CLOSED.get(commit.status, "workflow closed")
                yield from ((task, status, why, None if keep else now) for task in tasks if task not in ended)


def _without(mail: list[Mail] | None, read: Sequence[int]) -> list[Mail]:
    if not mail:
        return []
    seen = frozenset(read)
    return [letter for letter in mail if letter.id not in seen]
