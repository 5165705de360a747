"""Programs for Hypothesis, which shrinks the random numbers they are made from."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.programs.generator import generate, generate_transfers

_randoms = st.randoms(use_true_random=False)

programs = st.builds(generate, _randoms, size=st.integers(1, 10), books=st.just(True), others=st.just(True))
transfers = st.builds(generate_transfers, _randoms, size=st.integers(1, 8))
