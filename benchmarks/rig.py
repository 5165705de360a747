"""What measurements stand on: worker processes, and a process with Django for the client's side."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.backends import Servers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from benchmarks.backends import Place

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 300.0  # seconds

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for."""

    tasks: int = 20
    concurrency: int = 10
    payload_size: int = 0  # characters
    pause: float = 0.05  # seconds between two runs on an idle worker
    runs: int = 5_000
    steps: int = 1_000
    sleepers: int = 20_000
    seconds: float = 30.0  # of watching an idle worker
    worker: tuple[str, ...] = ()  # further arguments of durable_worker
    watch: str = ""  # of the probe


@contextmanager
def database(backend: str) -> Iterator[Callable[[], Any]]:
    """A maker of fresh databases for the store alone: entries of ``DATABASES``, each a context manager."""
    with Servers() as servers:

        @contextmanager
        def fresh() -> Iterator[dict[str, Any]]:
            with servers.fresh(backend) as place:
                yield place.database

        yield fresh


def in_fresh_process(suite: str, place: Place, options: Options) -> Row:
    """Run a function of `suites` where Django is set up for this place, and nothing has happened yet."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, suite, place, options).result()


def _measure(suite: str, place: Place, options: Options) -> Row:
    chosen = json.loads(os.environ.get("DURABLE_BENCH_SETTINGS", "{}"))
    os.environ["DURABLE_BENCH_SETTINGS"] = json.dumps({**chosen, "QUEUE": place.queue})  # processes of ours inherit it
    os.environ["DURABLE_BENCH_DATABASE"] = json.dumps(place.database)
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.project.settings"
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    call_command("migrate", verbosity=0)
    try:
        row: Row = getattr(import_module("benchmarks.suites"), suite)(options)
        return row
    finally:
        connections.close_all()


@dataclass
class WorkerProcess:
    """One `durable_worker`, from its start to its end; a context manager."""

    options: Options
    args: tuple[str, ...] = ()
    watch: str = ""
    _folder: tempfile.TemporaryDirectory[str] = field(
        default_factory=lambda: tempfile.TemporaryDirectory(prefix="durable-bench-worker-")
    )

    def __post_init__(self) -> None:
        self.said = Path(self._folder.name) / "said"
        self.facts = Path(self._folder.name) / "facts"
        self.profile = Path(self._folder.name) / "facts.prof"

    def __enter__(self) -> WorkerProcess:
        command = [
            sys.executable,
            "-m",
            "benchmarks.project.manage",
            "durable_worker",
            *self.args,
            *self.options.worker,
        ]
        probe = {"DURABLE_BENCH_PROBE": str(self.facts), "DURABLE_BENCH_WATCH": self.watch or self.options.watch}
        with self.said.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | probe, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, _: object, trace: TracebackType | None) -> None:
        try:
            self.stop()
            if kind is not None or self.process.returncode != 0:
                print(f"the worker said:\n{self.said.read_text(errors='replace')}", file=sys.stderr)
        finally:
            self._folder.cleanup()

    def stop(self) -> None:
        """SIGTERM; its last words are in the facts then."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def check(self) -> None:
        if self.process.poll() is not None and self.process.returncode != 0:
            raise RuntimeError(f"the worker ended with exit status {self.process.returncode}")

    def ask(self) -> dict[str, Any]:
        """What the probe knows now."""
        before = len(self._lines())
        self.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: len(self._lines()) > before, self, pause=0.002)
        return self.last()

    def last(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self._lines()[-1])
        return facts

    def _lines(self) -> list[str]:
        return (
            [line for line in self.facts.read_text().splitlines(keepends=True) if line.endswith("\n")]
            if self.facts.exists()
            else []
        )

    @property
    def rss(self) -> float:
        """Megabytes."""
        answer = subprocess.check_output(["ps", "-o", "rss=", "-p", str(self.process.pid)], text=True)
        return int(answer) / 1024


def wait_until(
    condition: Callable[[], Any], worker: WorkerProcess, *, pause: float = 0.02, patience: float = PATIENCE
) -> Any:
    """The first truthy answer of *condition*; an error when there is none in time, or the worker died."""
    deadline = time.monotonic() + patience
    while not (answer := condition()):
        worker.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing after {patience} s")
        time.sleep(pause)  # a loop without it would take the CPU that the worker needs
    return answer
