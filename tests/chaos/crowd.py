"""The worker processes, of which there is always the same number: what dies or drains is replaced."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from tests.harness import Project, WorkerProcess

SETTINGS = "tests.chaos.settings"
DRAINING = 60.0  # seconds that the last ones may take
COMING_UP = 3.0  # seconds in which a worker may die of the signal that it does not listen for yet


class Crowd:
    """Use as a context manager: at its end all have drained."""

    def __init__(self, project: Project, size: int) -> None:
        self._project = project
        self._stack = ExitStack()
        self._made = 0
        self._paused: list[WorkerProcess] = []
        self._born: dict[int, float] = {}  # by pid, monotonic seconds
        self._told: list[tuple[WorkerProcess, float]] = []  # to drain, at this age
        self.workers = [self._new() for _ in range(size)]

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for worker in self.workers:
            worker.send(signal.SIGTERM)  # all at once
        self._stack.__exit__(None, None, None)

    def kill(self, number: int) -> None:
        self.workers[number].kill()
        self._replace(number)

    def drain(self, number: int) -> None:
        """A paused one hears of it when it goes on."""
        worker = self.workers[number]
        self._told.append((worker, time.monotonic() - self._born[worker.pid]))
        worker.send(signal.SIGTERM)
        self._replace(number)

    def pause(self, number: int) -> WorkerProcess:
        worker = self.workers[number]
        worker.send(signal.SIGSTOP)
        self._paused.append(worker)
        return worker

    def go_on(self, worker: WorkerProcess) -> None:
        worker.send(signal.SIGCONT)
        self._paused.remove(worker)

    def died_by_themselves(self) -> list[str]:
        """What they said who were not told to end, or did not end well when they were told."""
        dead = [worker for worker in self.workers if worker.process.poll() is not None]
        for worker, age in self._told:
            code = worker.wait(DRAINING)
            was_coming_up = age < COMING_UP or not worker.said  # it may have been paused meanwhile
            if code != 0 and not (code == -signal.SIGTERM and was_coming_up):
                dead.append(worker)
        return [f"worker {worker.pid} ended with {worker.wait(0)}; it said:\n{worker.said[-3000:]}" for worker in dead]

    def _replace(self, number: int) -> None:
        self.workers[number] = self._new()

    def _new(self) -> WorkerProcess:
        """Every third one keeps nothing in memory."""
        self._made += 1
        cache = 0 if self._made % 3 == 0 else 1_000
        chosen = {"WORKFLOW_CACHE_SIZE": cache}
        worker = self._stack.enter_context(
            self._project.worker("--threads", "2", durable=chosen, DJANGO_SETTINGS_MODULE=SETTINGS)
        )
        self._born[worker.pid] = time.monotonic()
        return worker
