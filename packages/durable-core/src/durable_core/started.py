"""The part of `ctx` that starts activities and children, checked by type checkers against their own signatures.

A function that is known brings its parameters and its result along; one that is named by a text is not checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from durable_core import composition
from durable_core.batches import map_items
from durable_core.calls import start_activity, start_child, start_local_activity
from durable_core.functions import P, R
from durable_core.handles import ActivityHandle, ChildHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from durable_core.calls import Activity, Workflow
    from durable_core.engine import Engine
    from durable_core.functions import KnownActivity, KnownWorkflow
    from durable_core.options import Duration
    from durable_core.policies import BatchResult, CompletionPolicy

    T = TypeVar("T")


class StartingCalls:
    """Calls of `WorkflowContext`."""

    _engine: Engine

    # Activities

    @overload
    def run_activity(self, activity: KnownActivity[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def run_activity(self, activity: str, /, *args: Any, **kwargs: Any) -> Any: ...
    def run_activity(self, activity: Activity, /, *args: Any, **kwargs: Any) -> Any:
        """The result of an activity: start it and wait for it.

        *activity* is a name, a registered function or ``function.using(timeout=5)``; all other arguments are the
        activity's own. Raises `ActivityError` (`ActivityTimeout`, `ActivityCanceled`) when it failed for good,
        `UnknownActivityError`, `TypeError` or `PayloadError` at once when the call itself is wrong.
        """
        return self.wait_activity(start_activity(self._engine, activity, args, kwargs))

    @overload
    def run_local_activity(self, activity: KnownActivity[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def run_local_activity(self, activity: str, /, *args: Any, **kwargs: Any) -> Any: ...
    def run_local_activity(self, activity: Activity, /, *args: Any, **kwargs: Any) -> Any:
        """The result of an activity that runs beside this code, in this worker: for what takes moments.

        It has no row and no queue; its outcome is one event. All of its attempts together have 10 s (as long as
        ``WORKFLOW_CODE_TIMEOUT``), or a shorter *timeout* of its own. One that was under way when its worker died is
        begun again. Raises as `run_activity`, and `ConfigurationError` for one that must not be local.
        """
        return composition.wait_here(self._engine, start_local_activity(self._engine, activity, args, kwargs))

    @overload
    def start_activity(
        self, activity: KnownActivity[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> ActivityHandle[R]: ...
    @overload
    def start_activity(self, activity: str, /, *args: Any, **kwargs: Any) -> ActivityHandle[Any]: ...
    def start_activity(self, activity: Activity, /, *args: Any, **kwargs: Any) -> ActivityHandle[Any]:
        """Start an activity and go on; see `run_activity`."""
        return start_activity(self._engine, activity, args, kwargs)

    def wait_activity(self, handle: ActivityHandle[R], *, timeout: Duration | None = None) -> R:
        """The result of a started activity. After *timeout* seconds: `WaitTimeout`; the activity goes on."""
        if not isinstance(handle, ActivityHandle):
            raise TypeError(f"wait_activity() got {handle!r}; expected what ctx.start_activity() returned.")
        result: R = composition.wait(self._engine, handle, timeout)
        return result

    # Many of one kind

    @overload
    def map(
        self,
        fn: KnownActivity[[T], R],
        items: Iterable[T],
        max_concurrency: int | None = None,
        completion: CompletionPolicy | None = None,
    ) -> BatchResult[R]: ...
    @overload
    def map(
        self,
        fn: KnownWorkflow[[T], R],
        items: Iterable[T],
        max_concurrency: int | None = None,
        completion: CompletionPolicy | None = None,
    ) -> BatchResult[R]: ...
    @overload
    def map(
        self,
        fn: Callable[[T], R],
        items: Iterable[T],
        max_concurrency: int | None = None,
        completion: CompletionPolicy | None = None,
    ) -> BatchResult[R]: ...
    @overload
    def map(
        self,
        fn: str,
        items: Iterable[Any],
        max_concurrency: int | None = None,
        completion: CompletionPolicy | None = None,
    ) -> BatchResult[Any]: ...
    def map(
        self,
        fn: Any,
        items: Iterable[Any],
        max_concurrency: int | None = None,
        completion: CompletionPolicy | None = None,
    ) -> BatchResult[Any]:
        """Call an activity, a workflow or a function of this code once for each item, side by side.

        At most *max_concurrency* at a time. Without *completion*, all are waited for; then `BatchFailed` is raised if
        any failed. See `CompletionPolicy` for what ends the batch before: the rest is canceled then.
        """
        return map_items(self._engine, fn, items, max_concurrency, completion)

    # Children

    @overload
    def run_workflow(self, workflow: KnownWorkflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def run_workflow(self, workflow: KnownWorkflow[..., R], /, *, timeout: Duration | None, **kwargs: Any) -> R: ...
    @overload
    def run_workflow(self, workflow: str, /, **kwargs: Any) -> Any: ...
    def run_workflow(self, workflow: Workflow, /, *args: Any, **kwargs: Any) -> Any:
        """The result of a child workflow: start it and wait for it.

        Raises `WorkflowFailed`, `WorkflowTimeout` or `WorkflowCanceled` as the child ended,
        `UnknownWorkflowError`, `TypeError` or `PayloadError` at once when the call itself is wrong.
        """
        return self.wait_workflow(start_child(self._engine, workflow, args, kwargs))

    @overload
    def start_workflow(self, workflow: KnownWorkflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> ChildHandle[R]: ...
    @overload
    def start_workflow(
        self, workflow: KnownWorkflow[..., R], /, *, timeout: Duration | None, **kwargs: Any
    ) -> ChildHandle[R]: ...
    @overload
    def start_workflow(self, workflow: str, /, **kwargs: Any) -> ChildHandle[Any]: ...
    def start_workflow(self, workflow: Workflow, /, *args: Any, **kwargs: Any) -> ChildHandle[Any]:
        """Start a child workflow and go on; see `run_workflow`. ``timeout=`` is the child's, as in the public call."""
        return start_child(self._engine, workflow, args, kwargs)

    def wait_workflow(self, handle: ChildHandle[R], *, timeout: Duration | None = None) -> R:
        """The result of a started child. After *timeout* seconds: `WaitTimeout`; the child goes on."""
        if not isinstance(handle, ChildHandle):
            raise TypeError(f"wait_workflow() got {handle!r}; expected what ctx.start_workflow() returned.")
        result: R = composition.wait(self._engine, handle, timeout)
        return result
