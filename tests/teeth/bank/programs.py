"""Lies about what random programs are made of, and about what the audit says of their runs."""

from tests.teeth.bank.core import CORE
from tests.teeth.mutation import Mutation

WITNESSES = "tests/audit/test_witnesses.py"

MUTATIONS = (
    Mutation(
        "the audit counts the signals of a reopened run that were put aside, and come again",
        f"{CORE}/audit/signals.py",
        "    for event in lived(run.events):  # what",
        "    for event in run.events:  # what",
        (f"{WITNESSES}::test_signals_that_come_again_to_a_reopened_run_have_come_once",),
    ),
    Mutation(
        "the attempts of a call that the code has made are those of nobody",
        f"{CORE}/audit/witnesses.py",
        '        of_call = noted.pop(f"{story.record.id}:{call_id}", [])',
        '        of_call = noted.get(f"{story.record.id}:{call_id}", [])',
        (f"{WITNESSES}::test_effects_agree_with_the_tasks",),
    ),
    Mutation(
        "the audit takes a task for a claim",
        f"{CORE}/audit/witnesses.py",
        "        hands[task.record.call_id] += task.record.token",
        "        hands[task.record.call_id] += 1",
        (f"{WITNESSES}::test_attempts_of_a_call_that_was_put_aside_are_those_of_the_call_made_again",),
    ),
    Mutation(
        "the audit does not ask whether a message of another run has come",
        f"{CORE}/audit/posts.py",
        "        is_certain = bool(self.has_come) and",
        "        is_certain = False and",
        (f"{WITNESSES}::test_signal_that_its_sender_heard_to_be_delivered_is_there",),
    ),
    Mutation(
        "the audit knows nothing of messages to whoever has a workflow_id",
        f"{CORE}/audit/posts.py",
        "        if run.workflow_id is not None:",
        "        if False:",
        (f"{WITNESSES}::test_signals_of_other_runs_are_expected_too[workflow_id]",),
    ),
    Mutation(
        "the audit takes the signals of other runs for surplus",
        f"{CORE}/audit/auditing.py",
        "                self._posts.collect(run)",
        "                pass",
        (f"{WITNESSES}::test_signals_of_other_runs_are_expected_too[to]",),
    ),
)
