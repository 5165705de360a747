"""The hooks there are: what a plugin may implement, and what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import pluggy

from durable_core.events import EventRecord, HistoryEvent, event_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from durable_core.activity import CurrentActivity
    from durable_core.ports import WorkerInfo

PROJECT = "durable"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Register(Protocol):
    """What a plugin calls for each thing it has. *factory* takes the options of the settings as keywords."""

    def __call__(self, name: str, factory: Callable[..., Any], *, doc: str = "") -> None: ...


@dataclass(frozen=True, slots=True)
class RunEvent:
    """An event of a run's history, just committed."""

    run_id: UUID
    workflow_name: str
    record: EventRecord  # seq, type, call_id, details as JSON text, created_at

    @property
    def fact(self) -> HistoryEvent:
        """The event with its details as attributes, such as `ActivityCompleted`."""
        return event_of(self.record)


@dataclass(frozen=True, slots=True, eq=False)
class ActivityCall:
    """One attempt of an activity, about to run in this thread."""

    activity: CurrentActivity  # as `current_activity()` has it: name, attempt, execution_id
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    perform: Callable[[], Any]  # what the `yield` of a wrapper runs; not for plugins to call


class Specs:
    """Errors: see `announcing`. Threads: *worker* hooks are called in the loop's own, the others where it happens."""

    # Once per process, when its plugins are loaded

    @hookspec
    def durable_register_queues(self, register: Register) -> None:
        """Register task queues: ``register("kafka", make_queue, doc="...")``."""

    @hookspec
    def durable_register_stores(self, register: Register) -> None:
        """Register history stores. Experimental: the Django store is what starts and the admin are made for."""

    # A worker's life

    @hookspec
    def durable_worker_started(self, worker: WorkerInfo) -> None:
        """A worker is registered, and begins to claim work. Not for the one that `run_workflow` has for itself."""

    @hookspec
    def durable_worker_stopping(self, worker: WorkerInfo, reason: str) -> None:
        """It claims nothing more; what it runs may end."""

    @hookspec
    def durable_worker_stopped(self, worker: WorkerInfo) -> None:
        """It has given back everything. Not after a kill, of course."""

    # What happens

    @hookspec
    def durable_events(self, events: Sequence[RunEvent]) -> None:
        """Events have been committed together, those of each run in their order. No outbox: a crash loses calls."""

    @hookspec(firstresult=True)
    def durable_activity_call(self, call: ActivityCall) -> Any:
        """Around an attempt: ``@hookimpl(wrapper=True)``, and ``result = yield`` runs it.

        The activity's result or exception stays what it was, whatever a wrapper returns or catches; but what a wrapper
        raises itself fails the attempt.
        """

    @hookspec(firstresult=True)
    def durable_encode(self, value: object) -> Any:
        """What JSON can hold and stands for *value*, an object that JSON does not know; None: not mine."""


HOOKS = tuple(name for name in vars(Specs) if name.startswith(f"{PROJECT}_"))
