from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.core import checks
from django.db import connections
from django.test import override_settings

from django_durable import backends
from django_durable.checks import TAG
from durable_core.definitions import Registry, register
from durable_core.hooks import BrokenPlugin
from tests.redis_servers import private_server
from tests.store.databases import registered, sqlite_settings

ROOT = Path(__file__).resolve().parents[2]


def run_checks():
    return {message.id: message for message in checks.run_checks(tags=[TAG])}


def found_for(durable):
    with override_settings(DURABLE=durable):
        return run_checks()


def test_a_sound_project_passes():
    assert run_checks() == {}


def test_problems_of_the_setting_are_errors():
    found = found_for({"QUEUE": {"BACKEND": "databse"}, "MAX_CRASHES": -1, "DATABASE": "nope"})
    assert set(found) == {"durable.E001", "durable.E005", "durable.E003"}
    assert all(message.level == checks.ERROR and message.hint for message in found.values())


def test_options_that_only_the_queue_can_judge():
    found = found_for({"QUEUE": {"BACKEND": "postgres"}})
    assert "that is a sqlite database" in found["durable.E005"].msg
    assert '"dsn"' in found["durable.E005"].msg
    assert found_for({"QUEUE": {"BACKEND": "redis", "OPTIONS": {"url": "rediss://:secret@nowhere:1/0"}}}) == {}


def test_server_that_evicts_is_warned_of_before_a_deployment():
    with private_server(maxmemory="64mb", maxmemory_policy="allkeys-lru") as redis:
        queue = {"BACKEND": "redis", "OPTIONS": {"url": redis.url}}
        assert found_for({"QUEUE": queue}) == {}, "an ordinary check asks no server"
        with override_settings(DURABLE={"QUEUE": queue}):
            found = checks.run_checks(tags=["durable"], include_deployment_checks=True)
    [message] = [message for message in found if message.id == "durable.W003"]
    assert "allkeys-lru" in message.msg
    assert "noeviction" in str(message.hint)


def test_two_callables_with_one_name(monkeypatch):
    monkeypatch.setattr(register, "duplicates", [])
    monkeypatch.setattr(register, "activities", dict(register.activities))

    @register.activity(name="place_order")
    def other(): ...

    message = run_checks()["durable.E004"]
    assert "tests.project.app.durable_activities.place_order" in message.msg
    assert "other" in message.msg


def test_a_query_of_an_unknown_workflow(monkeypatch):
    monkeypatch.setattr(register, "_queries", [*register._queries])

    @register.query("aproval")
    def progress(execution): ...

    message = run_checks()["durable.W006"]
    assert message.level == checks.WARNING
    assert "Did you mean 'approval'?" in message.hint


def test_transactional_activities_beside_another_database(monkeypatch, tmp_path):
    registry = Registry()
    registry.activity_from(lambda: None, name="books", transactional=True)
    registry.activity_from(lambda: None, name="mails")
    with registered(sqlite_settings(tmp_path / "durable.sqlite3")) as alias:
        monkeypatch.setattr(register, "activities", registry.activities)
        assert "durable.W009" not in found_for({})
        found = found_for({"DATABASE": alias})
    assert "activities (books) have their transaction" in found["durable.W009"].msg


def test_a_broken_plugin_stops_nobody(monkeypatch):
    monkeypatch.setattr(backends.plugins(), "broken", [BrokenPlugin("kafka", "durable-kafka", "ImportError: no")])
    message = run_checks()["durable.E006"]
    assert message.level == checks.WARNING
    assert "durable-kafka" in message.hint


@pytest.mark.parametrize(
    ("options", "lacks"),
    [
        ({}, "transaction_mode IMMEDIATE, journal_mode WAL"),
        ({"transaction_mode": "IMMEDIATE", "init_command": "pragma journal_mode = wal", "timeout": 1}, "busy timeout"),
    ],
)
def test_sqlite_as_django_has_it_is_warned_of(tmp_path, options, lacks):
    with registered({**sqlite_settings(tmp_path / "x.sqlite3"), "OPTIONS": options}) as alias:
        found = found_for({"DATABASE": alias})
    assert set(found) == {"durable.W002", "durable.W005", "durable.W009"}
    assert lacks in found["durable.W002"].msg
    assert '"init_command": "PRAGMA journal_mode=WAL' in found["durable.W002"].hint


def test_a_database_without_our_sql(monkeypatch):
    monkeypatch.setattr(connections["default"], "vendor", "mysql")
    assert "mysql" in run_checks()["durable.E007"].msg


def test_psycopg2_is_refused(monkeypatch):
    entry = {"ENGINE": "django.db.backends.postgresql", "NAME": "x"}
    with registered(entry) as alias:
        assert connections[alias].vendor == "postgresql"  # its module reads the same flag when it is imported
        monkeypatch.setattr("django.db.backends.postgresql.psycopg_any.is_psycopg3", False)
        assert "psycopg 3" in found_for({"DATABASE": alias})["durable.E007"].msg


def test_a_module_that_cannot_be_imported_is_named(project, tmp_path):
    app = tmp_path / "brokenapp"
    app.mkdir()
    (app / "__init__.py").touch()
    (app / "durable_workflows.py").write_text("import no_such_module\n")
    program = (
        "from tests.project import settings as s; s.INSTALLED_APPS.append('brokenapp'); import django; django.setup()"
    )
    path = f"{tmp_path}:{':'.join(sys.path)}"
    environment = project.environment(PYTHONPATH=path)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "No module named 'no_such_module'" in done.stderr
    assert "durable_workflows.py" in done.stderr


def test_the_package_can_be_imported_before_django_is_set_up():
    program = "import django_durable; django_durable.register.activity(lambda: 1, name='x') if 0 else None"
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_annotation_that_is_not_there_at_run_time(monkeypatch):
    registry = Registry()

    def scale(by: NotThere, to: int) -> None:  # type: ignore[name-defined]  # noqa: F821
        """What `if TYPE_CHECKING` imports is not there."""

    registry.activity_from(scale)
    monkeypatch.setattr(register, "activities", registry.activities)
    message = run_checks()["durable.W012"]
    assert message.level == checks.WARNING
    assert message.msg.startswith("activity 'scale' has the annotation 'NotThere'")
