"""Lies about what workflow code cancels, maps and undoes."""

from tests.teeth.bank.store import STORE, on_both
from tests.teeth.mutation import Mutation

CORE = "packages/durable-core/src/durable_core"
CANCELING = "tests/core/test_canceling.py"
SCOPES = "tests/core/test_scopes.py"
BATCHES = "tests/core/test_batches.py"
SAGAS = "tests/core/test_sagas.py"

MUTATIONS = (
    Mutation(
        "a run is not told of the queued activity that it has canceled",
        f"{STORE}/commits.py",
        "            if nobodys",
        "            if not nobodys",
        on_both("test_canceled_queued_task_ends_at_once_and_its_run_is_told"),
    ),
    Mutation(
        "activities of other calls are canceled too",
        f"{STORE}/commits.py",
        "for task, run, call, nobodys in held if (run, call) in why]",
        "for task, run, call, nobodys in held if any(run == key for key, _ in why)]",
        on_both("test_cancel_leaves_other_calls_and_other_runs_alone"),
    ),
    Mutation(
        "a canceled activity is tried again",
        f"{STORE}/tasks.py",
        "o.instead_of_a_retry(held[key(o.task_id)][2]) if key(o.task_id) in orphans else o for o in accepted",
        "o for o in accepted",
        on_both("test_retry_of_a_canceled_task_is_its_end_and_its_run_is_told"),
    ),
    Mutation(
        "a canceled activity is given back, and its run finds the mail when that is due",
        f"{CORE}/worker/activities.py",
        "            box.wake(self._addressed(back.wakes))",
        "            pass",
        ("tests/core/test_desks.py::test_run_of_a_canceled_attempt_that_is_given_back_is_woken_at_once",),
    ),
    Mutation(
        "an activity begins in the commit that cancels it",
        f"{CORE}/worker/proposals.py",
        "        here = _nowhere if command.call_id in unwanted else starts_here",
        "        here = starts_here",
        (f"{CANCELING}::test_an_activity_that_is_canceled_where_it_was_started_never_begins[beats]",),
    ),
    Mutation(
        "a child is not told that it is canceled",
        f"{CORE}/worker/proposals.py",
        "        if isinstance(cancel, CancelChild)",
        "        if cancel is None",
        (f"{CANCELING}::test_a_child_is_canceled_where_it_was_started",),
    ),
    Mutation(
        "what has ended is canceled all the same",
        f"{CORE}/canceling.py",
        "    if end.done_at:\n        return False\n    match handle:",
        "    if end.done_at < 0:\n        return False\n    match handle:",
        (f"{CANCELING}::test_what_was_asked_to_end_is_not_asked_twice",),
    ),
    Mutation(
        "what a scope has started goes on when that is canceled",
        f"{CORE}/canceling.py",
        "    for handle in list(part.reached()):",
        "    for handle in list(part.reached())[:0]:",
        (f"{SCOPES}::test_a_scope_whose_time_is_over_ends_what_it_waits_for_and_goes_on_behind_the_block",),
    ),
    Mutation(
        "a scope takes the cancel of the one around it",
        f"{CORE}/canceling.py",
        "        return isinstance(error, ScopeCanceled) and error.scope is self._part",
        "        return isinstance(error, ScopeCanceled)",
        (f"{SCOPES}::test_the_outer_scope_ends_the_inner_one_which_does_not_take_its_cancel",),
    ),
    Mutation(
        "the time limit of a scope outlives it",
        f"{CORE}/canceling.py",
        "            self._engine.timers.disarm(self._timer)",
        "            pass",
        (f"{SCOPES}::test_a_scope_that_ends_in_time_is_not_canceled_and_its_timer_never_fires",),
    ),
    Mutation(
        "a map that was refused is taken on a replay for a shorter one that came next",
        f"{CORE}/items.py",
        "if not recorded or len(recorded) != (len(given) if at_once is None else min(at_once, len(given))):",
        "if not recorded:",
        (f"{BATCHES}::test_a_map_that_was_refused_is_refused_on_a_replay_too_whatever_comes_next",),
    ),
    Mutation(
        "a map that was refused is taken on a replay for the next, which begins with the same items",
        f"{CORE}/items.py",
        'if inputs is None or recorded[0].batch not in (None, digest_of(Payload("\\n".join(inputs)))):',
        "if inputs is None:",
        (f"{BATCHES}::test_a_refused_map_that_shares_its_first_items_with_the_next_is_refused_on_a_replay_too",),
    ),
    Mutation(
        "a workflow that is mapped by its name must be known wherever that is replayed",
        f"{CORE}/items.py",
        "if name not in activities and (begin :=",
        "if name in workflows and (begin :=",
        (f"{BATCHES}::test_children_of_a_map_by_name_need_no_registration_in_the_process_that_replays[None]",),
    ),
    Mutation(
        "handles cannot be made by a subscripted name",
        f"{CORE}/subscripts.py",
        "    cls.__setattr__ = cls.__delattr__ = refuse",
        "    cls.__delattr__ = refuse",
        ("tests/django/test_api.py::test_generic_values_are_made_by_their_subscripted_name_too_and_stay_frozen",),
    ),
    Mutation(
        "more items than wanted are under way",
        f"{CORE}/batches.py",
        "                while len(self._going_on) < at_once and",
        "                while len(self._going_on) <= at_once and",
        (f"{BATCHES}::test_no_more_at_a_time_than_wanted_and_ids_go_by_the_items[2]",),
    ),
    Mutation(
        "the rest of a batch goes on when that is done",
        f"{CORE}/batches.py",
        "            canceling.ask_to_end(self._engine, handle, why)",
        "            pass",
        (f"{BATCHES}::test_once_enough_have_succeeded_the_rest_is_canceled_and_the_result_comes_back",),
    ),
    Mutation(
        "the first step is undone first",
        f"{CORE}/sagas.py",
        "            steps, self._done = self._done[::-1], []",
        "            steps, self._done = self._done[:], []",
        (f"{SAGAS}::test_what_was_done_is_undone_last_in_first_out_with_the_results_and_the_error_goes_on",),
    ),
    Mutation(
        "a cancel interrupts the undoing",
        f"{CORE}/canceling.py",
        "    branch, part = engine.branch, Scope(engine.branch.scope, is_shield=True)",
        "    branch, part = engine.branch, Scope(engine.branch.scope, is_shield=False)",
        (f"{SAGAS}::test_a_cancel_does_not_reach_undos_that_run_already",),
    ),
    Mutation(
        "a step that is under way when its saga fails is forgotten",
        f"{CORE}/sagas.py",
        "            self._settle()",
        "            pass",
        (f"{SAGAS}::test_steps_of_other_branches_are_waited_for_and_undone_once",),
    ),
)
