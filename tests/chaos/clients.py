"""Those who start, signal and cancel programs, and write down what they were told."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from threading import Event, Thread
from typing import Any
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import close_old_connections, connections

from django_durable import cancel_workflow, remote_workflow, send_signal, start_workflow
from django_durable.models import WorkflowExecution
from durable_core.audit import SentSignal, Start
from durable_core.codec import encode
from durable_core.errors import StoreUnavailable, WorkflowClosed
from durable_core.execution import OPEN_STATUSES
from tests.programs.generator import generate, generate_transfers
from tests.programs.interpreter import workflow_of
from tests.programs.language import Program

MOST_OPEN = 40  # runs, of all clients and of children, before they wait with new ones
SIZE = 8  # steps of a program, at most, without those in blocks
PACE = 0.6  # seconds that its longest waits take
PAUSE = 0.02  # seconds between two acts of a client
AFTER_AN_OUTAGE = 0.2


@dataclass
class Story:
    """What a client knows of one program."""

    path: str
    program: Program
    run_id: UUID | None = None  # once its start was acknowledged
    signals: list[SentSignal] = field(default_factory=list)
    may_be_canceled: bool = False  # it has asked for that, at least


class Outage(Exception):
    """Nobody knows whether it was done."""


class Client:
    """One thread, with random numbers of its own."""

    def __init__(self, name: str, seed: str, alias: str) -> None:
        self.name = name
        self.stories: list[Story] = []
        self.outages = 0
        self.error: BaseException | None = None
        self._random = Random(f"{seed}-{name}")
        self._seed = seed
        self._alias = alias
        self._todo: list[deque[Any]] = []  # of each open story, what is to be sent to it, in order
        self._enough = Event()
        self._nobody = Event()
        self._thread = Thread(target=self._work, name=name)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Start nothing more; returns when all that was to be sent is sent."""
        self._enough.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    @property
    def starts(self) -> list[Start]:
        return [Start(run_id=s.run_id, workflow_id=s.path) for s in self.stories if s.run_id is not None]

    # The thread

    def _work(self) -> None:
        try:
            while not self._enough.is_set() or self._todo:
                self._turn()
                self._nobody.wait(PAUSE)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the end
            self.error = error
        finally:
            connections[self._alias].close()

    def _turn(self) -> None:
        try:
            if self._todo and (self._enough.is_set() or self._random.random() < 0.7):
                self._send(self._random.choice(self._todo))
            elif not self._enough.is_set() and self._is_room():
                self._start()
        except Outage:
            self.outages += 1
            self._nobody.wait(AFTER_AN_OUTAGE)

    def _is_room(self) -> bool:
        with _asking():
            return WorkflowExecution.objects.using(self._alias).filter(status__in=OPEN_STATUSES).count() < MOST_OPEN

    def _start(self) -> None:
        if self.stories and self.stories[-1].run_id is None:
            story = self.stories[-1]
            with _asking():
                found = WorkflowExecution.objects.using(self._alias).filter(workflow_id=story.path).first()
        else:
            path, found = f"{self.name}-{len(self.stories)}", None
            story = Story(path, program_of(self._seed, path))
            self.stories.append(story)
        if found is None:
            workflow = remote_workflow(workflow_of(story.program), queue="default").using(workflow_id=story.path)
            given = {"program": story.program.to_text(), "path": story.path}
            with _asking():
                handle = start_workflow(workflow, timeout=story.program.timeout, **given)
            story.run_id = handle.id
        else:  # its reply was lost
            story.run_id = found.pk
        acts: list[Any] = [(story, "signal", signal) for signal in story.program.signals()]
        if not story.program.moves_money and self._random.random() < 0.15:
            place = self._random.randint(0, len(acts))
            acts.insert(place, (story, "cancel", self._random.random() < 0.5))
        if acts:
            self._todo.append(deque(acts))

    def _send(self, acts: deque[Any]) -> None:
        story, kind, what = acts[0]
        if kind == "signal":
            self._signal(story, *what)
        else:
            self._cancel(story, graceful=what)
        acts.popleft()
        if not acts:
            self._todo.remove(acts)

    def _signal(self, story: Story, name: str, payload: Any) -> None:
        assert story.run_id is not None
        sent = SentSignal(run_id=story.run_id, name=name, payload=encode(payload), sender=self.name)
        try:
            with _asking():
                send_signal(story.run_id, name, payload)
        except WorkflowClosed:
            return
        except Outage:
            story.signals.append(replace(sent, acknowledged=False))
            raise
        story.signals.append(sent)

    def _cancel(self, story: Story, *, graceful: bool) -> None:
        assert story.run_id is not None
        story.may_be_canceled = True
        with _asking():
            cancel_workflow(story.run_id, reason="chaos", graceful=graceful)


def program_of(seed: str, path: str) -> Program:
    """The program that a client starts under this path."""
    random = Random(f"{seed}-{path}")
    if random.random() < 0.2:
        return generate_transfers(random, size=SIZE)
    return generate(random, size=random.randint(1, SIZE), pace=PACE)


@contextmanager
def _asking() -> Iterator[None]:
    """Around one call; raises `Outage` where the database is away."""
    try:
        yield
    except (DatabaseError, StoreUnavailable) as error:
        close_old_connections()
        raise Outage from error
