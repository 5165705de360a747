"""Lies about what runs let others read: events and streams."""

from tests.teeth.bank.core import CORE
from tests.teeth.bank.store import ON_POSTGRES, STORE, on_both
from tests.teeth.mutation import Mutation

OUTPUTS = "tests/core/test_outputs.py"

MUTATIONS = (
    Mutation(
        "an event keeps the value that was set first",
        f"{STORE}/sql/outputs.py",
        "DO UPDATE SET value = excluded.value, set_at = excluded.set_at",
        "DO NOTHING",
        on_both("test_value_of_an_event_is_the_one_that_was_set_last"),
    ),
    Mutation(
        "an event has the value of the first run of its chain that has set it",
        f"{STORE}/sql/outputs.py",
        '"AND key = %s ORDER BY id DESC LIMIT 1"',
        '"AND key = %s ORDER BY id LIMIT 1"',
        on_both("test_value_is_that_of_the_newest_run_of_the_chain_that_has_one"),
    ),
    Mutation(
        "whoever held an attempt may go on publishing",
        f"{STORE}/outputs.py",
        "live.get(db.key(attempt.task_id)) == attempt.token",
        "db.key(attempt.task_id) in live",
        on_both("test_attempt_that_is_over_publishes_no_more"),
    ),
    Mutation(
        "items are numbered beside others who number theirs",
        f"{STORE}/sql/outputs.py",
        '            f"ORDER BY id {d.own_free}"\n',
        '            "ORDER BY id"\n',
        (f"{ON_POSTGRES}::test_items_for_a_run_that_is_held_are_to_be_tried_again",),
    ),
    Mutation(
        "items are published behind the outcome of their activity",
        f"{CORE}/worker/executor.py",
        "            if not (attempt.current.unpublished.is_empty or attempt.definition.transactional):",
        "            if False:",
        (f"{OUTPUTS}::test_items_of_an_activity_stand_before_what_comes_behind_it[inline]",),
    ),
    Mutation(
        "what a transactional activity publishes is seen before it is committed",
        f"{CORE}/worker/executor.py",
        "None if definition.transactional else self._publisher or NOWHERE",
        "self._publisher or NOWHERE",
        (f"{OUTPUTS}::test_items_of_a_transactional_activity_are_committed_with_its_outcome_or_not_at_all[threads]",),
    ),
    Mutation(
        "what a transactional activity published before it was undone is published with what it does again",
        f"{CORE}/worker/calling.py",
        "        attempt.current.unpublished.restart()\n",
        "",
        (f"{OUTPUTS}::test_a_transactional_activity_that_is_done_again_counts_its_items_anew",),
    ),
    Mutation(
        "a stream is over when its run has closed, read or not",
        f"{CORE}/readings.py",
        "    newest = client.find_newest(run_id)  # before the items: what was published before the end is there\n"
        "    return store.items(run_id, stream, after=after, limit=limit), newest.status.is_closed",
        "    newest = client.find_newest(run_id)  # before the items: what was published before the end is there\n"
        "    return store.items(run_id, stream, after=after, limit=limit), client.find(run_id).status.is_closed",
        (f"{OUTPUTS}::test_a_stream_of_a_chain_is_not_over_with_its_first_run",),
    ),
)
