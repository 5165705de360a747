"""A graceful cancel: asked for by the first request, raised once, in the code, at a wait outside of every shield."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from durable_core import commands as c
from durable_core.errors import ChildCanceled, WorkflowCanceled

if TYPE_CHECKING:
    from uuid import UUID

    from durable_core import events as e


class Cancellation:
    def __init__(self, execution_id: UUID) -> None:
        self._execution_id = execution_id
        self._shields = 0  # around where the code is
        self.request: e.WorkflowCancelRequested | None = None
        self.was_raised = False

    @property
    def is_due(self) -> bool:
        return self.request is not None and not self.was_raised and not self._shields

    def raise_it(self) -> NoReturn:
        assert self.request is not None
        self.was_raised = True
        raise WorkflowCanceled(execution_id=self._execution_id, reason=self.request.reason)

    def enter_shield(self) -> None:
        self._shields += 1

    def leave_shield(self) -> None:
        self._shields -= 1
        if self.is_due:
            self.raise_it()

    def caused(self, error: BaseException) -> bool:
        """Whether code that was left by *error* let itself be canceled."""
        return self.request is not None and isinstance(error, WorkflowCanceled) and not isinstance(error, ChildCanceled)

    def command(self) -> c.CancelWorkflow:
        """How a run ends that let itself be canceled."""
        assert self.request is not None
        return c.CancelWorkflow(reason=self.request.reason)
