"""Cancels of the run, or of parts of its code: each is raised once in each strand that it reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from durable_core import commands as c
from durable_core.errors import ChildCanceled, ScopeCanceled, WorkflowCanceled

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from durable_core import events as e
    from durable_core.branch import Branch
    from durable_core.scopes import Scope
    from durable_core.waits import Wait


class Cancellation:
    def __init__(self, execution_id: UUID, run: Scope) -> None:
        self._execution_id = execution_id
        self._run = run
        self.request: e.WorkflowCancelRequested | None = None
        self.was_raised = False  # that of the run
        self.is_under_way = False  # that of anything: otherwise, nobody needs to look

    def ask(self, request: e.WorkflowCancelRequested, branches: Iterable[Branch]) -> None:
        """A graceful cancel of the run: the first request holds."""
        self.request = request
        self.cancel(self._run, request.reason, branches)

    def cancel(self, scope: Scope, reason: str, branches: Iterable[Branch]) -> None:
        """Strands that wait for something in there get a turn, in which it is raised.

        One that waits for strands which are in there too hears of it when they have ended: they may have something to
        clear up.
        """
        scope.is_canceled, scope.reason = True, reason
        self.is_under_way = True
        for branch in branches:
            if branch.wait is not None and self._due(branch, branch.wait) is not None:
                branch.be_ready()

    def check_before(self, wait: Wait) -> None:
        """Raises a cancel that this strand has yet to hear of, if it is to be raised here and not behind the wait."""
        if (scope := self._due(wait.branch, wait)) is not None:
            self._raise(wait.branch, scope)

    def check(self, branch: Branch) -> None:
        """Raises a cancel that this strand has yet to hear of."""
        if self.is_under_way and (scope := self._due(branch)) is not None:
            self._raise(branch, scope)

    def check_at_the_end(self, branch: Branch) -> None:
        """The same for the run's, where the code goes no further, so that no shield can put it off."""
        if self.request is not None and self._run not in branch.heard:
            self._raise(branch, self._run)

    def caused(self, error: BaseException) -> bool:
        """Whether code that was left by *error* let the run be canceled."""
        others = ChildCanceled | ScopeCanceled
        return self.request is not None and isinstance(error, WorkflowCanceled) and not isinstance(error, others)

    def is_due(self, branch: Branch) -> bool:
        """Whether there is a cancel of the run that this strand has yet to hear of."""
        return self.is_under_way and self._due(branch) is self._run

    def hear(self, branch: Branch) -> str:
        """This strand is told of it otherwise than by an exception here; the reason."""
        branch.heard.add(self._run)
        self.was_raised = True
        return self._run.reason

    def command(self) -> c.CancelWorkflow:
        """How a run ends that let itself be canceled."""
        assert self.request is not None
        return c.CancelWorkflow(reason=self.request.reason)

    def _due(self, branch: Branch, wait: Wait | None = None) -> Scope | None:
        """The outermost canceled part that has something to say here: what leaves that leaves all inside of it."""
        found = None
        for scope in branch.scope.around():
            if scope.is_canceled and scope not in branch.heard and (wait is None or wait.is_ended_by(scope)):
                found = scope
        return found

    def _raise(self, branch: Branch, scope: Scope) -> NoReturn:
        branch.heard.add(scope)
        if scope is self._run:
            self.was_raised = True
            raise WorkflowCanceled(execution_id=self._execution_id, reason=scope.reason)
        raise ScopeCanceled(execution_id=self._execution_id, reason=scope.reason, scope=scope)
