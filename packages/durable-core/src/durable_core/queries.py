"""Questions that a run's code answers from its variables, by functions that it registers with `ctx.on_query`.

They are answered by code that was brought back for the question and is thrown away with it: nothing is recorded, so
handlers leave no trace in a history, and one more or less of them is no mismatch.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from durable_core.errors import ConfigurationError, UnknownQueryError, did_you_mean
from durable_core.options import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STATUS = "status"  # every run answers it, without its code
IN_HANDLER = (
    "the handler of a query, which changes nothing. Let it return what the code has put into variables; what is to "
    "change the run is a signal, or an update."
)


class Queries:
    """Handlers by name. The last one that was registered answers."""

    def __init__(self, workflow_name: str) -> None:
        self._workflow_name = workflow_name
        self._handlers: dict[str, Callable[..., Any]] = {}

    def __iter__(self) -> Any:
        return iter(self._handlers)

    def register(self, name: str, handler: Callable[..., Any]) -> None:
        check_name(name, "the name of a query")
        if not callable(handler):
            raise TypeError(f"on_query({name!r}) got {handler!r}; expected a function that answers.")
        if name == STATUS:
            raise ConfigurationError(f"on_query({name!r}): every run answers {name!r} already; use another name.")
        self._handlers[name] = handler

    def find(self, name: str, elsewhere: list[str]) -> Callable[..., Any]:
        """Raises `UnknownQueryError`, which names those that are known *elsewhere* too."""
        if (handler := self._handlers.get(name)) is None:
            raise UnknownQueryError(
                f"Workflow {self._workflow_name!r} has no query {name!r}. "
                f"{did_you_mean(name, {*self._handlers, *elsewhere, STATUS})}"
            )
        return handler


def check_payload(handler: Callable[..., Any], payload: Mapping[str, Any], *, what: str, name: str) -> None:
    """Raises `TypeError` for keywords that *handler* does not take. *what*: of which workflow it is what."""
    signature = inspect.signature(handler)
    try:
        signature.bind(**payload)
    except TypeError as error:
        raise TypeError(f"{what}: {error}; its signature is {name}{signature}") from None
