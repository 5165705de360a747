"""Lies in the store on Django's databases: verdicts, transactions, clocks."""

from tests.teeth.mutation import Mutation

RULES_TRANSACTIONS = "tests/behaviour/test_rules_transactions.py"

STORE = "packages/durable-django/src/django_durable/store"
ON_SQLITE = "tests/test_store_contracts.py::TestStoreOnSqlite"
ON_POSTGRES = "tests/test_store_contracts.py::TestStoreOnPostgres"


def on_both(case: str) -> tuple[str, str]:
    """A case of the contract, on both databases."""
    return f"{ON_SQLITE}::{case}", f"{ON_POSTGRES}::{case}"


MUTATIONS = (
    Mutation(
        "an outcome is accepted whatever its token",
        f"{STORE}/tasks.py",
        "    return task is not None and task[4] in LIVE_TASKS and task[7] == outcome.token",
        "    return task is not None and task[4] in LIVE_TASKS",
        on_both("test_stale_token_cannot_complete_a_reclaimed_task"),
    ),
    Mutation(
        "an outcome in a decision is accepted whatever its token",
        f"{STORE}/commits.py",
        "            elif row[1] != outcome.token or row[0] not in LIVE_TASKS:",
        "            elif row[0] not in LIVE_TASKS:",
        on_both("test_stale_outcome_in_a_commit_is_a_conflict_and_writes_nothing"),
    ),
    Mutation(
        "a decision is accepted whatever version it was made on",
        f"{STORE}/commits.py",
        "            elif row[1] != commit.version or row[0] in CLOSED_RUNS:",
        "            elif row[0] in CLOSED_RUNS:",
        (
            *on_both("test_stale_version_is_a_conflict_and_writes_nothing"),
            *on_both("test_two_commits_on_one_version_cannot_both_succeed"),
        ),
    ),
    Mutation(
        "a closed run is decided on again",
        f"{STORE}/commits.py",
        "            elif row[1] != commit.version or row[0] in CLOSED_RUNS:",
        "            elif row[1] != commit.version:",
        on_both("test_closed_run_is_a_conflict"),
    ),
    Mutation(
        "a run closes over mail that it has not read",
        f"{STORE}/commits.py",
        "                    verdict = Verdict.UNREAD",
        "                    verdict = Verdict.COMMITTED",
        on_both("test_closing_commit_with_unread_mail_is_refused_and_writes_nothing"),
    ),
    Mutation(
        "a run that somebody has locked is taken for gone",
        f"{STORE}/commits.py",
        "verdict = Verdict.BUSY if run in busy else Verdict.CONFLICT",
        "verdict = Verdict.CONFLICT",
        (f"{ON_POSTGRES}::test_commit_of_a_held_run_is_busy_and_writes_nothing",),
    ),
    Mutation(
        "a task that somebody has locked is taken for gone",
        f"{STORE}/commits.py",
        "found = Verdict.BUSY if key(outcome.task_id) in busy else Verdict.CONFLICT",
        "found = Verdict.CONFLICT",
        ("tests/store/test_concurrency.py::test_locked_task_is_busy_and_a_deleted_one_a_conflict",),
    ),
    Mutation(
        "a task that somebody has locked is taken for begun",
        f"{STORE}/tasks.py",
        "return ClaimedTasks(begun, frozenset(ready.difference(task.id for task in begun)))",
        "return ClaimedTasks(begun)",
        (f"{ON_POSTGRES}::test_task_that_somebody_holds_is_busy_and_can_begin_afterwards",),
    ),
    Mutation(
        "the mailbox of a run that closes is read before its row is locked",
        f"{STORE}/commits.py",
        "        if last_words:  # a statement",
        "        if not queries:  # a statement",
        ("tests/store/test_concurrency.py::test_run_cannot_close_over_a_signal_that_was_sent",),
    ),
    Mutation(
        "histories are read up to what another transaction has written since",
        f"{STORE}/runs.py",
        "            if run is not None and seq <= run.record.history_length:",
        "            if run is not None:",
        ("tests/store/test_histories.py::test_history_ends_where_the_run_says_it_does",),
    ),
    Mutation(
        "errors inside of a transaction are committed",
        f"{STORE}/database.py",
        "                block.__exit__(type(exc), exc, exc.__traceback__)",
        "                block.__exit__(None, None, None)",
        (
            *on_both("test_rolled_back_commit_leaves_nothing"),
            "tests/store/test_outages.py::test_error_in_the_callers_transaction_leaves_it_usable",
        ),
    ),
    Mutation(
        "a deadlock is taken for a bug",
        f"{STORE}/postgres.py",
        "        return not isinstance(error, IntegrityError | DataError | NotSupportedError)",
        '        return "deadlock" not in str(error)',
        ("tests/store/test_concurrency.py::test_deadlock_is_to_be_tried_again",),
    ),
    Mutation(
        "a commit whose reply was lost is taken for one that wrote nothing",
        f"{STORE}/database.py",
        "            raise self._translated(exc, connection, unanswered=outermost) from exc",
        "            raise self._translated(exc, connection, unanswered=False) from exc",
        ("tests/store/test_outages.py::test_connection_lost_at_the_commit_is_ambiguous",),
    ),
    Mutation(
        "time is the worker's",
        f"{STORE}/database.py",
        "        if not database.dialect.clock:",
        "        if database.alias:",
        ("tests/store/test_outages.py::test_clock_of_the_worker_is_not_asked",),
    ),
    Mutation(
        "transactions on SQLite begin without the right to write",
        f"{STORE}/sqlite.py",
        '        with _begun(connection, "IMMEDIATE"):',
        '        with _begun(connection, "DEFERRED"):',
        ("tests/store/test_sqlite.py::test_transactions_of_ours_begin_with_the_write_lock",),
    ),
    Mutation(
        "in a caller's transaction on SQLite, reading comes before the right to write",
        f"{STORE}/sqlite.py",
        "                connection.connection.execute(TAKE_LOCK)",
        "                connection.connection.execute('SELECT 1')",
        (
            f"{RULES_TRANSACTIONS}::test_rule_26_what_joins_the_callers_deferred_transaction_waits_for_other_writers[sqlite-cached]",
        ),
    ),
    Mutation(
        "a run's row is locked against those who only refer to it",
        f"{STORE}/postgres.py",
        '    own = "FOR NO KEY UPDATE"',
        '    own = "FOR UPDATE"',
        ("tests/store/test_concurrency.py::test_letter_of_a_child_waits_for_nobody",),
    ),
    Mutation(
        "private queues of the dead are left to them",
        f"{STORE}/workers.py",
        "        self.db.run(self.sql.move_runs, DEFAULT_QUEUE, private)\n",
        "",
        on_both("test_runs_and_tasks_of_a_buried_workers_private_queue_go_to_the_default_queue"),
    ),
    Mutation(
        "outcomes for a run that was continued go to the next one",
        f"{STORE}/mail.py",
        "and (letter.follows or wake.run_id == letter.run_id)",
        "",
        on_both("test_signals_and_cancels_follow_a_run_that_was_continued_as_new"),
    ),
    Mutation(
        "signals for a run that was continued as new are lost",
        f"{STORE}/mail.py",
        "            asked = {first: ends[now] for first, now in asked.items() if now in ends}",
        "            asked = {}",
        on_both("test_signals_and_cancels_follow_a_run_that_was_continued_as_new"),
    ),
)
