from __future__ import annotations

import gc
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings

from django_durable import start_workflow
from django_durable.management.commands import durable_worker
from django_durable.management.shared import table
from django_durable.models import HistoryEvent, QueueEntry, Worker, WorkflowExecution
from tests.harness import MANAGE, ROOT, wait_until
from tests.project.app import durable_workflows
from tests.scenarios import ledger
from tests.store.databases import registered, sqlite_settings


def command(name, *args, **options):
    """(stdout, stderr) of a command that succeeded."""
    out, err = io.StringIO(), io.StringIO()
    call_command(name, *args, stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def refusal(name, *args, **options):
    with pytest.raises(CommandError) as caught:
        command(name, *args, **options)
    return caught.value


def work():
    command("durable_worker", "--until-idle", verbosity=0)


# durable_start


def test_start_prints_only_the_id():
    given = ["--input", '{"number": "7"}', "--timeout", "60", "--workflow-id", "o-7"]
    out, err = command("durable_start", "order", *given)
    execution = WorkflowExecution.objects.get()
    assert out == f"{execution.id}\n"
    assert err == ""
    assert UUID(out.strip()) == execution.id
    assert (execution.input, execution.workflow_id) == ({"number": "7"}, "o-7")
    assert execution.deadline is not None


def test_input_comes_from_a_file_or_stdin(tmp_path, monkeypatch):
    file = tmp_path / "input.json"
    file.write_text('{"number": "from a file"}')
    command("durable_start", "order", "--input", f"@{file}")
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"number": "from stdin"}'))
    command("durable_start", "order", "--input", "-")
    numbers = [execution.input["number"] for execution in WorkflowExecution.objects.order_by("id")]
    assert numbers == ["from a file", "from stdin"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{'number': 7}", "line 1, column 2"),
        ('{"number": 7', "column 13"),
        ("", "line 1, column 1"),
        ('{"number": NaN}', "NaN has no JSON form"),
        ("[7]", "got an array"),
        ("null", "got null"),
        ("7", "got a number"),
        ('{"nummer": 7}', "order(ctx, number)"),
        ("{}", "missing a required argument: 'number'"),
        ("@no/such/file", "cannot read no/such/file"),
        ("[" * 100_000, "nested too deep"),
        ('{"number": 7, "number": 8}', 'the key "number" twice'),
        ('{"number": {"a": 1, "a": 1}}', 'the key "a" twice'),
        ('{"number": "\udcff"}', "--input is not UTF-8"),  # so the byte 0xff comes in an argument
    ],
)
def test_bad_input_is_a_sentence(text, says):
    assert says in str(refusal("durable_start", "order", "--input", text))
    assert not WorkflowExecution.objects.exists()


def test_stdin_that_is_no_text_is_a_sentence(monkeypatch):
    """Whether the locale has Python refuse such bytes, or pass them on as lone surrogates."""
    for errors in ("strict", "surrogateescape"):
        stdin = io.TextIOWrapper(io.BytesIO(b'{"number": "\xff"}'), encoding="utf-8", errors=errors)
        monkeypatch.setattr(sys, "stdin", stdin)
        assert "stdin is not UTF-8" in str(refusal("durable_start", "order", "--input", "-"))
    assert not WorkflowExecution.objects.exists()


@pytest.mark.parametrize("wait", ["nan", "inf", "-1", "soon"])
def test_a_wait_that_makes_no_sense_starts_nothing(project, wait):
    seen = project.manage("durable_start", "approval", f"--wait={wait}")
    assert seen.returncode == 2
    assert f"'{wait}' is not a time in seconds, 0 or more" in seen.stderr
    assert not WorkflowExecution.objects.exists()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("name", ["durable_status", "durable_doctor"])
def test_nobody_minds_a_reader_that_has_seen_enough(project, name, unbuffered):
    handle = start_workflow("approval")
    args = [str(handle)] if name == "durable_status" else []
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as stdout:
        seen = subprocess.run(
            [*MANAGE, name, *args],
            cwd=ROOT,
            env=project.environment(PYTHONUNBUFFERED=unbuffered),
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (seen.returncode, seen.stderr) == (128 + signal.SIGPIPE, "")


def test_unknown_names_come_with_the_nearest():
    assert "Did you mean 'order'?" in str(refusal("durable_start", "ordr"))


def test_a_payload_over_the_limit_is_refused():
    with override_settings(DURABLE={"MAX_PAYLOAD": 20}):
        text = json.dumps({"number": "x" * 20})
        assert "the limit is 20" in str(refusal("durable_start", "order", "--input", text))


def test_an_unmigrated_database_says_migrate(tmp_path):
    entry = sqlite_settings(tmp_path / "new.sqlite3")
    with registered(entry) as alias, override_settings(DURABLE={"DATABASE": alias}):
        hint = f"python manage.py migrate --database {alias}"
        assert hint in str(refusal("durable_start", "approval"))
        assert hint in str(refusal("durable_worker", "--until-idle"))
        assert hint in str(refusal("durable_status", str(uuid4())))


def test_a_wrong_setting_is_a_sentence():
    with override_settings(DURABLE={"MAX_CRASH": 1}):
        assert "durable.E005" in str(refusal("durable_start", "approval"))


# durable_status


def test_status_of_a_waiting_run():
    handle = start_workflow("approval")
    work()
    out, _ = command("durable_status", str(handle))
    assert re.search(r"status +RUNNING", out)
    assert re.search(r"waits for +signal 'approved', for ", out)
    assert re.search(r"at +\S+durable_workflows.py:\d+", out)
    assert re.search(r"1 +\S+ +workflow_started +\{", out)
    assert all(line == line.rstrip() for line in out.splitlines())


def test_status_of_a_closed_run():
    handle = start_workflow("declined", reason="no\nmoney")
    work()
    out, _ = command("durable_status", str(handle), "--history", "2")
    assert "ActivityError" in out
    assert re.search(r"decline +FAILED +1 ", out)
    assert "history, after" in out


def test_status_as_json():
    handle = start_workflow("order", number="ü")
    work_until_closed(handle)
    out, _ = command("durable_status", str(handle), "--format", "json", "--history", "0")
    answer = json.loads(out)
    assert answer["status"] == "COMPLETED"
    assert answer["result"] == [True, "ü is on its way"]
    assert [event["seq"] for event in answer["history"]] == list(range(1, answer["history_length"] + 1))
    assert {activity["activity_name"] for activity in answer["activities"]} == {"place_order", "ship_order"}


def work_until_closed(handle):
    def closed():
        work()
        return handle.status.is_closed

    wait_until(closed, "the run to close")


def test_status_answers_queries():
    handle = start_workflow("approval")
    out, _ = command("durable_status", str(handle), "--query", "describe", "--input", '{"loud": true}')
    assert json.loads(out) == "APPROVAL IS PENDING"
    assert "Did you mean 'describe'?" in str(refusal("durable_status", str(handle), "--query", "describ"))


def test_a_query_with_input_that_it_does_not_take_is_a_sentence():
    handle = start_workflow("approval")
    said = str(refusal("durable_status", str(handle), "--query", "describe", "--input", '{"lout": true}'))
    assert "query 'describe': got an unexpected keyword argument 'lout'" in said
    assert "describe(execution, loud=False)" in said


@pytest.mark.parametrize("name", ["durable_status", "durable_cancel", "durable_retry"])
@pytest.mark.parametrize("bad", ["7", "not-a-uuid", str(UUID(int=7))])
def test_bad_ids_are_a_sentence(name, bad):
    assert bad in str(refusal(name, bad))


# durable_signal, durable_cancel, durable_retry


def test_signal():
    handle = start_workflow("approval")
    out, err = command("durable_signal", str(handle), "approved", "--input", '{"by": "me"}')
    assert out == ""
    assert "sent" in err
    command("durable_signal", str(start_workflow("approval")), "approved", verbosity=0)
    work()
    assert handle.result(timeout=0) == {"by": "me"}
    assert "takes no signal" in str(refusal("durable_signal", str(handle), "approved"))
    assert "not JSON" in str(refusal("durable_signal", str(handle), "approved", "--input", "{"))


def test_cancel():
    handle = start_workflow("approval")
    command("durable_cancel", str(handle), "--reason", "user requested")
    assert handle.execution.error == "WorkflowCanceled: user requested"
    error = refusal("durable_cancel", str(handle))
    assert error.returncode == 1
    assert "closed already (CANCELED)" in str(error)


def test_cancel_gracefully():
    handle = start_workflow("approval")
    work()
    command("durable_cancel", str(handle), "--graceful")
    assert handle.status == "RUNNING"
    work()
    assert handle.status == "CANCELED"


def test_retry_refuses_what_is_not_blocked():
    handle = start_workflow("approval")
    assert "not BLOCKED" in str(refusal("durable_retry", str(handle)))


# durable_worker


def test_worker_says_what_it_is():
    out, _ = command("durable_worker", "--iterations", "1", "--queue-name", "a,b", "--queue-name", "c", verbosity=2)
    assert (
        f"database 'default' ({connection.vendor}), queue 'database', queues a, b, c, 1 process(es) of 10 threads"
        in out
    )
    assert re.search(r"^workflows: (.+, )?approval, .*onboard", out, re.MULTILINE)
    assert re.search(r"^activities: (.+, )?approve, ", out, re.MULTILINE)
    assert command("durable_worker", "--iterations", "1", verbosity=0) == ("", "")


def test_a_worker_leaves_the_collector_as_it_was():
    def state():
        return gc.get_threshold(), gc.get_freeze_count() > 0

    before = state()
    work()
    assert state() == before
    gc.freeze()
    try:
        work()
        assert gc.get_freeze_count() > 0, "what somebody else has frozen stays so"
    finally:
        gc.unfreeze()


def test_worker_serves_the_queues_it_is_told_to():
    here, elsewhere = start_workflow("located"), start_workflow("located")
    WorkflowExecution.objects.filter(pk=elsewhere.id).update(queue="b")
    QueueEntry.objects.filter(ref=elsewhere.id).update(queue="b")
    command("durable_worker", "--until-idle", "--exclude-queues", "b", verbosity=0)
    assert (here.status, elsewhere.status) == ("COMPLETED", "PENDING")
    command("durable_worker", "--until-idle", "--queue-name", "b", verbosity=0)
    assert elsewhere.status == "COMPLETED"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--queue-name", "a", "--exclude-queues", "a"], "both name a"),
        (["--queue-name", "a,,b"], "no list of queue names"),
        (["--procs", "2", "--worker-id", str(uuid4())], "--worker-id names one process"),
        (["--procs", "2", "--reload"], "--reload works with one process"),
        (["--procs", "0"], "--procs: '0' is not a whole number, 1 or more"),
        (["--batch", "x"], "--batch: 'x' is not a whole number, 1 or more"),
        (["--tick", "0"], "--tick: '0' is not a time in seconds"),
        (["--tick", "soon"], "--tick: 'soon' is not a time in seconds"),
    ],
)
def test_worker_refuses_what_makes_no_sense(args, says):
    assert says in str(refusal("durable_worker", *args))


def test_a_child_is_called_as_its_parent_was(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["pytest"])
    parser = durable_worker.Command().create_parser("manage.py", "durable_worker")
    given = ["--procs", "3", "--batch", "5", "--queue-name", "a,b", "--until-idle", "--settings", "x.y", "-v", "0"]
    worker_id = uuid4()
    line = durable_worker.child_command(worker_id, vars(parser.parse_args(given)))
    assert line[:4] == [sys.executable, "-m", "django", "durable_worker"]
    child = vars(parser.parse_args(line[4:]))
    assert child["worker_id"] == worker_id
    assert child["child_of"] == os.getpid()
    assert child["procs"] == 1
    for name in ("batch", "until_idle", "settings", "verbosity"):
        assert child[name] == vars(parser.parse_args(given))[name]
    assert child["queue_name"] == ["a", "b"]


# Through real processes


def test_exit_codes_of_waiting(project):
    """0 completed, 3 failed, 4 canceled, 5 timed out, 124 when the wait ran out."""
    with project.worker():
        done = project.manage("durable_start", "order", "--input", '{"number": "7"}', "--wait")
        assert done.returncode == 0, done.stderr
        assert UUID(done.stdout.strip()) in ids()
        assert "completed: [true" in done.stderr
        assert project.manage("durable_start", "declined", "--wait", "20").returncode == 3
        assert project.manage("durable_start", "too_slow", "--wait", "20").returncode == 5
        late = project.manage("durable_start", "approval", "--wait", "0.1")
        assert late.returncode == 124
        assert "Traceback" not in late.stderr
    waiting = subprocess.Popen(
        [sys.executable, "-m", "tests.project.manage", "durable_start", "approval", "--wait"],
        cwd=ROOT,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert waiting.stdout is not None
    with waiting:
        command("durable_cancel", waiting.stdout.readline().strip())
        assert waiting.wait(20) == 4


def ids():
    return set(WorkflowExecution.objects.values_list("id", flat=True))


def test_errors_of_commands_exit_with_one_and_no_traceback(project):
    for args in (["durable_start", "ordr"], ["durable_status", "x"], ["durable_start", "order", "--input", "{"]):
        done = project.manage(*args)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith("CommandError: ")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_a_worker(project, number):
    with project.worker() as worker:
        wait_until(Worker.objects.exists, "the worker to come up")
        worker.send(number)
        assert worker.wait() == 0
    assert not Worker.objects.exists()


@pytest.mark.parametrize("procs", ["1", "2"])
def test_a_signal_lets_a_running_activity_end(project, procs, monkeypatch):
    monkeypatch.setenv(ledger.VARIABLE, str(project.folder))
    handle = start_workflow("onboarding", key="k")
    handle.signal("clicked", 5)
    with project.worker("--procs", procs) as worker:
        wait_until(lambda: ledger.effects("k-gated"), "the activity to begin")
        worker.send(signal.SIGTERM)
        wait_until(lambda: "draining" in worker.said, "the worker to drain")
        ledger.open_gate("k-gated")
        assert worker.wait() == 0
    assert len(ledger.effects("k-gated")) == 1
    assert HistoryEvent.objects.filter(execution=handle.id, type="activity_completed").count() == 2


def test_a_second_signal_forces_a_worker(project, monkeypatch):
    monkeypatch.setenv(ledger.VARIABLE, str(project.folder))
    handle = start_workflow("onboarding", key="k")
    handle.signal("clicked", 5)
    with project.worker("--procs", "2") as worker:
        wait_until(lambda: ledger.effects("k-gated"), "the activity to begin")
        worker.send(signal.SIGTERM)
        wait_until(lambda: "draining" in worker.said, "the worker to drain")
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
    task = handle.execution.activities.get(activity_name="gated")
    assert (task.status, task.attempt) == ("QUEUED", 0), "given back, and not charged"


def test_a_dead_child_is_replaced_and_its_work_goes_on_at_once(project):
    project.settings["WORKER_TIMEOUT"] = 60  # only the parent can know so soon
    handle = start_workflow("survives")
    with project.worker("--procs", "2") as worker:
        assert handle.result(timeout=20) == 2
        wait_until(lambda: Worker.objects.count() == 2, "another child")
        assert "was killed by SIGKILL" in worker.said
        assert worker.stop() == 0
    assert not Worker.objects.exists()


def test_children_notice_a_dead_parent(project):
    with project.worker("--procs", "2") as worker:
        wait_until(lambda: Worker.objects.count() == 2, "two children")
        pids = list(Worker.objects.values_list("pid", flat=True))
        worker.kill()
        wait_until(lambda: not Worker.objects.exists(), "the children to leave")
        wait_until(lambda: not any(map(is_alive, pids)), "the children to end")


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_until_idle_ends_all_processes(project):
    handles = [start_workflow("located") for _ in range(20)]
    done = project.manage("durable_worker", "--procs", "2", "--until-idle")
    assert done.returncode == 0, done.stderr
    assert all(handle.status == "COMPLETED" for handle in handles)


def test_reload_gives_back_and_starts_again(project):
    with project.worker("--reload") as worker:
        wait_until(Worker.objects.exists, "the worker to come up")
        [pid] = Worker.objects.values_list("pid", flat=True)
        assert pid != worker.pid, "the reloader's parent does no work"

        def changed():  # again and again: the reloader may not have looked at the file before
            Path(durable_workflows.__file__).touch()
            return not Worker.objects.filter(pid=pid).exists()

        wait_until(changed, "the old process to leave")
        wait_until(Worker.objects.exists, "the new process to come up")
        assert worker.stop() == 0
    assert not Worker.objects.exists()


def test_a_worker_killed_in_mid_activity_costs_time_only(project):
    """The line of the README, with a SIGKILL: the run ends as if nothing had happened."""
    handle = start_workflow("survives")
    with project.worker() as worker:
        assert worker.wait() == -signal.SIGKILL
    with project.worker():
        assert handle.result(timeout=20) == 2


# Tables


def test_a_table_keeps_its_columns():
    text = table(("a", "bb"), [(1, None), ("x" * 100, "y\nz")])
    lines = text.splitlines()
    assert lines[0].startswith("a ")
    assert lines[2].endswith("…  y z")
    assert len(lines) == 3


# durable_pause, durable_resume


def test_pause_and_resume():
    handle = start_workflow("approval")
    call_command("durable_pause", str(handle), reason="look at it", verbosity=0)
    assert "was paused already" in str(refusal("durable_pause", str(handle)))
    said = io.StringIO()
    call_command("durable_status", str(handle), stdout=said)
    assert "look at it" in said.getvalue()
    call_command("durable_resume", str(handle), verbosity=0)
    assert "was not paused" in str(refusal("durable_resume", str(handle)))


def test_start_under_an_id_that_is_taken():
    call_command("durable_start", "approval", workflow_id="w")
    assert "belongs to the open run" in str(refusal("durable_start", "approval", workflow_id="w", id_conflict="fail"))
    call_command("durable_start", "approval", workflow_id="w", id_conflict="terminate_existing")
    statuses = WorkflowExecution.objects.order_by("created_at").values_list("status", flat=True)
    assert list(statuses) == ["CANCELED", "PENDING"]


# durable_fork


def test_fork_prints_only_the_new_id():
    handle = start_workflow("approval")
    work()
    length = handle.execution.history_length
    out, err = command("durable_fork", str(handle), "--from-seq", str(length + 1), "--workflow-id", "again")
    fork = WorkflowExecution.objects.get(id=UUID(out.strip()))
    assert (out, err) == (f"{fork.id}\n", "")
    assert (fork.forked_from_id, fork.workflow_id, fork.status) == (handle.id, "again", "RUNNING")
    assert list(handle.execution.forks.all()) == [fork]
    work()
    assert f"forked from {handle.id}" in command("durable_status", str(fork.id))[0]
    assert json.loads(command("durable_status", str(fork.id), "--format", "json")[0])["forked_from"] == str(handle.id)
    said = str(refusal("durable_fork", str(handle), "--from-seq", "99"))
    assert f"Expected 2 to {length + 1}; the nearest is {length + 1}." in said
