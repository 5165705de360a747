"""Roles of least privilege: everything works as them, and nothing more than it needs."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import override_settings

from django_durable import (
    WaitTimeout,
    answer_task,
    cancel_workflow,
    fork_workflow,
    get_event,
    open_tasks,
    query_workflow,
    read_stream,
    register,
    retry_workflow,
    send_signal,
    start_workflow,
    update_workflow,
)
from django_durable.engine import make_worker, worker_settings
from django_durable.models import WorkflowExecution
from django_durable.queue import DatabaseTaskQueue
from django_durable.roles import OF_QUEUE, RIGHTS
from django_durable.store import DjangoHistoryStore
from durable_core.execution import TaskStatus
from durable_core.ports import Duty
from durable_core.testing import ConcurrentStoreContract
from durable_core.testing.contracts.queue_entries import EntryCases
from durable_pg_queue import PostgresTaskQueue
from tests.harness import Project
from tests.scenarios import ledger
from tests.security.roles import Logins, logins
from tests.store.databases import column, empty, session
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path
    from uuid import UUID

QUEUES: dict[str, dict[str, Any]] = {"database": {}, "postgres": {"BACKEND": "postgres"}}
TABLES = [model._meta.db_table for model in apps.get_app_config("django_durable").get_models()]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logins]:
    with logins(tmp_path_factory, *QUEUES.values()) as made:
        yield made


@pytest.fixture(params=QUEUES)
def queue(request: pytest.FixtureRequest) -> dict[str, Any]:
    return QUEUES[request.param]


# Everything works


class AsWorker:
    @pytest.fixture(autouse=True)
    def _login(self, both: Logins) -> None:
        self.alias = both.aliases["worker"]
        empty(both.aliases["owner"])

    def session(self) -> AbstractContextManager[None]:
        return session(self.alias)

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)


class TestStoreAsWorker(AsWorker, ConcurrentStoreContract):
    def make_store(self) -> DjangoHistoryStore:
        return DjangoHistoryStore(self.alias)

    def read_waiting_for(self, run_id: UUID) -> str | None:
        text: str | None = column(self.alias, "workflowexecution", "waiting_for", run_id)
        return text

    def read_task_status(self, task_id: UUID) -> TaskStatus:
        return TaskStatus(column(self.alias, "activitytask", "status", task_id))


class QueueAsWorker(AsWorker, EntryCases):
    lease, preference, delay = 0.8, 0.4, 0.15


class TestDatabaseQueueAsWorker(QueueAsWorker):
    def make_queue(self) -> DatabaseTaskQueue:
        lease, preference = timedelta(seconds=self.lease), timedelta(seconds=self.preference)
        return DatabaseTaskQueue(self.alias, lease=lease, preference=preference)


class TestPostgresQueueAsWorker(QueueAsWorker):
    @pytest.fixture(autouse=True)
    def _nothing_in_it(self, both: Logins) -> None:
        with connections[both.aliases["owner"]].cursor() as cursor:
            cursor.execute("DELETE FROM durable_queue")

    def make_queue(self) -> PostgresTaskQueue:
        return PostgresTaskQueue(
            connection=DjangoHistoryStore(self.alias).connection(), lease=self.lease, preference=self.preference
        )


def test_web_starts_signals_and_cancels_what_a_worker_process_drives(
    both: Logins, queue: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scenario of the README, with an activity that is retried, a child, a timer and a signal."""
    monkeypatch.setenv(ledger.VARIABLE, str(tmp_path))
    name = f"roles-{queue.get('BACKEND', 'database')}"
    settings = {"HEARTBEAT_INTERVAL": 0.3, "WORKER_TIMEOUT": 1.5, **({"QUEUE": queue} if queue else {})}
    project = Project(both.users["worker"].url, tmp_path, settings)

    def start(workflow: str, **kwargs: Any) -> Any:
        return start_workflow(register.find_workflow(workflow).using(queue=name), **kwargs)

    with (
        override_settings(DURABLE=both.durable("web", **queue)),
        session(both.aliases["web"]),
        project.worker("--queue-name", name) as worker,
    ):
        onboarded = start("onboarding", key=name)
        waiting, sleeping = start("waits_for_answer"), start("sleeps", seconds=60)
        wait_until(lambda: query_workflow(onboarded)["waiting_for"], "the run to wait")
        send_signal(onboarded, "clicked", {"by": "web"})
        ledger.open_gate(f"{name}-gated")
        assert onboarded.result(timeout=30) == ["hello", {"by": "web"}]
        assert len(ledger.effects(f"{name}-welcome")) == 1
        assert cancel_workflow(sleeping, reason="web said so")
        assert cancel_workflow(waiting, graceful=True)
        wait_until(lambda: waiting.status.is_closed, "its code to end")
        assert start("echoes", value=1).result(timeout=30) == 1
        assert "denied" not in worker.said


def test_auditor_sees_everything(both: Logins, queue: dict[str, Any]) -> None:
    with override_settings(DURABLE=both.durable("web", **queue)), session(both.aliases["web"]):
        handle = start_workflow("returns", value=7)
    with override_settings(DURABLE=both.durable("auditor", **queue)), session(both.aliases["auditor"]):
        for command in (("durable_status", str(handle)), ("durable_queue",)):
            call_command(*command, stdout=StringIO(), stderr=StringIO())
        out = StringIO()
        with pytest.raises(SystemExit):  # no worker is up, and the queue is no reason
            call_command("durable_doctor", stdout=out)
        assert "denied" not in out.getvalue()
        with pytest.raises(Exception, match="permission denied"):
            cancel_workflow(handle)


# Nothing more


def forbidden() -> Iterator[tuple[str, str]]:
    history = "django_durable_historyevent"
    for role in ("worker", "web", "auditor"):
        yield role, f"UPDATE {history} SET details = details"
        yield role, f"DELETE FROM {history}"
        yield role, f"TRUNCATE {history}"
        yield role, "DELETE FROM django_durable_workflowexecution"
        yield role, "DELETE FROM django_durable_activitytask"
        yield role, f"ALTER TABLE {history} ADD COLUMN more text"
        yield role, f"DROP TABLE {history}"
        yield role, "CREATE TABLE public.mine (id int)"
        yield role, "UPDATE django_migrations SET name = name"
        yield role, "SELECT * FROM auth_user"
        yield role, "SELECT pg_read_file('/etc/hostname')"
    for table in (*TABLES, "durable_queue"):
        yield "auditor", f"INSERT INTO {table} DEFAULT VALUES"
        yield (
            "auditor",
            f"UPDATE {table} SET {'pid' if table.endswith('worker') else 'queue' if 'queue' in table else 'id'} = NULL",
        )
        yield "auditor", f"DELETE FROM {table}"
    yield "web", "SELECT * FROM django_durable_queueentry"
    yield "web", "DELETE FROM durable_queue"
    yield "web", "UPDATE django_durable_worker SET pid = 1"
    yield "web", "SELECT durable_queue_release_dead('{}', '{}', '', false)"


@pytest.mark.parametrize(("role", "statement"), list(forbidden()))
def test_role_may_not(both: Logins, role: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        both.execute(role, statement)


def test_every_right_of_web_is_needed(both: Logins, queue: dict[str, Any]) -> None:
    """What could be taken away should not have been given."""
    role, alias, owner = f"{both.prefix}_web", both.aliases["web"], both.aliases["owner"]
    tables = {*TABLES, "durable_queue"} - {"django_durable_queueentry" if queue else "durable_queue"}
    rights = both.execute(
        "owner",
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants "
        f"WHERE grantee = '{role}' ORDER BY 1, 2",
    )
    wanted = [(table, right) for table, right in rights if table in tables]
    assert len(wanted) >= 10

    def work() -> None:
        with override_settings(DURABLE=both.durable("web", **queue)), session(alias):
            blocked, running = start_workflow("echoes", value=1), start_workflow("waits_for_answer")
            busy = start_workflow("does_many_things", key="busy")
            asking = start_workflow("asks")
            with override_settings(DURABLE=both.durable("worker", **queue)), session(both.aliases["worker"]):
                make_worker(worker_settings(threads=0)).run(iterations=3)  # leaves the activity in the queue
            with pytest.raises(WaitTimeout):
                update_workflow(busy, "see", {"value": 1}, timeout=0)
            with override_settings(DURABLE=both.durable("worker", **queue)), session(both.aliases["worker"]):
                make_worker(worker_settings(threads=0)).run(iterations=3)
            forked = fork_workflow(busy, busy.execution.history_length + 1)
            assert forked.execution.messages.get().status == "COMPLETED"
            WorkflowExecution.objects.using(owner).filter(pk=blocked.id).update(status="BLOCKED")
            retry_workflow(blocked)
            send_signal(running, "other")
            with pytest.raises(WaitTimeout):
                update_workflow(running, "change", timeout=0)
            assert list(running.execution.history.all())  # as the admin and queries do
            assert get_event(running, "stage", default=None) is None
            assert not list(read_stream(running, follow=False))
            assert cancel_workflow(running)
            assert cancel_workflow(blocked)
            assert cancel_workflow(busy)
            assert cancel_workflow(forked)
            cancel_workflow(fork_workflow(asking, asking.execution.history_length + 1))
            answer_task(open_tasks(workflow="asks").filter(execution=asking.id).get(), "yes")

    work()
    for table, right in wanted:
        with connections[owner].cursor() as cursor:
            cursor.execute(f'REVOKE {right} ON "{table}" FROM "{role}"')
            try:
                with pytest.raises(Exception, match="permission denied"):
                    work()
            except pytest.fail.Exception:
                pytest.fail(f"{role} works without {right} on {table}")
            finally:
                cursor.execute(f'GRANT {right} ON "{table}" TO "{role}"')


def test_no_statement_of_the_store_changes_history() -> None:
    """The roles forbid what the code never does."""
    from django_durable.store import sql
    from django_durable.store.postgres import POSTGRES

    statements = [text for text in vars(sql.Statements(POSTGRES)).values() if isinstance(text, str)]
    assert len(statements) > 30
    assert any("INSERT INTO django_durable_historyevent" in text for text in statements)
    for text in statements:
        assert not re.search(r"(UPDATE|DELETE FROM) django_durable_historyevent", text)


# The script


def test_every_table_has_its_rights() -> None:
    models = {model._meta.model_name for model in apps.get_app_config("django_durable").get_models()}
    assert models == {*RIGHTS, OF_QUEUE}
    assert all({Duty.WORK, Duty.CALL} & set(rights) for rights in RIGHTS.values())


def test_running_it_again_takes_away_what_was_too_much(both: Logins) -> None:
    with connections[both.aliases["owner"]].cursor() as cursor:
        cursor.execute(f"GRANT ALL ON django_durable_historyevent TO {both.prefix}_worker")
    both.execute("worker", "DELETE FROM django_durable_historyevent")
    both.grant({})
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        both.execute("worker", "DELETE FROM django_durable_historyevent")


def test_names_are_quoted_and_have_their_schema(both: Logins) -> None:
    text = both.grant(QUEUES["postgres"])
    assert f'GRANT SELECT, INSERT ON TABLE public.django_durable_historyevent TO "{both.prefix}_worker";' in text
    assert f'ON TABLE "public"."durable_queue" TO "{both.prefix}_web";' in text


@pytest.mark.parametrize("prefix", ["", "Durable", 'x" SUPERUSER; --', "x$$", "9x", "x" * 42])
def test_prefix_that_is_no_plain_name_is_refused(both: Logins, prefix: str) -> None:
    with (
        override_settings(DURABLE=both.durable("owner")),
        pytest.raises(CommandError, match="small letters, digits and _"),
    ):
        call_command("durable_roles", prefix=prefix)


def test_sqlite_has_no_roles() -> None:
    with pytest.raises(CommandError, match="has no roles"):
        call_command("durable_roles")


def test_rights_for_a_queue_in_another_database_stand_apart(both: Logins, tmp_path_factory: Any) -> None:
    with both.owner.database() as other:
        queue = {"BACKEND": "postgres", "OPTIONS": {"dsn": other.url}}
        out = StringIO()
        with override_settings(DURABLE=both.durable("owner", **queue)):
            call_command("durable_queue_setup", verbosity=0)
            call_command("durable_roles", prefix=both.prefix, stdout=out)
        ours, theirs = out.getvalue().split("-- In the other database")
        assert "durable_queue" not in ours
        assert "django_durable" not in theirs
        assert other.password not in theirs
        with psycopg.connect(other.url, autocommit=True) as raw:
            raw.execute(theirs.partition("\n")[2].encode())
            raw.execute(f"DROP OWNED BY {both.prefix}_worker, {both.prefix}_web, {both.prefix}_auditor".encode())
