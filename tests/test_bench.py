"""The benchmark is a program that people have scripts around."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import redis_servers, servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Bench = Callable[..., list[str]]

ROOT = Path(__file__).resolve().parent.parent
HEADER = "backend  conc payload  p50(ms)  p95(ms)  throughput"
LONG_HEADER = "backend      conc payload  p50(ms)  p95(ms)  throughput"
QUEUE_HEADER = "backend     figure           batch   median      min      max    limit  ratio"
QUEUES = ["sqlite", "pg-database", "postgres", "pg-dsn", "redis"]
RATES = [(figure, size) for size in ("1", "10", "100") for figure in ("enqueue/s", "claim+complete/s")]
WAKEUPS = [(f"wake-up-p{percent}(ms)", "1") for percent in (50, 95, 99)]


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/bench.py", *arguments]
    environment = os.environ | environment
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The lines that it prints, about the servers of this test run."""
    shared = servers.run_directory(tmp_path_factory)
    with ExitStack() as stack:
        urls = {
            servers.ENV: stack.enter_context(servers.postgres(shared=shared)).url,
            redis_servers.ENV: stack.enter_context(redis_servers.redis_server(shared=shared)).url,
        }

        def run(*arguments: str) -> list[str]:
            done = program(*arguments, **urls)
            assert done.returncode == 0, done.stderr
            assert not done.stderr
            return done.stdout.splitlines()

        yield run


def columns_of(header: str) -> list[int]:
    """Where they end."""
    return [match.end() for match in re.finditer(r"\S+", header)]


def test_prints_its_table_for_all_backends(bench: Bench):
    header, *rows = bench("--tasks", "3", "--concurrency", "2", "--payload-size", "10", "--backend", "all")
    assert header == HEADER
    assert [row.split()[0] for row in rows] == ["sqlite", "postgres", "redis"]
    for row in rows:
        assert re.fullmatch(r"\w+ +2 +10 +\d+\.\d\d +\d+\.\d\d +\d+\.\d", row)
        assert columns_of(row)[1:] == columns_of(header)[1:]
        p50, p95, throughput = map(float, row.split()[3:])
        assert 0 < p50 <= p95
        assert throughput > 0


def test_long_names_keep_the_columns_aligned(bench: Bench):
    header, *rows = bench("--tasks", "2", "--backend", "sqlite-redis", "--backend", "pg-async")
    assert header == LONG_HEADER
    assert [row.split()[0] for row in rows] == ["sqlite-redis", "pg-async"]
    assert all(columns_of(row)[1:] == columns_of(header)[1:] for row in rows)


def test_the_queue_by_itself_beside_its_limit(bench: Bench):
    header, *lines = bench("--suite", "queue", "--runs", "10")
    assert header == QUEUE_HEADER
    rows = [line.split() for line in lines]
    assert [tuple(row[:3]) for row in rows] == [(name, *figure) for name in QUEUES for figure in RATES + WAKEUPS]
    for line, (name, figure, _, *values) in zip(lines, rows, strict=True):
        assert columns_of(line)[2:] == columns_of(header)[2:]
        if name == "sqlite" and figure.startswith("wake-up"):
            assert values[3:] == ["-", "-"]  # nobody to compare with
            del values[3:]
        assert all(float(value) > 0 for value in values)


def test_the_ceiling_of_each_kind_of_queue(bench: Bench):
    header, *rows = bench("--suite", "limits", "--runs", "100", "--backend", "all")
    assert header.split()[:3] == ["backend", "runs", "wf/s"]
    assert [row.split()[:2] for row in rows] == [[name, "100"] for name in ("sqlite", "postgres", "redis")]
    assert all(float(value) > 0 for row in rows for value in row.split()[2:])


def test_tells_where_the_time_goes(bench: Bench, tmp_path: Path):
    arguments = ("--suite", "throughput", "--runs", "20", "--backend", "redis", "--profile", str(tmp_path))
    lines = [line.split() for line in bench(*arguments) if line]
    calls = {line[0]: float(line[-1]) for line in lines[2:7]}
    assert list(calls) == ["engine", "statements", "commits", "queue", "rest"]
    assert min(calls[name] for name in ("engine", "statements", "commits", "queue")) > 0
    assert "cProfile" in (tmp_path / "throughput-redis.txt").read_text()


def test_refuses_what_makes_no_sense():
    done = program("--tasks", "0")
    assert done.returncode == 2
    assert "counts begin at 1" in done.stderr
