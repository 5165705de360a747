"""The benchmark is a program that people have scripts around."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "backend  conc payload  p50(ms)  p95(ms)  throughput"


def bench(*arguments: str) -> list[str]:
    """The lines it prints."""
    done = subprocess.run(
        [sys.executable, "benchmarks/bench.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_prints_its_table():
    header, row = bench("--tasks", "3", "--concurrency", "2", "--payload-size", "10", "--backend", "sqlite")
    assert header == HEADER
    assert re.fullmatch(r"sqlite +2 +10 +\d+\.\d\d +\d+\.\d\d +\d+\.\d", row)
    p50, p95, throughput = map(float, row.split()[3:])
    assert 0 < p50 <= p95
    assert throughput > 0


def test_refuses_what_makes_no_sense():
    done = subprocess.run(
        [sys.executable, "benchmarks/bench.py", "--tasks", "0"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "counts begin at 1" in done.stderr
