"""The commands on a live site: what they print, and how they exit."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from django_durable import send_signal
from django_durable.models import WorkflowExecution
from tests.scenarios import ledger
from tests.waiting import wait_until

# What a command prints does not depend on the worker's cache, and a mistake comes before any database.
on_both = pytest.mark.parametrize("site_with_worker", ["sqlite-cached", "postgres-cached"], indirect=True)
on_one = pytest.mark.parametrize("site_with_worker", ["sqlite-cached"], indirect=True)


@on_both
def test_durable_start_prints_only_the_id(site):
    done = site.project.manage("durable_start", "echoes", "--input", '{"value": 7}')
    assert done.returncode == 0, done.stderr
    handle = UUID(done.stdout.strip())
    assert site.until(handle, "COMPLETED").result == 7


@on_both
@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["echoes", "--input", '{"value": 7}', "--wait"], 0, "completed: 7"),
        (["raises", "--wait"], 3, "ValueError: boom"),
        (["sleeps", "--input", '{"seconds": 60}', "--timeout", "0.05", "--wait"], 5, "timed out"),
        (["sleeps", "--input", '{"seconds": 0.5}', "--wait", "0.05"], 124, "is still"),
    ],
)
def test_durable_start_wait_exits_as_the_run_ended(site, args, code, says):
    done = site.project.manage("durable_start", *args)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    UUID(done.stdout.strip())


@on_both
def test_durable_start_wait_exits_with_4_for_a_canceled_run(site, key):
    rows = WorkflowExecution.objects.using(site.alias).filter(workflow_id=key)
    with ThreadPoolExecutor(1) as pool:
        args = ("durable_start", "waits_for_answer", "--workflow-id", key, "--wait")
        waiting = pool.submit(site.project.manage, *args)
        ident = str(wait_until(rows.first, "the run").id)
        done = site.project.manage("durable_cancel", ident, "--reason", "user requested")
        assert done.returncode == 0, done.stderr
        waited = waiting.result()
    assert waited.returncode == 4
    assert waited.stdout.strip() == ident
    assert "user requested" in waited.stderr
    done = site.project.manage("durable_cancel", ident, "--reason", "again")
    assert done.returncode == 1
    assert "closed already (CANCELED)" in done.stderr


@on_one
@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["durable_start", "ecoes"], "Did you mean 'echoes'"),
        (["durable_start", "echoes", "--input", "{value: 7}"], "is not JSON"),
        (["durable_start", "echoes", "--input", "[7]"], "must be a JSON object"),
        (["durable_start", "echoes", "--input", '{"wrong": 7}'], "echoes(ctx, value=None)"),
        (["durable_start", "echoes", "--input", '{"value": NaN}'], "NaN"),
        (["durable_status", "no-uuid"], "expected a UUID"),
        (["durable_status", "00000000-0000-0000-0000-000000000000"], "No workflow execution"),
        (["durable_signal", "00000000-0000-0000-0000-000000000000", "x"], "No workflow execution"),
        (["durable_cancel", "00000000-0000-0000-0000-000000000000"], "No workflow execution"),
    ],
)
def test_mistakes_are_sentences(site, args, says):
    done = site.project.manage(*args)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@on_both
def test_the_lines_of_the_readme_work(site, key):
    given = json.dumps({"key": key})
    ident = site.project.manage("durable_start", "onboarding", "--input", given).stdout.strip()
    site.until_waiting(ident, "signal")
    status = site.project.manage("durable_status", ident)
    assert "RUNNING" in status.stdout
    assert "signal 'clicked'" in status.stdout
    done = site.project.manage("durable_signal", ident, "clicked", "--input", '{"clicked": true}')
    assert done.returncode == 0, done.stderr
    wait_until(lambda: ledger.effects(f"{key}-gated"), "the activity to begin")
    ledger.open_gate(f"{key}-gated")
    site.until(ident, "COMPLETED")
    status = site.project.manage("durable_status", ident)
    for part in ("COMPLETED", "workflow_started", "activity_completed", "signal_received", "gated", '"clicked"'):
        assert part in status.stdout
    done = site.project.manage("durable_signal", ident, "clicked")
    assert done.returncode == 1
    assert "COMPLETED" in done.stderr


@on_both
def test_durable_status_answers_queries_and_speaks_json(site):
    handle = site.start("collects", names=["a", "b"])
    asked = site.project.manage("durable_status", str(handle), "--query", "names_of", "--input", '{"upper": true}')
    assert json.loads(asked.stdout) == "A,B"
    answer = json.loads(site.project.manage("durable_status", str(handle), "--format", "json").stdout)
    assert answer["id"] == str(handle)
    assert answer["input"] == {"names": ["a", "b"]}
    for name in ("a", "b"):
        send_signal(handle, name)
    assert handle.result(timeout=30) == [None, None]


@on_both
def test_durable_cancel_graceful_asks_the_code(site, key):
    handle = site.start("cleans_up", key=key)
    site.until_waiting(handle, "signal")
    done = site.project.manage("durable_cancel", str(handle), "--graceful", "--reason", "bye")
    assert done.returncode == 0, done.stderr
    site.until(handle, "CANCELED")
    assert ledger.effects(f"{key}-cleanup")[0].endswith(" bye")


@on_both
def test_durable_cancel_keep_queued_leaves_activities_alone(site, key, queue):
    handle = site.start("tries", name="effect", args=[key], options={"queue": queue})
    site.until_waiting(handle, "activity")
    assert site.project.manage("durable_cancel", str(handle), "--keep-queued").returncode == 0
    assert [task.status for task in site.tasks(handle)] == ["QUEUED"]
