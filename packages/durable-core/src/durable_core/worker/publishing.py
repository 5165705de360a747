"""Stores what activities publish, from one thread: what has come together since the last time, of all of them."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from durable_core.errors import DurableError, StoreUnavailable
from durable_core.logs import complain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from durable_core.ports import Event, HistoryStore
    from durable_core.unpublished import Unpublished
    from durable_core.worker.threads import Thread, Threads

logger = logging.getLogger("durable.worker")

INTERVAL = 0.05  # seconds between two writes, unless somebody waits for the next
IMPATIENCE = 0.005  # the same, if somebody does, and the last one could not do all
PATIENCE = 1.0  # seconds that an activity waits for room in its box; its own transaction may be what it waits for
IDLE = 60.0


class WithoutWaiting:
    """An `Outlet` for activities that share their thread."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def notice(self, box: Unpublished, *, is_full: bool) -> None:
        self._publisher.notice(box, is_full=False)


class Nowhere:
    """An `Outlet` for activities that the store knows nothing of."""

    def notice(self, box: Unpublished, *, is_full: bool) -> None:
        box.close()
        raise DurableError(
            "A local activity cannot publish: whose items these are could not be told after a crash. Use "
            "ctx.run_activity(), or ctx.publish() with what it returns."
        )


NOWHERE = Nowhere()


class Publisher:
    """An `Outlet` with a thread that begins when there is something to store, and ends with the context."""

    def __init__(self, store: HistoryStore, *, threads: Threads, release_thread: Callable[[], None]) -> None:
        self._store = store
        self._threads = threads
        self._release_thread = release_thread
        self._lock = threading.Lock()
        self._boxes: dict[Unpublished, None] = {}  # that have something in them
        self._awaited: dict[Unpublished, Event] = {}  # that somebody waits for
        self._wake = threads.event()
        self._is_idle = False
        self._is_leaving = False
        self._thread: Thread | None = None

    def __enter__(self) -> None:
        self._is_leaving = False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._is_leaving = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    # For activities, from their threads

    def notice(self, box: Unpublished, *, is_full: bool) -> None:
        with self._lock:
            self._boxes[box] = None
            if self._thread is None and not self._is_leaving:
                self._thread = self._threads.start(self._run, "durable-publisher")
        if self._is_idle:
            self._wake.set()
        if is_full:
            self._wait_for(box, PATIENCE)

    def finish(self, box: Unpublished, *, is_wanted: Callable[[], bool]) -> None:
        """Wait until all that is in the box is stored, or nobody wants it any more."""
        self.notice(box, is_full=False)
        while not box.is_empty and not self._is_leaving and is_wanted():
            self._wait_for(box, INTERVAL)

    async def afinish(self, box: Unpublished, *, is_wanted: Callable[[], bool]) -> None:
        """`finish` for an event loop, which goes on meanwhile."""
        self.notice(box, is_full=False)
        while not box.is_empty and not self._is_leaving and is_wanted():
            self._wake.set()
            await asyncio.sleep(IMPATIENCE)

    def send_all(self, box: Unpublished) -> None:
        """Store it in this thread, and in its transaction. Raises `StoreUnavailable` if somebody keeps the run."""
        for _ in range(int(PATIENCE / INTERVAL)):
            while self.send([box]):
                pass
            if box.is_empty:
                return
            self._threads.event().wait(INTERVAL)
        raise StoreUnavailable("an item cannot be published: somebody holds its run", ambiguous=False)

    def _wait_for(self, box: Unpublished, seconds: float) -> None:
        with self._lock:
            written = self._awaited.setdefault(box, self._threads.event())
        self._wake.set()
        written.wait(seconds)

    # The thread

    def _run(self) -> None:
        try:
            while not self._is_leaving:
                self._is_idle = True
                if not self._boxes:
                    self._wake.wait(IDLE)
                self._is_idle = False
                self._wake.clear()
                self._turn()
                if not self._is_leaving:
                    self._wake.wait(IMPATIENCE if self._awaited else INTERVAL)
        finally:
            self._release_thread()

    def _turn(self) -> None:
        with self._lock:
            boxes = list(self._boxes)
        try:
            while boxes:
                boxes = self.send(boxes)
        except StoreUnavailable as error:
            logger.debug("nothing published: %s", error)
        except Exception as error:  # noqa: BLE001 - without this thread activities would wait for ever
            complain(logger, logging.ERROR, "nothing published: %s", error=error)

    def send(self, boxes: Iterable[Unpublished]) -> list[Unpublished]:
        """Store a batch of each; those that have more than that. Raises `StoreUnavailable`."""
        batches = {box: batch for box in boxes if (batch := box.batch()).items}
        published = self._store.publish(list(batches.values()))
        for box, batch in batches.items():
            if batch.task_id in published.refused:
                box.close()
            elif batch.task_id not in published.busy:
                box.sent(len(batch.items))
        with self._lock:
            for box in [box for box in self._boxes if box.is_empty]:
                del self._boxes[box]
            for box in [box for box in self._awaited if not box.is_full]:
                if box.is_empty or box in batches:
                    self._awaited.pop(box).set()
        return [box for box, batch in batches.items() if not box.is_empty and batch.task_id not in published.busy]
