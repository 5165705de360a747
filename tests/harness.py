"""Real worker processes, and the database they share with a test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from tests.waiting import wait_until
from tests.zygote import ROOT, ZYGOTE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MANAGE = [sys.executable, "-m", "tests.project.manage"]


class WorkerProcess:
    """One `manage.py durable_worker`, with everything it says in a file."""

    def __init__(self, args: list[str], environment: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            said = output.fileno()
            self.process = ZYGOTE.start(["durable_worker", *args], environment, said, said)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait for its death."""
        self.process.kill()
        self.process.wait()

    def wait(self, patience: float = 30.0) -> int:
        """Its exit code."""
        return self.process.wait(patience)

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"a worker did not drain within 30 s; it said:\n{self.said}") from None


@dataclass
class Project:
    """A Django project on one database, as its operators use it."""

    url: str
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)  # DURABLE of worker processes
    _workers: int = 0

    def environment(self, **extra: str) -> dict[str, str]:
        return {
            **os.environ,
            "DURABLE_TEST_DB": self.url,
            "DURABLE_TEST_LEDGER": str(self.folder),
            "DURABLE_TEST_SETTINGS": json.dumps(self.settings),
            "DJANGO_SETTINGS_MODULE": "tests.project.settings",
            **extra,
        }

    def manage(self, *args: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run a management command to its end."""
        with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
            process = ZYGOTE.start(list(args), self.environment(**extra), output.fileno(), errors.fileno())
            try:
                code = process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess([*MANAGE, *args], code, output.read(), errors.read())

    @contextmanager
    def worker(self, *args: str, durable: Mapping[str, Any] | None = None, **extra: str) -> Iterator[WorkerProcess]:
        """A worker process; drained at the end, if it still lives. *durable* is what it has in DURABLE besides."""
        if durable is not None:
            extra["DURABLE_TEST_SETTINGS"] = json.dumps({**self.settings, **durable})
        self._workers += 1
        log = self.folder / f"worker-{self._workers}.log"
        process = WorkerProcess(["--tick", "0.05", *args], self.environment(**extra), log)
        try:
            yield process
        except BaseException as error:
            error.add_note(f"the worker said:\n{process.said}")
            raise
        finally:
            process.stop()


__all__ = ["MANAGE", "ROOT", "Project", "WorkerProcess", "wait_until"]
