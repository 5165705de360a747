"""What goes into logs: the logger of workflow code, and what may be said of somebody's exception."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

from durable_core.places import Place, raised_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from durable_core.engine import Engine


_redact: Callable[[Any], Any] | None = None


def redact_with(redact: Callable[[Any], Any] | None) -> None:
    """From now on, what workflow code logs goes through *redact*, an argument at a time. One for the whole process."""
    global _redact  # noqa: PLW0603 - loggers are made where nobody could hand it to them
    _redact = redact


def sketch(error: BaseException) -> str:
    """The type of an exception and where it was raised, without its text: that may hold a secret, and many more people
    read logs than the database."""
    place = raised_at(error)
    if not place.line:  # nothing but our own frames
        place = next((Place(f.filename, f.lineno or 0) for f in traceback.extract_tb(error.__traceback__)[-1:]), place)
    return f"{type(error).__name__} at {place}"


def complain(
    logger: logging.Logger,
    level: int,
    message: str,
    *args: object,
    error: BaseException,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Log *message*, whose last ``%s`` is a sketch of *error*; its text and its traceback only at DEBUG."""
    logger.log(level, message, *args, sketch(error), extra=extra)
    logger.debug("the whole of it", exc_info=error, extra=extra)


class ReplaySafeLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs to ``durable.workflow.<name>`` with the run's id in `extra`; silent while code is replayed or unwound."""

    def __init__(self, engine: Engine) -> None:
        info = engine.info
        extra = {"execution_id": str(info.execution_id), "workflow_name": info.workflow_name}
        super().__init__(logging.getLogger(f"durable.workflow.{info.workflow_name}"), extra)
        self._engine = engine

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's own name
        return not self._engine.is_silent and super().isEnabledFor(level)

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if _redact is not None and self.isEnabledFor(level):
            args = tuple(_redact(arg) for arg in args)
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1  # the line that logs is not this one
        super().log(level, msg, *args, **kwargs)
