"""Everything that drives runs: the loop, activity threads, the scheduler, signs of life. I/O only through ports."""

from durable_core.worker.loop import Worker
from durable_core.worker.scheduler import bury, dismiss
from durable_core.worker.settings import WorkerSettings

__all__ = ["Worker", "WorkerSettings", "bury", "dismiss"]
