"""Plugins as users install them: distributions with entry points, and modules that the settings name."""

from __future__ import annotations

import io
import json
import sys
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path

import pytest
from django.core import checks
from django.core.management import call_command
from django.db import transaction
from django.test import override_settings

from django_durable import (
    PayloadError,
    WorkflowFailed,
    backends,
    cancel_workflow,
    register,
    remote_workflow,
    run_workflow,
    send_signal,
    start_workflow,
)
from django_durable.checks import TAG
from django_durable.conf import inspect
from django_durable.engine import engine
from django_durable.models import WorkflowExecution
from durable_core import hooks
from tests.distributions import Environment
from tests.project.app.models import Order
from tests.waiting import wait_until

# Writes what it hears to a file, a line each; brings a workflow and activities that see what it does.
RECORDER = """
    import contextvars, json, os, threading
    from decimal import Decimal
    from django_durable import RetryPolicy, register
    from durable_core.hooks import hookimpl

    tenant = contextvars.ContextVar("tenant", default=None)

    @register.activity(retry_policy=RetryPolicy(maximum_attempts=1))
    def tenant_of_today(): return tenant.get()

    @register.activity
    async def tenant_of_tomorrow(): return tenant.get()

    @register.activity
    def price(): return {"price": Decimal("12.30")}

    @register.workflow
    def tenants(ctx, price_limit):
        tenants = [ctx.run_activity(tenant_of_today), ctx.run_activity(tenant_of_tomorrow)]
        return [tenants, ctx.run_activity(price), price_limit]

    def note(hook, **facts):
        facts |= {"hook": hook, "pid": os.getpid(), "thread": threading.current_thread().name}
        with open(os.environ["RECORDER"], "a") as file:
            file.write(json.dumps(facts) + "\\n")

    @hookimpl
    def durable_worker_started(worker): note("started", id=str(worker.id), queues=list(worker.queues))

    @hookimpl
    def durable_worker_stopping(worker, reason): note("stopping", id=str(worker.id), reason=reason)

    @hookimpl
    def durable_worker_stopped(worker): note("stopped", id=str(worker.id))

    @hookimpl
    def durable_events(events):
        for event in events:
            r = event.record
            facts = [r.seq, r.type, r.call_id, json.loads(r.details), r.created_at.isoformat()]
            note("event", run=str(event.run_id), workflow=event.workflow_name, event=facts)

    @hookimpl(wrapper=True)
    def durable_activity_call(call):
        name = call.activity.name
        if name == "pay_order":
            raise PermissionError("not from here")
        token = tenant.set(f"tenant of {name}")
        try:
            result = yield
        except Exception as error:
            note("failed", activity=name, error=repr(error))
            raise
        else:
            run = str(call.activity.execution_id)
            note("returned", activity=name, run=run, args=list(call.args), result=str(result))
        finally:
            tenant.reset(token)

    @hookimpl
    def durable_encode(value):
        return f"{value} EUR" if isinstance(value, Decimal) else None
"""
# Is called before the others, and fails each time.
NOISY = """
    from durable_core.hooks import hookimpl

    @hookimpl(tryfirst=True)
    def durable_worker_started(worker): raise ValueError("noise at the start")

    @hookimpl(tryfirst=True)
    def durable_events(events): raise ValueError("noise at each event")
"""
MISSPELT = """
    from durable_core.hooks import hookimpl

    @hookimpl
    def durable_worker_startd(worker): ...

    @hookimpl
    def durable_worker_stopping(worker): raise AssertionError("half a plugin is in")
"""
KAFKA = """
    import os
    from pathlib import Path
    from django_durable.queue import DatabaseTaskQueue

    Path(os.environ["RECORDER"] + ".kafka").touch()

    class KafkaQueue(DatabaseTaskQueue):
        '''Entries in a log.

        Or nearly so.
        '''
        def __init__(self, *, topic):
            super().__init__("default", notify=False)
"""


@pytest.fixture
def installed(tmp_path):
    """What stands beside our packages in the environments of `manage` and `working`."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    return Environment(folder)


@pytest.fixture
def recorder(tmp_path):
    return tmp_path / "heard.jsonl"


@pytest.fixture
def manage(project, installed, recorder):
    """Runs a command in the environment; answers its exit code, and what it said."""

    def run(*args, durable=None, **environment):
        project.settings = durable or {}
        done = project.manage(*args, PYTHONPATH=installed.pythonpath, RECORDER=str(recorder), **environment)
        assert "Traceback" not in done.stderr
        return done

    return run


def heard(recorder, hook, **facts):
    """What the recorder noted of one hook."""
    notes = [json.loads(line) for line in recorder.read_text().splitlines()]
    return [note for note in notes if note["hook"] == hook and facts.items() <= note.items()]


def history(run_id):
    rows = WorkflowExecution.objects.get(pk=run_id).history.order_by("seq")
    return [[row.seq, row.type, row.call_id, row.details, row.created_at.isoformat()] for row in rows]


def listed(output):
    """The plugins of `durable_plugins --format json` by name, and all of its answer."""
    answer = json.loads(output)
    return {plugin["name"]: plugin for plugin in answer["plugins"]}, answer


@pytest.fixture
def inside(installed, recorder, monkeypatch):
    """This process has what is installed, once it is."""
    monkeypatch.syspath_prepend(str(installed.folder))
    monkeypatch.setenv("RECORDER", str(recorder))
    forget()
    yield installed
    forget()
    for module in ("kafka_queue", "other_queue"):
        sys.modules.pop(module, None)


def forget():
    for cached in (backends._load, inspect, engine):
        cached.cache_clear()


def errors_for(**durable):
    with override_settings(DURABLE=durable):
        return {message.id: f"{message.msg} {message.hint}" for message in checks.run_checks(tags=[TAG])}


def command(name, *args, **durable):
    """stdout of a command of this process."""
    out = io.StringIO()
    with override_settings(DURABLE=durable):
        call_command(name, *args, stdout=out)
    return out.getvalue()


# In worker processes


def test_a_plugin_hears_what_a_worker_does(project, installed, recorder):
    installed.install("durable-recorder", {"recorder": RECORDER}, hooks={"recorder": "recorder"})
    installed.install("durable-noisy", {"noisy": NOISY}, hooks={"noisy": "noisy"})
    installed.install("durable-broken", {"broken": "import no_such_module"}, hooks={"broken": "broken"})
    installed.install("durable-misspelt", {"misspelt": MISSPELT}, hooks={"misspelt": "misspelt"})
    where = {"PYTHONPATH": installed.pythonpath, "RECORDER": str(recorder)}
    with project.worker("--queue-name", "default,elsewhere", **where) as worker:
        ordered = start_workflow("order", number="7")
        foreign = start_workflow(remote_workflow("tenants", queue="default"), price_limit=5)
        declined = start_workflow("declined", reason="no money")
        forbidden = start_workflow("double_payment", number="8")
        waiting = start_workflow("approval")
        assert ordered.result(timeout=30) == [True, "7 is on its way"]
        wait_until(lambda: waiting.status == "RUNNING", "the run to wait")
        canceled = project.manage("durable_cancel", str(waiting), "--reason", "test", **where)
        assert canceled.returncode == 0, canceled.stderr

        # What is set around an activity is set in it; what JSON does not know is stored as the plugin says.
        expected = [["tenant of tenant_of_today", "tenant of tenant_of_tomorrow"], {"price": "12.30 EUR"}, 5]
        assert foreign.result(timeout=30) == expected
        with pytest.raises(WorkflowFailed, match="no money"):
            declined.result(timeout=30)
        with pytest.raises(
            WorkflowFailed, match="raised by plugin 'recorder' around the activity, not by the activity"
        ):
            forbidden.result(timeout=30)
    said = worker.said

    [started], [stopping], [stopped] = (heard(recorder, hook) for hook in ("started", "stopping", "stopped"))
    assert started["pid"] == stopping["pid"] == stopped["pid"] == worker.pid
    assert started["id"] == stopping["id"] == stopped["id"]
    assert (started["queues"], stopping["reason"]) == (["default", "elsewhere"], "SIGTERM")
    notes = [json.loads(line)["hook"] for line in recorder.read_text().splitlines()]
    assert (notes[0], notes[-2:]) == ("started", ["stopping", "stopped"])

    for handle in (ordered, foreign, declined, forbidden, waiting):
        told = heard(recorder, "event", run=str(handle))
        assert [note["event"] for note in told] == history(handle.id)
        assert {note["workflow"] for note in told} == {handle.execution.workflow_name}
        assert {note["thread"] for note in told} == {"MainThread"}
    assert heard(recorder, "event", run=str(waiting))[-1]["pid"] != worker.pid  # who canceled it, told so

    [returned] = heard(recorder, "returned", activity="ship_order")
    assert (returned["run"], returned["args"], returned["result"]) == (str(ordered), ["7"], "7 is on its way")
    assert returned["thread"].startswith("durable-activity-")
    [failed] = heard(recorder, "failed", activity="decline")
    assert failed["error"] == "ValueError('no money')"

    [row] = forbidden.execution.activities.all()
    assert row.error.startswith("PermissionError: not from here (raised by plugin 'recorder'")
    assert not Order.objects.filter(number="8")

    assert "plugin 'noisy' failed in durable_worker_started: ValueError at " in said
    assert "plugin 'noisy' failed in durable_events: ValueError at " in said
    assert "noise at" not in said  # the text of an exception may hold what it was called with
    assert "half a plugin" not in said


def test_a_queue_of_a_plugin_is_chosen_by_its_short_name(installed, recorder, manage):
    installed.install("durable-kafka", {"kafka_queue": KAFKA}, queues={"kafka": "kafka_queue:KafkaQueue"})
    handle = start_workflow("located")
    done = manage("durable_worker", "--until-idle", durable={"QUEUE": {"BACKEND": "kafka", "OPTIONS": {"topic": "t"}}})
    assert "queue 'kafka'" in done.stdout
    assert handle.status == "COMPLETED"


def test_a_queue_is_imported_when_it_is_chosen(inside, recorder):
    inside.install("durable-kafka", {"kafka_queue": KAFKA}, queues={"kafka": "kafka_queue:KafkaQueue"})
    imported = Path(f"{recorder}.kafka")
    plugins, answer = listed(command("durable_plugins", "--format", "json"))
    assert (plugins["kafka"]["state"], plugins["django"]["state"]) == ("available", "chosen")
    assert {"name": "kafka", "plugin": "kafka", "doc": "kafka_queue.KafkaQueue"} in answer["queues"]
    assert not imported.exists()
    plugins, answer = listed(command("durable_plugins", "--format", "json", QUEUE={"BACKEND": "kafka"}))
    assert (plugins["kafka"]["state"], plugins["django"]["state"]) == ("chosen", "loaded")
    assert {"name": "kafka", "plugin": "kafka", "doc": "Entries in a log."} in answer["queues"]
    assert imported.exists()
    assert "It takes: topic." in errors_for(QUEUE={"BACKEND": "kafka", "OPTIONS": {"topics": "t"}})["durable.E005"]


# What is wrong is said, and stops nobody


def test_broken_plugins_stop_no_command_and_are_reported_by_name(installed, manage):
    installed.install("durable-broken", {"broken": "import no_such_module"}, hooks={"broken": "broken"})
    installed.install("durable-misspelt", {"misspelt": MISSPELT}, hooks={"misspelt": "misspelt"})
    installed.install("durable-kafka", {"kafka_queue": KAFKA}, queues={"kafka": "kafka_queue:KafkaQueue"})
    installed.install("durable-other", {"other_queue": KAFKA}, queues={"kafka": "other_queue:KafkaQueue"})
    installed.install("durable-torn", {"torn_queue": "import no_such_driver"}, queues={"torn": "torn_queue:Queue"})
    done = manage("check", DURABLE_DISABLE_PLUGINS="memory,memry")
    assert done.returncode == 0
    for said in (
        "(durable.E006) Plugin 'broken' of durable-broken could not be loaded: ModuleNotFoundError: No module named",
        "there is no hook 'durable_worker_startd'. Did you mean 'durable_worker_started'?",
        "Upgrade or uninstall durable-misspelt, or turn it off by DURABLE_DISABLE_PLUGINS=misspelt",
        "(durable.W007) Two plugins offer a queue backend named 'kafka'",
        "(durable.W008) DURABLE_DISABLE_PLUGINS names 'memry', which cannot be turned off.",
        "Did you mean 'memory'?",
    ):
        assert said in done.stderr

    done = manage("durable_plugins", DURABLE_DISABLE_PLUGINS="memory,memry")
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.splitlines() if line]
    states = {row[0]: row[-1] for row in rows[: rows.index(["queue", "plugin"])]}
    assert states.pop("plugin") == "state"
    ours = ("broken", "django", "kafka", "memory", "misspelt", "torn")
    expected = ("failed", "chosen", "available", "disabled", "failed", "available")
    assert tuple(states[name] for name in ours) == expected
    assert "misspelt failed: there is no hook 'durable_worker_startd'." in done.stdout
    assert "'kafka_queue.KafkaQueue'" in done.stdout
    assert "DURABLE_DISABLE_PLUGINS names 'memry'" in done.stdout

    done = manage("durable_plugins", durable={"QUEUE": {"BACKEND": "torn"}})
    assert done.returncode == 1
    assert "Queue backend 'torn' of durable-torn cannot be loaded: ModuleNotFoundError: No module named" in done.stderr
    assert "torn failed: Queue backend 'torn'" in done.stdout


def test_a_chosen_queue_that_is_broken_is_an_error(inside):
    inside.install("durable-torn", {"torn_queue": "import no_such_driver"}, queues={"torn": "torn_queue:Queue"})
    inside.install("durable-broken", {"broken": "import no_such_module"}, hooks={"broken": "broken"})
    assert set(errors_for()) == {"durable.E006"}
    said = errors_for(QUEUE={"BACKEND": "torn"})["durable.E001"]
    assert (
        "cannot be loaded: ModuleNotFoundError: No module named 'no_such_driver'. Mend or upgrade durable-torn" in said
    )
    # What offers no queue, for it could not be loaded, may be what was asked for.
    said = errors_for(QUEUE={"BACKEND": "kafka"})["durable.E001"]
    assert "Plugin 'broken' could not be loaded: ModuleNotFoundError: No module named 'no_such_module'." in said


def test_two_queues_of_one_name_trouble_only_who_chooses_it(inside):
    inside.install("durable-kafka", {"kafka_queue": KAFKA}, queues={"kafka": "kafka_queue:KafkaQueue"})
    inside.install("durable-other", {"other_queue": KAFKA}, queues={"kafka": "other_queue:KafkaQueue"})
    assert set(errors_for()) == {"durable.W007"}
    said = errors_for(QUEUE={"BACKEND": "kafka"})["durable.E001"]
    assert said.startswith("Two plugins offer a queue backend named 'kafka'")
    assert "'kafka' of durable-kafka" in said
    assert "'kafka' of durable-other" in said
    assert "'other_queue.KafkaQueue'" in said
    by_path = {"BACKEND": "other_queue.KafkaQueue", "OPTIONS": {"topic": "t"}}
    assert set(errors_for(QUEUE=by_path)) == {"durable.W007"}
    rows = [line.split() for line in command("durable_plugins", QUEUE=by_path).splitlines()]
    assert ["other_queue.KafkaQueue", "by", "its", "path", "chosen"] in rows


def test_a_disabled_plugin_is_not_loaded(inside, monkeypatch):
    inside.install("durable-broken", {"broken": "import no_such_module"}, hooks={"broken": "broken"})
    inside.install("durable-kafka", {"kafka_queue": KAFKA}, queues={"kafka": "kafka_queue:KafkaQueue"})
    monkeypatch.setenv("DURABLE_DISABLE_PLUGINS", "broken,kafka")
    assert not errors_for()
    plugins, _ = listed(command("durable_plugins", "--format", "json"))
    assert (plugins["broken"]["state"], plugins["kafka"]["state"]) == ("disabled", "disabled")
    said = errors_for(QUEUE={"BACKEND": "kafka"})["durable.E001"]
    assert "Queue backend 'kafka' is turned off by DURABLE_DISABLE_PLUGINS." in said


def test_a_queue_whose_package_is_missing_comes_with_the_line_to_install_it(monkeypatch):
    nothing = hooks.load(disabled=[])
    for name in ("redis", "postgres"):
        nothing.queues.offers.pop(name, None)
    monkeypatch.setattr(backends, "_load", lambda modules: nothing)
    for name in ("redis", "postgres"):
        with pytest.raises(backends.PackageMissing) as caught:
            backends.find_queue(name)
        assert caught.value.hint == f"Install it with: pip install 'durable-django[{name}]'"
    with pytest.raises(backends.UnknownBackend, match="Did you mean 'postgres'"):
        backends.find_queue("postgress")


def test_a_package_that_lacks_its_driver_comes_with_that_line_too(inside):
    inside.install("durable-redis-queue", {"redis_queue_": "import no_such_driver"}, queues={"redis": "redis_queue_:R"})
    with pytest.raises(backends.PackageMissing, match="durable-redis-queue cannot be loaded") as caught:
        backends.find_queue("redis")
    assert caught.value.hint == "Install what it needs with: pip install 'durable-django[redis]'"


# Modules that the settings name, and transactions of this process


@contextmanager
def listening(folder, source, **durable):
    """This process with a module of hooks; yields the module."""
    name = f"hooks_of_{folder.parent.name}"
    Environment(folder).install(f"unused-{name}", {name: source})
    sys.path.insert(0, str(folder))
    try:
        with override_settings(DURABLE={"PLUGINS": [name], **durable}):
            engine()
            assert not backends.plugins().broken
            yield sys.modules[name]
    finally:
        sys.path.remove(str(folder))


LISTENER = """
    from durable_core.hooks import hookimpl

    heard, life = [], []

    @hookimpl
    def durable_events(events): heard.append([(event.run_id, event.record.type) for event in events])

    @hookimpl
    def durable_worker_started(worker): life.append("started")

    @hookimpl
    def durable_worker_stopped(worker): life.append("stopped")
"""


class Rollback(Exception): ...


@contextmanager
def rolled_back():
    """A transaction that comes to nothing."""
    with suppress(Rollback), transaction.atomic():
        yield
        raise Rollback


def test_events_of_a_cancel_are_told_after_the_callers_transaction(installed):
    with listening(installed.folder, LISTENER) as module:
        first, second = start_workflow("approval"), start_workflow("approval")
        with transaction.atomic():
            cancel_workflow(first)
            assert module.heard == []
        assert module.heard.pop() == [(first.id, "workflow_started"), (first.id, "workflow_canceled")]
        with rolled_back():
            cancel_workflow(second)
        assert module.heard == []
        cancel_workflow(second)
        assert module.heard == [[(second.id, "workflow_started"), (second.id, "workflow_canceled")]]


def test_a_parent_and_its_children_are_one_commit(installed, monkeypatch):
    with listening(installed.folder, LISTENER) as module, with_workflows(monkeypatch, has_a_child):
        handle = start_workflow("has_a_child")
        call_command("durable_worker", "--until-idle", verbosity=0)
        module.heard.clear()
        cancel_workflow(handle)
        [events] = module.heard
        [child] = handle.execution.children.all()
        assert [run for run, kind in events if kind == "workflow_canceled"] == [handle.id, child.id]
        assert module.life == ["started", "stopped"]


def test_events_of_a_run_inside_a_transaction_are_told_after_it(installed):
    with listening(installed.folder, LISTENER) as module:
        with transaction.atomic():
            assert run_workflow("order", number="7")
            assert module.heard == []
        told = [event for events in module.heard for event in events]
        run_id = WorkflowExecution.objects.get().id
        assert told == [(run_id, kind) for _, kind, *_ in history(run_id)]
        module.heard.clear()
        with rolled_back():
            run_workflow("order", number="8")
        assert module.heard == []
        assert run_workflow("order", number="9")
        assert module.heard
        assert module.life == []  # its own worker is not one of the project's


@pytest.mark.parametrize(
    ("plugins", "says"),
    [
        ("shop.hooks", "It must be a list of modules, such as ['shop.durable_hooks']"),
        ([7], "It must be a list of modules"),
        ([""], "It must be a list of modules"),
    ],
)
def test_the_setting_is_checked(plugins, says):
    with override_settings(DURABLE={"PLUGINS": plugins}):
        [problem] = inspect()[1]
        assert says in problem.hint


def test_a_module_that_the_settings_name_may_be_broken():
    [said] = errors_for(PLUGINS=["no_such_module"]).values()
    assert "Plugin 'no_such_module' could not be loaded: ModuleNotFoundError" in said
    assert "take it out of the settings" in said


# Payloads

ENCODER = """
    from decimal import Decimal
    from fractions import Fraction
    from durable_core.hooks import hookimpl

    @hookimpl
    def durable_encode(value):
        if isinstance(value, Fraction):
            raise ValueError("not in my shop")
        return {"amount": str(value)} if isinstance(value, Decimal) else None
"""
AMOUNT = {"amount": "12.30"}


def doubled(price):
    assert price == AMOUNT, "an activity gets what was stored"
    return [Decimal("24.60"), price]


def pricing(ctx, price, wrong=False):
    seen = [price, ctx.side_effect(lambda: Decimal("1.5")), ctx.run_activity("doubled", Decimal(price["amount"]))]
    if wrong:
        try:
            ctx.run_activity("doubled", {"price": Decimal(1), "thing": object()})
        except PayloadError as error:
            return str(error)
    return [*seen, ctx.wait_signal("paid")]


def pays(execution_id):
    send_signal(execution_id, "paid", Decimal("12.30"))


def has_a_child(ctx):
    return ctx.run_workflow("approval")


@contextmanager
def with_workflows(monkeypatch, *workflows, activities=()):
    monkeypatch.setattr(register, "workflows", dict(register.workflows))
    monkeypatch.setattr(register, "activities", dict(register.activities))
    for workflow in workflows:
        register.workflow(workflow)
    for activity in activities:
        register.activity(activity)
    yield


def test_a_plugin_stores_what_json_does_not_know(installed, monkeypatch):
    with listening(installed.folder, ENCODER), with_workflows(monkeypatch, pricing, activities=[doubled]):
        handle = start_workflow("pricing", price=Decimal("12.30"))
        send_signal(handle, "paid", [Decimal("12.30")])
        call_command("durable_worker", "--until-idle", verbosity=0)
        wait_until(lambda: handle.status.is_closed or call_command("durable_worker", "--until-idle", verbosity=0))
        assert handle.result() == [AMOUNT, {"amount": "1.5"}, [{"amount": "24.60"}, AMOUNT], [AMOUNT]]
        refusal = run_workflow("pricing", price=Decimal("12.30"), wrong=True)
        assert "an object of type object (convert it to plain data first) at $.args[0].thing" in refusal


def test_what_no_plugin_knows_is_refused_as_before(installed):
    from fractions import Fraction

    with listening(installed.folder, ENCODER):
        with pytest.raises(PayloadError, match=r"an object of type object .* at \$.number\[1\]"):
            start_workflow("order", number=[Decimal(1), object()])
        with pytest.raises(PayloadError, match="failed in durable_encode: ValueError: not in my shop") as caught:
            start_workflow("order", number=Fraction(1))
        assert caught.value.path == "$.number"
    with pytest.raises(PayloadError, match="an object of type Decimal"):
        start_workflow("order", number=Decimal(1))
