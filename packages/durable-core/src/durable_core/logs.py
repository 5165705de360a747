"""The logger of workflow code: it says everything once, however often the code is replayed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durable_core.engine import Engine


class ReplaySafeLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs to ``durable.workflow.<name>`` with the run's id in `extra`; silent while code is replayed or unwound."""

    def __init__(self, engine: Engine) -> None:
        info = engine.info
        extra = {"execution_id": str(info.execution_id), "workflow_name": info.workflow_name}
        super().__init__(logging.getLogger(f"durable.workflow.{info.workflow_name}"), extra)
        self._engine = engine

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's own name
        return not self._engine.is_silent and super().isEnabledFor(level)
