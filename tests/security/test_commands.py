"""Whatever commands are given, they answer in words: no traceback, and nothing half done."""

from __future__ import annotations

import json
import string
import subprocess
from io import StringIO
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.db import connections
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from django_durable import start_workflow
from django_durable.models import WorkflowExecution
from tests.harness import MANAGE, ROOT, Project
from tests.security.test_sql import tables

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "S3CR3T"
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
inputs = (
    st.text(max_size=60)
    | values.map(json.dumps)  # with NaN, Infinity and numbers of any size
    | values.map(lambda value: json.dumps({"value": value}))
    | st.text('{}[]",:0123456789eE+-.ntfalsru\\ ', max_size=60)
    | st.text(max_size=20).map("@".__add__)
)
words = st.text(string.printable, max_size=40) | st.text(max_size=40) | st.uuids().map(str)
REPEATED = settings(
    max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def outcome(*command: str, **options: Any) -> int:
    """How the command ends. What is no `CommandError` is a traceback to whoever has typed it."""
    try:
        call_command(*command, stdout=StringIO(), stderr=StringIO(), **options)
    except CommandError as error:
        return error.returncode if str(error) else -1
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else -1
    return 0


@REPEATED
@given(text=inputs)
@example(text='{"value": 1, "value": 2}')
@example(text='{"value": NaN}')
@example(text="[1]")
@example(text="null")
@example(text='{"value": ' + "9" * 5000 + "}")
@example(text='{"value": 1e999}')
@example(text='{"value": ' + "[" * 3000 + "]" * 3000 + "}")
@example(text='{"value": "\x00\x1b[2J\x07"}')
@example(text='{"value": "\\ud800\\u0000"}')
@example(text='{"\udcff": 1}')
@example(text="@/")
@example(text="@\x00")
@example(text="@/proc/self/mem")
@example(text="\ufeff{}")
def test_start_with_any_input(here: None, text: str) -> None:
    before = WorkflowExecution.objects.count()
    code = outcome("durable_start", "returns", input=text)
    assert code in (0, 1)
    assert WorkflowExecution.objects.count() == before + (code == 0)


@REPEATED
@given(name=words, text=inputs, key=words)
@example(name="os.system", text="{}", key="x")
@example(name="", text="{}", key="")
@example(name="returns", text="{}", key="\x00")
def test_start_of_any_name(here: None, name: str, text: str, key: str) -> None:
    assert outcome("durable_start", name, input=text, workflow_id=key) in (0, 1)
    assert outcome("durable_start", name, queue=key, input=text) in (0, 1)


@REPEATED
@given(run=words, name=words, text=inputs)
@example(run="0" * 31, name="x", text="1")
@example(run="{00000000-0000-0000-0000-000000000000}", name="x", text="1")
@example(run="urn:uuid:zz", name="\ud800", text="1")
def test_any_run_by_any_command(here: None, run: str, name: str, text: str) -> None:
    made = str(start_workflow("waits_for_answer"))
    for target in (run, made):
        assert outcome("durable_signal", target, name, input=text) in (0, 1)
        assert outcome("durable_status", target, query=name, input=text) in (0, 1)
        assert outcome("durable_status", target) in (0, 1)
        assert outcome("durable_retry", target) in (0, 1)
        assert outcome("durable_cancel", target, reason=name) in (0, 1)


@REPEATED
@given(value=st.integers().map(str) | st.floats().map(str) | words)
@example(value="0x10")
@example(value="nan")
@example(value="1e309")
@example(value=",,")
def test_any_option_of_a_worker(here: None, value: str) -> None:
    command: Any = load_command_class("django_durable", "durable_worker")
    parser = command.create_parser("manage.py", "durable_worker")
    for option in ("--batch", "--tick", "--threads", "--drain-timeout", "--queue-name", "--worker-id", "--max-tasks"):
        try:
            options = vars(parser.parse_args([f"{option}={value}"]))
            chosen = command.settings_of(options)
        except CommandError:
            continue
        assert chosen.batch > 0
        assert 0 < chosen.tick < 1e6
        assert 0 < chosen.drain_timeout < 1e6
        assert all(chosen.queues) or not chosen.queues


COMMANDS: list[list[str]] = [
    ["durable_start", "returns", "--input", '{"value": '],
    ["durable_start", "returns", "--input", "@/no/such/file"],
    ["durable_start", "nobody-knows-this", "--input", "{}"],
    ["durable_signal", "not-a-uuid", "go", "--input", "[" * 3000],
    ["durable_status", str(uuid4())],
    ["durable_roles"],
]


def test_real_processes_answer_in_words(here: None, tmp_path: Path) -> None:
    project = Project(f"sqlite:{connections['default'].settings_dict['NAME']}", tmp_path)
    before = tables("default")
    running = [
        subprocess.Popen(
            [*MANAGE, *command],
            cwd=ROOT,
            env=project.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in COMMANDS
    ]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        assert out == ""
        assert "Traceback" not in err
        assert err.startswith("CommandError: ")
    assert tables("default") == before


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_secret_need_not_be_an_argument(here: None, tmp_path: Path, way: str) -> None:
    """Arguments are for everybody on the host to read; and what is wrong with a secret is told without it."""
    project = Project(f"sqlite:{connections['default'].settings_dict['NAME']}", tmp_path)
    for text, code in ((f'{{"value": "{SECRET}"}}', 0), (f'{{"value": "{SECRET}" oops', 1)):
        (tmp_path / "secret.json").write_text(text)
        argument = f"@{tmp_path}/secret.json" if way == "file" else "-"
        done = subprocess.run(
            [*MANAGE, "durable_start", "returns", "--input", argument],
            cwd=ROOT,
            env=project.environment(),
            input=text if way == "stdin" else None,
            stdin=None if way == "stdin" else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert SECRET not in done.stdout + done.stderr
        if code:
            assert "at line 1, column" in done.stderr
    assert WorkflowExecution.objects.get().input == {"value": SECRET}
