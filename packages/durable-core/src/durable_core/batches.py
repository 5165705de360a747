"""One function for many items: `ctx.map()`.

The batch is one call, and its items are counted below it: that of item 17 of call 4 is "4.17", whenever it is started
and whatever became of those before it. Each item that ends is looked at once, so the work grows with their number.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from durable_core import canceling, composition
from durable_core.definitions import ActivityDefinition, WorkflowDefinition
from durable_core.errors import BatchFailed, BranchCanceled, ConfigurationError, WorkflowCanceled
from durable_core.handles import BranchHandle, result_of
from durable_core.items import Begin, many_activities, many_by_name, many_children
from durable_core.policies import BatchResult, CompletionPolicy, ItemOutcome, ItemStatus
from durable_core.waits import Future, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable

    from durable_core.calls import Activity, Workflow
    from durable_core.engine import Engine
    from durable_core.handles import Handle

NOT_STARTED: ItemOutcome[Any] = ItemOutcome(ItemStatus.NOT_STARTED)
CANCELED: ItemOutcome[Any] = ItemOutcome(ItemStatus.CANCELED)


def map_items(
    engine: Engine,
    fn: Activity | Workflow,
    items: Iterable[Any],
    max_concurrency: int | None,
    completion: CompletionPolicy | None,
) -> BatchResult[Any]:
    """Raises what is wrong with the call before any item has begun, and `BatchFailed`."""
    engine.check_caller()
    if max_concurrency is not None and (type(max_concurrency) is not int or max_concurrency < 1):
        raise ConfigurationError(f"map(max_concurrency=) got {max_concurrency!r}; expected a number from 1, or None.")
    if isinstance(items, set | frozenset):
        raise TypeError("map() got a set, whose order is another in every process; expected a list, or sorted(...).")
    policy = completion or CompletionPolicy()
    if not isinstance(policy, CompletionPolicy):
        raise TypeError(f"map(completion=) got {policy!r}; expected a CompletionPolicy.")
    given = list(items)
    name, begin = _beginner(engine, fn, given, max_concurrency)
    at_once = len(given) if max_concurrency is None else max_concurrency
    return _Batch(engine, engine.next_call_id(), name, begin, len(given), policy).run(at_once)


def _beginner(engine: Engine, fn: Activity | Workflow, items: list[Any], at_once: int | None) -> tuple[str, Begin]:
    """What the function is called, and how an item begins. All that can be wrong with an item is found here."""
    match fn:
        case ActivityDefinition():
            return many_activities(engine, fn, items, at_once)
        case WorkflowDefinition():
            return many_children(engine, fn, items, at_once)
        case str():
            return many_by_name(engine, fn, items, at_once)
        case _ if hasattr(fn, "durable_activity"):
            return many_activities(engine, fn, items, at_once)
        case _ if hasattr(fn, "durable_workflow"):
            return many_children(engine, fn, items, at_once)
        case _ if callable(fn):
            function = fn
            name = getattr(fn, "__name__", type(fn).__name__)
            return name, lambda call_id, n: composition.spawn_as(engine, call_id, function, (items[n],), {})
        case _:
            raise TypeError(f"map() got {fn!r}; expected an activity, a workflow, or a function of this code.")


class _Batch:
    """Items under way. Whoever waits is told of the first that ends, and looks at all that have ended by then."""

    def __init__(
        self, engine: Engine, call_id: str, name: str, begin: Begin, items: int, policy: CompletionPolicy
    ) -> None:
        self._engine = engine
        self._call_id = call_id
        self._name = name
        self._begin = begin
        self._policy = policy
        self._most_failures = policy.most_failures(items)
        self._outcomes: list[ItemOutcome[Any]] = [NOT_STARTED] * items
        self._going_on: dict[int, Handle] = {}
        self._begun = 0
        self._ended: deque[int] = deque()  # not looked at yet
        self._gate = Future(call_id)  # done when there is one
        self._succeeded = self._failed = 0

    def run(self, at_once: int) -> BatchResult[Any]:
        try:
            while not self._is_decided():
                while len(self._going_on) < at_once and self._begun < len(self._outcomes):
                    self._begin_next()
                self._look_at(self._next_ended())
            self._stop()
        except WorkflowCanceled:
            self._wait_for_branches()  # they hear of it too, and may have something to clear up
            raise
        result = BatchResult(tuple(self._outcomes))
        if self._has_failed():
            raise self._failure(result) from next(iter(result.failures), None)
        return result

    def _is_decided(self) -> bool:
        done = self._succeeded + self._failed == len(self._outcomes)
        return done or self._policy.is_enough(self._succeeded) or self._has_too_many_failures()

    def _has_too_many_failures(self) -> bool:
        return self._most_failures is not None and self._failed > self._most_failures

    def _has_failed(self) -> bool:
        if self._policy.is_enough(self._succeeded):
            return False
        return self._failed > (0 if self._most_failures is None else self._most_failures)

    # Items

    def _begin_next(self) -> None:
        number = self._begun
        self._begun += 1
        handle = self._going_on[number] = self._begin(f"{self._call_id}.{number}", number)
        self._engine.end_of(handle.call_id).waits += (_Watch(self, number),)

    def item_ended(self, number: int) -> None:
        self._ended.append(number)
        if not self._gate.done_at:
            self._gate.resolve(None)

    def _next_ended(self) -> int:
        if not self._ended:
            self._gate = Future(self._call_id)
            self._engine.wait([self._gate], Waiting("several", f"{len(self._outcomes)} items of {self._name}"))
        return self._ended.popleft()

    def _look_at(self, number: int) -> None:
        handle = self._going_on.pop(number)
        try:
            value = result_of(self._engine, handle, self._engine.end_of(handle.call_id))
        except Exception as error:  # noqa: BLE001 - whatever the code of a branch raised
            self._outcomes[number] = ItemOutcome(ItemStatus.FAILED, error=error)
            self._failed += 1
        else:
            self._outcomes[number] = ItemOutcome(ItemStatus.SUCCEEDED, value)
            self._succeeded += 1

    # The end

    def _stop(self) -> None:
        """Cancel what goes on. Code of this run is waited for: it may have something to undo."""
        if not self._going_on:
            return
        why = "too many items of its batch have failed" if self._has_too_many_failures() else "its batch is done"
        for number, handle in self._going_on.items():
            self._outcomes[number] = CANCELED
            canceling.ask_to_end(self._engine, handle, why)
        self._wait_for_branches()
        for number, handle in self._going_on.items():
            if isinstance(handle, BranchHandle):
                self._outcomes[number] = self._end_of_branch(handle)

    def _end_of_branch(self, handle: BranchHandle) -> ItemOutcome[Any]:
        try:
            return ItemOutcome(
                ItemStatus.SUCCEEDED, result_of(self._engine, handle, self._engine.end_of(handle.call_id))
            )
        except BranchCanceled:
            return CANCELED
        except Exception as error:  # noqa: BLE001 - whatever its code raised
            return ItemOutcome(ItemStatus.FAILED, error=error)

    def _wait_for_branches(self) -> None:
        branches = [handle for handle in self._going_on.values() if isinstance(handle, BranchHandle)]
        ends = [self._engine.end_of(handle.call_id) for handle in branches]
        self._engine.wait(ends, Waiting("several", f"{len(ends)} canceled items of {self._name}"), for_all=True)

    def _failure(self, result: BatchResult[Any]) -> BatchFailed:
        failures = result.failures
        message = f"{len(failures)} of {len(result.outcomes)} items of {self._name} failed"
        if failures:
            message += f"; the first, in their order, with {type(failures[0]).__name__}: {failures[0]}"
        elif self._policy.min_successful is not None:
            message += f", but {self._policy.min_successful} were to succeed"
        return BatchFailed(message, result)


class _Watch:
    """Waits for one item."""

    __slots__ = ("_batch", "_number")

    def __init__(self, batch: _Batch, number: int) -> None:
        self._batch = batch
        self._number = number

    def one_is_done(self) -> None:
        self._batch.item_ended(self._number)
