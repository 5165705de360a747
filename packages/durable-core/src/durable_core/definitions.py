"""The registry: which function a name stands for, with which options."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, overload

from durable_core.codec import decode, encode
from durable_core.errors import (
    ConfigurationError,
    UnknownActivityError,
    UnknownQueryError,
    UnknownWorkflowError,
    did_you_mean,
)
from durable_core.functions import ActivityFunction as ActivityFunction  # noqa: PLC0414 - others find it here
from durable_core.functions import P, Params, R, R_co
from durable_core.functions import WorkflowFunction as WorkflowFunction  # noqa: PLC0414 - the same
from durable_core.options import ActivityOptions, Duration, ExecutorKind, WorkflowOptions, changed, check_name
from durable_core.retry import DEFAULT_RETRY_POLICY, RetryPolicy
from durable_core.typed import Typed, TypedElsewhere

if TYPE_CHECKING:
    from durable_core.async_context import AsyncWorkflowContext
    from durable_core.codec import Payload
    from durable_core.context import WorkflowContext
    from durable_core.functions import ActivityDecorator, WorkflowDecorator

TRANSACTION_LIMIT = timedelta(seconds=30)  # of a transactional activity that has chosen no start_to_close


@dataclass(frozen=True, slots=True, eq=False)
class WorkflowDefinition(Generic[Params, R_co]):
    name: str
    fn: Callable[..., Any]  # the first parameter takes the context
    options: WorkflowOptions
    signature: inspect.Signature  # without the context
    typed: Typed

    @property
    def is_async(self) -> bool:
        return inspect.iscoroutinefunction(self.fn)

    def using(self, **changes: Any) -> WorkflowDefinition[Params, R_co]:
        return replace(self, options=changed(self.options, changes, what=self.name))

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The keywords that a call with positional arguments means. Raises `TypeError` where it means none."""
        if not args:
            return kwargs
        names = [p.name for p in self.signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
        if len(args) > len(names):
            problem = f"{len(args)} positional arguments were given, and it takes {len(names)}"
            raise TypeError(f"workflow {self.name!r}: {problem}; its signature is {self._in_words()}")
        if twice := next((name for name in names[: len(args)] if name in kwargs), None):
            raise TypeError(f"workflow {self.name!r}: {twice!r} was given twice; its signature is {self._in_words()}")
        return {**dict(zip(names, args, strict=False)), **kwargs}

    def check_input(self, kwargs: Mapping[str, Any]) -> None:
        """Raises `TypeError` for keywords that the function does not take."""
        try:
            self.signature.bind(**kwargs)
        except TypeError as error:
            raise TypeError(f"workflow {self.name!r}: {error}; its signature is {self._in_words()}") from None

    def encode_input(self, kwargs: dict[str, Any], *, limit: int) -> Payload:
        """As it is stored. Raises `PayloadError` for what does not fit its annotation, or cannot be stored."""
        _, stored = self.typed.dump_arguments((), kwargs)
        return encode(stored, what=f"the input of workflow {self.name!r}", limit=limit)

    def decode_input(self, payload: Payload) -> dict[str, Any]:
        """As the function gets it. Raises `PayloadError`."""
        _, kwargs = self.typed.load_arguments((), decode(payload))
        given: dict[str, Any] = kwargs
        return given

    def encode_result(self, value: Any, *, limit: int) -> Payload:
        """As `encode_input`."""
        return encode(self.typed.dump_result(value), what=f"the result of workflow {self.name!r}", limit=limit)

    def _in_words(self) -> str:
        return f"{self.name}(ctx, {str(self.signature)[1:]}"


@dataclass(frozen=True, slots=True, eq=False)
class ActivityDefinition(Generic[Params, R_co]):
    name: str
    fn: Callable[..., Any]
    options: ActivityOptions
    signature: inspect.Signature
    is_async: bool
    arity: tuple[int, float]  # how many positional arguments alone satisfy the signature
    typed: Typed
    transactional: bool = False  # its outcome commits with what it writes to the store's database
    executor: ExecutorKind = ExecutorKind.THREAD  # of no meaning for an async one

    @property
    def retry_policy(self) -> RetryPolicy:
        return self.options.retry_policy or DEFAULT_RETRY_POLICY

    def using(self, **changes: Any) -> ActivityDefinition[Params, R_co]:
        policy = changes.get("retry_policy")
        if isinstance(policy, RetryPolicy) and policy.retry_if is not None:
            raise ConfigurationError(
                f"{self.name}.using() got a RetryPolicy with retry_if. The policy of a call is stored, and a function "
                "cannot be: put retry_if into the policy of the decorator, which each worker has."
            )
        if "transactional" in changes:
            raise ConfigurationError(
                f"{self.name}.using() got transactional. Whether it may run in a transaction is for its code to say: "
                "put it into the decorator, which each worker has."
            )
        if "executor" in changes:
            raise ConfigurationError(
                f"{self.name}.using() got executor. What performs an activity is for its code to say: put it into the "
                "decorator, which each worker has."
            )
        made = replace(self, options=changed(self.options, changes, what=self.name))
        if made.transactional and made.options.at_most_once:
            raise ConfigurationError(_BOTH.format(self.name))
        return made

    def check_input(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raises `TypeError` for arguments that the function does not take."""
        least, most = self.arity
        if not kwargs and least <= len(args) <= most:
            return
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"activity {self.name!r}: {error}; its signature is {self.name}{self.signature}") from None

    def encode_input(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, limit: int) -> Payload:
        """As it is stored. Raises `PayloadError` for what does not fit its annotation, or cannot be stored."""
        args, kwargs = self.typed.dump_arguments(args, kwargs)
        what = f"the arguments of activity {self.name!r}"
        return encode({"args": args, "kwargs": kwargs}, what=what, limit=limit)


def remote_workflow(name: str, *, queue: str, **options: Any) -> WorkflowDefinition:
    """A workflow that this process does not know, but workers of *queue* do: for starts, and as a child.

    Its input is checked there, not here: what does not fit fails the run. *options* are those of `using()`. Raises
    `ConfigurationError`.
    """
    check_name(name, "the name of a remote workflow")
    signature = inspect.signature(lambda **kwargs: None)
    typed = TypedElsewhere(f"workflow {name!r}", _elsewhere, signature)
    made = WorkflowDefinition(name, _elsewhere, WorkflowOptions(), signature, typed)
    return made.using(queue=queue, **options)


def remote_activity(name: str, *, queue: str, **options: Any) -> ActivityDefinition:
    """An activity that this process does not know, but workers of *queue* do.

    Its arguments are checked there: what does not fit is a failed attempt. *options* are those of `using()`; what its
    decorator says of retries and limits is not known here. Raises `ConfigurationError`.
    """
    check_name(name, "the name of a remote activity")
    signature = inspect.signature(lambda *args, **kwargs: None)
    typed = TypedElsewhere(f"activity {name!r}", _elsewhere, signature)
    made = ActivityDefinition(name, _elsewhere, ActivityOptions(), signature, False, (0, math.inf), typed)
    return made.using(queue=queue, **options)


def _elsewhere(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("the code of a remote definition is in another process")


@dataclass(frozen=True, slots=True)
class DuplicateName:
    """Two callables with one name: the second did not replace the first."""

    kind: str
    name: str
    first: str  # module.qualname
    second: str


class Registry:
    """Names of workflows, activities and queries. `register` is the one of this process."""

    def __init__(self) -> None:
        self.workflows: dict[str, WorkflowDefinition] = {}
        self.activities: dict[str, ActivityDefinition] = {}
        self.duplicates: list[DuplicateName] = []
        self._queries: list[tuple[str, str, Callable[..., Any]]] = []

    @overload
    def workflow(
        self, fn: Callable[Concatenate[AsyncWorkflowContext, P], Coroutine[Any, Any, R]], /
    ) -> WorkflowFunction[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def workflow(self, fn: Callable[Concatenate[WorkflowContext, P], R], /) -> WorkflowFunction[P, R, R]: ...
    @overload  # for `def onboard(ctx, **kwargs)`, where mypy objects that a keyword might be named ctx
    def workflow(  # type: ignore[overload-cannot-match]
        self, fn: Callable[Concatenate[WorkflowContext, ...], R], /
    ) -> WorkflowFunction[..., R, R]: ...
    @overload
    def workflow(
        self, /, *, name: str | None = None, timeout: Duration | None = None, queue: str | None = None
    ) -> WorkflowDecorator: ...
    def workflow(self, fn: Any = None, /, **options: Any) -> Any:
        """Register a workflow: a function, plain or `async def`, whose first parameter takes the context.

        *name* defaults to the function's. *timeout*: seconds or timedelta from start to close. *queue*: where its runs
        wait for a worker. Raises `ConfigurationError` for anything that cannot work.
        """
        if fn is None:
            return lambda function: self.workflow_from(function, **options)
        return self.workflow_from(fn, **options)

    def workflow_from(self, fn: Callable[..., Any], *, name: str | None = None, **options: Any) -> Any:
        label = _name_of(fn, name)
        if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise ConfigurationError(
                f"workflow {label!r} is a generator function; expected def or async def without yield: ctx calls "
                "suspend it by themselves."
            )
        parameters = list(inspect.signature(fn).parameters.values())
        if not parameters or parameters[0].kind not in (
            parameters[0].POSITIONAL_ONLY,
            parameters[0].POSITIONAL_OR_KEYWORD,
            parameters[0].VAR_POSITIONAL,
        ):
            raise ConfigurationError(
                f"workflow {label!r} takes no context; expected def {label}(ctx, ...) with ctx first."
            )
        signature = inspect.Signature(parameters[1:])
        if "timeout" in signature.parameters:
            raise ConfigurationError(
                f"workflow {label!r} has a parameter 'timeout', which start_workflow() takes for itself; rename it."
            )
        clean = {key: value for key, value in options.items() if value is not None}
        definition = WorkflowDefinition(
            label,
            fn,
            changed(WorkflowOptions(), clean, what=label),
            signature,
            Typed(f"workflow {label!r}", fn, signature),
        )
        self._add(self.workflows, "workflow", definition, fn)
        return fn

    @overload
    def activity(
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> ActivityFunction[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def activity(self, fn: Callable[P, R], /) -> ActivityFunction[P, R, R]: ...
    @overload
    def activity(
        self,
        /,
        *,
        name: str | None = None,
        retry_policy: RetryPolicy | None = None,
        timeout: Duration | None = None,
        schedule_to_start: Duration | None = None,
        start_to_close: Duration | None = None,
        heartbeat_timeout: Duration | None = None,
        queue: str | None = None,
        priority: int | None = None,
        transactional: bool = False,
        at_most_once: bool = False,
        executor: Literal["thread", "process"] = "thread",
    ) -> ActivityDecorator: ...
    def activity(self, fn: Any = None, /, **options: Any) -> Any:
        """Register an activity: a function with side effects, run at least once, retried by its policy.

        The four limits are seconds or timedeltas; *timeout* is schedule-to-close. *transactional*: the function runs in
        a transaction of the store's database, and its outcome commits with what it writes there. *at_most_once*: an
        attempt that fails, or dies with its worker, is the only one. *executor* "process": the function runs in a child
        process of the worker, which is killed when a limit has passed. Raises `ConfigurationError` for anything that
        cannot work.
        """
        if fn is None:
            return lambda function: self.activity_from(function, **options)
        return self.activity_from(fn, **options)

    def activity_from(
        self,
        fn: Callable[..., Any],
        *,
        name: str | None = None,
        transactional: bool = False,
        executor: str = ExecutorKind.THREAD,
        **options: Any,
    ) -> Any:
        label = _name_of(fn, name)
        if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
            raise ConfigurationError(
                f"activity {label!r} is a generator function; expected one that returns its result, as plain data."
            )
        clean = {key: value for key, value in options.items() if value is not None}
        chosen = changed(ActivityOptions(), clean, what=label)
        definition = ActivityDefinition(
            label,
            fn,
            _in_a_transaction(label, fn, chosen) if transactional else chosen,
            inspect.signature(fn),
            inspect.iscoroutinefunction(fn),
            _arity(inspect.signature(fn)),
            Typed(f"activity {label!r}", fn, inspect.signature(fn)),
            transactional,
            _executor_of(label, fn, executor, transactional=transactional),
        )
        self._add(self.activities, "activity", definition, fn)
        return fn

    def query(
        self, workflow: str | Callable[..., Any], *, name: str | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Register a query of *workflow* (its function or name): ``fn(execution, **payload)`` answers it."""

        def decorate(fn: Callable[P, R]) -> Callable[P, R]:
            self._queries.append((_workflow_name(workflow), _name_of(fn, name), fn))
            return fn

        return decorate

    def find_workflow(self, workflow: str | Callable[..., Any] | WorkflowDefinition) -> WorkflowDefinition:
        """The definition of a name, a function or a changed copy. Raises `UnknownWorkflowError`."""
        if isinstance(workflow, WorkflowDefinition):
            return workflow
        name = _workflow_name(workflow)
        if (definition := self.workflows.get(name)) is None:
            raise UnknownWorkflowError(f"Unknown workflow {name!r}. {did_you_mean(name, self.workflows)}")
        return definition

    def find_activity(self, activity: str | Callable[..., Any] | ActivityDefinition) -> ActivityDefinition:
        """The definition of a name, a function or a changed copy. Raises `UnknownActivityError`."""
        if isinstance(activity, ActivityDefinition):
            return activity
        name = activity if isinstance(activity, str) else _registered_name(activity, "activity")
        if (definition := self.activities.get(name)) is None:
            raise UnknownActivityError(f"Unknown activity {name!r}. {did_you_mean(name, self.activities)}")
        return definition

    def queries_of(self, workflow_name: str) -> list[str]:
        """Names of the queries of a workflow that are answered without its code."""
        return [query for of, query, _ in self._queries if of == workflow_name]

    def find_query(self, workflow_name: str, name: str) -> Callable[..., Any]:
        """Raises `UnknownQueryError`; a query may have been registered before its workflow."""
        queries = {query: fn for of, query, fn in self._queries if of == workflow_name}
        if (fn := queries.get(name)) is None:
            raise UnknownQueryError(
                f"Workflow {workflow_name!r} has no query {name!r}. {did_you_mean(name, [*queries, 'status'])}"
            )
        return fn

    @property
    def orphan_queries(self) -> list[tuple[str, str]]:
        """(workflow, query) pairs whose workflow is not registered."""
        return [(of, query) for of, query, _ in self._queries if of not in self.workflows]

    def _add(self, table: dict[str, Any], kind: str, definition: Any, fn: Callable[..., Any]) -> None:
        known = table.get(definition.name)
        if known is not None and _where(known.fn) != _where(fn):
            self.duplicates.append(DuplicateName(kind, definition.name, _where(known.fn), _where(fn)))
            return
        table[definition.name] = definition
        # The function stays the plain callable it was: tests and other code call it directly.
        fn.using = definition.using  # type: ignore[attr-defined]
        setattr(fn, f"durable_{kind}", definition.name)


_BOTH = (
    "activity {!r} is transactional and at_most_once; expected one of them: what a transactional attempt wrote is "
    "taken back when it fails, so that it may well be tried again."
)


def _in_a_transaction(label: str, fn: Callable[..., Any], options: ActivityOptions) -> ActivityOptions:
    """The options of a transactional activity: a transaction that nobody ends stands in everybody's way."""
    if inspect.iscoroutinefunction(fn):
        raise ConfigurationError(
            f"activity {label!r} is async and transactional; expected an ordinary function: a transaction belongs to a "
            "thread, and async code shares its thread with others."
        )
    if options.at_most_once:
        raise ConfigurationError(_BOTH.format(label))
    return options if options.start_to_close is not None else replace(options, start_to_close=TRANSACTION_LIMIT)


def _executor_of(label: str, fn: Callable[..., Any], executor: str, *, transactional: bool) -> ExecutorKind:
    try:
        kind = ExecutorKind(executor)
    except ValueError:
        raise ConfigurationError(
            f"activity {label!r}: executor is {executor!r}; expected one of {', '.join(ExecutorKind)}."
        ) from None
    if kind is ExecutorKind.PROCESS and inspect.iscoroutinefunction(fn):
        raise ConfigurationError(
            f"activity {label!r} is async and has executor='process'; expected an ordinary function: a process "
            "performs one activity at a time, and async code is for many."
        )
    if kind is ExecutorKind.PROCESS and transactional:
        raise ConfigurationError(
            f"activity {label!r} is transactional and has executor='process'; expected one of them: its transaction "
            "would be the child's, and the worker could not commit the outcome with it."
        )
    return kind


def _arity(signature: inspect.Signature) -> tuple[int, float]:
    """The least and the most positional arguments that do without keywords. Much quicker to compare than to bind."""
    parameters = signature.parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    least = sum(p.default is p.empty for p in positional)
    most = math.inf if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(positional)
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return 1, 0  # never without keywords
    return least, most


def _where(fn: Callable[..., Any]) -> str:
    return f"{fn.__module__}.{fn.__qualname__}"


def _name_of(fn: Callable[..., Any], name: str | None) -> str:
    if not hasattr(fn, "__qualname__") or not hasattr(fn, "__dict__") or inspect.ismethod(fn):
        raise ConfigurationError(f"{fn!r} cannot be registered; expected a function (def), or what wraps one.")
    label = fn.__name__ if name is None else name
    check_name(label, "name")
    return label


def _workflow_name(workflow: str | Callable[..., Any]) -> str:
    return workflow if isinstance(workflow, str) else _registered_name(workflow, "workflow")


def _registered_name(fn: Callable[..., Any], kind: str) -> str:
    name = getattr(fn, f"durable_{kind}", None)
    if name is None:
        where = _where(fn) if hasattr(fn, "__qualname__") else repr(fn)
        error = UnknownWorkflowError if kind == "workflow" else UnknownActivityError
        raise error(f"{where} is not a registered {kind}: decorate it with @register.{kind}.")
    return str(name)


register = Registry()
