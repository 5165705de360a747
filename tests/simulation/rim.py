"""Where a simulated process meets the store and the queue: here others may go first, and here things go wrong."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from durable_core.errors import QueueUnavailable, StoreUnavailable
from durable_core.ports import ClaimedTasks, CommitResult, Committed, Due, Receipt, Verdict
from tests.simulation.hub import SECOND, Killed
from tests.simulation.weather import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from random import Random
    from uuid import UUID

    from durable_core.ports import Commit, HistoryStore, TaskOutcome, TaskQueue, TaskRecord
    from durable_core.testing import InMemoryHistoryStore, InMemoryTaskQueue
    from tests.simulation.hub import Hub, Process
    from tests.simulation.trace import Trace
    from tests.simulation.weather import Weather

LONGEST_PAUSE = 20.0  # seconds
BEFORE = frozenset({Fault.CRASH, Fault.PAUSE, Fault.CUT_OFF, Fault.DRAIN, Fault.REFUSED, Fault.UNDONE, Fault.SLOW})
AFTER = frozenset({Fault.CRASH, Fault.PAUSE, Fault.NO_REPLY})
INSIDE = frozenset({Fault.CRASH, Fault.REFUSED})  # of a transaction, which is rolled back then
AT_A_PLACE = frozenset({Fault.CRASH, Fault.PAUSE})  # between calls


class Storm:
    """Draws the faults of one world, as often as its weather wants."""

    def __init__(self, weather: Weather, random: Random) -> None:
        self._weather = weather
        self._random = random
        self.is_over = not weather.faults
        self.deaths_left = weather.deaths
        self._left = self._next()

    def strikes(self, possible: frozenset[Fault]) -> Fault | None:
        """What goes wrong here, if anything."""
        self._left -= 1
        if self._left > 0 or self.is_over:
            return None
        self._left = self._next()
        faults = [(fault, weight) for fault, weight in self._weather.faults.items() if fault in possible]
        if not faults:
            return None
        fault = self._random.choices([fault for fault, _ in faults], [weight for _, weight in faults])[0]
        if fault in (Fault.CRASH, Fault.PAUSE, Fault.CUT_OFF):
            if self.deaths_left <= 0:
                return None
            self.deaths_left -= 1
        return fault

    def holds(self) -> bool:
        """Whether somebody holds a row just now."""
        return not self.is_over and self._weather.busy > 0 and self._random.random() < self._weather.busy

    def last_breath(self) -> float | None:
        """Seconds that a process lives after a pause, which is too short to hear what others thought of it; None: it
        goes on."""
        if self.deaths_left <= 0 or self._random.random() < 0.6:
            return None
        self.deaths_left -= 1
        return self.seconds(1.0)

    def seconds(self, longest: float) -> float:
        """Often short, sometimes long."""
        return self._random.random() ** 2 * longest

    def _next(self) -> int:
        return max(round(self._random.expovariate(1 / self._weather.fault_gap)), 1)


class Rim:
    """The faults of one process. Every call of it to the outside goes through here."""

    def __init__(self, process: Process, storm: Storm, weather: Weather, trace: Trace) -> None:
        self.process = process
        self.drain: Callable[[], None] | None = None  # None: it cannot be asked to leave
        self.trace = trace
        self._hub: Hub = process.hub
        self._storm = storm
        self._latency = weather.latency
        self._cut_off_until = 0  # microseconds
        self.depth = 0  # of transactions

    def heal(self) -> None:
        self._cut_off_until = 0
        self.process.paused_until = 0
        self._hub.resume(self.process)

    def holds(self) -> bool:
        return self._storm.holds()

    def place(self, name: str) -> None:
        """A named place of the code."""
        if self.depth:
            self.inside(name)
            return
        self._hub.point()
        self.trace.note(name)
        self._suffer(self._storm.strikes(AT_A_PLACE))

    def before(self, name: str, *, error: type[StoreUnavailable | QueueUnavailable] = StoreUnavailable) -> None:
        self._hub.point()
        if self._latency:
            self._hub.now += round(self._hub.random.random() * self._latency * SECOND)
        if self._hub.now < self._cut_off_until:
            self.trace.note(name, "is cut off")
            raise error("cut off")
        self.trace.note(name)
        fault = self._storm.strikes(BEFORE)
        if fault is None:
            return
        self._suffer(fault)
        if fault in (Fault.CUT_OFF, Fault.REFUSED, Fault.UNDONE):
            raise _error(error, fault)

    def inside(self, name: str) -> None:
        """In an open transaction: nobody else may go on here."""
        self._hub.check_alive()
        self.trace.note(name)
        fault = self._storm.strikes(INSIDE)
        if fault is Fault.CRASH:
            self._suffer(fault)
        elif fault is not None:
            self.trace.note(name, fault.value)
            raise StoreUnavailable("it gave up the transaction", ambiguous=False)

    def at_commit(self) -> None:
        fault = self._storm.strikes(frozenset({Fault.CRASH, Fault.REFUSED, Fault.UNDONE}))
        if fault is not None:
            self._suffer(fault)
            raise _error(StoreUnavailable, fault)

    def after(self, name: str, *, error: type[StoreUnavailable | QueueUnavailable] = StoreUnavailable) -> None:
        fault = self._storm.strikes(AFTER)
        self._suffer(fault)
        self._hub.point()
        if fault is Fault.NO_REPLY:
            raise _error(error, fault)

    def _die(self) -> None:
        if self.process.is_alive and not self._storm.is_over:
            self.trace.note(f"{self.process} dies after its pause")
            self._hub.kill(self.process)

    def _suffer(self, fault: Fault | None) -> None:
        if fault is None:
            return
        self.trace.note(fault.value)
        match fault:
            case Fault.CRASH:
                self._hub.kill(self.process)
                raise Killed
            case Fault.PAUSE:
                seconds = self._storm.seconds(LONGEST_PAUSE)
                self._hub.pause(self.process, seconds)
                if (afterwards := self._storm.last_breath()) is not None:
                    self._hub.call_in(seconds + afterwards, self._die)
                self._hub.step_aside()
            case Fault.CUT_OFF:
                self._cut_off_until = self._hub.now + round(self._storm.seconds(LONGEST_PAUSE) * SECOND)
            case Fault.DRAIN:
                if self.drain is not None:
                    self.drain()
            case Fault.SLOW:
                self._hub.wait(self._storm.seconds(5.0))
            case _:
                pass


def _error(error: type[StoreUnavailable | QueueUnavailable], fault: Fault) -> Exception:
    if error is StoreUnavailable:
        return StoreUnavailable(fault.value, ambiguous=fault is not Fault.REFUSED)
    return QueueUnavailable(fault.value, refused=fault is Fault.REFUSED)


class _Proxy:
    """Calls of a port, one by one."""

    def __init__(self, rim: Rim, behind: Any, error: type[StoreUnavailable | QueueUnavailable]) -> None:
        self._rim = rim
        self._behind = behind
        self._error = error

    def __getattr__(self, name: str) -> Any:
        """Looked up once; the attribute is there from then on."""
        call = self._proxied(name, getattr(self._behind, name))
        setattr(self, name, call)
        return call

    def _proxied(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        rim, error = self._rim, self._error

        def call(*args: Any, **options: Any) -> Any:
            if rim.depth:
                rim.inside(name)
                return method(*args, **options)
            rim.before(name, error=error)
            answer = method(*args, **options)
            rim.after(name, error=error)
            return answer

        return call


class SimulatedStore(_Proxy):
    """`HistoryStore` of one process."""

    def __init__(self, rim: Rim, store: InMemoryHistoryStore, *, waits: bool) -> None:
        super().__init__(rim, store, StoreUnavailable)
        self.in_transaction = store.in_transaction
        self.now = store.now
        self.seal_letters_with = store.seal_letters_with
        self._locked: set[UUID] = set()  # tasks that this transaction holds itself
        if not waits:
            for name in ("commit", "claim_tasks", "record_outcomes", "due", "bury"):
                setattr(self, name, getattr(self, f"_{name}"))
        self._commit_all = self._proxied("commit", store.commit)
        self._claim_all = self._proxied("claim_tasks", store.claim_tasks)
        self._record_all = self._proxied("record_outcomes", store.record_outcomes)
        self._due_all = self._proxied("due", store.due)
        self._bury_all = self._proxied("bury", store.bury)
        self._hold = self._proxied("hold_task", store.hold_task)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        rim = self._rim
        if rim.depth:
            with self._behind.transaction():
                yield
            return
        rim.before("transaction")
        rim.depth = 1
        self._locked.clear()
        try:
            with self._behind.transaction():
                yield
                rim.at_commit()
                rim.depth = 0  # what waits for the commit is done outside of it
        finally:
            rim.depth = 0
        rim.after("transaction")

    shared_transaction = transaction  # with what activities write

    def hold_task(self, task_id: UUID) -> TaskRecord | None:
        self._locked.add(task_id)
        held: TaskRecord | None = self._hold(task_id)
        return held

    # Rows that somebody holds are skipped, never waited for

    def _commit(self, commits: Sequence[Commit]) -> Committed:
        held = {commit.run_id for commit in commits if self._rim.holds()}
        done: Committed = self._commit_all([commit for commit in commits if commit.run_id not in held])
        busy = {run_id: CommitResult(Verdict.BUSY) for run_id in held}
        results = done.results | busy
        return Committed({commit.run_id: results[commit.run_id] for commit in commits}, done.wakes)

    def _claim_tasks(self, task_ids: Collection[UUID], worker_id: UUID) -> ClaimedTasks:
        held = [task_id for task_id in dict.fromkeys(task_ids) if self._rim.holds()]
        free = [task_id for task_id in task_ids if task_id not in held]
        claimed: ClaimedTasks = self._claim_all(free, worker_id)
        return ClaimedTasks(claimed.begun, frozenset(held))

    def _record_outcomes(self, outcomes: Sequence[TaskOutcome]) -> Receipt:
        held = [o.task_id for o in outcomes if o.task_id not in self._locked and self._rim.holds()]
        receipt: Receipt = self._record_all([outcome for outcome in outcomes if outcome.task_id not in held])
        return Receipt(receipt.rejected, receipt.wakes, frozenset(held))

    def _due(self, now: datetime, *, limit: int, again_at: datetime | None) -> Due:
        due: Due = self._due_all(now, limit=limit, again_at=again_at)
        tasks = [task for task in due.tasks if not self._rim.holds()]
        self._locked.update(task.id for task in tasks)
        return Due(due.wakes, tasks)

    def _bury(self, worker_ids: Collection[UUID]) -> list[TaskRecord]:
        tasks: list[TaskRecord] = self._bury_all([worker_id for worker_id in worker_ids if not self._rim.holds()])
        self._locked.update(task.id for task in tasks)
        return tasks


class SimulatedQueue(_Proxy):
    """`TaskQueue` of one process."""

    def __init__(self, rim: Rim, queue: InMemoryTaskQueue) -> None:
        super().__init__(rim, queue, StoreUnavailable if queue.transactional else QueueUnavailable)
        self.transactional = queue.transactional
        self.wakeup = queue.wakeup

    def watch(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        return self._behind.watch(wake)  # type: ignore[no-any-return] # whatever stands behind


def store_of(rim: Rim, store: InMemoryHistoryStore, *, waits: bool = False) -> HistoryStore:
    """*waits*: it waits for rows that others hold, as the calls of clients do."""
    return cast("HistoryStore", SimulatedStore(rim, store, waits=waits))


def queue_of(rim: Rim, queue: InMemoryTaskQueue) -> TaskQueue:
    return cast("TaskQueue", SimulatedQueue(rim, queue))
