"""Worlds that are the same in every run of the tests; `nox -s mutation` tells its changes to them too."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.simulation.orders import SAVED as PROGRAMS
from tests.simulation.seeds import SAVED, Saved
from tests.simulation.simulation import simulate


@pytest.mark.parametrize("saved", SAVED, ids=lambda saved: str(saved.seed))
def test_saved_seed_is_good(saved: Saved) -> None:
    verdict = simulate(saved.seed)
    assert verdict.is_good, verdict.report


def test_programs_of_saved_seeds_are_kept() -> None:
    """A seed would stand for others as soon as the language grows."""
    assert {file.stem for file in PROGRAMS.iterdir()} == {str(saved.seed) for saved in SAVED}


@pytest.mark.parametrize("saved", SAVED, ids=lambda saved: str(saved.seed))
def test_saved_seed_has_a_named_test(saved: Saved) -> None:
    path, _, name = saved.named_test.partition("::")
    module = import_module(path.removesuffix(".py").replace("/", "."))
    assert callable(getattr(module, name))


@pytest.mark.parametrize("first", range(0, 25, 5))
def test_first_seeds_are_good(first: int) -> None:
    for seed in range(first, first + 5):
        verdict = simulate(seed)
        assert verdict.is_good, verdict.report
