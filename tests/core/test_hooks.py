"""Plugins are loaded as a whole or not at all, and told what happens one by one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import pytest

from durable_core import codec
from durable_core.activity import CurrentActivity
from durable_core.client import Client
from durable_core.definitions import Registry
from durable_core.errors import ConfigurationError, PayloadError, StoreUnavailable
from durable_core.events import EventRecord, WorkflowCompleted
from durable_core.hooks import (
    ActivityCall,
    Announcer,
    Backends,
    BrokenPlugin,
    Kind,
    Offer,
    RunEvent,
    blame_of,
    hookimpl,
    load,
)
from durable_core.hooks import Plugin as Installed
from durable_core.hooks.announcing import LOG_INTERVAL
from durable_core.hooks.examining import examined
from durable_core.ports import CommitResult, Committed, Verdict, WorkerInfo
from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue, ManualClock
from durable_core.testing import plugin as memory_plugin
from durable_core.worker import Worker, WorkerSettings
from tests.core.test_attempts import task_of
from tests.distributions import Environment

WORKER = WorkerInfo(id=UUID(int=1), host="h", pid=7, queues=())
GOOD = """
    from durable_core.hooks import hookimpl

    @hookimpl
    def durable_worker_started(worker): ...
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An environment that this process imports from, until the test is over."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield Environment(tmp_path)
    for name in set(sys.modules) - before:
        if (tmp_path / f"{name}.py").exists() or name.partition(".")[0] == "shop":
            del sys.modules[name]


def error_of(name, plugins=None):
    """What is said of the one broken plugin."""
    [broken] = (plugins or load()).broken
    assert broken.name == name
    return broken.error


# Loading


def test_a_module_of_hooks_is_loaded(installed):
    installed.install("durable-good", {"good_hooks": GOOD}, hooks={"good": "good_hooks"})
    plugins = load()
    [plugin] = [plugin for plugin in plugins.found if plugin.name == "good"]
    assert plugin == Installed("good", Kind.HOOKS, "good_hooks", "durable-good", "1.0", ("durable_worker_started",))
    assert (plugins.broken, plugins.disabled, plugins.not_disabled) == ([], [], {})


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        ("x = 1", "it has no hooks"),
        ("def durable_events(events): ...", "durable_events() lacks the decorator @hookimpl"),
        (
            GOOD + "\n    @hookimpl\n    def durable_worker_startd(worker): ...",
            "there is no hook 'durable_worker_startd'. Did you mean 'durable_worker_started'?",
        ),
        (
            GOOD + "\n    @hookimpl\n    def durable_events(evnts): ...",
            "takes 'evnts', but the hook does not. Did you mean",
        ),
        (GOOD + "\n    @hookimpl\n    def durable_events(x): ...", "It takes: events."),
        (GOOD + "\n    @hookimpl\n    def durable_activity_call(call): ...", "@hookimpl(wrapper=True)"),
        (GOOD + "\n    @hookimpl(wrapper=True)\n    def durable_activity_call(call): ...", "not a generator function"),
        (GOOD + "\n    @hookimpl\n    def durable_register_queues(register): 1 / 0", "ZeroDivisionError"),
        (
            GOOD + "\n    @hookimpl\n    def durable_register_queues(register): register('kafka', 7)",
            "queue 'kafka' is 7; expected a class or a function",
        ),
    ],
)
def test_a_broken_plugin_is_out_as_a_whole_and_the_others_are_in(installed, source, says):
    installed.install("durable-bad", {"bad_hooks": source}, hooks={"bad": "bad_hooks"})
    installed.install("durable-good", {"good_hooks": GOOD}, hooks={"good": "good_hooks"})
    plugins = load()
    assert says in error_of("bad", plugins)
    listening = plugins.manager.hook.durable_worker_started.get_hookimpls()
    assert [implementation.plugin_name for implementation in listening] == ["good"]
    assert "memory" in plugins.queues.offers


def test_of_a_broken_plugin_all_is_known(installed):
    installed.install("durable-bad", {"bad_hooks": "x = 1"}, hooks={"bad": "bad_hooks"})
    [broken] = load().broken
    assert broken == BrokenPlugin("bad", "durable-bad", broken.error, Kind.HOOKS, "bad_hooks", "1.0")
    assert broken.error.startswith("it has no hooks, functions with the decorator @hookimpl.")
    assert broken.remedy == (
        "Upgrade or uninstall durable-bad, or turn it off by DURABLE_DISABLE_PLUGINS=bad. The other plugins work."
    )


@pytest.mark.parametrize(
    ("hooks", "says"),
    [
        (
            {
                "durable_of_the_future": hookimpl(optionalhook=True)(lambda x: None),
                "durable_worker_stopped": hookimpl(lambda wroker: None),
            },
            "durable_worker_stopped() takes 'wroker', but the hook does not. Did you mean 'worker'?",
        ),
        (
            {"listen": hookimpl(specname="durable_events")(lambda evnts: None)},
            "listen() takes 'evnts', but the hook does not. Did you mean 'events'?",
        ),
        (
            {"listen": hookimpl(specname="zzz")(lambda: None)},
            "there is no hook 'zzz'. The hooks are: durable_register_queues, ",
        ),
        (
            {"durable_activity_call": hookimpl(wrapper=True)(lambda call: None)},
            "Plugin 'mine' for hook 'durable_activity_call' hookimpl definition: ",  # as pluggy has it, in one line
        ),
    ],
)
def test_what_is_wrong_with_a_hook_is_said_of_that_one(hooks, says):
    with pytest.raises(ConfigurationError) as caught:
        examined(SimpleNamespace(**hooks), "mine", "")
    assert str(caught.value).startswith(says)


def test_a_function_of_any_name_may_be_a_hook_of_another():
    plugin = SimpleNamespace(listen=hookimpl(specname="durable_events")(lambda events: None))
    assert examined(plugin, "mine", "").hooks == ("durable_events",)


@pytest.mark.parametrize("kind", ["queue", "store"])
def test_what_a_plugin_registers_has_a_name_a_factory_and_a_place(kind):
    offered: list[tuple[object, ...]] = []

    def content():
        def register_all(register):
            for name, factory in offered:
                register(name, factory, doc="for kafka")

        return examined(
            SimpleNamespace(**{f"durable_register_{kind}s": hookimpl(register_all)}), "mine", "durable-mine"
        )

    nameless: partial[object] = partial(dict)  # without a __qualname__
    offered = [("one", dict), ("two", nameless)]
    one, two = content().queues + content().stores
    assert (one.name, one.plugin, one.distribution, one.doc) == ("one", "mine", "durable-mine", "for kafka")
    assert (one.target, one.load()) == ("builtins.dict", dict)
    assert (two.target, two.load()) == (f"functools.{nameless!r}", nameless)
    offered = [("", dict)]
    with pytest.raises(ConfigurationError, match=rf"^the name of a {kind} is ''"):
        content()
    offered = [("one", 7)]
    with pytest.raises(ConfigurationError, match=rf"^{kind} 'one' is 7; expected a class or a function"):
        content()


def offer_of(name, target="kafka.Queue", distribution=""):
    return Offer(name, "mine", distribution, target, lambda: dict)


def test_what_nobody_offers_is_unknown_and_what_two_offer_is_asked_about():
    backends: Backends[object] = Backends("queue backend")
    with pytest.raises(ConfigurationError, match=r"^Unknown queue backend 'kafak'\. Nothing is registered"):
        backends.find("kafak")
    backends.add(offer_of("kafka"))
    backends.add(offer_of("kafka"))  # the same, found twice
    assert backends.find("kafka") is dict
    assert backends.contested == []
    with pytest.raises(ConfigurationError, match=r"^Unknown queue backend 'kafak'\. Did you mean 'kafka'\?"):
        backends.find("kafak")
    backends.add(offer_of("kafka", "other.Queue", "durable-other"))
    what, remedy = backends.contest("kafka")
    assert what == "Two plugins offer a queue backend named 'kafka': 'mine' of the project and 'mine' of durable-other."
    assert remedy == "Name the one you want by its path, 'kafka.Queue' or 'other.Queue'; or uninstall the other."
    with pytest.raises(ConfigurationError) as caught:
        backends.find("kafka")
    assert str(caught.value) == f"{what} {remedy}"
    assert backends.contested == ["kafka"]


def test_a_hook_that_may_be_unknown_is_none_of_our_business(installed):
    source = GOOD + "\n    @hookimpl(optionalhook=True)\n    def durable_of_the_future(thing): ..."
    installed.install("durable-good", {"good_hooks": source}, hooks={"good": "good_hooks"})
    assert not load().broken


def test_a_queue_class_is_imported_when_it_is_asked_for(installed):
    source = "class KafkaQueue: ..."
    installed.install("durable-kafka", {"kafka_queue": source}, queues={"kafka": "kafka_queue:KafkaQueue [fast]"})
    plugins = load()
    assert "kafka_queue" not in sys.modules
    expected = Installed("kafka", Kind.QUEUE, "kafka_queue.KafkaQueue", "durable-kafka", "1.0")
    assert expected in plugins.found
    [offer] = plugins.queues.offers["kafka"]
    assert (offer.name, offer.plugin, offer.distribution) == ("kafka", "kafka", "durable-kafka")
    assert offer.target == "kafka_queue.KafkaQueue"
    assert plugins.queues.find("kafka").__name__ == "KafkaQueue"


@pytest.mark.parametrize(
    ("value", "error"), [("kafka_queue:NoQueue", AttributeError), ("kafka_queue:NUMBER", ConfigurationError)]
)
def test_a_queue_that_is_none_troubles_who_asks_for_it(installed, value, error):
    installed.install("durable-kafka", {"kafka_queue": "NUMBER = 7"}, queues={"kafka": value})
    plugins = load()
    assert not plugins.broken
    with pytest.raises(error):
        plugins.queues.find("kafka")


def test_a_name_of_two_queues_troubles_who_asks_for_it(installed):
    register = "\n    @hookimpl\n    def durable_register_queues(register): register('kafka', dict)"
    installed.install("durable-kafka", {}, queues={"kafka": "kafka_queue:KafkaQueue"})
    installed.install("durable-other", {"other_hooks": GOOD + register}, hooks={"other": "other_hooks"})
    plugins = load()
    assert plugins.queues.contested == ["kafka"]
    with pytest.raises(ConfigurationError, match="'other' of durable-other and 'kafka' of durable-kafka") as caught:
        plugins.queues.find("kafka")
    assert "'builtins.dict' or 'kafka_queue.KafkaQueue'" in str(caught.value)
    assert plugins.queues.find("memory")().transactional is False


def test_two_plugins_of_one_name_are_both_in(installed):
    for name in ("one", "two"):
        installed.install(f"durable-{name}", {f"{name}_hooks": GOOD}, hooks={"tracing": f"{name}_hooks"})
    plugins = load()
    assert not plugins.broken
    assert len(plugins.manager.hook.durable_worker_started.get_hookimpls()) == 2


def test_a_file_of_entry_points_that_makes_no_sense_hides_only_its_own(installed):
    installed.describe("durable-torn", "[durable]\nno equals sign\n")
    installed.install("durable-good", {"good_hooks": GOOD}, hooks={"good": "good_hooks"})
    plugins = load()
    assert "good" in [plugin.name for plugin in plugins.found]
    [broken] = plugins.broken
    assert broken == BrokenPlugin("entry_points.txt", "durable-torn", broken.error, version="1.0")
    assert broken.error.partition(":")[0].endswith("Error")
    assert broken.remedy == "Upgrade or uninstall durable-torn. The other plugins work."


def test_beside_a_file_that_makes_no_sense_what_is_first_on_the_path_counts(tmp_path, monkeypatch):
    for place in ("c", "b", "a"):
        (tmp_path / place).mkdir()
        monkeypatch.syspath_prepend(str(tmp_path / place))
    first, second, third = (Environment(tmp_path / place) for place in "abc")
    first.describe("durable-torn", "[durable]\nno equals sign\n")
    first.install("durable-good", {}, queues={"z": "first:Queue"})
    second.install("durable-good", {}, queues={"z": "shadowed:Queue"})
    third.install("durable-more", {}, queues={"y": "third:Queue", "x": "third:Queue"})
    queues = load().queues
    assert [offer.target for name in "xyz" for offer in queues.offers[name]] == [
        "third.Queue",
        "third.Queue",
        "first.Queue",
    ]
    assert [name for name in queues.offers if name in "xyz"] == ["x", "y", "z"]


def test_a_disabled_plugin_is_not_imported(installed, monkeypatch):
    installed.install("durable-good", {"good_hooks": GOOD}, hooks={"good": "good_hooks"})
    installed.install("durable-kafka", {"kafka_queue": ""}, queues={"kafka": "kafka_queue:KafkaQueue"})
    monkeypatch.setenv("DURABLE_DISABLE_PLUGINS", "good, kafka,,memry,memory")
    plugins = load(memory_plugin)
    assert [plugin.name for plugin in plugins.disabled] == ["good", "kafka"]
    assert "good_hooks" not in sys.modules
    assert plugins.manager.is_blocked("good")
    assert "kafka" not in plugins.queues.offers
    assert plugins.not_disabled == {
        "memry": "There is no such plugin. Did you mean 'memory'?",
        "memory": "It is built in.",
    }
    assert "memory" in plugins.queues.offers


def test_modules_of_the_project_are_loaded_alike(installed):
    (installed.folder / "shop_hooks.py").write_text(GOOD.replace("    ", ""))
    (installed.folder / "bad_hooks.py").write_text("x")
    plugins = load(modules=["shop_hooks", "bad_hooks", "shop_hooks"])
    [plugin] = [plugin for plugin in plugins.found if plugin.name == "shop_hooks"]
    assert plugin == Installed("shop_hooks", Kind.HOOKS, "shop_hooks", hooks=("durable_worker_started",))
    error = error_of("bad_hooks", plugins)
    assert "NameError" in error
    assert plugins.broken == [BrokenPlugin("bad_hooks", "", error, Kind.HOOKS, "bad_hooks")]
    assert "take it out of the settings" in plugins.broken[0].remedy
    assert not load(modules=["shop_hooks"], disabled=["shop_hooks"]).broken


def test_a_module_that_is_built_in_is_loaded_once_and_under_its_own_name(installed):
    (installed.folder / "shop_hooks.py").write_text(GOOD.replace("    ", ""))
    plugins = load(import_module("shop_hooks"), modules=["shop_hooks"], disabled=["shop_hooks"])
    [plugin] = [plugin for plugin in plugins.found if plugin.name == "shop_hooks"]
    assert plugin == Installed("shop_hooks", Kind.HOOKS, "shop_hooks", hooks=("durable_worker_started",))
    assert plugins.not_disabled == {"shop_hooks": "It is built in."}


def test_the_module_of_the_documentation_is_a_plugin(installed):
    page = Path(__file__).parents[2] / "docs" / "howto" / "write-a-plugin.md"
    source = page.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    shop = installed.folder / "shop"
    shop.mkdir()
    (shop / "tenants.py").write_text("import contextvars\ncurrent_tenant = contextvars.ContextVar('tenant')\n")
    (shop / "durable_hooks.py").write_text(source)
    plugins = load(modules=["shop.durable_hooks"])
    assert not plugins.broken
    announcer = Announcer(plugins.manager)
    assert announcer.encode(Decimal("1.50")) == "1.50"
    assert announcer.encode(object()) is None
    tenant = sys.modules["shop.tenants"].current_tenant
    assert announcer.call_activity(ActivityCall(CurrentActivity(task_of()), (), {"tenant": "t1"}, tenant.get)) == "t1"
    assert tenant.get(None) is None


# Telling


class Plugin:
    """One with these functions as hooks, each by the name of its hook."""

    def __init__(self, **hooks):
        for name, function in hooks.items():
            wrapper = name == "durable_activity_call"
            setattr(self, name, hookimpl(wrapper=wrapper)(function))


def announcer_of(*plugins, **options):
    """Who tells these plugins, the last one first, as pluggy does."""
    manager = load().manager
    for number, plugin in enumerate(plugins, start=1):
        manager.register(plugin, name=f"p{number}")
    return Announcer(manager, **options)


def test_an_error_of_one_plugin_is_logged_and_the_others_hear(caplog):
    heard: list[object] = []

    def fail(**news):
        raise ValueError("no")

    def fail_started(worker):
        fail()

    def fail_stopping(worker, reason):
        fail()

    def fail_events(events):
        fail()

    hearing = Plugin(
        durable_worker_started=lambda worker: heard.append(("started", worker)),
        durable_worker_stopping=lambda worker, reason: heard.append(("stopping", worker, reason)),
        durable_worker_stopped=lambda worker: heard.append(("stopped", worker)),
        durable_events=lambda events: heard.append(("events", len(events))),
    )
    failing = Plugin(
        durable_worker_started=fail_started,
        durable_worker_stopping=fail_stopping,
        durable_worker_stopped=fail_started,
        durable_events=fail_events,
    )
    announcer = announcer_of(hearing, failing)
    with caplog.at_level(logging.ERROR, "durable.hooks"):
        announcer.worker_started(WORKER)
        announcer.worker_stopping(WORKER, "why")
        announcer.worker_stopped(WORKER)
        announcer.announce([news_of("a")])
    assert heard == [("started", WORKER), ("stopping", WORKER, "why"), ("stopped", WORKER), ("events", 1)]
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        f"plugin 'p2' failed in {hook}"
        for hook in ("durable_worker_started", "durable_worker_stopping", "durable_worker_stopped", "durable_events")
    ]


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def test_an_error_that_cannot_be_put_into_words_stops_nobody(caplog):
    def fail(**news):
        raise Unspeakable

    announcer = announcer_of(Plugin(durable_events=lambda events: fail(), durable_encode=lambda value: fail()))
    announcer.announce([news_of("a")])
    assert "durable_events: Unspeakable at " in caplog.text
    with pytest.raises(TypeError, match="whose __str__ raised RuntimeError"):
        announcer.encode(object())


def test_one_that_fails_all_the_time_does_not_fill_the_log(caplog, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("durable_core.hooks.announcing.time.monotonic", lambda: now[0])
    announcer = announcer_of(Plugin(durable_events=lambda events: 1 / 0))
    for _ in range(5):
        announcer.announce([news_of("a")])
    now[0] += LOG_INTERVAL
    announcer.announce([news_of("a")])
    [first, second] = [record.message for record in caplog.records]
    assert first.startswith(f"plugin 'p1' failed in durable_events: ZeroDivisionError at {__file__}:")
    assert "durable_events (4 more times since that was said last): ZeroDivisionError" in second


def test_the_text_of_an_error_is_for_debugging_only(caplog):
    caplog.set_level(logging.DEBUG)
    announcer_of(Plugin(durable_events=lambda events: 1 / 0)).announce([news_of("a")])
    loud, quiet = caplog.records
    assert (loud.levelno, loud.exc_info) == (logging.ERROR, None)
    assert "division by zero" not in loud.getMessage()
    assert quiet.levelno == logging.DEBUG
    assert quiet.exc_info is not None


def news_of(*details):
    records = [
        EventRecord(seq, "workflow_completed", None, f'{{"result":"{text}"}}', datetime(2030, 1, 1, tzinfo=UTC))
        for seq, text in enumerate(details, start=1)
    ]
    return UUID(int=9), "order", records


def test_events_are_told_once_they_are_committed_and_in_one_call():
    heard: list[Sequence[RunEvent]] = []
    waiting: list[Callable[[], None]] = []
    announcer = announcer_of(Plugin(durable_events=lambda events: heard.extend([events])), after_commit=waiting.append)
    announcer.announce([news_of("a", "b"), (UUID(int=10), "other", [])])
    assert not heard
    waiting.pop()()
    [events] = heard
    assert [(event.run_id, event.workflow_name, event.record.seq) for event in events] == [
        (UUID(int=9), "order", 1),
        (UUID(int=9), "order", 2),
    ]
    assert events[1].fact == WorkflowCompleted(result=codec.encode("b"))
    announcer.announce([(UUID(int=10), "other", [])])  # a decision that added nothing
    assert not waiting


def test_where_nobody_listens_nothing_is_made():
    announcer = announcer_of(after_commit=lambda tell: pytest.fail("nobody listens"))
    announcer.announce(pytest.fail("not looked at") for _ in range(1))
    assert (announcer.hears_events, announcer.wraps_activities, announcer.encodes) == (False, False, False)


class Hapless(InMemoryHistoryStore):
    """Something happens to its first commit."""

    mishap: Verdict | StoreUnavailable | None = None

    def commit(self, commits):
        mishap, self.mishap = self.mishap, None
        if isinstance(mishap, Verdict):
            return Committed({commit.run_id: CommitResult(mishap) for commit in commits}, [])
        committed = super().commit(commits)
        if mishap is not None:
            raise mishap  # inside of the transaction, which comes to nothing
        return committed


@pytest.mark.parametrize(
    "mishap", [None, Verdict.CONFLICT, Verdict.BUSY, Verdict.UNREAD, StoreUnavailable("gone"), ValueError("refused")]
)
def test_only_what_was_committed_is_told(mishap):
    clock, registry = ManualClock(), Registry()
    heard: list[Sequence[RunEvent]] = []

    @registry.workflow
    def two_steps(ctx):
        return ctx.run_activity("step") + ctx.run_activity("step")

    registry.activity_from(lambda: 1, name="step")
    announcer = announcer_of(Plugin(durable_events=lambda events: heard.append(events)))  # noqa: PLW0108 - has a name
    store, queue = Hapless(clock), InMemoryTaskQueue(clock)
    client = Client(store, queue, registry)
    run_id = client.start("two_steps", {}).run_id
    store.mishap = mishap
    worker = Worker(store, queue, registry, clock, WorkerSettings(inline=True, hooks=announcer))

    def until():
        clock.advance(0.01)
        return client.find(run_id).status.is_closed

    worker.run(until=until)
    assert client.find(run_id).status == "COMPLETED"
    told = [event for events in heard for event in events]
    assert [event.record for event in told] == store.load([run_id])[run_id].events
    assert {(event.run_id, event.workflow_name) for event in told} == {(run_id, "two_steps")}
    assert len(heard) > 1


# Around activities


def call_of(perform):
    return ActivityCall(CurrentActivity(task_of()), (), {}, perform)


def test_wrappers_nest_and_see_the_result_and_cannot_lose_it():
    heard = []

    def forgetful(call):
        heard.append("inner")
        heard.append((yield))  # and returns None

    def watching(call):
        heard.append("outer")
        heard.append((yield))
        return "something else"

    inner, outer = Plugin(durable_activity_call=forgetful), Plugin(durable_activity_call=watching)
    assert announcer_of(inner, outer).call_activity(call_of(lambda: 42)) == 42
    assert heard == ["outer", "inner", 42, 42]


def test_wrappers_see_the_exception_and_cannot_hide_it():
    heard = []

    def swallowing(call):
        try:
            yield
        except ValueError:
            heard.append("swallowed")

    def watching(call):
        try:
            yield
        except ValueError as error:
            heard.append(str(error))
            raise

    def perform():
        raise ValueError("its own")

    inner, outer = Plugin(durable_activity_call=swallowing), Plugin(durable_activity_call=watching)
    with pytest.raises(ValueError, match="its own") as caught:
        announcer_of(inner, outer).call_activity(call_of(perform))
    assert heard == ["swallowed", "its own"]
    assert blame_of(caught.value) == ""


def raises_before(call):
    if call is not None:
        raise LookupError("no tenant")
    yield


def raises_after(call):
    yield
    raise LookupError("no tenant")


def translates(call):
    try:
        yield
    except ValueError as error:
        raise LookupError("no tenant") from error


def does_not_yield(call):
    if call is None:
        yield


def yields_twice(call):
    yield
    yield


@pytest.mark.parametrize(
    ("wrapper", "ok", "error"),
    [
        (raises_before, True, LookupError),
        (raises_after, True, LookupError),
        (translates, False, LookupError),
        (does_not_yield, True, RuntimeError),
        (yields_twice, True, RuntimeError),
    ],
)
def test_an_error_of_a_wrapper_is_raised_and_blamed_on_it(wrapper, ok, error):
    def perform():
        if not ok:
            raise ValueError

    seen = []

    def watching(call):
        try:
            yield
        except Exception as failure:
            seen.append(type(failure))
            raise

    inner, outer = Plugin(durable_activity_call=wrapper), Plugin(durable_activity_call=watching)
    with pytest.raises(error) as caught:
        announcer_of(inner, outer).call_activity(call_of(perform))
    assert seen == [error]
    assert blame_of(caught.value) == "raised by plugin 'p1' around the activity, not by the activity"


def test_an_interruption_passes_wrappers():
    class Interruption(BaseException): ...

    closed = []

    def wrapper(call):
        try:
            yield
        finally:
            closed.append(True)

    def perform():
        raise Interruption

    with pytest.raises(Interruption):
        announcer_of(Plugin(durable_activity_call=wrapper)).call_activity(call_of(perform))
    assert closed == [True]


# Payloads


def test_the_first_plugin_that_knows_a_value_encodes_it():
    announcer = announcer_of(
        Plugin(durable_encode=lambda value: "p1"),
        Plugin(durable_encode=lambda value: "p2" if value == "two" else None),
    )
    assert announcer.encode("two") == "p2"
    assert announcer.encode("one") == "p1"


def test_a_plugin_that_fails_to_encode_is_named():
    announcer = announcer_of(Plugin(durable_encode=lambda value: 1 / 0))
    with pytest.raises(TypeError, match="plugin 'p1' failed in durable_encode: ZeroDivisionError"):
        announcer.encode(object())


class Money:
    def __init__(self, amount):
        self.amount = amount


@pytest.fixture
def asked():
    """What the codec asked for: it takes money as a list of one thing, bytes as their number, and refuses the rest."""
    asked = []

    def stand_in(value):
        asked.append(value)
        match value:
            case Money():
                return [value.amount]
            case bytes():
                return len(value)
            case complex():
                raise TypeError("not today")
        return None

    codec.convert_with(stand_in)
    yield asked
    codec.convert_with(None)


def test_only_what_json_does_not_know_is_asked_about(asked):
    assert codec.encode({"a": [1, 2.5, True, None, "x", (1,)], "b": {}}) == '{"a":[1,2.5,true,null,"x",[1]],"b":{}}'
    assert not asked
    assert codec.encode({"price": Money(7), "raw": b"abc", "more": Money(Money("x"))}) == (
        '{"price":[7],"raw":3,"more":[["x"]]}'
    )


def nested(levels, inside):
    return inside if levels == 0 else [nested(levels - 1, inside)]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"price": Money(7), "raw": b"abc", "thing": object()}, "an object of type object .* at \\$.thing"),
        ([Money({"inside": object()})], "an object of type object .* at \\$\\[0\\]\\[0\\].inside"),
        ([Money(float("nan"))], "nan .* at \\$\\[0\\]\\[0\\]"),
        ({"price": 1j}, "an object of type complex \\(not today\\) at \\$.price"),
        (nested(60, Money(nested(60, 1))), "nested over 100 levels"),
    ],
)
def test_what_nobody_takes_is_still_refused_by_its_place(asked, value, says):
    with pytest.raises(PayloadError, match=says):
        codec.encode(value)


def test_a_plugin_that_puts_a_thing_in_its_own_place_is_refused():
    codec.convert_with(lambda value: value)
    try:
        with pytest.raises(PayloadError, match="nesting over 100 levels"):
            codec.encode({"a": object()})
    finally:
        codec.convert_with(None)
