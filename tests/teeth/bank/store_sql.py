"""Lies in the statements of the store."""

from tests.teeth.bank.store import ON_POSTGRES, STORE, on_both
from tests.teeth.mutation import Mutation

MUTATIONS = (
    Mutation(
        "histories are in the order of ids",
        f"{STORE}/sql/runs.py",
        'f"WHERE execution_id {d.among} ORDER BY execution_id, seq"',
        'f"WHERE execution_id {d.among} ORDER BY execution_id, id"',
        ("tests/store/test_histories.py::test_history_is_in_order_of_seq_whatever_the_ids",),
    ),
    Mutation(
        "an attempt is not counted before user code runs",
        f"{STORE}/sql/tasks.py",
        "f\"status = 'RUNNING', attempt = {TASK}.attempt + 1, token",
        "f\"status = 'RUNNING', attempt = {TASK}.attempt, token",
        on_both("test_attempt_and_token_go_up_with_every_claim"),
    ),
    Mutation(
        "an attempt keeps the token of the one before",
        f"{STORE}/sql/tasks.py",
        "attempt = {TASK}.attempt + 1, token = {TASK}.token + 1, worker_id",
        "attempt = {TASK}.attempt + 1, token = {TASK}.token, worker_id",
        on_both("test_attempt_and_token_go_up_with_every_claim"),
    ),
    Mutation(
        "a retry keeps the token of the attempt that failed",
        f"{STORE}/sql/commits.py",
        "due_at = v.due_at, token = {TASK}.token + v.step, ",
        "due_at = v.due_at, ",
        on_both("test_late_outcome_of_an_attempt_already_retried_is_refused"),
    ),
    Mutation(
        "an attempt that is given back is charged",
        f"{STORE}/sql/tasks.py",
        'f"status = v.status, attempt = {TASK}.attempt - 1, token',
        'f"status = v.status, attempt = {TASK}.attempt, token',
        (
            *on_both("test_given_back_attempt_is_not_charged"),
            "tests/crashes/test_draining.py::test_what_does_not_end_in_time_is_given_back_uncharged[sqlite]",
        ),
    ),
    Mutation(
        "a closed run takes signals",
        f"{STORE}/sql/mail.py",
        'WHERE id {d.among} AND status IN {OPEN}"',
        'WHERE id {d.among}"',
        (
            *on_both("test_closed_run_gets_no_mail_and_no_wake"),
            "tests/behaviour/test_promises.py::test_p6_a_signal_to_a_closed_run_is_an_error_and_reopens_nothing",
        ),
    ),
    Mutation(
        "a sender does not hold the run that it writes to",
        f"{STORE}/sql/mail.py",
        'self.hold_open_runs = f"{self.open_runs} ORDER BY id {d.hold}"',
        'self.hold_open_runs = f"{self.open_runs} ORDER BY id"',
        (
            f"{ON_POSTGRES}::test_run_cannot_close_while_a_letter_is_on_its_way",
            "tests/store/test_concurrency.py::test_run_cannot_close_over_a_signal_that_was_sent",
        ),
    ),
    Mutation(
        "what a run has left in the queue goes on when it has closed",
        f"{STORE}/sql/commits.py",
        'THEN COALESCE(v.status, {TASK}.status) ELSE {TASK}.status END, "',
        'THEN {TASK}.status ELSE {TASK}.status END, "',
        on_both("test_queued_tasks_close_with_their_run_as_told"),
    ),
    Mutation(
        "running activities are not told that their run has closed",
        f"{STORE}/sql/commits.py",
        "cancel_requested = NOT {NOBODYS}, ",
        "cancel_requested = FALSE, ",
        on_both("test_running_activities_hear_that_their_run_closed"),
    ),
    Mutation(
        "a beat of an attempt that is somebody else's keeps it alive",
        f"{STORE}/sql/workers.py",
        "AND {TASK}.token = v.token AND {TASK}.status = 'RUNNING'",
        "AND {TASK}.status = 'RUNNING'",
        on_both("test_beat_of_a_lost_attempt_says_nothing_about_the_current_one"),
    ),
    Mutation(
        "a task begins in the middle of its backoff",
        f"{STORE}/sql/tasks.py",
        'AND (retry_at IS NULL OR retry_at <= {d.instant})"',
        'AND (retry_at IS NULL OR retry_at <> {d.instant})"',
        on_both("test_task_in_backoff_is_not_claimed"),
    ),
    Mutation(
        "two open runs have one workflow_id",
        "packages/durable-django/src/django_durable/migrations/0001_initial.py",
        '("workflow_id__isnull", False)',
        '("workflow_id__isnull", True)',
        on_both("test_open_run_keeps_its_workflow_id"),
    ),
)
