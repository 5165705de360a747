"""What decorators make of functions, as type checkers see it: the function's own signature and result travel along.

*Params* are the parameters of a call, without the context; *R* is what the call comes to; *Called* is what the plain
function returns when it is called directly, which is a coroutine for ``async def``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Protocol, TypeAlias, overload

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, TypeVar  # with defaults: part of the language from Python 3.13 on

    from durable_core.async_context import AsyncWorkflowContext
    from durable_core.context import WorkflowContext
    from durable_core.definitions import ActivityDefinition, WorkflowDefinition

    P = ParamSpec("P")
    R = TypeVar("R")
    Params = ParamSpec("Params", default=...)
    R_co = TypeVar("R_co", covariant=True, default=Any)
    Called_co = TypeVar("Called_co", covariant=True, default=Any)
else:
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")
    Params = ParamSpec("Params")
    R_co = TypeVar("R_co", covariant=True)
    Called_co = TypeVar("Called_co", covariant=True)


class WorkflowFunction(Protocol[Params, R_co, Called_co]):
    """A registered workflow: still the function it was, and `using()` beside it."""

    def __call__(self, ctx: Any, /, *args: Params.args, **kwargs: Params.kwargs) -> Called_co: ...
    def using(self, **changes: Any) -> WorkflowDefinition[Params, R_co]: ...


class ActivityFunction(Protocol[Params, R_co, Called_co]):
    """A registered activity: still the function it was, and `using()` beside it."""

    def __call__(self, *args: Params.args, **kwargs: Params.kwargs) -> Called_co: ...
    def using(self, **changes: Any) -> ActivityDefinition[Params, R_co]: ...


class WorkflowDecorator(Protocol):
    """``register.workflow(timeout=60)``."""

    @overload
    def __call__(
        self, fn: Callable[Concatenate[AsyncWorkflowContext, P], Coroutine[Any, Any, R]], /
    ) -> WorkflowFunction[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[WorkflowContext, P], R], /) -> WorkflowFunction[P, R, R]: ...
    @overload  # for `def onboard(ctx, **kwargs)`, where mypy objects that a keyword might be named ctx
    def __call__(  # type: ignore[overload-cannot-match]
        self, fn: Callable[Concatenate[WorkflowContext, ...], R], /
    ) -> WorkflowFunction[..., R, R]: ...


class ActivityDecorator(Protocol):
    """``register.activity(timeout=60)``."""

    @overload
    def __call__(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> ActivityFunction[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> ActivityFunction[P, R, R]: ...


if TYPE_CHECKING:
    # What calls of known functions take: the decorated function, or a changed copy of its definition.
    KnownWorkflow: TypeAlias = "WorkflowFunction[P, R, Any] | WorkflowDefinition[P, R]"
    KnownActivity: TypeAlias = "ActivityFunction[P, R, Any] | ActivityDefinition[P, R]"
