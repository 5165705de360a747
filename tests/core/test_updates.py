"""Updates: taken or rejected, acted on in a branch, answered; and what of that is in the history."""

from __future__ import annotations

import pytest

from durable_core import events as e
from durable_core.codec import encode
from durable_core.errors import (
    ConfigurationError,
    DurableError,
    NondeterminismError,
    PayloadError,
    UpdateFailed,
    UpdateRejected,
    WaitTimeout,
    WorkflowCanceled,
    WorkflowClosed,
)
from durable_core.execution import MessageStatus, Status
from durable_core.ports import MessageKind
from durable_core.updating import Updater
from tests.core.stories import Story, cancel, completed, loads, signal
from tests.core.test_worker import Bench


def update(name, update_id="x", **payload):
    return e.WorkflowUpdateAccepted(name=name, update_id=update_id, input=encode(payload))


def news_of(decision, update_id="x"):
    """Status, and result or what was raised."""
    news = decision.updates[update_id]
    if news.failure is not None:
        return news.status.value, news.failure["type"], news.failure["message"]
    return news.status.value, None if news.result is None else loads(news.result)


def account(ctx, until=10):
    total = 0

    def add(amount, *, slowly=False):
        nonlocal total
        if slowly:
            amount = ctx.run_activity("add", amount, 0)
        total += amount
        return total

    def is_positive(amount, **rest):
        if amount <= 0:
            raise ValueError(f"{amount} is not positive")

    ctx.on_update("add", add, is_positive)
    ctx.on_update("fail", lambda: int("no number"))
    ctx.on_update("set", lambda: {1})
    ctx.wait_until(lambda: total >= until)
    return total


def test_an_update_is_accepted_acted_on_and_answered():
    story = Story(account)
    story.start()
    decision = story.give(update("add", amount=3))
    assert [record.type for record in decision.events] == ["workflow_update_accepted", "workflow_update_completed"]
    assert [record.call_id for record in decision.events] == ["u0", "u0"]
    assert news_of(decision) == ("COMPLETED", 3)
    second = story.give(update("add", "y", amount=8))
    assert [record.call_id for record in second.events[:2]] == ["u1", "u1"]
    assert news_of(second, "y") == ("COMPLETED", 11)
    assert story.result == 11
    story.check()


def test_a_handler_may_wait_and_others_go_on_meanwhile():
    story = Story(account)
    story.start()
    decision = story.give(update("add", amount=3, slowly=True))
    assert news_of(decision) == ("ACCEPTED", None)
    assert [task.call_id for task in decision.activities] == ["u0.0"]
    assert news_of(story.give(update("add", "y", amount=1)), "y") == ("COMPLETED", 1)
    story.evict()
    assert news_of(story.give(completed("u0.0", 20))) == ("COMPLETED", 21)
    assert story.types[-2:] == ["workflow_update_completed", "workflow_completed"]
    assert story.result == 21
    story.check()


@pytest.mark.parametrize(
    ("asked", "type_name", "says"),
    [
        (update("add", amount=-1), "ValueError", "-1 is not positive"),
        (update("add", sum=1), "TypeError", "its signature is add(amount, *, slowly=False)"),
        (update("ad", amount=1), "UnknownUpdateError", "Did you mean 'add'?"),
    ],
)
def test_a_rejected_update_leaves_no_trace_in_the_history(asked, type_name, says):
    story = Story(account)
    story.start()
    before = story.types
    decision = story.give(asked)
    assert decision.events == []
    status, raised, message = news_of(decision)
    assert (status, raised) == ("REJECTED", type_name)
    assert says in message
    assert story.types == before
    assert story.give(update("add", "y", amount=11)).events[0].call_id == "u0"
    story.check()


def test_a_validator_may_not_use_ctx_and_is_not_asked_on_a_replay():
    asked = []

    def fn(ctx):
        def validate():
            asked.append(1)
            ctx.run_activity("old")

        ctx.on_update("bad", list, validate)
        ctx.on_update("good", list, lambda: asked.append(2))
        ctx.wait_signal("go")

    story = Story(fn)
    story.start()
    _, type_name, message = news_of(story.give(update("bad")))
    assert type_name == "DurableError"
    assert "inside the validator of an update" in message
    assert news_of(story.give(update("good"))) == ("COMPLETED", [])
    story.check()
    assert asked == [1, 2]


def test_what_a_handler_raises_fails_the_update_and_not_the_run():
    story = Story(account)
    story.start()
    decision = story.give(update("fail"))
    assert news_of(decision) == ("FAILED", "ValueError", "invalid literal for int() with base 10: 'no number'")
    assert story.types[-1] == "workflow_update_failed"
    assert news_of(story.give(update("set", "y")), "y")[:2] == ("FAILED", "PayloadError")
    assert decision.status is Status.RUNNING
    story.check()


def test_the_first_decision_registers_before_an_update_is_judged():
    story = Story(account)
    decision = story.start(update("add", amount=4))
    assert news_of(decision) == ("COMPLETED", 4)
    story.check()


def test_updates_and_signals_keep_their_order():
    def fn(ctx):
        seen: list[int] = []

        def note(item):
            seen.append(item)

        ctx.on_update("note", note)
        while len(seen) < 5:
            seen.append(ctx.wait_signal("note"))
        return seen

    story = Story(fn)
    first, second = update("note", item=1), update("note", "y", item=3)
    story.start(signal("note", 0), first, signal("note", 2), second, signal("note", 4))
    assert story.result == [0, 1, 2, 3, 4]
    story.check()


def test_an_update_whose_run_ends_first_is_unfinished_and_that_is_said():
    def fn(ctx):
        ctx.on_update("wait", lambda: ctx.sleep(60))
        ctx.wait_signal("go")

    story = Story(fn)
    story.start()
    assert news_of(story.give(update("wait"))) == ("ACCEPTED", None)
    decision = story.give(signal("go"), update("wait", "late"))
    assert decision.status is Status.COMPLETED
    assert decision.updates == {}
    assert any("1 of the updates" in warning for warning in decision.warnings)
    story.check()


def test_code_may_wait_for_its_handlers():
    def fn(ctx):
        ctx.on_update("wait", lambda: ctx.run_activity("old"))
        ctx.wait_signal("go")
        ctx.wait_until(ctx.all_handlers_finished)

    story = Story(fn)
    story.start()
    story.give(update("wait"))
    assert story.give(signal("go")).status is Status.RUNNING
    decision = story.give(completed("u0.0", "done"))
    assert news_of(decision) == ("COMPLETED", "done")
    assert (decision.status, decision.warnings) == (Status.COMPLETED, [])
    story.check()


def test_an_update_that_nobody_has_read_is_carried_to_the_next_run():
    def fn(ctx):
        ctx.on_update("wait", lambda: ctx.sleep(60))
        ctx.wait_signal("go")
        ctx.continue_as_new()

    story = Story(fn)
    story.start()
    late = update("wait", "late")
    decision = story.give(update("wait"), signal("go"), signal("other"), late)
    assert decision.carried == [signal("other"), late]
    assert set(decision.updates) == {"x"}


def test_a_cancel_is_raised_in_handlers_too():
    def fn(ctx):
        def wait():
            try:
                ctx.sleep(60)
            except WorkflowCanceled:
                ctx.run_activity("old")
                raise

        ctx.on_update("wait", wait)
        try:
            ctx.wait_signal("go")
        except WorkflowCanceled:
            ctx.wait_until(ctx.all_handlers_finished)
            raise

    story = Story(fn)
    story.start()
    story.give(update("wait"))
    story.give(cancel("enough"))
    decision = story.give(completed("u0.1"))
    assert news_of(decision)[:2] == ("FAILED", "WorkflowCanceled")
    assert decision.error == "WorkflowCanceled: enough"
    story.check()


def test_code_that_no_longer_takes_an_update_is_a_mismatch():
    story = Story(account)
    story.start()
    story.give(update("add", amount=1, slowly=True))
    with pytest.raises(NondeterminismError, match=r"update 'add' \(call u0\) at seq 2"):
        story.replayed(lambda ctx, until=10: ctx.wait_until(lambda: False))


def test_a_handler_that_asks_for_something_else_is_a_mismatch():
    story = Story(account)
    story.start()
    story.give(update("add", amount=1, slowly=True))

    def changed(ctx, until=10):
        ctx.on_update("add", lambda amount, slowly: ctx.sleep(amount))
        ctx.wait_until(lambda: False)

    with pytest.raises(
        NondeterminismError, match=r"activity 'add' \(call u0.0\) at seq 3, but the code asked for a sleep"
    ):
        story.replayed(changed)


@pytest.mark.parametrize(("handler", "validator"), [(1, None), (list, 1)])
def test_a_registration_that_cannot_work_raises_in_the_code(handler, validator):
    def fn(ctx):
        ctx.on_update("a", handler, validator)

    assert Story(fn).start().error.startswith("TypeError: on_update('a') got 1")


def test_statuses_of_messages_that_are_final():
    assert [status for status in MessageStatus if status.is_final] == ["COMPLETED", "FAILED", "REJECTED"]


# Through the worker


class Desk(Bench):
    """With an account, and the sender's side of updates."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.updater = Updater(self.client, self.store, payload_limit=1000)

        @self.registry.workflow
        def pays(ctx, total=0, most=10):
            def add(amount, *, slowly=False):
                nonlocal total
                if slowly:
                    ctx.wait_signal("go")
                total += amount
                return total

            def check(amount, **rest):
                if amount <= 0:
                    raise ValueError("not positive")

            ctx.on_update("add", add, check)
            ctx.on_update("leave", lambda: ctx.continue_as_new(total=total))
            ctx.on_update("fail", lambda: int("no number"))
            next_run = ctx.signal("next")
            end = ctx.spawn(ctx.wait_until, lambda: total >= most)
            if ctx.select(end=end, next=next_run)[0] == "next":
                ctx.continue_as_new(total=total, most=most)
            return total

    def begun(self):
        run_id = self.start("pays")
        self.settle()
        return run_id

    def settle(self):
        self.worker().run(until_idle=True)

    def ask(self, run_id, name="add", update_id=None, **payload):
        return self.updater.request(run_id, name, payload, update_id=update_id)

    def answer(self, asked):
        return self.updater.answer(asked, timeout=0)

    def told(self, run_id, name="add", update_id=None, **payload):
        asked = self.ask(run_id, name, update_id, **payload)
        self.settle()
        return self.answer(asked)


@pytest.mark.parametrize("cache_size", [0, 10])
def test_the_sender_gets_the_answer(cache_size):
    desk = Desk(cache_size=cache_size)
    run_id = desk.begun()
    assert desk.told(run_id, amount=3) == 3
    assert desk.told(run_id, amount=7) == 10
    assert desk.client.find(run_id).status is Status.COMPLETED


def test_the_sender_hears_why_it_was_rejected_or_failed_as_often_as_asked():
    desk = Desk()
    run_id = desk.begun()
    length = desk.client.find(run_id).history_length
    for _ in range(2):
        with pytest.raises(UpdateRejected, match=r"rejected update 'add' \(a\): ValueError: not positive") as rejected:
            desk.told(run_id, update_id="a", amount=0)
        assert (rejected.value.type_name, rejected.value.message) == ("ValueError", "not positive")
    assert desk.client.find(run_id).history_length == length
    for _ in range(2):
        with pytest.raises(UpdateFailed, match="failed: ValueError: invalid literal") as failed:
            desk.told(run_id, "fail", update_id="b")
        assert (failed.value.execution_id, failed.value.update_id) == (run_id, "b")
    assert desk.client.find(run_id).history_length == length + 2


def test_an_update_that_is_sent_again_is_the_same_update():
    desk = Desk()
    run_id = desk.begun()
    for _ in range(3):
        desk.ask(run_id, update_id="a", amount=3)
    assert desk.told(run_id, update_id="a", amount=3) == 3
    assert desk.told(run_id, update_id="a", amount=3) == 3
    with pytest.raises(ConfigurationError, match="'a' belongs to an update 'add'"):
        desk.ask(run_id, "leave", update_id="a")
    assert desk.told(run_id, amount=7) == 10
    assert desk.told(run_id, update_id="a", amount=3) == 3  # closed, and answered all the same
    with pytest.raises(WorkflowClosed, match="it takes no update 'add'"):
        desk.ask(run_id, update_id="c", amount=3)
    assert desk.store.message(run_id, MessageKind.UPDATE, "c") is None


def test_giving_up_undoes_nothing():
    desk = Desk()
    run_id = desk.begun()
    with pytest.raises(WaitTimeout, match="ask again with update_id='a'"):
        desk.told(run_id, update_id="a", amount=3, slowly=True)
    desk.client.signal(run_id, "go")
    assert desk.told(run_id, update_id="a", amount=3, slowly=True) == 3


def test_a_run_that_ends_leaves_its_updates_behind():
    desk = Desk()
    run_id = desk.begun()
    slow = desk.ask(run_id, amount=3, slowly=True)
    assert desk.told(run_id, amount=10) == 10
    with pytest.raises(WorkflowClosed, match=r"COMPLETED: it ended before update 'add' \(.*\) was done"):
        desk.answer(slow)
    other = desk.begun()
    unread = desk.ask(other, amount=3)
    desk.client.cancel(other)
    with pytest.raises(WorkflowClosed, match="was read"):
        desk.answer(unread)


def test_updates_find_the_newest_run_and_what_was_accepted_stays_behind():
    desk = Desk()
    first = desk.begun()
    slow = desk.ask(first, amount=3, slowly=True)
    assert desk.told(first, amount=1) == 1
    unread = desk.ask(first, amount=2, update_id="a")
    desk.client.signal(first, "next")
    desk.settle()
    assert desk.answer(unread) == 3
    assert desk.told(first, amount=1, update_id="b") == 4
    assert desk.told(desk.client.find_newest(first).id, amount=1, update_id="b") == 4
    with pytest.raises(WorkflowClosed, match="CONTINUED_AS_NEW: it ended before"):
        desk.answer(slow)


def test_an_update_that_comes_when_the_code_has_gone_on_is_the_next_runs():
    desk = Desk()
    first = desk.begun()
    desk.client.signal(first, "next")
    late = desk.ask(first, amount=2)
    desk.settle()
    newest = desk.client.find_newest(first)
    assert newest.id != first
    assert desk.answer(late) == 2
    found = desk.store.message(first, MessageKind.UPDATE, late.update_id)
    assert found is not None
    assert found.run_id == newest.id


def test_a_handler_may_end_the_run_and_gets_no_answer():
    desk = Desk()
    first = desk.begun()
    with pytest.raises(WorkflowClosed, match="CONTINUED_AS_NEW"):
        desk.told(first, "leave")
    assert desk.told(first, amount=1) == 1


def test_nobody_waits_inside_of_a_transaction():
    desk = Desk()
    run_id = desk.begun()
    with pytest.raises(DurableError, match="inside of a transaction"), desk.store.transaction():
        desk.ask(run_id, amount=1)


def test_a_payload_that_json_cannot_hold_is_never_sent():
    desk = Desk()
    run_id = desk.begun()
    with pytest.raises(PayloadError, match="the payload of update 'add'"):
        desk.ask(run_id, amount={1})
    with pytest.raises(PayloadError, match="limit is 1,000"):
        desk.ask(run_id, amount="x" * 1000)
    assert desk.store.unread({run_id: desk.client.find(run_id).version}) == {run_id: []}


def test_an_answer_that_comes_while_the_sender_looks_is_not_overlooked(monkeypatch):
    desk = Desk()
    run_id = desk.begun()
    asked = desk.ask(run_id, amount=10)
    find = desk.client.find

    def find_later(of):
        monkeypatch.setattr(desk.client, "find", find)
        desk.settle()  # the update is answered, and the run ends
        return find(of)

    monkeypatch.setattr(desk.client, "find", find_later)
    assert desk.answer(asked) == 10


def test_two_senders_of_one_update_send_it_once(monkeypatch):
    desk = Desk()
    run_id = desk.begun()
    desk.ask(run_id, update_id="a", amount=3)
    message = desk.store.message

    def overlook(*key):
        monkeypatch.setattr(desk.store, "message", message)

    monkeypatch.setattr(desk.store, "message", overlook)
    assert desk.told(run_id, update_id="a", amount=3) == 3
    assert desk.told(run_id, amount=1) == 4
