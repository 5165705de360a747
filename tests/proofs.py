"""Which tests prove which promise, read from the sources of the tests: nothing is imported.

A test bears ``@pytest.mark.promise("P1")``. The cases of the contract suites are shipped, and bear no mark of this
repository: `CONTRACT_CASES` of tests/promises.py names them.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PLACES = ("tests", "packages", "examples")
LIST = Path("tests/promises.py")
CASES = Path("packages/durable-core/src/durable_core/testing/contracts")


@dataclass(frozen=True, slots=True)
class NamedTest:
    """A test function, or a method of a test class."""

    path: Path  # from the root of the repository
    name: str  # as pytest has it: with its class
    promises: tuple[str, ...]

    @property
    def node_id(self) -> str:
        return f"{self.path}::{self.name}"

    @property
    def function(self) -> str:
        return self.name.rpartition("::")[2]


@cache
def all_tests(root: Path = ROOT) -> tuple[NamedTest, ...]:
    """All of the repository, by path and line."""
    files = sorted(path for place in PLACES for path in (root / place).rglob("*.py"))
    cases = _contract_cases(root)
    found = [test for file in files for test in _tests_of(file, root, cases)]
    known = {test.function for test in found if test.path.is_relative_to(CASES)}
    if missing := sorted(cases.keys() - known):
        raise LookupError(f"{LIST} names contract cases that are not there: {', '.join(missing)}")
    return tuple(found)


def proofs(root: Path = ROOT) -> dict[str, list[NamedTest]]:
    """The tests of each promise that has some."""
    by_promise: dict[str, list[NamedTest]] = {}
    for test in all_tests(root):
        for promise in test.promises:
            by_promise.setdefault(promise, []).append(test)
    return by_promise


def _contract_cases(root: Path) -> dict[str, tuple[str, ...]]:
    for node in ast.parse((root / LIST).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "CONTRACT_CASES" and node.value:
            cases: dict[str, tuple[str, ...]] = ast.literal_eval(node.value)
            return cases
    raise LookupError(f"{LIST} has no CONTRACT_CASES")


def _tests_of(file: Path, root: Path, cases: dict[str, tuple[str, ...]]) -> Iterator[NamedTest]:
    text = file.read_text(encoding="utf-8")
    if "def test_" not in text:
        return
    path = file.relative_to(root)
    shipped = cases if path.is_relative_to(CASES) else {}
    for name, function in _functions(ast.parse(text)):
        yield NamedTest(path, name, (*_marks(function), *shipped.get(function.name, ())))


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name.startswith("test_"):
                    yield f"{node.name}::{method.name}", method


def _marks(function: ast.FunctionDef) -> Iterator[str]:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.promise":
            yield from (ast.literal_eval(argument) for argument in decorator.args)
