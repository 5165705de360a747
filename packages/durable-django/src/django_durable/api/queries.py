"""Ask runs, without disturbing them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async

from django_durable.api.executions import id_of, row_of
from django_durable.asking import ask_code
from durable_core.definitions import register
from durable_core.execution import TaskStatus
from durable_core.queries import STATUS

if TYPE_CHECKING:
    from django_durable.api.executions import Execution
    from django_durable.models import WorkflowExecution


def query_workflow(execution: Execution, name: str = "status", /, **payload: Any) -> Any:
    """Ask a run something, without disturbing it; *payload* goes to the function that answers.

    Every run answers "status": a dict of id, workflow_name, status, result, error, waiting_for, pending_activities.
    What `ctx.on_query` has registered is asked of the newest run of a chain, which is brought back here for that: it
    takes no worker, and writes nothing. Raises `UnknownExecutionError`, `UnknownQueryError` with the names there are,
    `TypeError` for a payload that the function does not take, `QueryFailed` for a run that cannot be brought back, and
    what the function raises.
    """
    row = row_of(id_of(execution))
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


async def aquery_workflow(execution: Execution, name: str = "status", /, **payload: Any) -> Any:
    """`query_workflow` for async code."""
    return await sync_to_async(query_workflow)(execution, name, **payload)


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
