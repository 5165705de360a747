"""Steps that are undone if what they belong to fails: `ctx.saga()`.

A step whose outcome is known to be a success has an undo. One that is under way when the block is left is told to stop,
and its outcome waited for: if it succeeded all the same, it is undone too. Undos run last in first out, behind a
shield, and none keeps another from running.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from durable_core import canceling, composition
from durable_core.calls import Activity, start_activity
from durable_core.codec import encode
from durable_core.definitions import ActivityDefinition, WorkflowDefinition
from durable_core.errors import ActivityError, CodeStuck, DurableError, RunEvicted, SagaError, WorkflowCanceled
from durable_core.handles import result_of
from durable_core.waits import Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from durable_core.engine import Engine
    from durable_core.functions import KnownActivity, R
    from durable_core.handles import ActivityHandle

Undo = Activity  # or a plain function of the workflow's code, which gets the same arguments

NOT_AN_END = (RunEvicted, CodeStuck, KeyboardInterrupt, GeneratorExit)  # the code is taken away, and has not failed


class _Undo(NamedTuple):
    name: str
    perform: Callable[[tuple[Any, ...], dict[str, Any]], object]


class _Step(NamedTuple):
    undo: _Undo
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Saga:
    """What ``with ctx.saga() as saga`` gives."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._done: list[_Step] = []
        self._under_way: dict[ActivityHandle[Any], _Undo] = {}
        self._is_open = False

    def __enter__(self) -> Saga:
        self._engine.check_caller()
        self._is_open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._is_open = False
        if error is not None and not isinstance(error, NOT_AN_END):
            self._compensate(error)

    def run(self, activity: KnownActivity[..., R] | str, /, *args: Any, undo: Undo, **kwargs: Any) -> R:
        """The result of an activity, which *undo* gets if the block fails later on.

        *undo* is an activity (a name, a function or ``function.using(...)``) or a plain function of this code. A step
        that fails has none. Raises as `ctx.run_activity`, and for an undo that cannot be called before the step begins.
        """
        self._check_open()
        way_back = self._found(undo, (None,), {})
        handle = start_activity(self._engine, activity, args, kwargs)
        self._under_way[handle] = way_back
        try:
            result: R = composition.wait(self._engine, handle, None)
        except WorkflowCanceled:
            raise  # it is under way still
        except BaseException:
            self._under_way.pop(handle, None)
            raise
        if self._under_way.pop(handle, None) is not None:  # or it is undone already, by code that did not wait here
            self._done.append(_Step(way_back, (result,), {}))
        return result

    def add(self, undo: Undo, /, *args: Any, **kwargs: Any) -> None:
        """Something else to call if the block fails later on: for what is not one activity, or may be done in part."""
        self._check_open()
        way_back = self._found(undo, args, kwargs)
        self._done.append(_Step(way_back, args, kwargs))

    def compensate(self) -> None:
        """Undo by hand all that was done so far. Raises `SagaError` if some of it could not be undone."""
        self._check_open()
        self._compensate(None)

    def _check_open(self) -> None:
        self._engine.check_caller()
        if not self._is_open:
            raise DurableError("The saga is over: what it does belongs into the block of ``with ctx.saga() as saga``.")

    # Undos

    def _found(self, undo: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Undo:
        """Raises for one that cannot be called so, on a replay too: no history tells of undos to come."""
        engine = self._engine
        if isinstance(undo, WorkflowDefinition) or hasattr(undo, "durable_workflow"):
            raise TypeError("An undo is an activity or a function; let a function call ctx.run_workflow().")
        if isinstance(undo, str | ActivityDefinition) or hasattr(undo, "durable_activity"):
            definition = engine.registry.find_activity(undo)
            definition.check_input(args, kwargs)
            what = f"the arguments of activity {definition.name!r}"
            encode({"args": args, "kwargs": kwargs}, what=what, limit=engine.payload_limit)
            return _Undo(
                definition.name, lambda a, k: composition.wait(engine, start_activity(engine, definition, a, k), None)
            )
        if not callable(undo):
            raise TypeError(f"An undo was {undo!r}; expected an activity, or a function of the workflow's own code.")
        function = undo
        return _Undo(getattr(undo, "__name__", type(undo).__name__), lambda a, k: function(*a, **k))

    def _compensate(self, cause: BaseException | None) -> None:
        failures: list[tuple[str, Exception]] = []
        with canceling.shielded(self._engine):
            self._settle()
            steps, self._done = self._done[::-1], []
            for step in steps:
                try:
                    step.undo.perform(step.args, step.kwargs)
                except Exception as error:  # noqa: BLE001 - it is reported, and the others run
                    failures.append((step.undo.name, error))
        if failures:
            raise _told(failures, len(steps)) from cause

    def _settle(self) -> None:
        """See what becomes of steps that are under way."""
        under_way, self._under_way = self._under_way, {}
        for handle in under_way:
            canceling.ask_to_end(self._engine, handle, "its saga is undone")
        ends = {handle: self._engine.end_of(handle.call_id) for handle in under_way}
        waiting = Waiting("several", f"{len(ends)} steps of a saga that is undone")
        self._engine.wait(list(ends.values()), waiting, for_all=True)
        for handle, end in sorted(ends.items(), key=lambda item: item[1].done_at):
            try:
                result = result_of(self._engine, handle, end)
            except ActivityError:
                continue
            self._done.append(_Step(under_way[handle], (result,), {}))


def _told(failures: Sequence[tuple[str, Exception]], undos: int) -> SagaError:
    each = "; ".join(f"{name}: {type(error).__name__}: {error}" for name, error in failures)
    return SagaError(f"{len(failures)} of {undos} undos failed: {each}", tuple(error for _, error in failures))
