"""The marker that tells which tests prove a promise, and the list that the documentation makes of it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.promises import PROMISES
from tests.proofs import ROOT, all_tests, proofs

if TYPE_CHECKING:
    from pathlib import Path

MARKED = """\
import pytest

@pytest.mark.promise("P1", "P3")
def test_of_two(): ...

class TestIt:
    @pytest.mark.parametrize("n", [1, 2])
    @pytest.mark.promise("P1")
    def test_in_a_class(self, n): ...

    def test_bears_none(self): ...
"""
LIST = 'CONTRACT_CASES: dict = {"test_of_a_queue": ("P9",)}\n'
CASES = "packages/durable-core/src/durable_core/testing/contracts"


def test_every_promise_has_tests_and_every_mark_a_promise():
    assert proofs().keys() == set(PROMISES)


def test_promises_are_those_of_the_documentation():
    page = (ROOT / "docs" / "explanation" / "semantics.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^(P\d+) \w.*\n: ", page, re.MULTILINE)) == PROMISES


def test_marks_are_read_from_the_sources(tmp_path: Path):
    files = {"tests/test_it.py": MARKED, "tests/promises.py": LIST}
    files |= {f"{CASES}/queue.py": "class Suite:\n    def test_of_a_queue(self): ...\n"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = {promise: [test.node_id for test in tests] for promise, tests in proofs(tmp_path).items()}
    assert found == {
        "P1": ["tests/test_it.py::test_of_two", "tests/test_it.py::TestIt::test_in_a_class"],
        "P3": ["tests/test_it.py::test_of_two"],
        "P9": [f"{CASES}/queue.py::Suite::test_of_a_queue"],
    }
    assert {test.function for test in all_tests(tmp_path)} >= {"test_bears_none"}


def test_contract_case_that_is_gone_is_missed(tmp_path: Path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "promises.py").write_text(LIST)
    with pytest.raises(LookupError, match="test_of_a_queue"):
        proofs(tmp_path)


def test_mark_with_a_slip_stops_the_collection(tmp_path: Path):
    (tmp_path / "test_it.py").write_text('import pytest\n\n@pytest.mark.promise("P11")\ndef test_it(): ...\n')
    command = [sys.executable, "-m", "pytest", "-p", "tests.promises", "-p", "no:cacheprovider", "--collect-only"]
    options = ["--strict-markers", f"--rootdir={tmp_path}", "-c", "/dev/null", str(tmp_path)]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "knows no 'P11'; there are P1, P2" in done.stderr
