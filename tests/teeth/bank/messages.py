"""Lies about queries, updates, and messages that are sent once."""

from tests.teeth.bank.store import STORE, on_both
from tests.teeth.mutation import Mutation

CORE = "packages/durable-core/src/durable_core"
UPDATES = "tests/core/test_updates.py"
COROUTINES = "tests/core/test_async_workflows.py"

MUTATIONS = (
    Mutation(
        "a coroutine that acts on an update has the ids of the main task",
        f"{CORE}/asyncloop.py",
        "            ids = CallIds(fact.call_id)",
        "            ids = self._branch.root_ids",
        (f"{COROUTINES}::test_coroutines_act_on_updates_and_take_turns",),
    ),
    Mutation(
        "an update is answered with a coroutine that nobody has awaited",
        f"{CORE}/asyncparts.py",
        "            value = await value",
        "            pass",
        (f"{COROUTINES}::test_coroutines_act_on_updates_and_take_turns",),
    ),
    Mutation(
        "a task that has just ended is told of as lost",
        f"{CORE}/asyncloop.py",
        "        return task not in self._updating and (not task.done() or task._log_traceback)",
        "        return task not in self._updating",
        (f"{COROUTINES}::test_coroutines_act_on_updates_and_take_turns",),
    ),
    Mutation(
        "the handler of a query may use ctx",
        f"{CORE}/branches.py",
        "        self.current.without_ctx = inside",
        '        self.current.without_ctx = ""',
        ("tests/core/test_queries.py::test_a_handler_may_not_use_ctx",),
    ),
    Mutation(
        "two updates have one number",
        f"{CORE}/updates.py",
        "        self._accepted += 1",
        "        self._accepted += 0",
        (f"{UPDATES}::test_an_update_is_accepted_acted_on_and_answered",),
    ),
    Mutation(
        "no validator is asked",
        f"{CORE}/updates.py",
        "            found.validate(**payload)",
        "            pass",
        (f"{UPDATES}::test_a_rejected_update_leaves_no_trace_in_the_history",),
    ),
    Mutation(
        "an answer that comes while its sender looks is overlooked",
        f"{CORE}/updating.py",
        "        if again is None or again != found:",
        "        if again is None:",
        (f"{UPDATES}::test_an_answer_that_comes_while_the_sender_looks_is_not_overlooked",),
    ),
    Mutation(
        "keys of signals are those of one run",
        f"{CORE}/client.py",
        "                chain_id=newest.chain_id or newest.id,",
        "                chain_id=newest.id,",
        ("tests/core/test_signals.py::test_a_signal_with_a_key_is_delivered_once_to_a_chain",),
    ),
    Mutation(
        "a run closes over a message that is told as delivered",
        f"{STORE}/commits.py",
        "            self._hold_targets(commits, results)\n",
        "",
        (on_both("test_run_does_not_close_over_a_message_that_was_delivered")[1],),
    ),
)
