"""What projects call: start, wait, signal, query, cancel.

Everything that writes here joins the caller's transaction on the durable database. An *execution* may be given as a
handle, a UUID, its text, or a `WorkflowExecution`.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, overload
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connections, transaction

from django_durable.asking import ask_code
from django_durable.engine import engine
from durable_core.client import FIRST_POLL, LONGEST_POLL, Started
from durable_core.definitions import WorkflowDefinition, register
from durable_core.errors import DurableError, UnknownExecutionError, WaitTimeout
from durable_core.execution import Status, TaskStatus
from durable_core.functions import P, R, R_co
from durable_core.options import as_timedelta
from durable_core.queries import STATUS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django_durable.models import WorkflowExecution
    from durable_core.functions import KnownWorkflow
    from durable_core.options import Duration

    Execution: TypeAlias = "WorkflowHandle[Any] | UUID | str | WorkflowExecution"

Workflow = str | Callable[..., Any] | WorkflowDefinition


@dataclass(frozen=True, slots=True)
class WorkflowHandle(Generic[R_co]):
    """A run, by its id. ``str(handle)`` is the UUID's text."""

    id: UUID

    def __str__(self) -> str:
        return str(self.id)

    @property
    def execution(self) -> WorkflowExecution:
        """The row, as it is now."""
        return _row_of(self.id)

    @property
    def status(self) -> Status:
        """As it is now."""
        return engine().client.find(self.id).status

    def result(self, timeout: Duration | None = None) -> R_co:
        result: R_co = wait_workflow(self, timeout)
        return result

    def signal(self, name: str, payload: Any = None, *, dedupe_key: str | None = None) -> None:
        send_signal(self, name, payload, dedupe_key=dedupe_key)

    def update(
        self,
        name: str,
        payload: Mapping[str, Any] | None = None,
        *,
        timeout: Duration | None = None,
        update_id: str | None = None,
    ) -> Any:
        return update_workflow(self, name, payload, timeout=timeout, update_id=update_id)

    def query(self, name: str, /, **payload: Any) -> Any:
        return query_workflow(self, name, **payload)

    def cancel(self, *, reason: str = "", keep_queued: bool = False, graceful: bool = False) -> bool:
        return cancel_workflow(self, reason=reason, keep_queued=keep_queued, graceful=graceful)

    async def aresult(self, timeout: Duration | None = None) -> R_co:  # noqa: ASYNC109 - as `result` has it
        result: R_co = await await_workflow(self, timeout)
        return result

    async def asignal(self, name: str, payload: Any = None, *, dedupe_key: str | None = None) -> None:
        await asend_signal(self, name, payload, dedupe_key=dedupe_key)

    async def aupdate(
        self,
        name: str,
        payload: Mapping[str, Any] | None = None,
        *,
        timeout: Duration | None = None,  # noqa: ASYNC109 - as `update` has it
        update_id: str | None = None,
    ) -> Any:
        return await aupdate_workflow(self, name, payload, timeout=timeout, update_id=update_id)

    async def aquery(self, name: str, /, **payload: Any) -> Any:
        return await aquery_workflow(self, name, **payload)

    async def acancel(self, *, reason: str = "", keep_queued: bool = False, graceful: bool = False) -> bool:
        return await acancel_workflow(self, reason=reason, keep_queued=keep_queued, graceful=graceful)


def id_of(execution: Execution) -> UUID:
    """The run's id. Raises `UnknownExecutionError` for what cannot be one."""
    match execution:
        case UUID():
            return execution
        case WorkflowHandle():
            return execution.id
        case str():
            try:
                return UUID(execution)
            except ValueError:
                raise UnknownExecutionError(
                    f"{execution!r} is not the id of a workflow execution: expected a UUID, such as "
                    "str(start_workflow(...)) gives."
                ) from None
    from django_durable.models import WorkflowExecution

    if isinstance(execution, WorkflowExecution):
        return execution.id
    raise UnknownExecutionError(
        f"{execution!r} is not a workflow execution: expected a handle, a UUID, its text, or a WorkflowExecution."
    )


# Start and wait


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
    _mark([one.run_id for one in started if one.created])
    return [WorkflowHandle(one.run_id) for one in started]


def _marked(started: Started) -> WorkflowHandle[Any]:
    """A handle; while the run is nobody else's to see, that is known."""
    _mark([started.run_id] if started.created else [])
    return WorkflowHandle(started.run_id)


def _mark(created: Sequence[UUID]) -> None:
    connection = connections[engine().conf.database]
    if created and connection.in_atomic_block:
        transaction.on_commit(_Uncommitted(frozenset(created)), using=connection.alias)


@overload
def wait_workflow(execution: WorkflowHandle[R], timeout: Duration | None = None) -> R: ...
@overload
def wait_workflow(execution: Execution, timeout: Duration | None = None) -> Any: ...
def wait_workflow(execution: Execution, timeout: Duration | None = None) -> Any:
    """What the run returned, once a worker has brought it to its end.

    *timeout*: seconds or timedelta; 0 looks once, None waits without end. Raises as the run ended (`WorkflowFailed`,
    `WorkflowCanceled`, `WorkflowTimeout`), `WaitTimeout` when time runs out, and `DurableError` at once inside a
    transaction that keeps workers from seeing the run.
    """
    run_id = id_of(execution)
    check_wait_can_end(run_id, timeout)
    return engine().client.result(run_id, timeout=timeout)


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


# Messages


def send_signal(execution: Execution, name: str, payload: Any = None, *, dedupe_key: str | None = None) -> None:
    """Send a signal; it is kept until the workflow waits for it. *payload* is anything that JSON can hold.

    With a *dedupe_key* it is sent once, whoever sends it again: a webhook that comes twice, a task that is retried.
    Raises `UnknownExecutionError`, `WorkflowClosed` or `PayloadError`; then nothing was sent.
    """
    engine().client.signal(id_of(execution), name, payload, dedupe_key=dedupe_key)


signal_workflow = send_signal


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


def update_workflow(
    execution: Execution,
    name: str,
    payload: Mapping[str, Any] | None = None,
    *,
    timeout: Duration | None = None,
    update_id: str | None = None,
) -> Any:
    """Ask a run to change, and wait for what its handler of the update *name* returns; a worker runs that.

    *payload* are the handler's keywords. Giving up after *timeout* (seconds or timedelta) undoes nothing: ask again
    with the same *update_id*, and it is the same update with the same answer. Raises `UpdateRejected` (nothing of it
    is in the history), `UpdateFailed`, `WorkflowClosed`, `WaitTimeout`, `UnknownExecutionError`, `PayloadError`, and
    `DurableError` inside of a transaction, in which no worker would see it.
    """
    updater = engine().updater
    asked = updater.request(id_of(execution), name, payload or {}, update_id=update_id)
    return updater.answer(asked, timeout=timeout)


def query_workflow(execution: Execution, name: str = "status", /, **payload: Any) -> Any:
    """Ask a run something, without disturbing it; *payload* goes to the function that answers.

    Every run answers "status": a dict of id, workflow_name, status, result, error, waiting_for, pending_activities.
    What `ctx.on_query` has registered is asked of the newest run of a chain, which is brought back here for that: it
    takes no worker, and writes nothing. Raises `UnknownExecutionError`, `UnknownQueryError` with the names there are,
    `TypeError` for a payload that the function does not take, `QueryFailed` for a run that cannot be brought back, and
    what the function raises.
    """
    row = _row_of(id_of(execution))
    if name in register.queries_of(row.workflow_name):
        answer = register.find_query(row.workflow_name, name)
    elif name == STATUS:
        return status_of(row)
    else:
        return ask_code(row.id, name, payload)
    signature = inspect.signature(answer)
    try:
        signature.bind(row, **payload)
    except TypeError as error:
        raise TypeError(
            f"workflow {row.workflow_name!r}, query {name!r}: {error}; its signature is {name}{signature}"
        ) from None
    return answer(row, **payload)


def status_of(row: WorkflowExecution) -> dict[str, Any]:
    """What the query "status" answers."""
    pending = row.activities.filter(status__in=_OPEN_TASKS).order_by("scheduled_at", "id")
    return {
        "id": str(row.id),
        "workflow_name": row.workflow_name,
        "status": row.status,
        "result": row.result,
        "error": row.error,
        "waiting_for": row.waiting_for,
        "pending_activities": list(pending.values_list("activity_name", flat=True)),
    }


_OPEN_TASKS = [status.value for status in TaskStatus if not status.is_closed]


def cancel_workflow(
    execution: Execution,
    *,
    reason: str = "",
    keep_queued: bool = False,
    graceful: bool = False,
) -> bool:
    """Cancel a run; False if it was closed already.

    The run is CANCELED when this returns; its queued activities fail (not with *keep_queued*), its running ones are
    told, its children are canceled. *graceful* instead raises `WorkflowCanceled` in its code, once. Raises
    `UnknownExecutionError`.
    """
    return engine().client.cancel(id_of(execution), reason=reason, keep_queued=keep_queued, graceful=graceful)


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


async def await_workflow(
    execution: Execution,
    timeout: Duration | None = None,  # noqa: ASYNC109 - as `wait_workflow` has it
) -> Any:
    """`wait_workflow` for async code; the thread of sync code is free between two looks."""
    return await _patiently(lambda: wait_workflow(execution, 0), timeout, "await_workflow(timeout=)")


async def _patiently(look: Callable[[], Any], timeout: Duration | None, what: str) -> Any:  # noqa: ASYNC109 - its own
    """What *look* returns once it raises `WaitTimeout` no more."""
    span = as_timedelta(timeout, what=what)
    deadline = None if span is None else time.monotonic() + span.total_seconds()
    pause = FIRST_POLL
    while True:
        try:
            return await sync_to_async(look)()
        except WaitTimeout:
            left = LONGEST_POLL if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_POLL)


@overload
async def arun_workflow(workflow: KnownWorkflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
@overload
async def arun_workflow(workflow: str, /, **kwargs: Any) -> Any: ...
async def arun_workflow(workflow: Workflow, /, *args: Any, **kwargs: Any) -> Any:
    """`run_workflow` for async code."""
    return await sync_to_async(_run)(workflow, _named(workflow, args, kwargs))


async def asend_signal(execution: Execution, name: str, payload: Any = None, *, dedupe_key: str | None = None) -> None:
    """`send_signal` for async code."""
    await sync_to_async(send_signal)(execution, name, payload, dedupe_key=dedupe_key)


asignal_workflow = asend_signal


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


async def aupdate_workflow(
    execution: Execution,
    name: str,
    payload: Mapping[str, Any] | None = None,
    *,
    timeout: Duration | None = None,  # noqa: ASYNC109 - as `update_workflow` has it
    update_id: str | None = None,
) -> Any:
    """`update_workflow` for async code; the thread of sync code is free between two looks."""
    updater = engine().updater
    asked = await sync_to_async(updater.request)(id_of(execution), name, payload or {}, update_id=update_id)
    return await _patiently(lambda: updater.answer(asked, timeout=0), timeout, "aupdate_workflow(timeout=)")


async def aquery_workflow(execution: Execution, name: str = "status", /, **payload: Any) -> Any:
    """`query_workflow` for async code."""
    return await sync_to_async(query_workflow)(execution, name, **payload)


async def acancel_workflow(
    execution: Execution,
    *,
    reason: str = "",
    keep_queued: bool = False,
    graceful: bool = False,
) -> bool:
    """`cancel_workflow` for async code."""
    return await sync_to_async(cancel_workflow)(execution, reason=reason, keep_queued=keep_queued, graceful=graceful)


# Inside


def _named(workflow: Workflow, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    return register.find_workflow(workflow).named(args, kwargs) if args else kwargs


def _run(workflow: Workflow, kwargs: dict[str, Any]) -> Any:
    from django_durable.local import drive

    return drive(workflow, kwargs)


def _row_of(run_id: UUID) -> WorkflowExecution:
    from django_durable.models import WorkflowExecution

    made = engine()
    row = WorkflowExecution.objects.using(made.conf.database).filter(pk=run_id).first()
    if row is None:
        made.client.find(run_id)  # says so, unless the run has just appeared
        return WorkflowExecution.objects.using(made.conf.database).get(pk=run_id)
    return row


@dataclass(frozen=True, slots=True)
class _Uncommitted:
    """Stands among a transaction's callbacks for as long as runs that it started are nobody else's to see.

    Django drops it when the transaction, or the savepoint, is rolled back.
    """

    run_ids: frozenset[UUID]

    def __call__(self) -> None:
        """Committed: nothing is to be done."""


def _started_by(callback: object, run_id: UUID) -> bool:
    return isinstance(callback, _Uncommitted) and run_id in callback.run_ids


def check_wait_can_end(run_id: UUID, timeout: Duration | None) -> None:
    """Raises `DurableError` inside of a transaction that keeps workers from what is waited for."""
    made = engine()
    connection = connections[made.conf.database]
    if not connection.in_atomic_block:
        return
    if any(_started_by(callback[1], run_id) for callback in connection.run_on_commit):
        raise DurableError(
            f"The transaction that started run {run_id} is still open, so no worker sees the run, and waiting for it "
            "would never end. Wait after the atomic block (ATOMIC_REQUESTS makes each view one), or use run_workflow()."
        )
    looks_once = as_timedelta(timeout, what="timeout") == timedelta()
    if connection.vendor == "sqlite" and not looks_once and not made.client.find(run_id).status.is_closed:
        raise DurableError(
            "A transaction is open, and on SQLite it neither sees what workers write nor lets them write: waiting "
            f"for run {run_id} would never end. Wait after the atomic block, or look once with timeout=0."
        )
