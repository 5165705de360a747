"""Lies about kinds of activities: transactional, at most once, local, completed from outside."""

from tests.teeth.bank.core import CORE
from tests.teeth.bank.pg_queue import DJANGO
from tests.teeth.mutation import Mutation

WORKER = f"{CORE}/worker"
TRANSACTIONS = "tests/core/test_transactions.py"
LOCAL = "tests/core/test_local_activities.py"
CONTRACT = "tests/test_store_contracts.py::TestStoreOnSqlite"
COMPLETION = "tests/core/test_completion.py"
ASYNC = "tests/behaviour/test_async_activities.py"
WITNESSES = "tests/audit/test_witnesses.py"

MUTATIONS = (
    Mutation(
        "a transactional attempt commits whoever has the task now",
        f"{WORKER}/transactions.py",
        "            if not settle() or held is None or held.token != task.token or held.status.is_closed:",
        "            if not settle() or held is None or held.status.is_closed:",
        (f"{TRANSACTIONS}::test_an_attempt_that_somebody_has_decided_about_takes_back_what_was_written",),
    ),
    Mutation(
        "what a transactional activity writes commits before its outcome",
        f"{WORKER}/transactions.py",
        "            receipt = self._store.record_outcomes([attempts.completed(task, result)])\n",
        "        with self._store.shared_transaction():\n"
        "            receipt = self._store.record_outcomes([attempts.completed(task, result)])\n",
        (
            "tests/crashes/test_kills_of_the_language.py::test_the_whole_language_survives_a_death_at[outcome-inside-sqlite]",
        ),
    ),
    Mutation(
        "a transactional attempt is interrupted while it commits",
        f"{WORKER}/executor.py",
        "            if attempt.begun is not None and not attempt.is_settling:",
        "            if attempt.begun is not None:",
        (f"{TRANSACTIONS}::test_an_attempt_that_commits_is_not_interrupted",),
    ),
    Mutation(
        "a transactional activity writes to other databases",
        f"{DJANGO}/store/sharing.py",
        "        if not READS.match(sql):",
        "        if not sql:",
        ("tests/store/test_sharing.py::test_write_to_another_database_is_refused_and_a_read_is_not",),
    ),
    Mutation(
        "a deadlock is an error like any other",
        f"{DJANGO}/store/sharing.py",
        'if getattr(link, "sqlstate", None) in TRY_AGAIN:',
        'if getattr(link, "sqlstate", None) in ():',
        ("tests/store/test_sharing.py::test_conflict_of_transactions_is_told_from_other_errors",),
    ),
    Mutation(
        "what runs at most once is given back by a worker that has to stop",
        f"{WORKER}/activities.py",
        "            if attempt.begun is not None and attempt.task.at_most_once:",
        "            if attempt.begun is not None and not attempt.task:",
        ("tests/core/test_desks.py::test_what_runs_at_most_once_and_has_begun_fails_instead_of_being_given_back",),
    ),
    Mutation(
        "a death over what runs at most once is an attempt like any other",
        f"{WORKER}/attempts.py",
        "    if task.at_most_once:",
        "    if not task:",
        ("tests/core/test_attempts.py::test_a_death_over_what_runs_at_most_once_is_its_outcome",),
    ),
    Mutation(
        "nobody looks after a run whose worker dies over a local activity",
        f"{CORE}/replay.py",
        "            if decision.local:",
        "            if not decision:",
        (f"{LOCAL}::test_who_has_the_run_next_is_told_of_it_in_time",),
    ),
    Mutation(
        "a run is forgiven before its local activity has shown what it does",
        f"{WORKER}/proposals.py",
        "        crashes=slot.crashes if decision.local else 0,",
        "        crashes=0,",
        (f"{LOCAL}::test_a_run_is_charged_with_a_death_until_what_may_have_led_to_it_is_done",),
    ),
    Mutation(
        "a local activity may have any name on replay",
        f"{CORE}/transcript.py",
        "        if found.activity_name != asked.activity_name:",
        "        if not found:",
        (f"{LOCAL}::test_code_that_does_not_ask_for_it_any_more_is_a_mismatch",),
    ),
    Mutation(
        "a local activity is tried again beyond its limit",
        f"{WORKER}/local.py",
        "        if again_at >= local.deadline:",
        "        if again_at >= local.deadline + 60:",
        (f"{LOCAL}::test_no_attempt_begins_beyond_its_limit",),
    ),
    Mutation(
        "a commit that is refused takes the outcome of a local activity with it",
        f"{WORKER}/runs.py",
        "                ended = slot.ended",
        "                ended = slot.ended[:0]",
        (f"{LOCAL}::test_its_outcome_outlives_a_commit_that_came_too_late",),
    ),
    Mutation(
        "a run that ends while its code is not asked takes with it how its activities have ended",
        f"{WORKER}/runs.py",
        "slot.mail, slot.claims, slot.local, slot.ended = [], [], [], []",
        "slot.mail, slot.claims, slot.local, slot.ended, slot.outcomes = [], [], [], [], []",
        (
            "tests/core/test_pausing.py::test_an_activity_that_ends_just_before_its_paused_run_does_is_not_left_under_way",
        ),
    ),
    Mutation(
        "the audit does not look for the effect of a local activity",
        f"{CORE}/audit/witnesses.py",
        "            is_so = any(p.ended and p.attempt == fact.attempt for p in noted)",
        "            is_so = True",
        (f"{WITNESSES}::test_local_activity_that_completed_without_an_effect_is_found",),
    ),
    Mutation(
        "the audit takes any attempt of a local activity for the one that failed",
        f"{CORE}/audit/witnesses.py",
        "            is_so = any(p.attempt == attempt for p in noted)",
        "            is_so = bool(noted)",
        (f"{WITNESSES}::test_local_activity_that_failed_and_never_began_is_found",),
    ),
    Mutation(
        "the audit takes what a run knows nothing of for a local activity",
        f"{CORE}/audit/witnesses.py",
        "        if all(attempt.is_local for attempt in attempts):",
        "        if any(attempt.is_local for attempt in attempts):",
        (f"{WITNESSES}::test_only_a_local_activity_may_leave_no_word_of_itself",),
    ),
    Mutation(
        "a completion token holds for every attempt",
        f"{CORE}/tokens.py",
        'return hashlib.sha256(f"{fence}:{token}".encode()).hexdigest()',
        "return hashlib.sha256(token.encode()).hexdigest()",
        (f"{COMPLETION}::test_what_is_stored_is_bound_to_the_attempt",),
    ),
    Mutation(
        "an async activity that is left to others as it is canceled counts as canceled",
        f"{CORE}/worker/async_executor.py",
        "            with suppress(asyncio.CancelledError):",
        "            with nullcontext():",
        (
            "tests/core/test_async_executor.py::test_an_async_activity_is_left_to_others_also_when_it_is_canceled_meanwhile",
        ),
    ),
    Mutation(
        "each task of an async activity gets a completion token of its own",
        f"{CORE}/activity.py",
        "            if self._expected is None:",
        "            if True:",
        (f"{COMPLETION}::test_an_async_activity_is_left_to_others_too",),
    ),
    Mutation(
        "a drained worker waits for threads that nothing can stop",
        "packages/durable-django/src/django_durable/stopping.py",
        "                os._exit(code)",
        "                return",
        (f"{ASYNC}::test_rule_30_a_thread_that_nothing_can_interrupt_does_not_keep_a_drained_worker[sqlite]",),
    ),
    Mutation(
        "the secret of a completion token is not looked at",
        f"{CORE}/tokens.py",
        '    if not hmac.compare_digest(digest_of(token, fence), digest or ""):',
        "    if digest is None:",
        (f"{COMPLETION}::test_what_is_no_token_is_told_in_the_words_for_what_is_forged",),
    ),
    Mutation(
        "a completion token holds for ever",
        f"{CORE}/completion.py",
        "        if task.completion_expires_at is not None and task.completion_expires_at <= self._store.now():",
        "        if not task:",
        (f"{COMPLETION}::test_a_token_whose_time_is_over_is_worth_nothing",),
    ),
    Mutation(
        "an attempt whose completion token has expired waits on",
        f"{WORKER}/attempts.py",
        "    if task.is_detached and task.completion_expires_at is not None and task.completion_expires_at <= now:",
        "    if not task:",
        (f"{COMPLETION}::test_time_limits_hold_without_a_worker",),
    ),
    Mutation(
        "an attempt that others complete outlives its run",
        f"{DJANGO}/store/sql/tables.py",
        "NOBODYS = f\"({TASK}.status = 'QUEUED' OR {TASK}.worker_id IS NULL)\"",
        "NOBODYS = f\"({TASK}.status = 'QUEUED')\"",
        (f"{CONTRACT}::test_attempt_that_is_completed_from_outside_ends_with_its_run",),
    ),
    Mutation(
        "an attempt that others complete is taken for one of a dead worker",
        f"{DJANGO}/store/sql/workers.py",
        "WHERE status = 'RUNNING' AND worker_id IS NOT NULL \"",
        "WHERE status = 'RUNNING' \"",
        (f"{CONTRACT}::test_attempt_that_has_begun_can_be_completed_from_outside",),
    ),
)
