"""What a start gives back: a run, and all that may be asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from django_durable.api.executions import Reference, row_of
from django_durable.api.messages import (
    acancel_workflow,
    asend_signal,
    aupdate_workflow,
    cancel_workflow,
    send_signal,
    update_workflow,
)
from django_durable.api.queries import aquery_workflow, query_workflow
from django_durable.api.waiting import await_workflow, wait_workflow
from django_durable.engine import engine
from durable_core.functions import R_co
from durable_core.subscripts import subscriptable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django_durable.models import WorkflowExecution
    from durable_core.execution import Status
    from durable_core.options import Duration


@subscriptable
@dataclass(frozen=True, slots=True)
class WorkflowHandle(Reference, Generic[R_co]):
    """A run, by its id. ``str(handle)`` is the UUID's text."""

    @property
    def execution(self) -> WorkflowExecution:
        """The row, as it is now."""
        return row_of(self.id)

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
