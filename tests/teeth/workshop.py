"""A copy of the tree in which lies are told, so that the tree itself never holds one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import cache_from_source
from pathlib import Path
from typing import TYPE_CHECKING

from tests.teeth.reporting import REPORT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.teeth.mutation import Mutation

GRACE = 30.0  # seconds to take down servers and workers after the time is over


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    OTHER = "did not run"  # not found, skipped, or something around it went wrong
    HUNG = "ran out of time"


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of some tests in a workshop."""

    outcomes: dict[str, Outcome]  # by node id, as it was given
    seconds: float
    said: str  # by pytest


class Workshop:
    def __init__(self, root: Path, folder: Path) -> None:
        """A copy of *root* in *folder*: what git knows, and new files that it does not ignore."""
        self.folder = folder
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        for name in subprocess.check_output(listed, cwd=root, text=True).split("\0"):
            source, target = root / name, folder / name
            if name and source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
        self._paths = [*sorted(folder.glob("packages/*/src")), folder]

    @property
    def environment(self) -> dict[str, str]:
        """Of processes in which the copy is imported, whatever is installed."""
        return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, self._paths))}

    def strangers(self) -> list[str]:
        """Files of the packages that would be imported from somewhere else. There must be none."""
        names = [path.name for source in self._paths[:-1] for path in source.iterdir() if path.is_dir()]
        program = "import importlib, sys; [print(importlib.import_module(name).__file__) for name in sys.argv[1:]]"
        found = subprocess.check_output(
            [sys.executable, "-c", program, *names], cwd=self.folder, env=self.environment, text=True
        )
        return [file for file in found.splitlines() if not Path(file).is_relative_to(self.folder)]

    @contextmanager
    def telling(self, mutation: Mutation) -> Iterator[None]:
        path = self.folder / mutation.file
        truth = path.read_text()
        _write(path, mutation.applied_to(truth))
        try:
            yield
        finally:
            _write(path, truth)

    def run(self, tests: Sequence[str], patience: float) -> Trial:
        """Run *tests*, for *patience* seconds at most."""
        report = self.folder / "teeth.jsonl"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
        command += ["-p", "tests.teeth.reporting", *tests]
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env={**self.environment, REPORT: str(report)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        said, in_time = _wait(process, patience)
        lines = report.read_text().splitlines() if report.exists() else []
        reported = [(node, Outcome(outcome)) for node, outcome in map(json.loads, lines) if outcome != "skipped"]
        outcomes = {test: _outcome_of(test, reported, in_time) for test in tests}
        return Trial(outcomes, time.monotonic() - began, said)


def _outcome_of(test: str, reported: Iterable[tuple[str, Outcome]], in_time: bool) -> Outcome:
    """A name stands for all of its parameters, and has failed when one of them has."""
    found = [outcome for node, outcome in reported if node == test or node.startswith(f"{test}[")]
    if Outcome.FAILED in found:
        return Outcome.FAILED
    if not in_time:
        return Outcome.HUNG
    return Outcome.PASSED if found else Outcome.OTHER


def _wait(process: subprocess.Popen[str], patience: float) -> tuple[str, bool]:
    """What the process said, and whether it came to its end by itself."""
    try:
        return process.communicate(timeout=patience)[0], True
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # so that pytest takes down what the tests have started
    try:
        return process.communicate(timeout=GRACE)[0], False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0], False


def _write(path: Path, text: str) -> None:
    path.write_text(text)
    if path.suffix == ".py":
        # Two texts of one length, written within a second, look the same to Python.
        Path(cache_from_source(str(path))).unlink(missing_ok=True)
