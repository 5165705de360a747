"""Telling plugins what happens, each by itself: what one raises is logged, and the others hear all the same.

Which plugin listens to what is found out once. Where nobody does, nothing is called and nothing is made to be told.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from durable_core.events import EventRecord
from durable_core.failures import message_of
from durable_core.hooks.specs import ActivityCall, RunEvent, hookimpl
from durable_core.logs import complain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pluggy

    from durable_core.ports import WorkerInfo

logger = logging.getLogger("durable.hooks")

LOG_INTERVAL = 10.0  # seconds between two complaints about one hook of one plugin

News = tuple[UUID, str, Sequence[EventRecord]]  # a run, the name of its workflow, events that were added to its history


class Announcer:
    """Calls the hooks of the plugins of this process. May be used from many threads.

    *after_commit* calls a function once what the calling thread has written is committed, and not if it is rolled back.
    """

    def __init__(
        self,
        manager: pluggy.PluginManager | None = None,
        *,
        after_commit: Callable[[Callable[[], None]], None] = lambda tell: tell(),
    ) -> None:
        self._after_commit = after_commit
        self._started = _listeners(manager, "durable_worker_started")
        self._stopping = _listeners(manager, "durable_worker_stopping")
        self._stopped = _listeners(manager, "durable_worker_stopped")
        self._events = _listeners(manager, "durable_events")
        self._encoders = _callers(manager, "durable_encode")
        self._wrappers = _callers(manager, "durable_activity_call")
        self.hears_events = bool(self._events)
        self.encodes = bool(self._encoders)
        self.wraps_activities = bool(self._wrappers)

    # A worker's life

    def worker_started(self, worker: WorkerInfo) -> None:
        for listener in self._started:
            listener.tell(worker=worker)

    def worker_stopping(self, worker: WorkerInfo, reason: str) -> None:
        for listener in self._stopping:
            listener.tell(worker=worker, reason=reason)

    def worker_stopped(self, worker: WorkerInfo) -> None:
        for listener in self._stopped:
            listener.tell(worker=worker)

    # Events

    def announce(self, news: Iterable[News]) -> None:
        """Tell of the events of one commit."""
        if not self.hears_events:
            return
        events = tuple(RunEvent(run_id, name, record) for run_id, name, records in news for record in records)
        if events:
            self._after_commit(lambda: self._tell_of(events))

    def _tell_of(self, events: tuple[RunEvent, ...]) -> None:
        for listener in self._events:
            listener.tell(events=events)

    # Activities

    def call_activity(self, call: ActivityCall) -> Any:
        """The activity's result, or its exception, with all wrappers around it."""
        perform = call.perform
        for wrapper in reversed(self._wrappers):
            perform = _Wrapped(wrapper, call, perform)
        return perform()

    # Payloads

    def encode(self, value: object) -> Any:
        """What a plugin puts in place of *value*; None if none knows it. Raises `TypeError` for one that fails."""
        for name, call in self._encoders:
            try:
                found = call(value=value)
            except Exception as error:
                raise TypeError(f"plugin {name!r} failed in durable_encode: {in_words(error)}") from error
            if found is not None:
                return found
        return None


class Innermost:
    """What the wrappers of an activity are around: a plugin like them, and always there."""

    @hookimpl
    def durable_activity_call(self, call: ActivityCall) -> Any:
        return call.perform()


# One plugin


class _Listener:
    """One plugin's implementation of a hook from which nothing is expected."""

    def __init__(self, plugin: str, hook: str, call: Callable[..., Any]) -> None:
        self._plugin = plugin
        self._hook = hook
        self._call = call
        self._last_complaint = -LOG_INTERVAL
        self._unsaid = 0

    def tell(self, **news: Any) -> None:
        try:
            self._call(**news)
        except Exception as error:  # noqa: BLE001 - a third party's mistake must not become ours
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._last_complaint < LOG_INTERVAL:
            self._unsaid += 1
            return
        again = f" ({self._unsaid} more times since that was said last)" if self._unsaid else ""
        self._last_complaint, self._unsaid = now, 0
        what = f"{self._hook}{again}"
        complain(logger, logging.ERROR, "plugin %r failed in %s: %s", self._plugin, what, error=error)


class _Wrapped:
    """An activity with one plugin around it.

    The wrapper sees how it ends and cannot change that: one that forgets to return what its `yield` gave would make
    every result None. An error of its own is raised, with a note of whose it is.
    """

    def __init__(self, wrapper: tuple[str, Callable[..., Any]], call: ActivityCall, perform: Callable[[], Any]) -> None:
        self._plugin, self._around = wrapper
        self._call = call
        self._perform = perform
        self._result: Any = None
        self._error: BaseException | None = None

    def __call__(self) -> Any:
        try:
            self._around(call=replace(self._call, perform=self._run))
        except Exception as error:
            if error is not self._error:
                error.add_note(Blame(f"raised by plugin {self._plugin!r} around the activity, not by the activity"))
                raise
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self) -> Any:
        try:
            self._result = self._perform()
        except BaseException as error:
            self._error = error
            raise
        return self._result


class Blame(str):
    """A note on an exception of a plugin."""

    __slots__ = ()


def blame_of(error: BaseException) -> str:
    """Which plugin raised it around an activity, in words; empty where none did."""
    notes = getattr(error, "__notes__", None)
    return next((note for note in notes if isinstance(note, Blame)), "") if isinstance(notes, list) else ""


def _listeners(manager: pluggy.PluginManager | None, hook: str) -> list[_Listener]:
    return [_Listener(name, hook, call) for name, call in _callers(manager, hook)]


def _callers(manager: pluggy.PluginManager | None, hook: str) -> list[tuple[str, Callable[..., Any]]]:
    """The plugins that implement a hook, in pluggy's order of calls, and what calls each of them alone."""
    if manager is None:
        return []
    implementations = getattr(manager.hook, hook).get_hookimpls()[::-1]
    own = {implementation.plugin_name: implementation.plugin for implementation in implementations}
    return [
        (
            name,
            manager.subset_hook_caller(
                hook, [other for other in own.values() if other is not plugin and not isinstance(other, Innermost)]
            ),
        )
        for name, plugin in own.items()
        if not isinstance(plugin, Innermost)
    ]


def in_words(error: BaseException) -> str:
    """What somebody else's code raised; its own ``__str__`` may be broken too."""
    return f"{type(error).__name__}: {message_of(error)}"


SILENT = Announcer()  # nobody listens
