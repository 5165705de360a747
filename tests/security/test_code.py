"""JSON only, and nothing that is stored becomes code."""

from __future__ import annotations

import ast
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from django_durable import ActivityError, wait_workflow
from django_durable.models import WorkflowExecution
from durable_core import events as e
from durable_core.codec import Payload, decode
from durable_core.errors import WorkflowFailed
from durable_core.failures import describe
from tests.core.stories import Story, failed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

FORBIDDEN_MODULES = {
    "pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "jsonpickle",
    "yaml",
    "xml",
    "code",
    "codeop",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "execfile", "input"}
SHELLS = {"system", "popen", "getoutput", "getstatusoutput", "spawnl", "spawnv", "execl", "execv", "execve", "execvp"}

# Where a text becomes a module or an attribute, and whose text that is.
IMPORTS_BY_NAME = {
    ("durable_core/hooks/loading.py", "load"): "entry points of installed packages, and DURABLE['PLUGINS'], a setting",
    ("durable_core/testing/__init__.py", "import_module"): "names of this package's own modules",
    ("django_durable/backends.py", "import_module"): "DURABLE['QUEUE']['BACKEND'], a setting",
    ("django_durable/people/forms.py", "import_string"): "forms of tasks, in apps of INSTALLED_APPS only",
    ("django_durable/codecs.py", "import_string"): "CLASS in DURABLE['CODECS'] and DURABLE['PAYLOAD_STORE'], settings",
    ("django_durable/registration.py", "autodiscover_modules"): "INSTALLED_APPS, a setting",
}
PROCESSES = {
    ("django_durable/supervisor.py", "Popen"): "this very command, as a child",
    ("django_durable/management/commands/durable_worker.py", "Popen"): "this very command, for --reload",
    ("durable_core/audit/peers.py", "Popen"): "Python with a module of ours, to replay in a fresh process",
    ("durable_core/worker/child.py", "Popen"): "Python with a module of ours, for activities in processes of their own",
    ("durable_core/testing/processes.py", "Popen"): "the suites' own, for tests of queues",
    ("durable_core/testing/processes.py", "fork"): "the suites' own, for tests of queues",
    ("durable_core/testing/contracts/queue_processes.py", "fork"): "likewise",
}


@cache
def trees() -> dict[str, ast.Module]:
    """All modules of the packages, by their paths below ``src``."""
    return {
        "/".join(path.parts[path.parts.index("src") + 1 :]): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(ROOT.glob("packages/*/src/**/*.py"))
    }


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """(file, name of what is called, the call) of all packages."""
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                match node.func:
                    case ast.Name(id=called) | ast.Attribute(attr=called):
                        yield name, called, node


def test_no_package_imports_what_makes_objects_of_bytes() -> None:
    assert len(trees()) > 100
    for path, tree in trees().items():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not [name for name in names if name.partition(".")[0] in FORBIDDEN_MODULES], path


def test_no_package_runs_text_as_code() -> None:
    for file, called, node in calls():
        bare = isinstance(node.func, ast.Name)
        assert not (bare and called in FORBIDDEN_CALLS), f"{file}:{node.lineno}"
        assert called not in SHELLS, f"{file}:{node.lineno}"
        assert not [k for k in node.keywords if k.arg == "shell"], f"{file}:{node.lineno}"


def test_what_is_imported_by_name_is_named_by_settings() -> None:
    importing = {"import_module", "import_string", "autodiscover_modules", "locate", "load_module", "exec_module"}
    found = {(file, called) for file, called, _ in calls() if called in importing}
    found |= {
        (file, "load") for file, called, node in calls() if called == "load" and file.endswith("hooks/loading.py")
    }
    assert found == set(IMPORTS_BY_NAME)


def test_the_only_processes_are_our_own_command() -> None:
    starting = {"Popen", "run", "call", "check_call", "check_output", "fork"}
    found = {
        (file, called)
        for file, called, node in calls()
        if called in starting and (called in ("Popen", "fork") or "subprocess" in ast.dump(node.func))
    }
    assert found == set(PROCESSES)


# Forged payloads

GADGETS = [
    '{"py/object": "subprocess.Popen", "py/reduce": [{"py/type": "os.system"}, {"py/tuple": ["true"]}]}',
    '{"__reduce__": ["os.system", ["true"]]}',
    '{"__class__": {"__name__": "os.system"}, "__init__": {"__globals__": {}}}',
    '{"$ref": "file:///etc/passwd", "@type": "java.lang.Runtime"}',
    "\"!!python/object/apply:os.system ['true']\"",
    '{"__type__": "datetime", "value": "2020"}',
]


@pytest.mark.parametrize("text", GADGETS)
def test_forged_payload_stays_data(text: str) -> None:
    value = decode(text)
    assert type(value) in (dict, str)
    story = Story(lambda ctx: ctx.run_activity("old"))
    story.start()
    story.give(e.ActivityCompleted(call_id="0", attempt=1, result=Payload(text)))
    assert story.result == value


@pytest.mark.parametrize("name", ["builtins.exec", "SystemExit", "os.system", "KeyboardInterrupt", "__main__.x"])
def test_forged_type_of_an_error_is_text(name: str) -> None:
    """Nothing is imported, and no class is made of it."""
    failure = {**describe(ValueError("x")), "type": name, "bases": [name, "BaseException"]}

    def code(ctx):
        try:
            ctx.run_activity("old")
        except ActivityError as error:
            return [type(error).__name__, error.type_name, error.is_caused_by(name)]

    story = Story(code)
    story.start()
    story.give(replace(failed("0"), failure=failure))
    assert story.result == ["ActivityError", name, True]


def test_error_of_a_run_is_told_as_text(here: None) -> None:
    row = WorkflowExecution.objects.create(workflow_name="x", status="FAILED", error="builtins.exec: print(1)")
    with pytest.raises(WorkflowFailed) as caught:
        wait_workflow(row, timeout=0)
    assert (type(caught.value), caught.value.type_name) == (WorkflowFailed, "builtins.exec")
