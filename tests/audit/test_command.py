"""`durable_audit` as operators use it: what it prints, how it exits, and that it changes nothing."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connections
from django.utils import timezone

from django_durable.models import WorkflowExecution
from tests.project.settings import SQLITE_OPTIONS
from tests.sites import entered
from tests.store.databases import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.audit.conftest import World
    from tests.sites import Site

KEYS = {"clean", "database", "since", "sample", "looked_at", "replayed", "not_replayed", "violations"}


@contextmanager
def corrupted(world: World) -> Iterator[None]:
    """A violation that other processes see."""
    world.sql("UPDATE workflowexecution SET result = '[0]' WHERE id = %s", world.done)
    try:
        yield
    finally:
        world.sql("UPDATE workflowexecution SET result = %s WHERE id = %s", result_of(world), world.done)


def result_of(world: World) -> str:
    """As the history has it."""
    end = world.site.execution(world.done).history.get(type="workflow_completed")
    return json.dumps(end.details["result"], separators=(",", ":"))


class TestExitCode:
    def test_is_0_where_nothing_is_wrong(self, world: World):
        done = world.site.project.manage("durable_audit")
        assert (done.returncode, done.stderr) == (0, "")
        assert "no violation in" in done.stdout

    def test_is_1_where_something_is(self, world: World):
        with corrupted(world):
            code, said, complaints = world.command()
        assert (code, complaints) == (1, "")
        assert "1 violation in" in said

    @pytest.mark.parametrize(
        "args",
        [
            ["--since", "yesterday"],
            ["--since", "2026-13-01"],
            ["--sample", "0"],
            ["--sample", "1.5"],
            ["--sample", "a few"],
            ["--examples", "-1"],
            ["--replay", "some"],
            ["--no-such-option"],
        ],
        ids=" ".join,
    )
    def test_is_2_for_what_it_does_not_understand(self, world: World, args: list[str]):
        code, said, complaints = world.command(*args)
        assert (code, said) == (2, "")
        assert args[0] in complaints
        assert "Traceback" not in complaints

    def test_is_2_where_it_could_not_look(self, world: World):
        nowhere = "sqlite:/no/such/folder/durable.sqlite3"
        done = world.site.project.manage("durable_audit", DURABLE_TEST_DB=nowhere)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


class TestForPeople:
    def test_violation_is_told_with_its_place_and_what_to_do(self, world: World):
        with corrupted(world):
            _, said, _ = world.command()
        assert all(len(line) <= 80 for line in said.splitlines())
        flat = " ".join(said.split())
        assert re.search(r"1 one end 1 run " + str(world.done), flat)
        assert "found: result '[0]'" in flat
        assert "expected: '[1,2,3," in flat
        assert "To do: " in flat
        assert "1 violation in" in flat

    def test_examples_are_as_many_as_wanted(self, world: World):
        with corrupted(world):
            _, said, _ = world.command("--examples", "0")
        assert str(world.done) not in said
        assert "and 1 more" in said


class TestForScripts:
    def test_json_has_the_documented_form(self, world: World):
        said = world.audit()
        said.pop("code")
        assert said.keys() == KEYS
        assert said["looked_at"].keys() == {
            "runs",
            "open_runs",
            "events",
            "activities",
            "mail",
            "entries",
            "unreadable",
        }
        assert all(isinstance(number, int) for number in said["looked_at"].values())
        assert said["clean"] is True

    def test_violation_has_the_documented_form(self, world: World):
        with corrupted(world):
            [violation] = world.audit()["violations"]
        assert violation.keys() == {"invariant", "name", "count", "examples"}
        assert (violation["invariant"], violation["name"], violation["count"]) == (1, "one end", 1)
        [example] = violation["examples"]
        assert example.keys() == {"run_id", "seq", "call_id", "task_id", "found", "expected"}
        assert example["run_id"] == str(world.done)


class TestScope:
    def test_since_leaves_out_what_is_older(self, world: World):
        newest = world.site.execution(world.pending).created_at
        assert world.audit("--since", newest.isoformat())["looked_at"]["runs"] == 1
        assert world.audit("--since", "2999-01-01")["looked_at"]["runs"] == 0
        assert world.audit("--since", "1h")["looked_at"]["runs"] >= 12

    def test_since_is_in_the_projects_time_zone(self, world: World):
        newest = timezone.localtime(world.site.execution(world.pending).created_at)
        naive = newest.replace(tzinfo=None).isoformat()
        assert world.audit("--since", naive)["since"] == newest.isoformat()

    def test_sample_is_always_the_same_share(self, world: World):
        halves = [world.audit("--sample", "0.5")["looked_at"]["runs"] for _ in range(2)]
        assert halves[0] == halves[1] < world.audit()["looked_at"]["runs"]


class TestReadsOnly:
    def test_every_statement_reads(self, world: World):
        seen: list[str] = []

        def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            seen.append(" ".join(sql.split()))
            return execute(sql, params, many, context)

        with connections[world.site.alias].execute_wrapper(note):
            world.audit()
        reads = re.compile(r"SELECT|SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY|PRAGMA|BEGIN|COMMIT")
        assert [sql for sql in seen if not reads.match(sql)] == []
        assert any("historyevent" in sql for sql in seen)

    def test_number_of_statements_does_not_depend_on_the_number_of_runs(self, world: World):
        counts = []
        for args in ((), ("--since", "2999-01-01")):
            seen: list[str] = []

            def note(execute: Any, sql: str, *rest: Any, seen: list[str] = seen) -> Any:
                seen.append(sql)
                return execute(sql, *rest)

            with connections[world.site.alias].execute_wrapper(note):
                world.audit("--replay", "none", *args)
            counts.append(len(seen))
        runs = WorkflowExecution.objects.using(world.site.alias).count()
        assert counts[0] - counts[1] <= 12 < runs  # a table each of a page, and a second look at what needs an entry

    def test_contents_are_the_same_afterwards(self, world: World):
        before = contents(world.site)
        assert world.command()[0] == 0
        assert contents(world.site) == before

    def test_role_that_may_only_select_is_enough(self, world_of: World):
        if world_of.site.on_sqlite:
            self.on_a_file_that_may_only_be_read(world_of.site)
            return
        with entered(world_of.site), connections[world_of.site.alias].cursor() as cursor:
            cursor.execute("CREATE ROLE auditor LOGIN PASSWORD 'auditor'")
            try:
                cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor")
                done = world_of.site.project.manage("durable_audit", DURABLE_TEST_DB=as_auditor(world_of.site))
            finally:
                cursor.execute("DROP OWNED BY auditor")
                cursor.execute("DROP ROLE auditor")
        assert (done.returncode, done.stderr) == (0, "")

    def on_a_file_that_may_only_be_read(self, site: Site) -> None:
        name = f"sqlite:file:{site.project.url.removeprefix('sqlite:')}?mode=ro"
        options = json.dumps({"uri": True, **SQLITE_OPTIONS})
        done = site.project.manage("durable_audit", DURABLE_TEST_DB=name, DURABLE_TEST_SQLITE_OPTIONS=options)
        assert (done.returncode, done.stderr) == (0, "")


def as_auditor(site: Site) -> str:
    parts = urlsplit(site.project.url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"auditor:auditor@{host}"))


def contents(site: Site) -> str:
    digest = hashlib.sha256()
    with connections[site.alias].cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT * FROM django_durable_{table} ORDER BY id")
            digest.update(repr(cursor.fetchall()).encode())
    return digest.hexdigest()
