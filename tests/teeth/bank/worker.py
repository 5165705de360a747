"""Lies in the worker and the client: mail, commits, claims, time, the dead."""

from tests.teeth.bank.core import CORE
from tests.teeth.bank.pg_queue import DJANGO
from tests.teeth.mutation import Mutation

HANDING_OVER = "tests/core/test_handing_over.py"
PROCESSES = "tests/core/test_process_executor.py"
PROBES = "tests/behaviour/test_probes.py"
RACES = "tests/crashes/test_races.py"
RULES_CANCEL_CHILDREN = "tests/behaviour/test_rules_cancel_children.py"
STALE_RUNS = "tests/core/test_stale_runs.py"
RULES_TRANSACTIONS = "tests/behaviour/test_rules_transactions.py"
WORLDS = "tests/teeth/worlds.py::test_worlds_are_sound"  # of the simulation, 2,000 of them

MUTATIONS = (
    Mutation(
        "all that is due at one moment is made ready at once, before anything else has a turn",
        f"{CORE}/worker/scheduler.py",
        "BATCH = 500  # due rows of a kind per turn",
        "BATCH = 50_000",
        ("tests/core/test_crowds.py::test_a_signal_is_heard_among_many_timers_that_are_due_at_once",),
    ),
    Mutation(
        "entries are done with before their decision is committed",
        f"{CORE}/worker/runs.py",
        "        try:\n            with unit(self._store, self._queue) as box:\n                committed =",
        "        self._queue.complete([claim for _, p in proposals for claim in p.claims])\n"
        "        try:\n            with unit(self._store, self._queue) as box:\n                committed =",
        ("tests/core/test_outages.py::test_an_outage_at_any_one_call_costs_time_only", WORLDS),
    ),
    Mutation(
        "a wake-up does not make a run in memory read its mail",
        f"{CORE}/worker/holdings.py",
        "        slot.must_read_mail = True",
        "        slot.must_read_mail = False",
        ("tests/core/test_handing_over.py::test_a_signal_to_a_run_in_memory_is_read_at_its_wake_up", WORLDS),
    ),
    Mutation(
        "mail that came while a run decided to wait is not looked at",
        f"{CORE}/worker/runs.py",
        "        slot.mail = result.mail\n",
        "        slot.mail = []\n",
        (
            f"{RULES_TRANSACTIONS}::test_rule_28_mail_that_comes_while_the_run_decides_to_wait_is_read_without_a_wake_up[sqlite-cached]",
        ),
    ),
    Mutation(
        "a run that another worker has gone on with is believed to be as it is in memory",
        f"{CORE}/worker/loading.py",
        "                    slot.evict()",
        "                    slot.must_read_mail = False",
        (f"{STALE_RUNS}::test_timer_that_another_worker_has_set_wakes_the_run", WORLDS),
    ),
    Mutation(
        "an outcome that is no news for a run in memory is dropped",
        f"{CORE}/worker/runs.py",
        "                self._held.report(slot)\n                self._held.spend(slot)  # nothing local",
        "                slot.outcomes = []\n                self._held.spend(slot)  # nothing local",
        (f"{STALE_RUNS}::test_outcome_of_an_activity_that_another_worker_has_scheduled_reaches_the_run", WORLDS),
    ),
    Mutation(
        "what ended here is forgotten with a decision that was not written",
        f"{CORE}/worker/slots.py",
        "        self.outcomes = proposal.outcomes + self.outcomes",
        "        self.outcomes = self.outcomes",
        ("tests/core/test_outages.py::test_an_outage_at_any_one_call_costs_time_only[cached-no server]", WORLDS),
    ),
    Mutation(
        "an outcome is forgotten when somebody holds its task",
        f"{CORE}/worker/activities.py",
        "self._reports = [outcome for outcome in self._reports if outcome.task_id in receipt.busy]",
        "self._reports = []",
        (f"{HANDING_OVER}::test_an_outcome_whose_task_somebody_holds_is_reported_until_it_is_taken", WORLDS),
    ),
    Mutation(
        "an entry is done with while somebody holds its task",
        f"{CORE}/worker/activities.py",
        "if held := [claim for claim in claims if claim.entry.ref in busy]:",
        "if held := [claim for claim in claims if claim.entry.ref not in claims and claim.entry.ref is None]:",
        (f"{RACES}::test_activity_that_a_cancel_holds_begins_when_that_is_rolled_back[postgres]",),
    ),
    Mutation(
        "tasks whose claim was answered by nobody are never given back",
        f"{CORE}/worker/loop.py",
        "        self._must_reconcile |= error.ambiguous",
        "        self._must_reconcile |= False",
        ("tests/core/test_outages.py::test_an_outage_at_any_one_call_costs_time_only[cached-no reply]",),
    ),
    Mutation(
        "a start whose wake-up is lost is not looked after",
        f"{CORE}/client.py",
        "            due_at=start_at or self._again_at(),",
        "            due_at=start_at,",
        ("tests/core/test_worker.py::test_lost_entry_is_found_behind_a_backlog",),
    ),
    Mutation(
        "an activity whose entry is lost is not looked after",
        f"{CORE}/worker/runs.py",
        "        again_at = None if self._queue.transactional else now + self._redelivery",
        "        again_at = None",
        ("tests/core/test_outages.py::test_a_queue_that_is_away_at_any_one_call_costs_time_only",),
    ),
    Mutation(
        "what the sweep found is not swept again",
        f"{CORE}/worker/scheduler.py",
        "        again_at = None if self._queue.transactional else now + self._redelivery()",
        "        again_at = None",
        ("tests/core/test_handing_over.py::test_an_entry_that_is_lost_again_and_again_is_made_again",),
    ),
    Mutation(
        "the sweep doubles a backlog each time",
        f"{CORE}/worker/scheduler.py",
        "        return min(max(shortest, oldest), MOST_PATIENCE * shortest)",
        "        return shortest",
        ("tests/core/test_worker.py::test_backlog_of_a_queue_that_can_lose_entries_is_not_multiplied",),
    ),
    Mutation(
        "an entry is made before its run is committed",
        f"{CORE}/client.py",
        "        if self._queue.transactional:\n            self._queue.enqueue(entries)",
        "        if entries:\n            self._queue.enqueue(entries)",
        ("tests/core/test_handing_over.py::test_a_wake_up_is_sent_when_the_callers_transaction_has_committed",),
    ),
    Mutation(
        "a parent is not told how its child ended",
        f"{CORE}/worker/proposals.py",
        "    if record.parent_id is not None and record.parent_call_id is not None:",
        "    if record.parent_id is not None and record.parent_call_id is None:",
        (
            f"{RULES_CANCEL_CHILDREN}::test_rule_22_a_child_that_closed_before_its_parent_waits_delivers_all_the_same[sqlite-cached]",
        ),
    ),
    Mutation(
        "code that does not fit its history fails the run",
        f"{CORE}/worker/proposals.py",
        "        status=Status.BLOCKED,",
        "        status=Status.FAILED,",
        (f"{PROBES}::test_probe_reordered_commands_are_detected_and_a_bad_deploy_fails_no_run[sqlite]",),
    ),
    Mutation(
        "blocking writes to the history",
        f"{CORE}/worker/proposals.py",
        "        status=Status.BLOCKED,\n",
        "        status=Status.BLOCKED,\n"
        "        events=[e.EventRecord(slot.history_length + 1, 'workflow_failed', None, '{}', now)],\n",
        (f"{PROBES}::test_probe_reordered_commands_are_detected_and_a_bad_deploy_fails_no_run[sqlite]",),
    ),
    Mutation(
        "a run of newer code is blocked instead of left",
        f"{CORE}/worker/advancing.py",
        '            return Leave(unknown_name("workflow version", record.workflow_name))',
        "            return Block(str(newer))",
        ("tests/core/test_leaving.py::test_a_run_that_newer_code_has_marked_is_left_to_that",),
    ),
    Mutation(
        "an unknown workflow blocks its run",
        f"{CORE}/worker/advancing.py",
        '            return Leave(unknown_name("workflow", record.workflow_name))',
        "            return Block(hint)",
        (
            "tests/core/test_leaving.py::test_a_run_of_an_unknown_workflow_is_left_to_whoever_knows_it",
            "tests/crashes/test_deploys.py::test_old_worker_leaves_what_it_does_not_know_to_a_new_one[sqlite]",
        ),
    ),
    Mutation(
        "a worker thaws what others have frozen",
        f"{DJANGO}/management/commands/durable_worker.py",
        "        if not is_frozen:\n",
        "        if True:\n",
        ("tests/django/test_commands.py::test_a_worker_leaves_the_collector_as_it_was",),
    ),
    Mutation(
        "a worker leaves everything frozen",
        f"{DJANGO}/management/commands/durable_worker.py",
        "            gc.unfreeze()",
        "            gc.freeze()",
        ("tests/django/test_commands.py::test_a_worker_leaves_the_collector_as_it_was",),
    ),
    Mutation(
        "a worker leaves the collector slow",
        f"{DJANGO}/management/commands/durable_worker.py",
        "        gc.set_threshold(*before)",
        "        gc.set_threshold(*GC_THRESHOLD)",
        ("tests/django/test_commands.py::test_a_worker_leaves_the_collector_as_it_was",),
    ),
    Mutation(
        "a drained worker keeps what has not ended",
        f"{CORE}/worker/loop.py",
        "            self._activities.withdraw(begun=True)",
        "            self._activities.withdraw(begun=False)",
        ("tests/crashes/test_draining.py::test_what_does_not_end_in_time_is_given_back_uncharged[sqlite]",),
    ),
    Mutation(
        "a worker that was taken for dead does not hear of it",
        f"{CORE}/worker/liveness.py",
        "            self._declared_dead()",
        "            self._watch.look()",
        ("tests/crashes/test_two_workers.py::test_paused_worker_that_comes_back_is_refused[sqlite]",),
    ),
    Mutation(
        "nobody buries the dead",
        f"{CORE}/worker/scheduler.py",
        "            worked = self._bury_the_dead()",
        "            worked = False",
        ("tests/behaviour/test_probes.py::test_probe_running_task_of_a_dead_worker_is_run_again[sqlite]",),
    ),
    Mutation(
        "a workflow_id may be used again with other input",
        f"{CORE}/client.py",
        "        if workflow_name != new.workflow_name or not is_same:",
        "        if workflow_name != new.workflow_name:",
        ("tests/behaviour/test_promises.py::test_p2_start_is_idempotent_by_workflow_id[sqlite-cached]",),
    ),
    Mutation(
        "a queue that is away raises in its callers",
        f"{CORE}/hints.py",
        "            self._on_outage(error)\n            return otherwise",
        "            self._on_outage(error)\n            raise",
        (
            "tests/core/test_hints.py::test_outage_is_no_error_and_is_said_once_in_a_while",
            "tests/core/test_outages.py::test_a_queue_that_is_away_at_any_one_call_costs_time_only",
        ),
    ),
    Mutation(
        "a cancel interrupts a coroutine again while it clears up",
        f"{CORE}/worker/attempt.py",
        "        if not self.current.canceled:",
        "        if self.current:",
        ("tests/core/test_async_executor.py::test_cancel_is_raised_where_the_activity_waits_and_only_once",),
    ),
    Mutation(
        "a coroutine that does not end keeps its slot",
        f"{CORE}/worker/async_executor.py",
        "        attempt.loop.call(self._leave, attempt)\n",
        "",
        ("tests/core/test_async_executor.py::test_activity_that_ignores_its_cancel_loses_its_slot",),
    ),
    Mutation(
        "the process of a late attempt goes on",
        f"{CORE}/worker/process_executor.py",
        "            child.kill()\n\n    def _at_work_on",
        "            pass\n\n    def _at_work_on",
        (f"{PROCESSES}::test_a_late_attempt_is_killed_at_once_and_the_next_has_a_new_process",),
    ),
    Mutation(
        "what a worker gives back goes on in its process",
        f"{CORE}/worker/process_executor.py",
        "            child.kill()\n        for child in children:\n            child.wait(",
        "            pass\n        for child in children:\n            child.wait(",
        (f"{PROCESSES}::test_what_is_given_back_does_not_go_on",),
    ),
    Mutation(
        "a cancel is heard by the next attempt in the process",
        f"{CORE}/worker/serving.py",
        "current[0] == self._canceled:",
        "self._canceled:",
        (f"{PROCESSES}::test_a_process_is_kept_for_the_next_attempt_and_another_started_beside_it",),
    ),
    Mutation(
        "a process may crash again and again",
        f"{CORE}/worker/attempts.py",
        "    retryable = crashes < max_crashes\n",
        "    retryable = True\n",
        ("tests/core/test_desks.py::test_death_of_a_process_counts_as_that_of_a_worker",),
    ),
    Mutation(
        "an attempt is taken to be silent while its process starts",
        f"{CORE}/worker/liveness.py",
        " or each.is_starting]",
        "]",
        ("tests/core/test_liveness.py::test_worker_beats_for_an_attempt_whose_process_starts",),
    ),
    Mutation(
        "a coroutine is not told of a cancel by its own worker",
        f"{CORE}/worker/activities.py",
        "                    attempt.cancel()\n",
        "                    attempt.current.cancel()\n",
        ("tests/core/test_desks.py::test_activities_here_are_told_of_a_cancel_with_all_that_goes_with_it",),
    ),
)
