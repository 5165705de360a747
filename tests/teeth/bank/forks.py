"""Lies about runs that begin with the history of others, and about words that closed runs keep."""

from tests.teeth.bank.core import CORE
from tests.teeth.bank.store import STORE, on_both
from tests.teeth.mutation import Mutation

FORKS = "tests/core/test_forking.py"
REOPENED = "tests/core/test_reopening.py"

MUTATIONS = (
    Mutation(
        "a run is forked behind its end",
        f"{CORE}/cutting.py",
        "if last.type not in e.TERMINAL_TYPES:",
        "if last.type:",
        (f"{FORKS}::test_a_seq_that_is_no_place_to_go_on_from_is_refused_with_those_that_are",),
    ),
    Mutation(
        "what was done before a fork is done again",
        f"{CORE}/cutting.py",
        "open_calls = {f.call_id for f in scheduled if f.call_id not in ended}",
        "open_calls = {f.call_id for f in scheduled}",
        (f"{FORKS}::test_a_fork_can_begin_at_every_event",),
    ),
    Mutation(
        "a fork waits for children of the other run",
        f"{CORE}/cutting.py",
        "if isinstance(fact, e.ChildWorkflowScheduled) and fact.call_id not in ended",
        "if isinstance(fact, e.ChildWorkflowScheduled) and fact.call_id in ended",
        (f"{FORKS}::test_children_of_the_other_are_its_own_and_the_fork_starts_others",),
    ),
    Mutation(
        "a child has the id that the code would give it, whatever its history says",
        f"{CORE}/calls.py",
        "ChildHandle(call_id, name, fact.child_id, typed)",
        "ChildHandle(call_id, name, child_id_of(engine.info.execution_id, call_id), typed)",
        (f"{FORKS}::test_a_child_that_ended_before_keeps_its_id",),
    ),
    Mutation(
        "random numbers go on behind a fork as they began",
        f"{CORE}/engine.py",
        "self.seeds.sow(fact.seed)",
        "self.seeds.sow(fact.first_seed)",
        (f"{FORKS}::test_two_forks_have_numbers_of_their_own",),
    ),
    Mutation(
        "a fork has random numbers of its own from the beginning on",
        f"{CORE}/engine.py",
        "self.seeds.sow(fork.first_seed)",
        "self.seeds.sow(fork.seed)",
        (f"{FORKS}::test_random_numbers_are_the_same_before_and_others_behind",),
    ),
    Mutation(
        "code may not end a step that was cut as it likes",
        f"{CORE}/transcript.py",
        "return self._end == len(self._facts) and self._is_turn(self._end - 1)",
        "return False",
        (f"{FORKS}::test_a_step_may_be_cut_in_two", f"{FORKS}::test_todays_code_decides_what_the_rest_is"),
    ),
    Mutation(
        "time stands still at a fork",
        f"{CORE}/engine.py",
        "self.time = placed.created_at",
        "self.time = max(self.time, self.time)",
        (f"{FORKS}::test_time_goes_on_at_the_fork",),
    ),
    Mutation(
        "a fork that is reopened goes back behind what it took over",
        f"{CORE}/rewinding.py",
        "first = max(first, _taken_over(facts))",
        "first = max(first, 0)",
        (f"{FORKS}::test_a_fork_that_fails_is_reopened_and_keeps_what_it_took_over",),
    ),
    Mutation(
        "signals that nobody has read are not kept for a fork",
        f"{CORE}/forking.py",
        "records += [_placed(mail, self._now) for mail in self._origin.mail]",
        "records += []",
        (f"{FORKS}::test_signals_that_nobody_has_read_can_be_kept_too",),
    ),
    Mutation(
        "an audit looks at the length only of what a fork took over",
        f"{CORE}/audit/forks.py",
        "if own != expected:",
        "if len(own) != len(expected):",
        ("tests/core/test_forking_audit.py::test_an_audit_finds_a_damaged_fork",),
    ),
    Mutation(
        "items of a run are told backwards",
        f"{STORE}/sql/outputs.py",
        "WHERE execution_id {d.among} ORDER BY id",
        "WHERE execution_id {d.among} ORDER BY id DESC",
        on_both("test_items_of_one_run_are_told_with_their_calls_in_order"),
    ),
    Mutation(
        "a run does not say from which it was forked",
        f"{STORE}/records.py",
        "hex_of(run.forked_from)",
        "hex_of(None)",
        on_both("test_run_says_from_which_it_was_forked"),
    ),
    Mutation(
        "a run that closes keeps no word on what it sends",
        f"{STORE}/commits.py",
        "if commit.status.is_closed and (commit.outgoing or commit.unheard):",
        "if commit.status.is_closed and commit.unheard:",
        on_both("test_runs_that_close_at_once_keep_each_its_own_words"),
    ),
    Mutation(
        "a reopened run waits for words that it will never hear",
        f"{CORE}/reopening.py",
        "*heard, *_words(record, rewinding)]",
        "*heard]",
        (f"{REOPENED}::test_a_message_that_nobody_took_is_told_of_when_its_sender_is_reopened",),
    ),
    Mutation(
        "a word that comes when the code has ended is lost",
        f"{CORE}/worker/proposals.py",
        "for word in decision.unheard",
        "for word in ()",
        (f"{FORKS}::test_a_word_that_came_too_late_is_kept_by_the_run",),
    ),
)
