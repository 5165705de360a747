"""Two who want something of one run at the same moment: who they are, and what each is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from durable_core import events as e
from durable_core.audit import Code, Effects, End, SentSignal, Start, audit
from durable_core.client import Client
from durable_core.codec import encode
from durable_core.definitions import Registry
from durable_core.errors import WorkflowClosed
from durable_core.execution import Status, TaskStatus
from durable_core.ports import EntryKind, WorkerInfo, new_id
from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue, ManualClock
from durable_core.worker import Worker, WorkerSettings, attempts, bury
from durable_core.worker.activities import ActivityDesk
from durable_core.worker.inline import InlineExecutor
from durable_core.worker.liveness import CodeWatch
from durable_core.worker.runs import RunDesk
from durable_core.worker.units import unit
from tests.simulation.interleaving import interleavings
from tests.simulation.rim import Rim, queue_of, store_of

if TYPE_CHECKING:
    from uuid import UUID

    from durable_core.context import WorkflowContext
    from durable_core.ports import Claim, HistoryStore, TaskQueue
    from tests.simulation.hub import Process

TIMEOUT = 60.0  # seconds that the run has
NAME = "one"  # its workflow_id


def subject(ctx: WorkflowContext, number: int = 0) -> str:
    """It has a child, an activity and a deadline, and waits for a word; or for another, to go on as a new run."""
    if not number:
        ctx.start_workflow("child")
        ctx.start_activity("act")
    name, word = ctx.select(end=ctx.signal("end"), again=ctx.signal("again"))
    if name == "again":
        ctx.continue_as_new(number=number + 1)
    said: str = word
    return said


def child(ctx: WorkflowContext) -> str:
    word: str = ctx.wait_signal("close")
    return word


def act() -> None:
    raise AssertionError("nobody asks how it ended")


class Turns(Rim):
    """Before each call, the other may go first."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.depth = 0
        self._hub = process.hub

    def before(self, name: str, *, error: object = None) -> None:
        self._hub.point()

    def inside(self, name: str) -> None:
        """Whoever is in a transaction is alone."""

    def at_commit(self) -> None: ...

    def after(self, name: str, *, error: object = None) -> None: ...


class Desk:
    """A worker's way of deciding, without its loop."""

    def __init__(self, store: HistoryStore, queue: TaskQueue, scene: Scene, worker_id: UUID) -> None:
        settings = WorkerSettings(inline=True)
        executor = InlineExecutor(slots=1, clock=scene.clock, wake=lambda: None, payload_limit=1_000_000)
        self.activities = ActivityDesk(store, queue, scene.registry, executor, worker_id, max_crashes=3)
        watch = CodeWatch(scene.clock, 60.0)
        self.runs = RunDesk(store, queue, scene.registry, settings, self.activities, watch, worker_id)
        self._queue = queue
        self._worker_id = worker_id

    def decide(self) -> None:
        """On every run that the queue has an entry for."""
        for claim in self._claim():
            self.runs.claimed(claim)
        while self.runs.dirty:
            self.runs.decide()
        self.activities.flush()
        self.runs.release_claims()

    def _claim(self) -> list[Claim]:
        return self._queue.claim(self._worker_id, {EntryKind.RUN: 10}, queues=(), exclude=())


class Scene:
    """A run with all that can happen to one, at the moment before something does."""

    def __init__(self, *, transactional: bool) -> None:
        self.clock = ManualClock()
        self.registry = Registry()
        self.registry.activity(act)
        self.registry.workflow(child)
        self.registry.workflow(subject)
        self.store = InMemoryHistoryStore(self.clock)
        self.queue = InMemoryTaskQueue(self.clock, store=self.store if transactional else None, preference=timedelta(0))
        self.owner, self.childs_owner, self.stranger = self.hire(), self.hire(), self.hire()
        self.signals: list[SentSignal] = []
        self.client = self.client_of(self.store, self.queue)
        definition = self.registry.workflows["subject"].using(workflow_id=NAME)
        self.run_id = self.client.start(definition, {}, timeout=TIMEOUT).run_id
        Desk(self.store, self.queue, self, self.owner).decide()
        Desk(self.store, self.queue, self, self.childs_owner).decide()
        [self.child_id] = self.store.children(self.run_id)
        [self.task] = [row.record for row in self.store._tasks]
        assert self.task.status is TaskStatus.RUNNING

    def hire(self) -> UUID:
        worker_id = new_id()
        self.store.add_worker(WorkerInfo(id=worker_id, host="h", pid=1, queues=()))
        return worker_id

    def client_of(self, store: HistoryStore, queue: TaskQueue) -> Client:
        return Client(store, queue, self.registry, after_commit=self.store.journal.after_commit)

    def of(self, process: Process) -> tuple[HistoryStore, TaskQueue]:
        """The store and the queue, as one of the two sees them."""
        turns = Turns(process)
        return store_of(turns, self.store, waits=True), queue_of(turns, self.queue)

    def send(self, client: Client, run_id: UUID, name: str) -> None:
        client.signal(run_id, name, name)
        self.signals.append(SentSignal(run_id=run_id, name=name, payload=encode(name), sender=name))

    def status(self) -> Status:
        return self.client.find_newest(self.run_id).status

    def settle(self) -> None:
        """Whatever is left to do is done by others."""
        bury([self.owner, self.childs_owner, self.stranger], self.store, self.queue, max_crashes=3)
        self._work()
        if not self.status().is_closed:
            self.send(self.client, self.run_id, "end")
            self._work()

    def _work(self) -> None:
        self.clock.advance(40)  # past every redelivery
        settings = WorkerSettings(inline=True)
        Worker(self.store, self.queue, self.registry, self.clock, settings).run(until_idle=True)

    def complaints(self) -> list[str]:
        if self.client.find(self.run_id).status is Status.CONTINUED_AS_NEW:
            return [*self._complaints_of_chain(), *self._audited([])]
        return self._audited(self.signals)

    def _complaints_of_chain(self) -> list[str]:
        """Each signal was read by one of the two runs."""
        newest = self.client.find_newest(self.run_id).id
        received = Counter(
            fact.name
            for fact in map(e.event_of, self.store.load([newest])[newest].events)
            if isinstance(fact, e.SignalReceived)
        )
        sent = Counter(signal.name for signal in self.signals if signal.run_id == self.run_id)
        sent -= Counter({"again": 1})
        return [f"{dict(received)} for {dict(sent)}"] if received != sent else []

    def _audited(self, signals: list[SentSignal]) -> list[str]:
        effects = Effects(
            starts=[Start(run_id=self.run_id, workflow_id=NAME)],
            signals=signals,
            ends={self.run_id: [End(status) for status in Status if status.is_closed]},
            calm_since=self.clock.now() - timedelta(hours=1),
            drained=True,
        )
        return [str(v) for v in audit(self.store, self.queue, effects, code=Code(registry=self.registry))]


class Rival(NamedTuple):
    """One who wants something of the run."""

    act: Callable[[Scene, Process], str]  # what it was told
    prepare: Callable[[Scene], None] = lambda scene: None


def start(scene: Scene, process: Process) -> str:
    client = scene.client_of(*scene.of(process))
    definition = scene.registry.workflows["subject"].using(workflow_id=NAME)
    started = client.start(definition, {}, timeout=TIMEOUT)
    newest = scene.client.find(started.run_id)
    assert started.created is (scene.run_id not in (started.run_id, newest.chain_id))
    return "started" if started.created else "found"


def signal(scene: Scene, process: Process) -> str:
    try:
        scene.send(scene.client_of(*scene.of(process)), scene.run_id, process.name)
    except WorkflowClosed:
        return "closed"
    return "sent"


def cancel(scene: Scene, process: Process) -> str:
    return "canceled" if scene.client_of(*scene.of(process)).cancel(scene.run_id) else "too late"


def decide(scene: Scene, process: Process) -> str:
    Desk(*scene.of(process), scene, scene.owner if process.name == "first" else scene.stranger).decide()
    return "decided"


def close_child(scene: Scene, process: Process) -> str:
    Desk(*scene.of(process), scene, scene.childs_owner).decide()
    return "decided"


def report(scene: Scene, process: Process) -> str:
    store, queue = scene.of(process)
    with unit(store, queue) as box:
        receipt = store.record_outcomes([attempts.completed(scene.task, encode("done"))])
        box.wake(receipt.wakes)
    return "refused" if receipt.rejected else "accepted"


def bury_owner(scene: Scene, process: Process) -> str:
    store, queue = scene.of(process)
    bury([scene.owner], store, queue, max_crashes=3)
    return "buried"


def has_its_word(scene: Scene) -> None:
    scene.send(scene.client, scene.run_id, "end")


def is_to_go_on(scene: Scene) -> None:
    scene.send(scene.client, scene.run_id, "again")


def is_out_of_time(scene: Scene) -> None:
    scene.clock.advance(TIMEOUT)
    with unit(scene.store, scene.queue) as box:
        box.wake(scene.store.due(scene.store.now(), limit=10, again_at=None).wakes)


def child_has_its_word(scene: Scene) -> None:
    scene.send(scene.client, scene.child_id, "close")


RIVALS = {
    "start": Rival(start),
    "signal": Rival(signal),
    "cancel": Rival(cancel),
    "complete": Rival(decide, has_its_word),
    "time out": Rival(decide, is_out_of_time),
    "outcome": Rival(report),
    "burial": Rival(bury_owner),
    "child closes": Rival(close_child, child_has_its_word),
    "continue": Rival(decide, is_to_go_on),
}


class Result(NamedTuple):
    """How one interleaving ended."""

    told: tuple[str, str]
    status: str  # of the run
    child: str  # status of its child
    task: str  # status of its activity


class Race(NamedTuple):
    """All interleavings of two rivals."""

    number: int
    results: Counter[Result]
    complaints: list[str]


def race(first: str, second: str, *, transactional: bool) -> Race:
    """Let them meet in every way there is."""
    number, results, complaints = 0, Counter[Result](), []
    for run in interleavings():
        scene = Scene(transactional=transactional)
        for name in dict.fromkeys((first, second)):
            RIVALS[name].prepare(scene)
        told: dict[str, str] = {}

        def meet(process: Process, rivals: Sequence[str] = (first, second), told: dict[str, str] = told) -> None:
            rival = RIVALS[rivals[0] if process.name == "first" else rivals[1]]
            told[process.name] = rival.act(scene, process)  # noqa: B023 - it runs before the next scene is made

        run([("first", meet), ("second", meet)])
        scene.settle()
        number += 1
        child = scene.client.find(scene.child_id).status
        task = scene.store.task_status(scene.task.id)
        results[Result((told["first"], told["second"]), scene.status(), child, task)] += 1
        complaints += scene.complaints()
    return Race(number, results, complaints)
