"""Lies about questions to people."""

from tests.teeth.bank.core import CORE
from tests.teeth.bank.store import STORE, on_both
from tests.teeth.mutation import Mutation

ASKS = "tests/core/test_asks.py"
DJANGO = "packages/durable-django/src/django_durable"

MUTATIONS = (
    Mutation(
        "whoever answers last is who has answered",
        f"{STORE}/sql/people.py",
        """answered_by = v.answered_by, ended_at = v.ended_at",
            f"AND {ASKED}.status = 'OPEN'",""",
        """answered_by = v.answered_by, ended_at = v.ended_at",
            "",""",
        on_both("test_question_is_answered_once"),
    ),
    Mutation(
        "the time of a question is over, whatever waits to be read",
        f"{STORE}/commits.py",
        "if commit.status.is_closed or has_ended(commit.expired, mail):",
        "if commit.status.is_closed:",
        on_both("test_question_does_not_expire_over_an_answer_that_was_not_read"),
    ),
    Mutation(
        "the mailbox of a run whose question expires is read before its row is locked",
        f"{STORE}/commits.py",
        "        last_words = [commit.run_id for commit in commits if commit.status.is_closed or commit.expired]",
        "        last_words = [commit.run_id for commit in commits if commit.status.is_closed]",
        on_both("test_question_does_not_expire_over_an_answer_that_was_not_read"),
    ),
    Mutation(
        "a run that closes leaves its questions open",
        f"{STORE}/sql/commits.py",
        "WHERE execution_id {d.among} AND status = 'OPEN'",
        "WHERE execution_id {d.among} AND status = 'ASKED'",
        on_both("test_closing_ends_open_questions"),
    ),
    Mutation(
        "an answer is for code that has not ended",
        f"{CORE}/events.py",
        "ACKNOWLEDGED = (SignalReceived, TaskAnswered)",
        "ACKNOWLEDGED = (SignalReceived,)",
        (f"{ASKS}::test_an_answer_that_comes_with_the_end_is_in_the_history",),
    ),
    Mutation(
        "a question that was answered expires all the same",
        f"{CORE}/replay.py",
        "            if isinstance(fact, e.TASK_ENDS):",
        "            if isinstance(fact, e.TaskExpired):",
        (f"{ASKS}::test_a_task_that_was_answered_does_not_expire",),
    ),
    Mutation(
        "whom a cancel takes away goes on asking",
        f"{CORE}/asks.py",
        "        canceling.ask_to_end(engine, handle, canceled.reason)\n",
        "",
        (f"{ASKS}::test_whom_a_cancel_takes_away_asks_no_more[run]",),
    ),
    Mutation(
        "the permission of a question is for its page alone",
        f"{DJANGO}/people/answering.py",
        "    _check_permission(found, by)\n",
        "",
        ("tests/django/test_people.py::test_who_has_not_the_permission_may_not_answer",),
    ),
    Mutation(
        "whoever sees a question may answer it",
        f"{DJANGO}/admin/people.py",
        "return self.has_view_permission(request, task) and request.user.has_perm(wanted)",
        "return self.has_view_permission(request, task)",
        ("tests/django/test_people.py::test_the_page_asks_for_the_permission_of_the_task",),
    ),
    Mutation(
        "a form may be anywhere",
        f"{DJANGO}/people/forms.py",
        "    if apps.get_containing_app_config(path) is None:",
        "    if not path:",
        ("tests/django/test_people.py::test_a_form_that_is_not_there_is_told_in_words",),
    ),
)
