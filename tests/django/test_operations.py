"""What operators ask at 3 a.m.: `durable_doctor`, `durable_queue`, `durable_queue_setup`."""

from __future__ import annotations

import io
import json
import signal
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.models.signals import post_migrate
from django.test import override_settings

from django_durable import start_workflow, wakeup
from django_durable.doctor import databases, examine
from django_durable.engine import engine
from django_durable.models import QueueEntry, Worker, WorkflowExecution
from django_durable.queue import DatabaseTaskQueue
from durable_core.definitions import register
from durable_core.errors import QueueUnavailable
from durable_core.ports import Entry, EntryKind, Level, WorkerInfo, new_id
from tests.harness import wait_until
from tests.scenarios import ledger
from tests.store.databases import registered, sqlite_settings


def findings(subject):
    return [finding for finding in examine() if finding.subject == subject]


def hire(**queues):
    worker = WorkerInfo(id=new_id(), host="host-1", pid=1, **{"queues": (), **queues})
    engine().store.add_worker(worker)
    engine().store.remove_worker(new_id())  # this thread does no worker's work
    return worker


# durable_doctor


def test_doctor_has_nothing_to_say_about_a_healthy_project(project):
    with project.worker():
        wait_until(Worker.objects.exists, "the worker to come up")
        seen = project.manage("durable_doctor")
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert "no problems, no warnings" in seen.stdout
    assert "1 alive" in seen.stdout


def test_doctor_finds_work_that_nobody_does(project):
    start_workflow("located")
    seen = project.manage("durable_doctor")
    assert seen.returncode == 1
    assert "none is up" in seen.stdout
    assert "no worker serves 'default', where 1 open run and 0 queued activities wait" in seen.stdout
    assert "manage.py durable_worker --queue-name default" in seen.stdout


def test_doctor_answers_scripts_in_json(project):
    start_workflow("located")
    seen = project.manage("durable_doctor", "--format", "json")
    assert seen.returncode == 1
    found = json.loads(seen.stdout)
    assert {"level", "subject", "message", "hint"} == set(found[0])
    assert "problem" in {finding["level"] for finding in found}


@pytest.mark.parametrize(
    ("queues", "served"),
    [
        ({}, True),
        ({"queues": ("mail", "slow")}, True),
        ({"queues": ("mail",)}, False),
        ({"exclude": ("mail",)}, True),
        ({"exclude": ("slow",)}, False),
    ],
)
def test_doctor_knows_which_queues_a_worker_serves(queues, served):
    start_workflow(register.find_workflow("located").using(queue="slow"))
    hire(**queues)
    assert [finding.level for finding in findings("queues")] == [Level.OK if served else Level.PROBLEM]


def test_doctor_finds_workers_that_died_unseen(project):
    with project.worker() as worker:
        wait_until(Worker.objects.exists, "the worker to come up")
        worker.kill()
    with override_settings(DURABLE={"HEARTBEAT_INTERVAL": 0.01, "WORKER_TIMEOUT": 0.03}):
        wait_until(lambda: "died without a word" in findings("workers")[0].message, "the silence to be long enough")
        assert findings("workers")[0].level is Level.PROBLEM


def test_doctor_finds_what_is_late():
    handle = start_workflow("located")
    assert [finding.level for finding in findings("schedule")] == [Level.OK]
    late = engine().store.now() - timedelta(minutes=5)
    WorkflowExecution.objects.filter(pk=handle.id).update(due_at=late)
    [finding] = findings("schedule")
    assert finding.level is Level.PROBLEM
    assert finding.message.startswith("due and not looked at: 1 runs, the oldest for 5 min")


def test_doctor_counts_blocked_runs():
    for _ in range(2):
        WorkflowExecution.objects.filter(pk=start_workflow("located").id).update(status="BLOCKED")
    [finding] = findings("runs")
    assert (finding.level, finding.message) == (Level.WARNING, "2 BLOCKED: 2 of located")


def test_doctor_survives_wrong_settings_and_names_them(project):
    project.settings["WORKER_TIMEOUT"] = "soon"
    seen = project.manage("durable_doctor")
    assert seen.returncode == 1
    assert "settings (durable.E005)" in seen.stdout
    assert "DURABLE['WORKER_TIMEOUT'] is 'soon'" in seen.stdout
    assert "Traceback" not in seen.stderr


def test_doctor_survives_a_database_it_has_no_sql_for(monkeypatch):
    monkeypatch.setattr(type(connections["default"]), "vendor", "oracle")
    [finding] = findings("database")
    assert finding.level is Level.PROBLEM
    assert "is a oracle database. Django Durable runs on PostgreSQL and SQLite" in finding.message


def test_doctor_survives_a_queue_with_a_bug(monkeypatch):
    def diagnose(self):
        raise ZeroDivisionError("somebody's queue")

    monkeypatch.setattr(DatabaseTaskQueue, "diagnose", diagnose)
    assert [f.message for f in findings("queue")] == ["cannot be asked: ZeroDivisionError: somebody's queue"]
    assert findings("work") == []
    assert findings("workers") != []


def test_doctor_finds_missing_migrations_and_pragmas(tmp_path):
    bare = {**sqlite_settings(tmp_path / "bare.sqlite3"), "OPTIONS": {"timeout": 0}}
    with registered(bare) as alias, override_settings(DURABLE={"DATABASE": alias}):
        found = list(examine())
    problems = {finding.subject: finding.message for finding in found if finding.level is Level.PROBLEM}
    assert problems["migrations"].startswith("not applied: django_durable.0001_initial")
    assert "cannot be asked" in problems["queue"]
    pragmas = [finding.message for finding in found if finding.subject == "SQLite"]
    assert pragmas == ["journal_mode is delete", "busy_timeout is 0 ms"]


def test_doctor_finds_old_transactions(monkeypatch):
    monkeypatch.setattr(databases, "OLD_SNAPSHOT", timedelta())
    if connection.vendor == "sqlite":
        assert findings("transactions") == [], "SQLite has no sessions of others to look at"
        return
    other = connections.create_connection("default")
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT 1")
        [finding] = findings("transactions")
        assert finding.level is Level.WARNING
        assert "idle in transaction" in finding.message
    finally:
        other.close()
    assert [finding.level for finding in findings("transactions")] == [Level.OK]


# durable_queue


def test_queue_shows_what_stands_in_it(project):
    assert project.manage("durable_queue").stdout == ""
    entries = [Entry(EntryKind.RUN, new_id(), queue) for queue in ("default", "default", "mail")]
    engine().queue.enqueue(entries)
    engine().queue.enqueue([Entry(EntryKind.RUN, new_id(), "mail")], delay=timedelta(hours=1))
    engine().queue.claim(new_id(), {EntryKind.RUN: 1}, queues=("default",), exclude=())
    lines = project.manage("durable_queue").stdout.splitlines()
    assert lines[0].split() == ["queue", "ready", "oldest", "claimed", "delayed", "dead"]
    assert [line.split()[:2] for line in lines[1:]] == [["default", "1"], ["mail", "1"]]
    assert lines[1].split()[-3:] == ["1", "0", "0"]
    assert lines[2].split()[-3:] == ["0", "1", "0"]
    rows = json.loads(project.manage("durable_queue", "--format", "json").stdout)
    assert [(row["queue"], row["ready"], row["claimed"], row["delayed"]) for row in rows] == [
        ("default", 1, 1, 0),
        ("mail", 1, 0, 1),
    ]
    assert rows[0]["oldest_ready_seconds"] >= 0
    assert QueueEntry.objects.count() == 4, "looking changes nothing"


def test_queue_setup_has_nothing_to_do_for_the_database_queue(project):
    done = project.manage("durable_queue_setup")
    assert (done.returncode, done.stdout) == (0, "nothing to set up for queue backend 'database'\n")


class Furnished(DatabaseTaskQueue):
    """A queue that has something to set up."""

    def setup(self):
        return ["made a table"]


class Absent(DatabaseTaskQueue):
    def setup(self):
        raise QueueUnavailable("nobody answers at 127.0.0.1:1")


class Fussy(DatabaseTaskQueue):
    """Does not expect what os.environ.get() answers where a variable is not set."""

    def __init__(self, *, url):
        super().__init__()
        self.secure = url.startswith("rediss:")


@contextmanager
def queue_of(kind, **options):
    with override_settings(DURABLE={"QUEUE": {"BACKEND": f"{__name__}.{kind.__name__}", "OPTIONS": options}}):
        yield


def migrate(capsys):
    """What it says on its own stdout, on the process's, and on stderr."""
    out = io.StringIO()
    call_command("migrate", verbosity=1, stdout=out)
    said = capsys.readouterr()
    return out.getvalue(), said.out, said.err


def test_options_that_a_queue_cannot_use_are_a_sentence():
    with queue_of(Fussy, url=None):
        said = findings("queue")[0].message
        with pytest.raises(CommandError, match=r"cannot be made with its OPTIONS: Attr.*It takes: url"):
            call_command("durable_queue")
    assert "Fussy' cannot be made with its OPTIONS: AttributeError: 'NoneType'" in said


def test_migrate_sets_the_queue_up(capsys):
    with queue_of(Furnished):
        ours, out, err = migrate(capsys)
    assert "  made a table\n" in ours
    assert (out, err) == ("", "")


def test_migrate_goes_on_when_the_queue_is_away(capsys):
    """Other apps wait for their turn behind ours: permissions and content types, for instance."""
    turns = []

    def take_turn(app_config, **kwargs):
        turns.append(app_config.label)

    post_migrate.connect(take_turn)
    try:
        with queue_of(Absent):
            _, _, err = migrate(capsys)
    finally:
        post_migrate.disconnect(take_turn)
    assert turns[-1] == [app.label for app in apps.get_app_configs() if app.models_module][-1]
    assert "The queue is not set up: nobody answers at 127.0.0.1:1" in err
    assert "python manage.py durable_queue_setup" in err


@pytest.mark.promise("P9")
def test_refill_finds_all_that_a_lost_queue_knew(project, monkeypatch):
    """As after a change from a queue that loses nothing: what stood in it is noted nowhere else."""
    monkeypatch.setenv(ledger.VARIABLE, str(project.folder))
    ledger.open_gate("k-gated")
    signaled = start_workflow("onboarding", key="k")
    with project.worker():
        wait_until(lambda: (signaled.execution.waiting_for or {}).get("kind") == "signal", "the wait for a signal")
    pending = start_workflow("located")
    timed = start_workflow(register.find_workflow("located").using(timeout=timedelta(hours=1)))
    later = start_workflow(register.find_workflow("located").using(run_after=timedelta(hours=1)))
    signaled.signal("clicked", 5)
    QueueEntry.objects.all().delete()
    assert project.manage("durable_worker", "--until-idle").returncode == 0
    assert {handle.status for handle in (pending, timed)} == {"PENDING"}, "nobody told a worker"
    done = project.manage("durable_queue_setup", "--refill")
    assert "workers will look at 3 runs and 0 activities" in done.stdout, done.stderr
    with project.worker():
        for handle in (pending, timed, signaled):
            handle.result(timeout=20)
    assert later.status == "PENDING"
    assert later.execution.due_at == later.execution.start_at


def test_refill_finds_queued_activities(project, monkeypatch):
    monkeypatch.setenv(ledger.VARIABLE, str(project.folder))
    handle = start_workflow("onboarding", key="k")
    handle.signal("clicked", 5)
    with project.worker("--queue-name", "default") as worker:
        wait_until(lambda: ledger.effects("k-gated"), "the activity to begin")
        worker.send(signal.SIGTERM)
        wait_until(lambda: "draining" in worker.said, "the worker to drain")
        worker.send(signal.SIGTERM)
        worker.wait()
    assert handle.execution.activities.get(activity_name="gated").status == "QUEUED"
    QueueEntry.objects.all().delete()
    handle.execution.activities.update(due_at=None)  # the grace of one that was given back is over
    assert "1 runs and 1 activities" in project.manage("durable_queue_setup", "--refill").stdout
    ledger.open_gate("k-gated")
    with project.worker():
        handle.result(timeout=20)


# What the doctor finds in a Postgres


def test_doctor_finds_clocks_that_are_apart(monkeypatch):
    if connection.vendor == "sqlite":
        assert findings("clock") == [], "it has the host's"
        return
    assert [finding.level for finding in findings("clock")] == [Level.OK]
    late = datetime.now(UTC) - timedelta(minutes=3)
    monkeypatch.setattr(databases, "datetime", type("Late", (datetime,), {"now": staticmethod(lambda zone: late)}))
    [finding] = findings("clock")
    assert finding.level is Level.WARNING
    assert "3 min apart" in finding.message


def test_doctor_finds_vacuum_that_lags(monkeypatch):
    if connection.vendor == "sqlite":
        assert findings("vacuum") == []
        return
    monkeypatch.setattr(databases, "DEAD_ROWS", -1)
    entries = [Entry(EntryKind.RUN, new_id(), "default") for _ in range(50)]
    engine().queue.enqueue(entries)
    QueueEntry.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
    wait_until(lambda: findings("vacuum")[0].level is Level.WARNING, "the statistics to tell")
    assert "django_durable_queueentry" in findings("vacuum")[0].message


def test_doctor_finds_a_pooler_that_swallows_notifications(monkeypatch):
    if connection.vendor == "sqlite":
        assert "watching the file" in findings("queue")[0].message
        return
    assert [finding.level for finding in findings("queue")] == [Level.OK]
    monkeypatch.setattr(wakeup, "HEARD_WITHIN", 0.05)
    monkeypatch.setattr(wakeup, "LISTEN", "SELECT '{}'")  # what becomes of it on another connection of a pooler
    [finding] = findings("queue")
    assert finding.level is Level.WARNING
    assert '"notify": False' in finding.hint
