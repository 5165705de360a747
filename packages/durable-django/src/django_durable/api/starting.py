"""Start runs, for sync and for async code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

from asgiref.sync import sync_to_async

from django_durable.api.handles import WorkflowHandle
from django_durable.api.uncommitted import mark_uncommitted
from django_durable.engine import engine
from durable_core.definitions import WorkflowDefinition, register

if TYPE_CHECKING:
    from collections.abc import Iterable

    from durable_core.client import Started
    from durable_core.functions import KnownWorkflow, P, R
    from durable_core.options import Duration

Workflow = str | Callable[..., Any] | WorkflowDefinition


@overload
def start_workflow(workflow: KnownWorkflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> WorkflowHandle[R]: ...
@overload
def start_workflow(
    workflow: KnownWorkflow[..., R], /, *, timeout: Duration | None, **kwargs: Any
) -> WorkflowHandle[R]: ...
@overload
def start_workflow(workflow: str, /, *, timeout: Duration | None = None, **kwargs: Any) -> WorkflowHandle[Any]: ...
def start_workflow(workflow: Workflow, /, *args: Any, timeout: Any = None, **kwargs: Any) -> WorkflowHandle[Any]:
    """Start a run and return at once; a worker drives it once the caller's transaction has committed.

    *timeout*: seconds or timedelta from start to close. All other arguments are the workflow's input; options such as
    ``workflow_id`` go into ``workflow.using(...)``. Raises `UnknownWorkflowError`, `TypeError` (input that the function
    does not take), `PayloadError` or `WorkflowAlreadyStarted`; then nothing was written.
    """
    return start(workflow, _named(workflow, args, kwargs), timeout=timeout)


def start(workflow: Workflow, kwargs: dict[str, Any], *, timeout: Duration | None = None) -> WorkflowHandle[Any]:
    """`start_workflow` for input that comes as a dict."""
    return _marked(engine().client.start(workflow, kwargs, timeout=timeout))


def start_workflows(
    items: Iterable[tuple[Workflow, dict[str, Any]]], *, timeout: Duration | None = None
) -> list[WorkflowHandle[Any]]:
    """Start many runs at once: pairs of a workflow and its input, a dict. Handles come in the same order.

    All of them are started, or none, in one transaction, which joins the caller's. What holds for each is as in
    `start_workflow`, which also says what is raised; *timeout* is each run's own.
    """
    pairs = [(workflow, dict(kwargs)) for workflow, kwargs in items]
    started = engine().client.start_many(pairs, timeout=timeout)
    mark_uncommitted([one.run_id for one in started if one.created])
    return [WorkflowHandle(one.run_id) for one in started]


def signal_with_start(
    workflow: Workflow,
    signal: str,
    payload: Any = None,
    /,
    *,
    timeout: Duration | None = None,
    **kwargs: Any,
) -> WorkflowHandle[Any]:
    """Send a signal to the open run with the workflow_id of ``workflow.using(workflow_id=...)``, and start it first
    where there is none: both or neither, also when several callers do so at once.

    *timeout* and the other keywords are as in `start_workflow`; an open run keeps the input that it has. Raises what
    that raises, and `ConfigurationError` without a workflow_id.
    """
    return _marked(engine().client.signal_with_start(workflow, kwargs, signal, payload, timeout=timeout))


@overload
def run_workflow(workflow: KnownWorkflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
@overload
def run_workflow(workflow: str, /, **kwargs: Any) -> Any: ...
def run_workflow(workflow: Workflow, /, *args: Any, **kwargs: Any) -> Any:
    """Start a run, drive it to its end in this process, and return its result. For scripts, shells and tests.

    Needs no worker; its activities and children run here too, whatever their queues. Inside `transaction.atomic()`, as
    in a `TestCase`, all of it happens in this thread and this transaction. Raises as the run ended, and `DurableError`
    for a run that cannot go on here.
    """
    return _run(workflow, _named(workflow, args, kwargs))


# For async code


@overload
async def astart_workflow(workflow: KnownWorkflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> WorkflowHandle[R]: ...
@overload
async def astart_workflow(
    workflow: KnownWorkflow[..., R],
    /,
    *,
    timeout: Duration | None,  # noqa: ASYNC109 - the run's own
    **kwargs: Any,
) -> WorkflowHandle[R]: ...
@overload
async def astart_workflow(
    workflow: str,
    /,
    *,
    timeout: Duration | None = None,  # noqa: ASYNC109 - the run's own
    **kwargs: Any,
) -> WorkflowHandle[Any]: ...
async def astart_workflow(
    workflow: Workflow,
    /,
    *args: Any,
    timeout: Any = None,  # noqa: ASYNC109 - the run's own
    **kwargs: Any,
) -> WorkflowHandle[Any]:
    """`start_workflow` for async code."""
    return await sync_to_async(start)(workflow, _named(workflow, args, kwargs), timeout=timeout)


async def astart_workflows(
    items: Iterable[tuple[Workflow, dict[str, Any]]],
    *,
    timeout: Duration | None = None,  # noqa: ASYNC109 - each run's own
) -> list[WorkflowHandle[Any]]:
    """`start_workflows` for async code."""
    return await sync_to_async(start_workflows)(items, timeout=timeout)


async def asignal_with_start(
    workflow: Workflow,
    signal: str,
    payload: Any = None,
    /,
    *,
    timeout: Duration | None = None,  # noqa: ASYNC109 - the run's own
    **kwargs: Any,
) -> WorkflowHandle[Any]:
    """`signal_with_start` for async code."""
    return await sync_to_async(signal_with_start)(workflow, signal, payload, timeout=timeout, **kwargs)


@overload
async def arun_workflow(workflow: KnownWorkflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
@overload
async def arun_workflow(workflow: str, /, **kwargs: Any) -> Any: ...
async def arun_workflow(workflow: Workflow, /, *args: Any, **kwargs: Any) -> Any:
    """`run_workflow` for async code."""
    return await sync_to_async(_run)(workflow, _named(workflow, args, kwargs))


# Inside


def _marked(started: Started) -> WorkflowHandle[Any]:
    """A handle; while the run is nobody else's to see, that is known."""
    mark_uncommitted([started.run_id] if started.created else [])
    return WorkflowHandle(started.run_id)


def _named(workflow: Workflow, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    return register.find_workflow(workflow).named(args, kwargs) if args else kwargs


def _run(workflow: Workflow, kwargs: dict[str, Any]) -> Any:
    from django_durable.local import drive

    return drive(workflow, kwargs)
