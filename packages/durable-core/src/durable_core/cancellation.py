"""A graceful cancel: asked for by the first request, raised once in each strand of the code, outside of shields."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from durable_core import commands as c
from durable_core.errors import ChildCanceled, WorkflowCanceled

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from durable_core import events as e
    from durable_core.branch import Branch


class Cancellation:
    def __init__(self, execution_id: UUID) -> None:
        self._execution_id = execution_id
        self.request: e.WorkflowCancelRequested | None = None
        self.was_raised = False

    def ask(self, request: e.WorkflowCancelRequested, branches: Iterable[Branch]) -> None:
        """Strands that wait for something get a turn, in which it is raised.

        One that waits for other strands hears of it when they have ended: they may have something to clear up.
        """
        self.request = request
        for branch in branches:
            if branch.wait is not None and branch.wait.is_cancelable and self.is_due(branch):
                branch.be_ready()

    def is_due(self, branch: Branch) -> bool:
        return self.request is not None and not branch.was_canceled and not branch.shields

    def check(self, branch: Branch) -> None:
        """Raises the cancel, if this strand has yet to hear of it."""
        if self.request is not None and self.is_due(branch):
            self._raise(branch, self.request)

    def check_at_the_end(self, branch: Branch) -> None:
        """The same where the code goes no further, so that no shield can put it off."""
        if self.request is not None and not branch.was_canceled:
            self._raise(branch, self.request)

    def enter_shield(self, branch: Branch) -> None:
        branch.shields += 1

    def leave_shield(self, branch: Branch) -> None:
        branch.shields -= 1
        self.check(branch)

    def caused(self, error: BaseException) -> bool:
        """Whether code that was left by *error* let itself be canceled."""
        return self.request is not None and isinstance(error, WorkflowCanceled) and not isinstance(error, ChildCanceled)

    def _raise(self, branch: Branch, request: e.WorkflowCancelRequested) -> NoReturn:
        self.was_raised = branch.was_canceled = True
        raise WorkflowCanceled(execution_id=self._execution_id, reason=request.reason)

    def command(self) -> c.CancelWorkflow:
        """How a run ends that let itself be canceled."""
        assert self.request is not None
        return c.CancelWorkflow(reason=self.request.reason)
