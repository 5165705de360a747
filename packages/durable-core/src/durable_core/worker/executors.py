"""What a worker needs of whatever runs its activities, and the one that hands each activity to the right other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from durable_core.options import ExecutorKind
from durable_core.worker.async_executor import AsyncExecutor
from durable_core.worker.executor import ActivityExecutor
from durable_core.worker.inline import InlineExecutor
from durable_core.worker.process_executor import ProcessExecutor

if TYPE_CHECKING:
    from durable_core.definitions import ActivityDefinition, Registry
    from durable_core.ports import TaskRecord
    from durable_core.worker.attempt import Attempt, Ending
    from durable_core.worker.settings import WorkerSettings

PROBE = 5  # entries that are claimed when only some kinds of activities have room: they may be of the wrong kind


class Executor(Protocol):
    """Runs attempts that this process has claimed. Only `forfeit` may be called from other threads than the loop's."""

    @property
    def held(self) -> int:
        """Attempts that are claimed here, begun or not."""

    @property
    def room(self) -> int:
        """How many attempts may be claimed of whom nothing is known yet; less than 1: none."""

    @property
    def has_stalled(self) -> bool:
        """Whether an attempt has waited here for long: others may be free."""

    @property
    def lost_threads(self) -> int:
        """How many have been given up, with what they were doing."""

    def attempts(self) -> list[Attempt]: ...

    def has_room(self, activity_name: str, backlog_seconds: float, reserved: int) -> bool:
        """Whether one more attempt may be claimed, to begin at once or within *backlog_seconds*."""

    def submit(self, task: TaskRecord, definition: ActivityDefinition) -> None: ...

    def endings(self) -> list[Ending]:
        """What has ended since the last call, but for attempts that were given up."""

    def overdue(self) -> list[Attempt]:
        """Begun attempts past their start_to_close; they are stopped, and their own endings ignored."""

    def next_overdue(self) -> float | None:
        """Monotonic seconds at which `overdue` will next find something."""

    def abandon(self, attempt: Attempt) -> None:
        """Stop an attempt and ignore how it ends."""

    def forfeit(self, attempt: Attempt) -> None:
        """Its claim is lost: nobody wants its ending."""

    def stop_forfeited(self) -> None: ...

    def replace_stuck_threads(self) -> None:
        """Give up what does not stop, so that its slot is not lost."""

    def withdraw(self, *, begun: bool = False) -> list[Attempt]:
        """Take back attempts that have not begun (with *begun*: all), so that others can run them."""

    def close(self) -> None: ...


class Executors:
    """Ordinary activities go to *threads* or *processes*, `async def` ones to *loop*; each has slots of its own."""

    def __init__(self, registry: Registry, *, threads: Executor, loop: Executor, processes: Executor) -> None:
        self._registry = registry
        self._all = (threads, loop, processes)

    def _for(self, definition: ActivityDefinition) -> Executor:
        return self._all[_place_of(definition)]

    @property
    def held(self) -> int:
        return sum(executor.held for executor in self._all)

    @property
    def room(self) -> int:
        """An entry of the queue does not say what kind of activity it is for. So while one kind has no room, a few are
        claimed for the sake of the other; while some wait here that turned out to be of the wrong kind, none are."""
        places = {_place_of(definition) for definition in self._registry.activities.values()}
        rooms = [self._all[place].room for place in places or {0}]
        if min(rooms) == 0:
            return min(max(rooms), PROBE)
        return min(rooms)

    @property
    def has_stalled(self) -> bool:
        return any(executor.has_stalled for executor in self._all)

    @property
    def lost_threads(self) -> int:
        return sum(executor.lost_threads for executor in self._all)

    def attempts(self) -> list[Attempt]:
        return [attempt for executor in self._all for attempt in executor.attempts()]

    def has_room(self, activity_name: str, backlog_seconds: float, reserved: int) -> bool:
        executor = self._for(self._registry.activities[activity_name])
        return executor.has_room(activity_name, backlog_seconds, reserved)

    def submit(self, task: TaskRecord, definition: ActivityDefinition) -> None:
        self._for(definition).submit(task, definition)

    def endings(self) -> list[Ending]:
        return [ending for executor in self._all for ending in executor.endings()]

    def overdue(self) -> list[Attempt]:
        return [attempt for executor in self._all for attempt in executor.overdue()]

    def next_overdue(self) -> float | None:
        times = [at for executor in self._all if (at := executor.next_overdue()) is not None]
        return min(times, default=None)

    def abandon(self, attempt: Attempt) -> None:
        self._for(attempt.definition).abandon(attempt)

    def forfeit(self, attempt: Attempt) -> None:
        self._for(attempt.definition).forfeit(attempt)

    def stop_forfeited(self) -> None:
        for executor in self._all:
            executor.stop_forfeited()

    def replace_stuck_threads(self) -> None:
        for executor in self._all:
            executor.replace_stuck_threads()

    def withdraw(self, *, begun: bool = False) -> list[Attempt]:
        return [attempt for executor in self._all for attempt in executor.withdraw(begun=begun)]

    def close(self) -> None:
        for executor in self._all:
            executor.close()


def _place_of(definition: ActivityDefinition) -> int:
    if definition.is_async:
        return 1
    return 2 if definition.executor is ExecutorKind.PROCESS else 0


def make_executor(registry: Registry, settings: WorkerSettings, **rim: Any) -> Executor:
    """The one of a worker with these *settings*; *rim* is its clock, its threads, and whom to tell."""
    options = rim | {
        "around": settings.around_activity,
        "payload_limit": settings.run.payload_limit,
        "hooks": settings.hooks,
    }
    if settings.inline:
        return InlineExecutor(slots=settings.threads, run_async=settings.run_async, **options)
    loop = AsyncExecutor(
        slots=settings.async_slots,
        around_async=settings.around_async,
        release_async=settings.release_async,
        **options,
    )
    processes = ProcessExecutor(
        slots=settings.process_slots,
        command=settings.child_command,
        tasks_per_process=settings.tasks_per_process,
        **options,
    )
    threads = ActivityExecutor(slots=settings.threads, **options)
    return Executors(registry, threads=threads, loop=loop, processes=processes)
