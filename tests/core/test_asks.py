"""Questions to people: who is first, once, and what becomes of those that nobody answers."""

from __future__ import annotations

import enum
import uuid
from datetime import timedelta

import pytest

from durable_core import events as e
from durable_core.answering import Answerer
from durable_core.asks import form_name
from durable_core.audit import audit
from durable_core.audit.replaying import Code
from durable_core.codec import Payload
from durable_core.decision import RunSettings
from durable_core.ending import end_from_outside
from durable_core.errors import (
    ConfigurationError,
    InvalidAnswer,
    NondeterminismError,
    PayloadError,
    ScopeCanceled,
    TaskAnswered,
    TaskCanceled,
    TaskClosed,
    UnknownTask,
    WaitTimeout,
    WorkflowCanceled,
    WorkflowFailed,
)
from durable_core.execution import HumanTaskStatus, Status
from durable_core.handles import TaskHandle
from durable_core.ports import new_id
from durable_core.rewinding import decided
from tests.core.stories import RUN_ID, Story, answered, cancel, loads, signal
from tests.core.test_worker import Bench

DAY = 86_400


def expired(call_id):
    return e.TaskExpired(call_id=str(call_id))


def canceled(call_id, reason=""):
    return e.TaskCanceled(call_id=str(call_id), reason=reason)


def approval(ctx, **options):
    return ctx.ask("Is it good?", **options)


# Asking and answering


def test_the_code_goes_on_with_the_answer():
    story = Story(lambda ctx: approval(ctx, form=["yes", "no"], assignee="ann", permission="shop.approve"))
    [asked] = story.start().asked
    assert (asked.question, asked.form) == ("Is it good?", [["yes", "yes"], ["no", "no"]])
    assert (asked.assignee, asked.permission, asked.fire_at) == ("ann", "shop.approve", None)
    assert loads(story.decision.waiting_for)["kind"] == "task"
    story.evict()
    story.give(answered(0, {"ok": True}, by="ann"))
    assert story.result == {"ok": True}
    assert story.types == ["workflow_started", "task_asked", "task_answered", "workflow_completed"]
    assert loads(story.history[2].details) == {"by": "ann", "answer": {"ok": True}}
    story.check()


def test_a_task_has_an_id_that_every_replay_comes_to():
    story = Story(lambda ctx: str(ctx.start_ask("?")))
    [asked] = story.start().asked
    assert str(asked.task_id) == story.result
    assert uuid.UUID(story.result) == uuid.uuid5(RUN_ID, "ask 0")


def test_the_first_end_of_a_task_holds():
    story = Story(lambda ctx: [approval(ctx), ctx.wait_signal("go")])
    story.start()
    story.give(answered(0, 1), answered(0, 2), canceled(0), expired(0))
    story.give(signal("go"))
    assert story.result == [1, None]
    story.check()


def test_two_of_three():
    def fn(ctx):
        asked = {name: ctx.start_ask(f"{name}?", assignee=name) for name in ("ann", "ben", "cy")}
        said: list[str] = []
        while len(said) < 2:
            name, _ = ctx.select(**asked)
            del asked[name]
            said.append(name)
        return [said, [ctx.cancel(task) for task in asked.values()]]

    story = Story(fn)
    story.start()
    story.give(answered(2))
    story.evict()
    decision = story.give(answered(0))
    assert story.result == [["cy", "ann"], [True]]
    assert [cancel.call_id for cancel in decision.cancels] == ["1"]
    story.check()


def test_handles_can_be_gathered_with_others():
    def fn(ctx):
        handles = [ctx.start_ask("?"), ctx.start_activity("old"), ctx.start_ask("!", timeout=5)]
        return [repr(result) for result in ctx.gather(*handles, return_exceptions=True)]

    story = Story(fn)
    story.start()
    story.give(e.ActivityCompleted(call_id="1", attempt=1, result=Payload("2")))
    story.give(answered(0, "x"))
    story.wait(5)
    assert story.result[:2] == ["'x'", "2"]
    assert story.result[2].startswith("WaitTimeout(\"nobody has answered '!' until 2026-01-01T00:00:05")
    story.check()


# Time


def test_a_task_expires_and_the_log_says_so():
    def fn(ctx):
        try:
            return approval(ctx, timeout=timedelta(days=1))
        except WaitTimeout as error:
            return str(error)

    story = Story(fn)
    decision = story.start()
    assert decision.wake_at == story.time + timedelta(days=1)
    story.evict()
    decision = story.wait(DAY)
    assert story.types[2:] == ["task_expired", "workflow_completed"]
    assert list(decision.expired) == ["0"]
    assert story.result == "nobody has answered 'Is it good?' until 2026-01-02T00:00:00+00:00"
    story.check()


def test_an_answer_that_is_read_when_the_time_is_over_is_in_time():
    story = Story(lambda ctx: approval(ctx, timeout=5))
    story.start()
    decision = story.give(answered(0, "late"), after=10)
    assert story.result == "late"
    assert decision.expired == {}
    assert "task_expired" not in story.types
    story.check()


def test_a_task_that_was_answered_does_not_expire():
    story = Story(lambda ctx: [approval(ctx, timeout=5), ctx.sleep(60)])
    story.start()
    assert story.give(answered(0)).wake_at == story.time + timedelta(seconds=60)
    story.wait(59)
    assert "task_expired" not in story.types
    story.check()


def test_a_wait_may_be_shorter_than_the_task():
    def fn(ctx):
        task = ctx.start_ask("?", timeout=3 * DAY)
        for wait in (DAY, None):
            try:
                return ctx.wait(task, timeout=wait)
            except WaitTimeout:
                ctx.set_event("waited", wait)
        return ctx.ask("? really", assignee="boss")

    story = Story(fn)
    story.start()
    story.wait(DAY)
    assert story.decision.values == {"waited": "86400"}
    story.wait(2 * DAY)
    assert [asked.assignee for asked in story.decision.asked] == ["boss"]
    story.give(answered(story.decision.asked[0].call_id, "boss"))
    assert story.result == "boss"
    story.check()


# Cancels


def test_a_canceled_task_is_over_when_the_store_says_so():
    def fn(ctx):
        task = ctx.start_ask("?")
        assert ctx.cancel(task, "enough")
        assert ctx.cancel(task, "again")
        try:
            return ctx.wait(task)
        except TaskCanceled as error:
            return [str(error), error.reason, ctx.cancel(task)]

    story = Story(fn)
    decision = story.start()
    assert [(command.call_id, command.reason) for command in decision.cancels] == [("0", "enough")]
    story.give(canceled(0, "enough"))
    assert story.result == ["task '?' was canceled", "enough", False]
    story.check()


def test_an_answer_that_was_first_is_what_a_canceled_task_comes_to():
    def fn(ctx):
        task = ctx.start_ask("?")
        ctx.wait_signal("go")
        ctx.cancel(task)
        return ctx.wait(task)

    story = Story(fn)
    story.start()
    story.give(signal("go"), answered(0, 7))
    assert story.result == 7
    assert story.types[-4:] == ["signal_received", "task_cancel_requested", "task_answered", "workflow_completed"]
    story.check()


@pytest.mark.parametrize("how", ["scope", "run", "branch"])
def test_whom_a_cancel_takes_away_asks_no_more(how):
    def fn(ctx):
        if how == "scope":
            with ctx.cancel_scope(timeout=5):
                ctx.ask("?")
            return ctx.wait_signal("go")
        if how == "branch":
            branch = ctx.spawn(lambda: ctx.ask("?"))
            ctx.wait_signal("stop")
            ctx.cancel(branch, "stop")
            return ctx.wait_signal("go")
        try:
            ctx.ask("?")
        except WorkflowCanceled:
            return ctx.wait_signal("go")

    story = Story(fn)
    story.start()
    given = {"scope": (), "branch": (signal("stop"),), "run": (cancel("stop"),)}[how]
    decision = story.give(*given, after=5)
    assert [command.call_id[-1] for command in decision.cancels] == ["0" if how != "scope" else "1"]
    story.evict()
    story.give(canceled(decision.cancels[0].call_id))
    story.give(signal("go", 1))
    assert story.decision.status in (Status.COMPLETED, Status.CANCELED)
    story.check()


def test_a_scope_cancels_tasks_that_were_asked_in_it():
    def fn(ctx):
        with ctx.cancel_scope() as scope:
            task = ctx.start_ask("?")
            scope.cancel("no more")
        try:
            return ctx.wait(task)
        except TaskCanceled as error:
            return error.reason

    story = Story(fn)
    assert [command.reason for command in story.start().cancels] == ["no more"]
    story.give(canceled(0, "no more"))
    assert story.result == "no more"
    assert not isinstance(TaskCanceled(""), ScopeCanceled)
    story.check()


# The end


def test_an_answer_that_comes_with_the_end_is_in_the_history():
    story = Story(lambda ctx: [ctx.start_ask("?"), ctx.wait_signal("go")][1])
    story.start()
    story.give(signal("go", 1), answered(0, "yes"))
    assert story.result == 1
    assert story.types[2:] == ["signal_wait_started", "signal_received", "task_answered", "workflow_completed"]
    story.check()


def test_an_answer_beside_a_cancel_that_asks_nobody_is_in_the_history():
    story = Story(approval)
    story.start()
    story.give(cancel(graceful=False), answered(0, "yes"), signal("late"))
    assert story.types[2:] == ["task_answered", "signal_received", "workflow_canceled"]
    assert [record.type for record in decided(story.history)] == ["workflow_started", "task_asked"]
    story.check()


def test_an_open_task_ends_with_the_run_without_a_warning():
    story = Story(lambda ctx: str(ctx.start_ask("?").expires_at))
    assert story.start().warnings == []
    assert story.result == "None"


# What makes no sense


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@pytest.mark.parametrize(
    ("form", "kept"),
    [
        (None, None),
        ("shop.forms.Approve", "shop.forms.Approve"),
        (Story, "tests.core.stories.Story"),
        (Colour, [["red", "RED"], ["blue", "BLUE"]]),
        ([("y", "Yes"), "no"], [["y", "Yes"], ["no", "no"]]),
    ],
)
def test_a_form_is_kept_as_what_other_processes_find(form, kept):
    assert form_name(form) == kept


class Local:
    class Inner: ...


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda ctx: ctx.ask(5), TypeError, "expected the question"),
        (lambda ctx: ctx.ask("  "), TypeError, "expected the question"),
        (lambda ctx: ctx.ask("x" * 2000), PayloadError, "the question"),
        (lambda ctx: ctx.ask("?", form=["x" * 2000]), PayloadError, "the choices"),
        (lambda ctx: ctx.ask("?", form="forms"), ConfigurationError, "expected a dotted path"),
        (
            lambda ctx: ctx.ask("?", form=type("F", (), {"__qualname__": "f.<locals>.F"})),
            ConfigurationError,
            "top of a",
        ),
        (lambda ctx: ctx.ask("?", form=5), ConfigurationError, "expected a form class"),
        (lambda ctx: ctx.ask("?", form=[]), ConfigurationError, "each once"),
        (lambda ctx: ctx.ask("?", form=["a", "a"]), ConfigurationError, "each once"),
        (lambda ctx: ctx.ask("?", form=[("a", "b", "c")]), ConfigurationError, "each once"),
        (lambda ctx: ctx.ask("?", form=[(1, "b")]), ConfigurationError, "each once"),
        (lambda ctx: ctx.ask("?", assignee=""), ConfigurationError, "the assignee"),
        (lambda ctx: ctx.ask("?", permission="approve"), ConfigurationError, "app_label.codename"),
        (lambda ctx: ctx.ask("?", timeout=-1), ConfigurationError, "timeout"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_at_the_call(call, error, says):
    def fn(ctx):
        with pytest.raises(error, match=says):
            call(ctx)

    story = Story(fn, settings=RunSettings(payload_limit=1000))
    story.start()
    assert story.types == ["workflow_started", "workflow_completed"]


def test_a_changed_question_warns_and_the_recorded_one_holds():
    story = Story(lambda ctx: ctx.ask("Good?", assignee="ann"))
    story.start()
    story.evict(lambda ctx: ctx.ask("Really good?", assignee="ann"))
    decision = story.give(answered(0, 1))
    assert "$.question" in decision.warnings[0]
    with pytest.raises(NondeterminismError, match="a human task with time limit"):
        story.replayed(lambda ctx: ctx.ask("Good?", assignee="ann", timeout=5))
    with pytest.raises(NondeterminismError, match="a human task without time limit"):
        story.replayed(lambda ctx: ctx.sleep(5))


# Through a worker


class Office(Bench):
    """Runs that ask, and who answers."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.answerer = Answerer(self.client, self.store, payload_limit=1000)
        self.broken = True

        @self.registry.workflow
        def asks(ctx, **options):
            return ctx.ask("Is it good?", **options)

        @self.registry.workflow
        def fails(ctx, withdraws=False):
            task = ctx.start_ask("?")
            early = ctx.start_ask("!")
            if withdraws:
                ctx.cancel(task, "no need")
            ctx.wait_signal("go")
            if self.broken:
                raise ValueError("no")
            try:
                return [ctx.wait(early), ctx.wait(task)]
            except TaskCanceled as error:
                return error.reason

    def ask(self, name="asks", **options):
        run_id = self.start(name, **options)
        self.drive(run_id, to=lambda status: status is Status.RUNNING)
        return run_id, [record.id for record in self.store.audited([run_id])[0].asked]

    def types(self, run_id):
        return [event.type for event in self.store.load([run_id])[run_id].events]

    def status(self, task_id):
        return self.answerer.find(task_id).status

    def check(self):
        assert audit(self.store, self.queue, code=Code(registry=self.registry)) == []


def test_a_person_answers_once_and_the_second_hears_who_did():
    office = Office()
    run_id, [task_id] = office.ask(form=["yes", "no"])
    with pytest.raises(InvalidAnswer, match="'maybe' is none of the choices: yes, no") as refused:
        office.answerer.answer(task_id, "maybe")
    assert list(refused.value.errors) == ["__all__"]
    office.answerer.answer(task_id, "yes", by="ann")
    with pytest.raises(TaskAnswered, match=r"ann answered 'Is it good\?' at") as late:
        office.answerer.answer(task_id, "no", by="ben")
    assert (late.value.by, late.value.task_id) == ("ann", task_id)
    assert late.value.answered_at == office.clock.now()
    office.check()
    office.drive(run_id)
    assert office.result(run_id) == "yes"
    with pytest.raises(TaskAnswered):
        office.answerer.find_open(task_id)
    office.check()


def test_what_cannot_be_an_answer_is_refused():
    office = Office()
    _, [task_id] = office.ask()
    with pytest.raises(PayloadError):
        office.answerer.answer(task_id, object())
    with pytest.raises(PayloadError):
        office.answerer.answer(task_id, "x" * 2000)
    with pytest.raises(ConfigurationError, match="the by of"):
        office.answerer.answer(task_id, 1, by="")
    with pytest.raises(UnknownTask, match="No human task"):
        office.answerer.answer(new_id(), 1)
    assert office.status(task_id) is HumanTaskStatus.OPEN
    office.check()


def test_nobody_answers_what_has_expired():
    office = Office()
    run_id, [task_id] = office.ask(timeout=5)
    office.clock.advance(5)
    office.drive(run_id)
    assert office.client.find(run_id).error.startswith("WaitTimeout: nobody has answered")
    with pytest.raises(TaskClosed, match="it expired at"):
        office.answerer.answer(task_id, 1)
    assert office.status(task_id) is HumanTaskStatus.EXPIRED
    office.check()


@pytest.mark.parametrize("cache_size", [0, 10])
def test_an_answer_between_a_decision_and_its_commit_is_not_passed_over(cache_size):
    """The decision says that the time is over; somebody has answered since it was made."""
    office = Office(cache_size=cache_size)
    run_id, [task_id] = office.ask(timeout=5)
    office.clock.advance(5)
    commit, done = office.store.commit, list[int]()

    def late(commits):
        if any(each.expired for each in commits) and not done:
            done.append(1)
            office.answerer.answer(task_id, "just in time", by="ann")
        return commit(commits)

    office.store.commit = late
    office.drive(run_id)
    assert (office.result(run_id), done) == ("just in time", [1])
    assert office.status(task_id) is HumanTaskStatus.ANSWERED
    office.check()


def test_an_answer_that_nobody_has_read_is_in_the_history_of_a_canceled_run():
    office = Office()
    run_id, [task_id] = office.ask()
    office.answerer.answer(task_id, "yes", by="ann")
    office.client.cancel(run_id, reason="enough")
    assert office.types(run_id)[-2:] == ["task_answered", "workflow_canceled"]
    assert office.status(task_id) is HumanTaskStatus.ANSWERED
    office.check()


def test_an_answer_that_comes_while_a_run_is_closed_from_outside_comes_first():
    office = Office()
    run_id, [task_id] = office.ask()
    locked = office.store.load([run_id])[run_id]
    office.answerer.answer(task_id, "yes")
    now = office.clock.now()
    commit = end_from_outside(locked.record, locked.mail, e.WorkflowCanceled(reason=""), now)
    result = office.store.commit([commit]).results[run_id]
    assert (result.verdict.value, [mail.type for mail in result.mail]) == ("unread", ["task_answered"])


@pytest.mark.parametrize("end", ["cancel", "terminate"])
def test_tasks_end_with_their_run(end):
    office = Office()
    run_id, [task_id] = office.ask()
    office.client.cancel(run_id, graceful=end == "cancel")
    office.drive(run_id)
    with pytest.raises(TaskClosed, match="it was canceled"):
        office.answerer.answer(task_id, 1)
    assert office.status(task_id) is HumanTaskStatus.CANCELED
    office.check()


def test_a_run_that_is_opened_again_asks_again_and_keeps_what_was_answered():
    office = Office()
    run_id, task_ids = office.ask("fails")
    task_id, early = sorted(task_ids, key=lambda task_id: office.answerer.find(task_id).call_id)
    office.answerer.answer(early, 1)
    office.client.signal(run_id, "go")
    office.drive(run_id)
    assert office.status(task_id) is HumanTaskStatus.CANCELED
    office.broken = False
    office.client.reopen(run_id)
    assert (office.status(task_id), office.status(early)) == (HumanTaskStatus.OPEN, HumanTaskStatus.ANSWERED)
    office.check()
    office.answerer.answer(task_id, 2)
    office.drive(run_id)
    assert office.result(run_id) == [1, 2]
    office.check()


def test_a_task_that_was_withdrawn_stays_so_when_its_run_is_opened_again():
    office = Office()
    run_id, task_ids = office.ask("fails", withdraws=True)
    task_id, early = sorted(task_ids, key=lambda task_id: office.answerer.find(task_id).call_id)
    office.client.signal(run_id, "go")
    office.drive(run_id)
    office.broken = False
    office.client.reopen(run_id)
    assert office.status(task_id) is HumanTaskStatus.CANCELED
    office.answerer.answer(early, 1)
    office.drive(run_id)
    assert office.result(run_id) == "no need"
    office.check()


def test_a_task_that_was_asked_with_the_failure_is_asked_anew():
    office = Office()

    def fn(ctx):
        task = ctx.start_ask("?")
        if office.broken:
            raise ValueError("no")
        return ctx.wait(task)

    office.registry.workflow_from(fn, name="hasty")
    run_id = office.start("hasty")
    office.drive(run_id)
    [task] = office.store.audited([run_id])[0].asked
    assert task.status is HumanTaskStatus.CANCELED
    office.check()
    office.broken = False
    office.client.reopen(run_id)
    assert office.status(task.id) is HumanTaskStatus.CANCELED
    office.drive(run_id, to=lambda status: office.status(task.id) is HumanTaskStatus.OPEN)
    office.answerer.answer(task.id, "now")
    office.drive(run_id)
    assert office.result(run_id) == "now"
    office.check()


def test_a_task_that_expired_with_the_failure_can_be_answered_behind_a_reopening():
    office = Office()
    run_id, [task_id] = office.ask(timeout=5)
    office.clock.advance(5)
    office.drive(run_id)
    with pytest.raises(WorkflowFailed):
        office.result(run_id)
    office.client.reopen(run_id)
    assert office.status(task_id) is HumanTaskStatus.OPEN
    office.answerer.answer(task_id, "at last")
    office.drive(run_id)
    assert office.result(run_id) == "at last"
    office.check()


@pytest.mark.parametrize("withdraws", [True, False])
def test_a_fork_asks_anew_what_had_no_end_and_has_the_answers_of_its_origin(withdraws):
    office = Office()
    office.broken = False
    run_id, task_ids = office.ask("fails", withdraws=withdraws)
    task_id, early = sorted(task_ids, key=lambda task_id: office.answerer.find(task_id).call_id)
    office.answerer.answer(early, 1, by="ann")
    office.drive(run_id, to=lambda status: "task_answered" in office.types(run_id))
    forked = office.client.fork_run(run_id, len(office.types(run_id)) + 1)
    asked = office.store.audited([forked])[0].asked
    assert [task.question for task in asked] == ([] if withdraws else ["?"])
    assert task_id not in {task.id for task in asked}
    office.check()
    for task in asked:
        office.answerer.answer(task.id, 2)
    office.client.signal(forked, "go")
    office.drive(forked)
    assert office.result(forked) == ("no need" if withdraws else [1, 2])
    assert office.status(task_id) is (HumanTaskStatus.CANCELED if withdraws else HumanTaskStatus.OPEN)
    office.check()


def test_a_fork_in_which_a_question_was_withdrawn_a_moment_ago_hears_of_that():
    office = Office()
    office.broken = False
    run_id, _ = office.ask("fails", withdraws=True)
    cut = office.types(run_id).index("task_cancel_requested") + 2
    forked = office.client.fork_run(run_id, cut)
    assert [task.question for task in office.store.audited([forked])[0].asked] == ["!"]
    office.check()
    office.client.signal(forked, "go")
    [task] = office.store.audited([forked])[0].asked
    office.answerer.answer(task.id, 1)
    office.drive(forked)
    assert office.result(forked) == "no need"
    office.check()


@pytest.mark.parametrize("answers", [True, False])
def test_a_coroutine_asks(answers):
    office = Office()

    async def fn(ctx):
        task = ctx.start_ask("?")
        assert isinstance(task, TaskHandle)
        ctx.cancel(task)
        try:
            await ctx.wait(task)
        except TaskCanceled:
            return await ctx.ask("!", timeout=5)

    office.registry.workflow_from(fn, name="coroutine")
    run_id = office.start("coroutine")
    office.drive(run_id, to=lambda status: len(office.store.audited([run_id])[0].asked) == 2)
    [task_id] = [task.id for task in office.store.audited([run_id])[0].asked if task.question == "!"]
    if answers:
        office.answerer.answer(task_id, 7)
    else:
        office.clock.advance(5)
    office.drive(run_id)
    assert office.client.find(run_id).status is (Status.COMPLETED if answers else Status.FAILED)
    office.check()
