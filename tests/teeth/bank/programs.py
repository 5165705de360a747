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
)
