"""Which run is meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from django_durable.engine import engine
from durable_core.errors import UnknownExecutionError

if TYPE_CHECKING:
    from typing import Any

    from django_durable.api.handles import WorkflowHandle
    from django_durable.models import WorkflowExecution

    Execution: TypeAlias = "WorkflowHandle[Any] | UUID | str | WorkflowExecution"


@dataclass(frozen=True, slots=True)
class Reference:
    """Names a run, by its id. ``str(reference)`` is the UUID's text."""

    id: UUID

    def __str__(self) -> str:
        return str(self.id)


def id_of(execution: Execution) -> UUID:
    """The run's id. Raises `UnknownExecutionError` for what cannot be one."""
    match execution:
        case UUID():
            return execution
        case Reference():
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


def row_of(run_id: UUID) -> WorkflowExecution:
    from django_durable.models import WorkflowExecution

    made = engine()
    row = WorkflowExecution.objects.using(made.conf.database).filter(pk=run_id).first()
    if row is None:
        made.client.find(run_id)  # says so, unless the run has just appeared
        return WorkflowExecution.objects.using(made.conf.database).get(pk=run_id)
    return row
