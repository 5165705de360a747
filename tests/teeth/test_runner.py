"""The runner itself, on a small tree: what is caught, what survives, and what proves nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.teeth.__main__ import line_of
from tests.teeth.mutation import ROOT, Misplaced, Mutation
from tests.teeth.runner import Finding, Runner, Unsound
from tests.teeth.workshop import Outcome

PRODUCT = """
def limit():
    return 3

def unused():
    return 4
"""
TESTS = """
import pytest
from lie_detector import limit

@pytest.fixture
def server():
    assert limit() == 3

def test_limit():
    assert limit() == 3

def test_type():
    assert isinstance(limit(), int)

@pytest.mark.parametrize("n", [3, 4])
def test_bound(n):
    assert limit() <= n

def test_on_a_server(server):
    pass

def test_that_fails_always():
    assert limit() == 5
"""
HANGS = "(lambda: [0 for _ in iter(int, 1)])()"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    package = root / "packages" / "lie" / "src" / "lie_detector"
    teeth = root / "tests" / "teeth"
    for folder in (package, teeth):
        folder.mkdir(parents=True)
    (package / "__init__.py").write_text(PRODUCT)
    (root / "tests" / "test_lies.py").write_text(TESTS)
    for file in ("tests/__init__.py", "tests/teeth/__init__.py", "tests/teeth/reporting.py"):
        shutil.copyfile(ROOT / file, root / file)
    (root / "pytest.ini").write_text("[pytest]\n")
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    return root


def lie(new: str, *tests: str, old: str = "return 3") -> Mutation:
    node_ids = tuple(f"tests/test_lies.py::{test}" for test in tests)
    return Mutation(new, "packages/lie/src/lie_detector/__init__.py", old, new, node_ids)


LIES = [
    lie("return 5", "test_limit", "test_bound"),
    lie("return 4", "test_limit", "test_bound", "test_bound[3]"),
    lie("return 2", "test_limit", "test_type"),
    lie("return 6", "test_on_a_server"),
    lie("return nothing", "test_missing"),
    lie("return 5", "test_limit", old="return 4"),
]


@pytest.fixture(scope="module")
def findings(tree: Path) -> list[Finding]:
    with Runner(tree) as runner:
        return list(runner.findings(LIES))


def test_lie_that_every_named_test_finds_is_caught(findings: list[Finding]) -> None:
    assert [finding.survived for finding in findings[:2]] == [False, False]
    assert line_of(findings[0]).startswith("caught")
    assert line_of(findings[0]).endswith("return 5: test_limit, test_bound")


def test_lie_survives_that_one_of_the_named_tests_does_not_find(findings: list[Finding]) -> None:
    missed = findings[2]
    assert missed.survived
    assert missed.missed_by == ["tests/test_lies.py::test_type"]
    assert line_of(missed).splitlines()[1].strip() == "not by tests/test_lies.py::test_type: passed"


def test_what_goes_wrong_around_a_test_finds_nothing(findings: list[Finding]) -> None:
    assert [set(finding.trial.outcomes.values()) for finding in findings[3:5]] == [{Outcome.OTHER}] * 2
    assert all(finding.survived for finding in findings[3:5])


def test_test_that_hangs_is_stopped_and_has_found_nothing(tree: Path) -> None:
    with Runner(tree, processes=1, patience=1.0) as runner:
        (finding,) = runner.findings([lie(f"return {HANGS}", "test_limit")])
    assert finding.trial.outcomes == {"tests/test_lies.py::test_limit": Outcome.HUNG}
    assert finding.survived  # a test that needs a time limit from outside is to be mended


def test_lie_does_not_outlive_its_trial(findings: list[Finding]) -> None:
    assert findings[5].trial.outcomes == {"tests/test_lies.py::test_limit": Outcome.PASSED}


def test_tests_that_fail_without_a_lie_prove_nothing(tree: Path) -> None:
    with Runner(tree, processes=1) as runner:
        runner.check([lie("return 4", "test_limit")])
        with pytest.raises(Unsound, match="test_that_fails_always failed"):
            runner.check([lie("return 4", "test_limit", "test_that_fails_always")])


def test_copy_is_imported_and_the_tree_is_left_alone(tree: Path) -> None:
    with Runner(tree, processes=1) as runner, runner._workshop() as workshop:
        assert workshop.strangers() == []
        with workshop.telling(LIES[0]):
            assert "return 5" in (workshop.folder / LIES[0].file).read_text()
            assert "return 5" not in (tree / LIES[0].file).read_text()
        assert (workshop.folder / LIES[0].file).read_text() == PRODUCT


@pytest.mark.parametrize("old", ["return 7", "return"])
def test_lie_that_has_no_place_is_refused(old: str) -> None:
    with pytest.raises(Misplaced, match=r"expected its text once in .*, found it \d times"):
        lie("return 4", "test_limit", old=old).applied_to(PRODUCT)
