"""The bank does not rot: each lie can still be told, in one line, and the tests that must find it are there."""

from __future__ import annotations

import difflib
import importlib
from collections import Counter
from typing import Any

import pytest

from tests.teeth.bank import BANK
from tests.teeth.mutation import ROOT

NAMED = sorted({test for mutation in BANK for test in mutation.caught_by})


def test_bank_is_as_large_as_promised() -> None:
    assert len(BANK) >= 40


def test_names_are_unique_in_their_files() -> None:
    assert [name for name, number in Counter((m.file, m.name) for m in BANK).items() if number > 1] == []


def test_every_lie_can_be_told_in_one_line() -> None:
    for mutation in BANK:
        path = ROOT / mutation.file
        lie = mutation.applied_to(path.read_text())
        changes = Counter(line[:2] for line in difflib.ndiff(mutation.old.splitlines(), mutation.new.splitlines()))
        assert max(changes["- "], changes["+ "]) == 1, mutation.name
        if path.suffix == ".py":
            compile(lie, mutation.file, "exec")


def test_every_lie_is_about_the_product_and_has_somebody_to_find_it() -> None:
    wrong = [m.name for m in BANK if not m.file.startswith("packages/") or "/testing/" in m.file or not m.caught_by]
    assert wrong == []


def test_every_test_that_is_named_exists(request: pytest.FixtureRequest) -> None:
    collected = {item.nodeid for item in request.session.items}
    selected = request.config.getoption("keyword") or request.config.getoption("markexpr")
    missing = []
    for test in NAMED:
        base, has_parameters, _ = test.partition("[")
        file, *names = base.split("::")
        found: Any = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        for name in names:
            found = getattr(found, name, None)
        alike = {node for node in collected if node.partition("[")[0] == base}
        # Its parameters are only known where it was collected, as in a run of all tests.
        known = test in alike or selected or not alike or not has_parameters
        if not known or not callable(found):
            missing.append(test)
    assert missing == []
