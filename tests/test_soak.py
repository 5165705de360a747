"""The soak finds what is not flat, and a short one comes to its end."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.load import DECK
from benchmarks.sampling import Sample
from benchmarks.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
PACE = 100.0


def flat(number: int) -> Sample:
    """The look at *number* minutes of an hour in which nothing changes."""
    at = number * 60.0
    ripple = 1 + 0.1 * (number % 3)
    return Sample(
        at=at,
        offered=round(at * PACE),
        closed=round(at * PACE * 1.02),
        open=30 + number % 5,
        rss=[60.0 * ripple, 61.0],
        cpu=[at / 4, at / 4],
        claim_p50=5.0 * ripple,
        claim_p99=20.0,
        done_p50=9.0 * ripple,
        done_p99=40.0,
        search=0.5 * ripple,
    )


def verdict(change: Callable[[Sample], Sample] = lambda sample: sample, looks: int = 60) -> set[str]:
    """What is not flat."""
    findings = judge([change(flat(number)) for number in range(1, looks + 1)], per_second=PACE)
    return {finding.what for finding in findings if not finding.ok}


def test_flat_hour_passes():
    assert verdict() == set()


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("memory of worker 2 (MB)", lambda s: replace(s, rss=[s.rss[0], s.rss[1] * (1 + s.at / 3600 * 0.15)])),
        ("claim p50 (ms)", lambda s: replace(s, claim_p50=s.claim_p50 * (1 + s.at / 3600))),
        ("completion p50 (ms)", lambda s: replace(s, done_p50=s.done_p50 * (1 + s.at / 3600))),
        ("search of an empty queue (ms)", lambda s: replace(s, search=s.search * (1 + s.at / 3600))),
        ("throughput (runs/s)", lambda s: replace(s, closed=round(s.closed * (1 - s.at / 3600 * 0.1)))),
        ("offered (starts/s)", lambda s: replace(s, offered=round(s.offered * 0.9))),
        ("open at the last look", lambda s: replace(s, open=round(s.at))),
    ],
)
def test_what_is_not_flat_is_found_and_nothing_else(what, change):
    assert verdict(change) == {what}


def test_growth_before_the_warm_up_is_over_does_not_count():
    assert verdict(lambda s: replace(s, rss=[20.0, 20.0]) if s.at < 300 else s) == set()


def test_a_figure_that_was_never_taken_is_no_pass():
    assert verdict(lambda s: replace(s, claim_p50=None)) == {"claim p50 (ms)"}


def test_few_looks_are_no_verdict():
    assert verdict(looks=5) == {"samples"}


def test_short_soak_completes_all_runs(tmp_path):
    """Whether it is flat can nobody tell after seconds; that it comes through, and that nothing is left, can."""
    file = tmp_path / "soak.json"
    options = ["--backend", "sqlite", "--minutes", "0.1", "--runs", "300", "--every", "1", "--json", str(file)]
    done = subprocess.run(
        [sys.executable, "benchmarks/soak.py", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    report = json.loads(file.read_text()) if file.exists() else {}
    found = {finding["what"]: finding for finding in report.get("findings", [])}
    assert found, done.stderr
    for what in ("starts", "ends", "left over", "audit"):
        assert found[what]["ok"], (found[what], done.stderr)
    last = report["samples"][-1]
    assert last["offered"] == 294
    assert last["closed"] == 294 + (3 * DECK)[:294].count("parent")  # their children
    assert last["tables"]["database"]["bytes"] > 0
    assert len(report["samples"]) >= 6
    for what in found:
        assert what in done.stdout
