"""Programs on the in-memory store, with one inline worker and a clock that is moved by whoever waits."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from durable_core.answering import Answerer
from durable_core.audit import Effects, Performed
from durable_core.client import Client
from durable_core.codec import encode
from durable_core.completion import Completer
from durable_core.definitions import Registry
from durable_core.errors import NotReopenable, WorkflowClosed
from durable_core.ports import NewRun
from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue, ManualClock
from durable_core.updating import Updater
from durable_core.worker import Worker, WorkerSettings
from tests.programs.activities import HERE, SCRIPTED, MemoryLedger, install
from tests.programs.answers import Accepted, open_questions
from tests.programs.bookings import Books, install_books
from tests.programs.errands import Others, install_errands, judge_words, past_tasks
from tests.programs.interpreter import workflow_of
from tests.programs.seen import times_reopened
from tests.programs.steps.updates import UPDATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from durable_core.ports import LoadedRun
    from tests.programs.errands import Errand
    from tests.programs.language import Program

PAYLOAD_LIMIT = 1_000_000
ROUNDS = 20_000  # more than any program needs


class ProgramBench:
    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.registry = Registry()
        self.ledger = MemoryLedger()
        self.scripted = install(self.registry, self.ledger, pause=self.clock.advance)
        self.store = InMemoryHistoryStore(self.clock)
        self.books = Books(self.store)
        install_books(self.registry, self.ledger, self.books)
        self.queue = InMemoryTaskQueue(self.clock, store=self.store)
        self.others = Others(self.clock, [], come=self._expect)
        self._errands: list[Errand] = []
        install_errands(self.registry, self.ledger, self.others)
        self.completer = Completer(self.store, self.queue)
        self.client = Client(self.store, self.queue, self.registry)
        self.updater = Updater(self.client, self.store, payload_limit=PAYLOAD_LIMIT)
        self.answerer = Answerer(self.client, self.store, payload_limit=PAYLOAD_LIMIT)
        self.accepted: list[Accepted] = []
        self.settings = WorkerSettings(inline=True, tick=0.2, **settings)

    def start(self, program: Program, run_id: UUID, *, path: str = "r") -> UUID:
        return self.start_as(workflow_of(program), run_id, program, program=program.to_text(), path=path)

    def start_as(self, name: str, run_id: UUID, program: Program, /, **given: Any) -> UUID:
        """Under an id of the test's choice, by which what is drawn at random is known."""
        timeout = None if program.timeout is None else timedelta(seconds=program.timeout)
        deadline = None if timeout is None else self.clock.now() + timeout
        new = NewRun(
            id=run_id, workflow_name=name, input=encode(given), queue="default", deadline=deadline, timeout=timeout
        )
        with self.store.transaction():
            self.store.create([new])
            self.queue.enqueue([new.wake().entry])
        return run_id

    def signal(self, run_id: UUID, name: str, payload: Any) -> bool:
        """Whether it came before the end."""
        try:
            self.client.signal(run_id, name, payload)
        except WorkflowClosed:
            return False
        return True

    def pause(self, run_id: UUID) -> None:
        with suppress(WorkflowClosed):
            self.client.pause(run_id)

    def resume(self, run_id: UUID) -> None:
        with suppress(WorkflowClosed):
            self.client.resume(run_id)

    def reopen(self, run_id: UUID) -> bool:
        """Whether it can be."""
        try:
            self.client.reopen(run_id)
        except NotReopenable:
            return False
        return True

    def update(self, run_id: UUID, update_id: str, *, refuse: bool = False) -> bool:
        """Whether it came before the end."""
        try:
            self.updater.request(run_id, UPDATE, {"refuse": refuse}, update_id=update_id)
        except WorkflowClosed:
            return False
        return True

    def _expect(self, errand: Errand) -> None:
        self._errands.append(errand)

    def _let_others_speak(self) -> None:
        """Those that are late wait until it is too late."""
        waiting, self._errands = self._errands, []
        for errand in waiting:
            if errand.is_late and self.clock.now() <= errand.given_at + timedelta(seconds=errand.expires):
                self._errands.append(errand)
                continue
            for number in range(len(errand.words)):
                self.others.say(self.completer, errand, number)

    def answer(self, number: int) -> bool:
        """One of the open questions; whether there is one."""
        tasks = open_questions(self.store)
        if not tasks:
            return False
        task = tasks[number % len(tasks)]
        [value, _] = task.form[number % len(task.form)]
        self.answerer.answer(task.id, value)
        self.accepted.append(Accepted(task.run_id, task.call_id, value))
        return True

    def drive(self, acts: Sequence[Callable[[], Any]] = ()) -> None:
        """Until all runs have closed, children too; one of *acts* happens after each of the first rounds."""
        left, rounds = list(acts), 0

        def until() -> bool:
            nonlocal rounds
            rounds += 1
            assert rounds < ROUNDS, "a run is stuck"
            self._let_others_speak()
            if left:
                left.pop(0)()
            return not left and all(run.record.status.is_closed for run in self.runs())

        Worker(self.store, self.queue, self.registry, self.clock, self.settings).run(until=until)

    def witnessed(self) -> Effects:
        """For the audit."""
        performed = [
            Performed(
                key=effect.call, attempt=effect.attempt, ended=effect in self.ledger.ended, is_local=effect.is_local
            )
            for effect in self.ledger.begun
        ]
        return Effects(performed=performed, noting=frozenset({SCRIPTED, HERE}))

    def judge_words(self) -> Iterator[str]:
        was_reopened = {run.record.id: times_reopened(run) > 0 for run in self.runs()}
        return judge_words(self.others.words, past_tasks(self.store), was_reopened.__getitem__, is_rough=False)

    def runs(self) -> list[LoadedRun]:
        return list(self.store.load([row.record.id for row in self.store._runs]).values())
