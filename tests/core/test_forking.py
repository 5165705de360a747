"""Runs that begin with the history of another: what they take over, what they do anew, and that replays agree."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from durable_core import events as e
from durable_core.audit import Code, audit
from durable_core.audit.effects import Effects
from durable_core.errors import (
    ActivityError,
    NotForkable,
    NotReopenable,
    UnknownExecutionError,
    WorkflowAlreadyStarted,
)
from durable_core.execution import Status
from durable_core.ports import Letter, private_queue
from durable_core.retry import RetryPolicy
from durable_core.rewinding import lived
from tests.core.stories import loads
from tests.core.test_worker import Bench

ONCE = RetryPolicy(maximum_attempts=1)


class Broken(Exception):
    pass


class World:
    """A bench whose activities say what they did, and fail while it is not fixed."""

    def __init__(self, **settings):
        self.bench = Bench(**settings)
        self.fixed = False
        self.is_same = True  # the code that the origins have run
        self.calls: list[object] = []
        registry = self.bench.registry

        @registry.activity(retry_policy=ONCE)
        def note(name="note"):
            self.calls.append(name)
            return name

        @registry.activity(retry_policy=ONCE)
        def shaky(name="shaky"):
            self.calls.append(name)
            if not self.fixed:
                raise Broken(name)
            return name

        self.note, self.shaky = note, shaky

    def workflow(self, fn):
        return self.bench.registry.workflow(fn)

    def run(self, name="flow", *, to=lambda status: status.is_closed, **kwargs):
        run_id = self.bench.start(name, **kwargs)
        self.bench.drive(run_id, to=to)
        return run_id

    def until_waiting(self, run_id, what):
        self.bench.worker().run(until_idle=True)
        assert self.waits(run_id)["what"] == what, self.waits(run_id)

    def waits(self, run_id):
        return loads(self.bench.store.waiting_for(run_id))

    def fork(self, run_id, from_seq, **options):
        fork_id = self.bench.client.fork_run(run_id, from_seq, **options)
        self.bench.worker().run(until_idle=True)
        return fork_id

    def history(self, run_id):
        return self.bench.store.load([run_id])[run_id].events

    def types(self, run_id):
        return [event.type for event in lived(self.history(run_id))]

    def seq(self, run_id, type_, number=0):
        """Of the event of this type that has this *number*."""
        return [event.seq for event in self.history(run_id) if event.type == type_][number]

    def record(self, run_id):
        return self.bench.client.find(run_id)

    def result(self, run_id):
        return self.bench.result(run_id)

    def check(self):
        code = Code(registry=self.bench.registry, is_same=self.is_same)
        assert audit(self.bench.store, self.bench.queue, Effects(), code=code) == []


both = pytest.mark.parametrize("world", [{"cache_size": 0}, {"cache_size": 10}], indirect=True, ids=["cold", "cached"])


@pytest.fixture
def world(request):
    made = World(**getattr(request, "param", {}))
    yield made
    made.check()


def steps(world):
    @world.workflow
    def flow(ctx):
        return [ctx.run_activity(world.note, str(n)) for n in range(3)]

    return world.run()


@both
def test_a_fork_has_what_was_done_before_and_does_the_rest_anew(world):
    origin = steps(world)
    before = world.history(origin)
    fork = world.fork(origin, world.seq(origin, "activity_scheduled", 1))
    assert world.result(fork) == ["0", "1", "2"]
    assert world.calls == ["0", "1", "2", "1", "2"]
    assert world.history(fork)[:3] == before[:3]
    assert [event.type for event in world.history(fork)][3:5] == ["workflow_forked", "activity_scheduled"]
    forked = e.event_of(world.history(fork)[3])
    assert isinstance(forked, e.WorkflowForked)
    assert (forked.origin, forked.from_seq, world.record(fork).forked_from) == (origin, 4, origin)
    assert world.history(origin) == before
    assert world.record(origin).status is Status.COMPLETED


@both
def test_a_fork_can_begin_at_every_event(world):
    origin = steps(world)
    length = len(world.history(origin))
    for from_seq in range(2, length + 1):
        assert world.result(world.fork(origin, from_seq)) == ["0", "1", "2"], from_seq
    done = [world.calls.count(name) for name in "012"]
    # 0 is done anew where its outcome is: from seq 2 and 3; and so on.
    assert done == [3, 5, 7]


@both
def test_a_run_that_goes_on_is_forked_too_and_both_go_on(world):
    @world.workflow
    def flow(ctx):
        first = ctx.run_activity(world.note, "first")
        return [first, ctx.wait_signal("go")]

    origin = world.run(to=lambda status: status is Status.RUNNING)
    world.until_waiting(origin, "go")
    fork = world.fork(origin, len(world.history(origin)) + 1)
    assert world.waits(fork)["what"] == "go"
    for run_id, payload in ((fork, 2), (origin, 1)):
        world.bench.client.signal(run_id, "go", payload)
    world.bench.drive(origin, fork)
    assert (world.result(origin), world.result(fork)) == (["first", 1], ["first", 2])
    assert world.calls == ["first"]


@both
def test_todays_code_decides_what_the_rest_is(world):
    @world.workflow
    def flow(ctx):
        first = ctx.run_activity(world.note, "first")
        if world.fixed:
            return [first, ctx.run_activity(world.note, "mended"), ctx.run_activity(world.note, "more")]
        ctx.run_activity(world.note, "broken")
        raise Broken

    origin = world.run()
    world.fixed = True
    fork = world.fork(origin, world.seq(origin, "activity_scheduled", 1))
    assert world.result(fork) == ["first", "mended", "more"]
    assert world.calls == ["first", "broken", "mended", "more"]
    world.is_same = False


def test_a_step_may_be_cut_in_two(world):
    """Its first calls stay, the others are made anew, and some more."""

    @world.workflow
    def flow(ctx):
        ctx.sleep(10)
        handles = [ctx.start_activity(world.note, str(n)) for n in range(3)]
        ctx.set_event("stage", "started")
        return ctx.gather(*handles)

    clock = world.bench.clock
    origin = world.run(to=lambda status: status is Status.RUNNING)
    clock.advance(timedelta(seconds=10))
    world.bench.drive(origin)
    clock.advance(timedelta(hours=1))
    fork = world.fork(origin, world.seq(origin, "activity_scheduled", 1))
    assert world.result(fork) == ["0", "1", "2"]
    assert sorted(world.calls) == ["0", "0", "1", "1", "2", "2"]
    types = world.types(fork)
    assert types[:7] == [
        "workflow_started",
        "timer_started",
        "timer_fired",
        "activity_scheduled",
        "workflow_forked",
        "activity_scheduled",
        "activity_scheduled",
    ]
    times = [event.created_at for event in world.history(fork)]
    assert times[5] == times[4] > times[3]
    assert world.bench.store.value(fork, "stage") == '"started"'


@both
def test_a_step_may_be_cut_before_what_its_fact_asks_for_by_itself(world):
    """The time limit of a scope asks what was started there to end, and not the code."""

    @world.workflow
    def child(ctx):
        ctx.wait_signal("never")

    @world.workflow
    def flow(ctx):
        with ctx.cancel_scope(timeout=10) as scope:
            ctx.run_workflow("child")
        return scope.was_canceled

    origin = world.run(to=lambda status: status is Status.RUNNING)
    world.bench.clock.advance(timedelta(seconds=10))
    world.bench.drive(origin)
    fork = world.fork(origin, world.seq(origin, "child_workflow_cancel_requested"))
    assert world.result(fork) is True
    types = world.types(fork)
    assert types[types.index("timer_fired") :][:3] == [
        "timer_fired",
        "workflow_forked",
        "child_workflow_cancel_requested",
    ]


@both
def test_time_goes_on_at_the_fork(world):
    """A sleep that is begun anew is slept from there on, not from when the other run slept."""

    @world.workflow
    def flow(ctx):
        before = ctx.now()
        ctx.run_activity(world.note)
        ctx.sleep(100)
        return [before.isoformat(), ctx.now().isoformat()]

    clock = world.bench.clock
    begun = clock.now()
    origin = world.run(to=lambda status: status is Status.RUNNING)
    world.until_waiting(origin, "sleep")
    clock.advance(timedelta(hours=5))
    world.bench.drive(origin)
    again = clock.now()
    fork = world.fork(origin, world.seq(origin, "timer_started"))
    assert world.record(fork).status is Status.RUNNING
    clock.advance(timedelta(seconds=100))
    world.bench.drive(fork)
    assert world.result(fork) == [begun.isoformat(), (again + timedelta(seconds=100)).isoformat()]


@both
def test_timers_run_on_with_the_time_that_they_were_set_to(world):
    @world.workflow
    def flow(ctx):
        ctx.sleep(100)
        return ctx.now().isoformat()

    clock = world.bench.clock
    until = clock.now() + timedelta(seconds=100)
    origin = world.run(to=lambda status: status is Status.RUNNING)
    clock.advance(timedelta(seconds=60))
    fork = world.fork(origin, world.seq(origin, "timer_started") + 1)
    assert world.record(fork).status is Status.RUNNING
    clock.advance(timedelta(seconds=40))
    world.bench.drive(fork, origin)
    assert world.result(fork) == world.result(origin) == until.isoformat()


# Random numbers


@both
def test_random_numbers_are_the_same_before_and_others_behind(world):
    @world.workflow
    def flow(ctx):
        random = ctx.random()
        first = [random.random(), str(ctx.uuid4())]
        ctx.run_activity(world.note, str(first))
        second = [random.random(), str(ctx.uuid4())]
        ctx.run_activity(world.note, "second")
        third = [random.random(), str(ctx.uuid4())]
        ctx.run_activity(world.note, "third")
        return [first, second, third]

    origin = world.run()
    of_origin = world.result(origin)
    fork = world.fork(origin, world.seq(origin, "activity_completed", 1))
    of_fork = world.result(fork)
    assert of_fork[:2] == of_origin[:2]
    assert not set(of_fork[2]) & set(of_origin[2])
    late = world.fork(fork, world.seq(fork, "activity_completed", 2))
    assert world.result(late) == of_fork
    early = world.fork(fork, world.seq(fork, "activity_completed"))
    of_early = world.result(early)
    assert of_early[0] == of_origin[0]
    assert not set(of_early[1]) & {*of_origin[1], *of_fork[1]}


def test_two_forks_have_numbers_of_their_own(world):
    @world.workflow
    def flow(ctx):
        ctx.run_activity(world.note)
        return ctx.random().random()

    origin = world.run()
    results = {world.result(world.fork(origin, 3)) for _ in range(3)}
    assert len(results | {world.result(origin)}) == 4


# What is under way


@both
def test_what_was_under_way_is_done_anew_with_the_options_it_had(world):
    @world.workflow
    def flow(ctx):
        slow = ctx.start_activity(
            world.note.using(queue="slow", priority=3, timeout=500, start_to_close=7, heartbeat_timeout=2), "slow"
        )
        ctx.run_activity(world.note, "quick")
        return ctx.wait_activity(slow)

    origin = world.run()
    world.bench.clock.advance(timedelta(seconds=100))
    fork_id = world.bench.client.fork_run(origin, world.seq(origin, "activity_completed"))
    was = {past.record.activity_name + past.record.input: past.record for past in world.bench.store.tasks_of(origin)}
    for past in world.bench.store.tasks_of(fork_id):
        task = past.record
        old = was[task.activity_name + task.input]
        assert task.id != old.id
        assert (task.queue, task.priority, task.retry_policy) == (old.queue, old.priority, old.retry_policy)
        assert (task.start_to_close, task.heartbeat_timeout) == (old.start_to_close, old.heartbeat_timeout)
        assert (task.expires_at is None) is (old.expires_at is None)
        if task.expires_at is not None and old.expires_at is not None:
            assert task.expires_at - task.scheduled_at == old.expires_at - old.scheduled_at
    world.bench.drive(fork_id)
    assert world.result(fork_id) == "slow"
    assert sorted(world.calls) == ["quick", "quick", "slow", "slow"]


@both
def test_an_activity_that_was_canceled_stays_canceled(world):
    @world.workflow
    def flow(ctx):
        slow = ctx.start_activity(world.note.using(queue="elsewhere"), "slow")
        ctx.run_activity(world.note, "quick")
        ctx.cancel(slow, "not wanted")
        try:
            return ctx.wait_activity(slow)
        except ActivityError as error:
            return error.message

    world.bench.settings = replace(world.bench.settings, exclude=("elsewhere",))
    origin = world.run()
    fork = world.fork(origin, world.seq(origin, "activity_cancel_requested") + 1)
    assert world.result(fork) == world.result(origin) == "not wanted"
    assert world.calls == ["quick"]


@both
def test_children_of_the_other_are_its_own_and_the_fork_starts_others(world):
    @world.workflow
    def child(ctx, n):
        return [n, str(ctx.info.execution_id), ctx.wait_signal("hello")]

    @world.workflow
    def flow(ctx):
        first = ctx.start_workflow("child", n=1)
        ctx.signal_workflow("hello", "one", to=first)
        done = ctx.wait_workflow(first)
        second = ctx.start_workflow("child", n=2)
        ctx.signal_workflow("hello", "two", to=second)
        ctx.run_activity(world.note)
        return [done, ctx.wait_workflow(second), str(second.id)]

    origin = world.run()
    done, second, _ = world.result(origin)
    fork = world.fork(origin, world.seq(origin, "activity_scheduled"))
    again = world.result(fork)
    assert again[0] == done
    assert again[1][::2] == second[::2] == [2, "two"]
    assert again[1][1] == again[2] != second[1]
    own = [run.id for run in world.bench.store.audited([fork])[0].children]
    assert own == [UUID(again[2])]
    assert len(world.bench.store.audited([origin])[0].children) == 2


def test_a_child_that_ended_before_keeps_its_id(world):
    @world.workflow
    def child(ctx): ...

    @world.workflow
    def flow(ctx):
        handle = ctx.start_workflow("child")
        ctx.wait_workflow(handle)
        return str(handle.id)

    origin = world.run()
    fork = world.fork(origin, world.seq(origin, "workflow_completed"))
    assert world.result(fork) == world.result(origin)


def test_children_of_a_fork_end_with_it_and_those_of_the_other_do_not(world):
    @world.workflow
    def child(ctx):
        ctx.wait_signal("never")

    @world.workflow
    def flow(ctx):
        handle = ctx.start_workflow("child")
        ctx.wait_signal("go")
        return str(handle.id)

    origin = world.run(to=lambda status: status is Status.RUNNING)
    world.bench.worker().run(until_idle=True)
    fork = world.fork(origin, len(world.history(origin)) + 1)
    world.bench.client.signal(fork, "go")
    world.bench.drive(fork)
    world.bench.worker().run(until_idle=True)
    [own] = world.bench.store.audited([fork])[0].children
    [others] = world.bench.store.audited([origin])[0].children
    assert world.result(fork) == str(own.id) != str(others.id)
    assert (own.status, others.status) == (Status.CANCELED, Status.RUNNING)


def test_a_child_that_was_asked_to_end_is_asked_to_end_in_the_fork(world):
    @world.workflow
    def child(ctx):
        ctx.wait_signal("never")

    @world.workflow
    def flow(ctx):
        handle = ctx.start_workflow("child")
        ctx.wait_signal("go")
        ctx.cancel(handle, "enough")
        ctx.wait_signal("end")

    origin = world.run(to=lambda status: status is Status.RUNNING)
    world.bench.client.signal(origin, "go")
    world.bench.worker().run(until_idle=True)
    fork = world.fork(origin, world.seq(origin, "child_workflow_canceled"))
    [own] = world.bench.store.audited([fork])[0].children
    assert own.status is Status.CANCELED
    assert "child_workflow_canceled" in world.types(fork)


@both
def test_a_message_to_another_run_is_not_sent_again_and_its_word_is_told(world):
    @world.workflow
    def receiver(ctx):
        return [ctx.wait_signal("hello"), ctx.wait_signal("hello")]

    @world.workflow
    def flow(ctx):
        ctx.signal_workflow("hello", "there", workflow_id="somebody")
        return "sent"

    options = world.bench.registry.workflows["receiver"].using(workflow_id="somebody")
    receiver_id = world.bench.client.start(options, {}).run_id
    origin = world.run()
    fork = world.fork(origin, world.seq(origin, "external_message_delivered"))
    assert world.result(fork) == "sent"
    world.bench.client.signal(receiver_id, "hello", "end")
    world.bench.drive(receiver_id)
    assert world.result(receiver_id) == ["there", "end"]
    again = world.fork(origin, world.seq(origin, "external_signal_sent"))
    with pytest.raises(Exception, match="There is no open run"):
        world.result(again)


def test_a_word_that_its_sender_never_heard_is_told_to_the_fork(world):
    @world.workflow
    def flow(ctx):
        def branch():
            try:
                ctx.signal_workflow("hello", workflow_id="nobody")
            except UnknownExecutionError:
                return "nobody"

        sent = ctx.spawn(branch)
        ctx.wait_signal("die", timeout=100)
        return ctx.wait(sent)

    bench = world.bench
    run_id = bench.client.start("flow", {}, timeout=50).run_id
    bench.clock.advance(timedelta(seconds=50))
    bench.drive(run_id)
    assert world.record(run_id).unheard == '{"0.0":"unknown"}'
    fork = world.fork(run_id, world.seq(run_id, "workflow_timed_out"))
    bench.client.signal(fork, "die")
    bench.drive(fork)
    assert world.result(fork) == "nobody"


def test_a_word_that_came_too_late_is_kept_by_the_run(world):
    """It is read with the signal on which the code ends, and belongs to a branch that nobody waits for."""

    @world.workflow
    def flow(ctx):
        def branch():
            with suppress(UnknownExecutionError):
                ctx.signal_workflow("hello", workflow_id="nobody")

        ctx.spawn(branch)
        ctx.wait_signal("end")
        if not world.fixed:
            raise Broken

    bench = world.bench
    run_id = bench.start("flow")
    taken = bench.store.commit

    def and_a_signal(commits):
        done = taken(commits)
        if any(commit.outgoing for commit in commits):
            [mail] = bench.store.load([run_id])[run_id].mail
            with bench.store.transaction():
                bench.store._mail.remove(mail.id)
            bench.client.signal(run_id, "end")
            with bench.store.transaction():
                bench.store.deliver([Letter(run_id, mail.type, mail.call_id, mail.details)])
            done.results[run_id].mail = bench.store.load([run_id])[run_id].mail
        return done

    bench.store.commit = and_a_signal
    bench.drive(run_id)
    bench.store.commit = taken
    assert world.record(run_id).unheard == '{"0.0":"unknown"}'
    world.fixed = True
    bench.client.reopen(run_id)
    bench.drive(run_id)
    assert world.record(run_id).status is Status.COMPLETED
    world.is_same = False


# Messages


@both
def test_signals_from_before_are_kept_and_later_ones_are_not(world):
    @world.workflow
    def flow(ctx):
        first = ctx.wait_signal("a")
        ctx.run_activity(world.note)
        return [first, ctx.wait_signal("a"), ctx.wait_signal("a")]

    origin = world.bench.start("flow")
    for n in range(2):
        world.bench.client.signal(origin, "a", n)
    world.bench.worker().run(until_idle=True)
    world.bench.client.signal(origin, "a", 2)
    world.bench.drive(origin)
    cut = world.seq(origin, "activity_completed")
    fork = world.fork(origin, cut)
    assert world.waits(fork)["what"] == "a"
    world.bench.client.signal(fork, "a", "other")
    world.bench.drive(fork)
    assert world.result(fork) == [0, 1, "other"]
    assert world.result(world.fork(origin, cut, keep_signals=True)) == [0, 1, 2]


def test_signals_that_nobody_has_read_can_be_kept_too(world):
    @world.workflow
    def flow(ctx):
        ctx.run_activity(world.note)
        return ctx.wait_signal("a")

    origin = world.run(to=lambda status: status is Status.RUNNING)
    world.bench.client.signal(origin, "a", 7)
    fork = world.bench.client.fork_run(origin, 2, keep_signals=True)
    world.bench.drive(fork, origin)
    assert world.result(fork) == world.result(origin) == 7


def test_updates_from_before_are_known_and_end_in_both(world):
    from durable_core.updating import Updater

    @world.workflow
    def flow(ctx):
        done = []

        def add(n):
            ctx.run_activity(world.note, n)
            done.append(n)
            return n * 2

        ctx.on_update("add", add)
        ctx.wait_signal("end")
        ctx.wait_until(ctx.all_handlers_finished)
        return done

    bench = world.bench
    updater = Updater(bench.client, bench.store, payload_limit=1000)
    origin = world.run(to=lambda status: status is Status.RUNNING)
    for n in (1, 2):
        asked = updater.request(origin, "add", {"n": n}, update_id=f"u-{n}")
        bench.worker().run(until_idle=True)
        assert updater.answer(asked, timeout=0) == n * 2
    fork = world.fork(origin, world.seq(origin, "activity_completed", 1))
    assert world.calls == [1, 2, 2]
    for n in (1, 2):
        again = updater.request(fork, "add", {"n": n}, update_id=f"u-{n}")
        assert updater.answer(again, timeout=0) == n * 2
    assert world.types(fork).count("workflow_update_accepted") == 2
    bench.client.signal(fork, "end")
    bench.drive(fork)
    assert world.result(fork) == [1, 2]


# What others may read


@both
def test_events_and_streams_begin_with_what_was_there_before(world):
    @world.workflow
    def flow(ctx):
        ctx.set_event("stage", 1)
        ctx.publish("a")
        ctx.run_activity(world.note)
        ctx.set_event("stage", 2)
        ctx.publish("b")
        ctx.run_activity(world.note)
        ctx.publish("c")

    origin = world.run()
    fork_id = world.bench.client.fork_run(origin, world.seq(origin, "event_set", 1))
    assert world.bench.store.value(fork_id, "stage") == "1"
    assert stream_of(world, fork_id) == ['"a"']
    world.bench.drive(fork_id)
    assert world.bench.store.value(fork_id, "stage") == "2"
    assert stream_of(world, fork_id) == stream_of(world, origin) == ['"a"', '"b"', '"c"']


def stream_of(world, run_id):
    return [item for _, item in world.bench.store.items(run_id, "default", after=0, limit=100)]


# Branches, versions, sagas, chains


@both
def test_branches_gather_and_map_go_on_from_where_they_were(world):
    @world.workflow
    def flow(ctx):
        def branch(name):
            return [ctx.run_activity(world.note, f"{name}{n}") for n in range(2)]

        branches = [ctx.spawn(branch, name) for name in "ab"]
        mapped = ctx.map(world.note, ["x", "y", "z"], max_concurrency=2).results
        return [*ctx.gather(*branches), mapped]

    origin = world.run()
    expected = [["a0", "a1"], ["b0", "b1"], ["x", "y", "z"]]
    assert world.result(origin) == expected
    length = len(world.history(origin))
    for from_seq in range(2, length + 1, 2):
        assert world.result(world.fork(origin, from_seq)) == expected, from_seq


@both
def test_versions_that_were_chosen_stay_and_later_ones_are_todays(world):
    world.is_same = False

    @world.workflow
    def flow(ctx):
        first = ctx.get_version("first", 2 if world.fixed else 1)
        ctx.run_activity(world.note, "a")
        patched = ctx.patched("second") if world.fixed else None
        ctx.run_activity(world.note, "b")
        return [first, patched]

    origin = world.run()
    world.fixed = True
    late = world.fork(origin, world.seq(origin, "activity_completed", 1))
    assert world.result(late) == [1, False]
    early = world.fork(origin, world.seq(origin, "activity_completed"))
    assert world.result(early) == [1, True]
    assert world.result(world.fork(origin, 2)) == [2, True]


@both
def test_a_marker_behind_the_last_call_is_taken_over(world):
    @world.workflow
    def flow(ctx):
        ctx.run_activity(world.note, "a")
        version = ctx.get_version("change", 3)
        ctx.run_activity(world.note, version)
        return version

    origin = world.run()
    cut = world.seq(origin, "version_marker") + 1
    fork = world.fork(origin, cut)
    assert world.result(fork) == 3
    assert world.types(fork).count("version_marker") == 1
    again = world.fork(fork, cut + 1)
    assert world.result(again) == 3
    assert world.types(again).count("workflow_forked") == 2


@both
def test_a_saga_that_is_half_done_goes_on_or_is_undone(world):
    @world.workflow
    def flow(ctx):
        with ctx.saga() as saga:
            saga.run(world.note, "book", undo=world.note)
            saga.run(world.shaky, "pay", undo=world.note)
        return "paid"

    origin = world.run()
    assert world.calls == ["book", "pay", "book"]
    world.fixed = True
    fork = world.fork(origin, world.seq(origin, "activity_failed"))
    assert world.result(fork) == "paid"
    assert world.calls == ["book", "pay", "book", "pay"]
    undone = world.fork(origin, world.seq(origin, "activity_failed") + 1)
    assert world.record(undone).status is Status.FAILED
    assert world.calls[4:] == ["book"]


@both
def test_one_run_of_a_chain_is_forked_and_has_a_chain_of_its_own(world):
    @world.workflow
    def flow(ctx, n=0):
        ctx.run_activity(world.note, n)
        if n < 2:
            ctx.continue_as_new(n=n + 1)
        return n

    origin = world.bench.start("flow")
    world.bench.worker().run(until_idle=True)
    end = e.event_of(world.history(origin)[-1])
    assert isinstance(end, e.WorkflowContinuedAsNew)
    second = end.next_id
    fork = world.fork(second, world.seq(second, "activity_completed"))
    assert world.calls == [0, 1, 2, 1, 2]
    assert world.result(fork) == 2
    assert world.record(fork).chain_id is None
    assert world.record(fork).input == '{"n":1}'
    newest = world.bench.client.find_newest(fork)
    assert newest.id not in {fork, world.bench.client.find_newest(origin).id}


@both
def test_local_activities_and_side_effects_from_before_are_not_repeated(world):
    @world.workflow
    def flow(ctx):
        first = ctx.run_local_activity(world.note, "local")
        second = ctx.side_effect(lambda: world.calls.append("effect") or len(world.calls))
        ctx.run_activity(world.note, "a")
        third = ctx.side_effect(lambda: world.calls.append("effect") or len(world.calls))
        return [first, second, third]

    origin = world.run()
    assert world.result(origin) == ["local", 2, 4]
    fork = world.fork(origin, world.seq(origin, "activity_completed"))
    assert world.result(fork) == ["local", 2, 6]
    assert world.calls == ["local", "effect", "a", "effect", "a", "effect"]


def test_coroutines_are_forked_like_other_code(world):
    import asyncio

    @world.workflow
    async def flow(ctx):
        first = await ctx.run_activity(world.note, "first")
        return [first, *await asyncio.gather(*(ctx.run_activity(world.note, n) for n in "ab")), ctx.random().random()]

    origin = world.run()
    for from_seq in range(2, len(world.history(origin)) + 1):
        fork = world.result(world.fork(origin, from_seq))
        assert fork[:3] == ["first", "a", "b"]
        assert fork[3] != world.result(origin)[3]


# Its own life


@both
def test_a_fork_of_a_fork(world):
    origin = steps(world)
    fork = world.fork(origin, world.seq(origin, "activity_completed", 1))
    for from_seq in range(2, len(world.history(fork)) + 1):
        again = world.fork(fork, from_seq)
        assert world.result(again) == ["0", "1", "2"], from_seq
        assert world.record(again).forked_from == fork


def test_a_fork_has_the_time_that_the_other_was_given(world):
    @world.workflow
    def flow(ctx):
        before = ctx.info.deadline
        ctx.run_activity(world.note)
        ctx.wait_signal("go")
        return [before.isoformat(), ctx.info.deadline.isoformat()]

    bench = world.bench
    first = bench.clock.now() + timedelta(seconds=60)
    origin = bench.client.start("flow", {}, timeout=60).run_id
    bench.worker().run(until_idle=True)
    bench.clock.advance(timedelta(seconds=50))
    fork = world.fork(origin, len(world.history(origin)) + 1)
    second = bench.clock.now() + timedelta(seconds=60)
    assert world.record(fork).deadline == second
    bench.clock.advance(timedelta(seconds=50))
    bench.drive(origin)
    bench.client.signal(fork, "go")
    bench.drive(fork)
    assert world.record(origin).status is Status.TIMED_OUT
    assert world.result(fork) == [first.isoformat(), second.isoformat()]


@both
def test_a_fork_that_fails_is_reopened_and_keeps_what_it_took_over(world):
    @world.workflow
    def flow(ctx):
        ctx.run_activity(world.note, "first")
        ctx.start_activity(world.note, "with it")
        if not world.fixed:
            raise Broken
        return ctx.run_activity(world.note, "last")

    origin = world.run()
    fork = world.fork(origin, world.seq(origin, "activity_completed") + 2)
    assert world.types(fork)[-2:] == ["workflow_forked", "workflow_failed"]
    world.fixed = True
    world.bench.client.reopen(fork)
    world.bench.drive(fork)
    assert world.result(fork) == "last"
    assert "workflow_forked" in world.types(fork)
    world.is_same = False


@both
def test_a_fork_that_timed_out_before_it_went_on_is_reopened(world):
    @world.workflow
    def flow(ctx):
        ctx.run_activity(world.note, "first")
        return [ctx.run_activity(world.note, "second"), ctx.random().random()]

    bench = world.bench
    origin = bench.client.start("flow", {}, timeout=60).run_id
    bench.drive(origin)
    fork = bench.client.fork_run(origin, 4)
    bench.client.pause(fork)
    bench.clock.advance(timedelta(seconds=61))
    bench.drive(fork)
    assert world.types(fork)[-2:] == ["workflow_forked", "workflow_timed_out"]
    bench.client.reopen(fork)
    bench.drive(fork)
    assert world.result(fork)[0] == "second"
    assert world.result(fork) != world.result(origin)
    assert world.types(fork)[3:6] == ["workflow_forked", "workflow_reopened", "activity_scheduled"]
    again = world.fork(fork, len(world.history(fork)))
    assert world.result(again)[0] == "second"


def test_a_run_that_was_reopened_is_forked_before_behind_and_between(world):
    @world.workflow
    def flow(ctx):
        ctx.set_event("stage", "begun")
        return [ctx.run_activity(world.note, "first"), ctx.run_activity(world.shaky)]

    origin = world.run()
    world.fixed = True
    world.bench.client.reopen(origin)
    world.bench.drive(origin)
    history = world.history(origin)
    for from_seq in range(2, len(history) + 1):
        if history[from_seq - 1].type == "workflow_reopened":
            with pytest.raises(NotForkable, match=f"behind an end, workflow_failed at seq {from_seq - 1}"):
                world.fork(origin, from_seq)
        elif history[from_seq - 1].type == "workflow_failed":  # behind the outcome for which it failed
            assert world.record(world.fork(origin, from_seq)).status is Status.FAILED
        else:
            assert world.result(world.fork(origin, from_seq)) == ["first", "shaky"], from_seq


def test_a_fork_can_be_canceled_before_it_goes_on(world):
    origin = steps(world)
    fork = world.bench.client.fork_run(origin, 4)
    assert world.bench.client.cancel(fork)
    assert world.types(fork)[-2:] == ["workflow_forked", "workflow_canceled"]
    again = world.fork(fork, 5)
    assert world.result(again) == ["0", "1", "2"]


def test_code_that_asks_for_other_things_before_the_fork_blocks_it(world):
    names = ["note", "shaky"]

    @world.workflow
    def flow(ctx):
        ctx.run_activity(names[0], "a")
        return ctx.run_activity(world.note, "b")

    origin = world.run()
    names.reverse()
    world.fixed = True
    fork = world.bench.client.fork_run(origin, 4)
    world.bench.drive(fork, to=lambda status: status is Status.BLOCKED)
    assert "activity 'note' (call 0) at seq 2" in world.record(fork).error
    names.reverse()
    world.bench.clock.advance(timedelta(seconds=2))
    world.bench.drive(fork)
    assert world.result(fork) == "b"


def test_the_fork_of_a_run_that_one_process_drove_is_for_all_workers(world):
    origin_queue = private_queue(uuid4())

    @world.workflow
    def child(ctx):
        return "child"

    @world.workflow
    def flow(ctx):
        handles = [ctx.start_activity(world.note), ctx.start_workflow("child")]
        return ctx.gather(*handles)

    bench = world.bench
    bench.settings = replace(bench.settings, queues=(origin_queue,))
    options = bench.registry.workflows["flow"].using(queue=origin_queue)
    origin = bench.client.start(options, {}).run_id
    bench.drive(origin)
    bench.settings = replace(bench.settings, queues=())
    fork = world.fork(origin, world.seq(origin, "child_workflow_scheduled") + 1)
    assert world.result(fork) == ["note", "child"]
    assert world.record(fork).queue == "default"


# What cannot be forked


def test_a_seq_that_is_no_place_to_go_on_from_is_refused_with_those_that_are(world):
    origin = steps(world)
    length = len(world.history(origin))
    for from_seq, nearest in ((1, 2), (0, 2), (-3, 2), (length + 2, length)):
        with pytest.raises(NotForkable, match=rf"Expected 2 to {length}; the nearest is {nearest}\."):
            world.bench.client.fork_run(origin, from_seq)
    with pytest.raises(NotForkable, match=rf"workflow_completed at seq {length}, .* Expected {length}, or an earlier"):
        world.bench.client.fork_run(origin, length + 1)
    with pytest.raises(TypeError, match="expected the seq of an event"):
        world.bench.client.fork_run(origin, "3")
    with pytest.raises(UnknownExecutionError):
        world.bench.client.fork_run(uuid4(), 2)
    assert len(world.bench.store._runs) == 1


def test_a_run_that_nobody_has_begun_is_not_forked(world):
    @world.workflow
    def flow(ctx): ...

    with pytest.raises(NotForkable, match="its history is empty"):
        world.bench.client.fork_run(world.bench.start("flow"), 2)


def test_a_fork_takes_nothing_over_of_which_the_code_has_not_heard(world):
    """A run that is ended from outside, before a worker has it, has what came until then in its history."""

    @world.workflow
    def flow(ctx):
        return ctx.wait_signal("word")

    client = world.bench.client
    origin = world.bench.start("flow")
    client.signal(origin, "word", 7)
    client.cancel(origin)
    assert world.types(origin) == ["workflow_started", "signal_received", "workflow_canceled"]
    with pytest.raises(NotForkable, match=r"workflow_canceled at seq 3.* has not heard\. Expected 2, or an earlier"):
        client.fork_run(origin, 3)
    assert world.result(world.fork(origin, 2, keep_signals=True)) == 7


def test_a_run_that_is_to_begin_anew_is_not_forked_before_it_has_begun(world):
    @world.workflow
    def flow(ctx):
        if not world.fixed:
            raise Broken("at once")
        return ctx.run_activity(world.note)

    origin = world.run()
    world.fixed, world.is_same = True, False
    world.bench.client.reopen(origin)
    with pytest.raises(NotForkable, match="opened again from its very beginning, and no worker has begun it since"):
        world.bench.client.fork_run(origin, len(world.history(origin)) + 1)
    world.bench.drive(origin)
    assert world.result(world.fork(origin, world.seq(origin, "activity_scheduled"))) == "note"


def test_a_history_of_a_newer_release_or_one_with_a_gap_is_not_forked():
    world = World()
    origin = steps(world)
    events = world.bench.store._events[origin]
    kept = list(events)
    events[2] = events[2]._replace(type="quantum_leap")
    with pytest.raises(NotForkable, match="'quantum_leap' at seq 3, which this release does not know"):
        world.bench.client.fork_run(origin, 4)
    assert world.bench.client.fork_run(origin, 3) is not None
    events[:] = [kept[0], *kept[2:]]
    with pytest.raises(NotForkable, match="part of it is lost"):
        world.bench.client.fork_run(origin, 2)


def test_a_workflow_id_is_taken_only_if_it_is_free(world):
    @world.workflow
    def flow(ctx):
        ctx.wait_signal("go")

    options = world.bench.registry.workflows["flow"].using(workflow_id="w")
    origin = world.bench.client.start(options, {}).run_id
    world.bench.worker().run(until_idle=True)
    assert world.record(world.fork(origin, 3)).workflow_id is None
    with pytest.raises(WorkflowAlreadyStarted, match=f"open run {origin}") as refusal:
        world.bench.client.fork_run(origin, 3, workflow_id="w")
    assert refusal.value.execution_id == origin
    world.bench.client.cancel(origin)
    fork = world.fork(origin, 3, workflow_id="w")
    assert world.record(fork).workflow_id == "w"
    assert world.bench.client.start(options, {}).run_id == fork


def test_what_is_needed_and_gone_is_told():
    world = World()

    @world.workflow
    def child(ctx): ...

    @world.workflow
    def flow(ctx):
        ctx.run_workflow("child")
        ctx.run_activity(world.note)

    origin = world.run()
    store = world.bench.store
    with store.transaction():
        [task] = store.tasks_of(origin)
        store._tasks.remove(task.record.id)
        [started] = store.audited([origin])[0].children
        store._runs.remove(started.id)
    with pytest.raises(NotForkable, match="the row of its activity by call 1 is gone"):
        world.bench.client.fork_run(origin, world.seq(origin, "activity_completed"))
    with pytest.raises(NotForkable, match="by call 0, is gone"):
        world.bench.client.fork_run(origin, world.seq(origin, "child_workflow_completed"))


def test_nothing_is_left_of_a_fork_whose_transaction_fails(world):
    origin = steps(world)
    with suppress(Broken), world.bench.store.transaction():
        fork = world.bench.client.fork_run(origin, 4)
        raise Broken
    assert world.bench.store.get(fork) is None
    assert world.bench.store.tasks_of(fork) == []
    assert fork not in world.bench.store._events or world.bench.store._events[fork] == []


def test_reopening_a_fork_needs_what_its_last_step_has_started(world):
    @world.workflow
    def child(ctx): ...

    @world.workflow
    def flow(ctx):
        ctx.run_activity(world.note)
        ctx.start_workflow("child")
        raise Broken

    origin = world.run()
    fork = world.fork(origin, world.seq(origin, "activity_completed") + 1)
    with pytest.raises(NotReopenable, match="child_workflow_scheduled"):
        world.bench.client.reopen(fork)
    world.bench.worker().run(until_idle=True)
