"""What a soak looks at, again and again: the memory of the workers, how long runs wait, how large tables are."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Q

from django_durable.engine import engine
from django_durable.models import WorkflowExecution
from durable_core.execution import OPEN_STATUSES
from durable_core.hints import backend_of
from durable_core.ports import EntryKind, new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

WATCHED = "one_activity"  # whose times are comparable: it waits for nobody but the workers
GRACE = 10.0  # seconds that runs get to end before their times are taken
CLAIMS = 21  # of which the median is taken
NOBODYS = "nobodys"  # a queue without entries: what is timed is the search

# Rows and sizes of our tables, those of the queue included.
TABLES = """
SELECT relname, n_live_tup, n_dead_tup, pg_total_relation_size(relid)
FROM pg_stat_user_tables WHERE relname LIKE '%durable%'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look. Times are in milliseconds, None where no run was there to be timed."""

    at: float  # seconds since the first start
    offered: int  # starts so far
    closed: int  # runs so far, children included
    open: int
    rss: list[float]  # megabytes of each worker
    cpu: list[float]  # seconds of each worker so far
    claim_p50: float | None  # from the start to the first decision, of runs since the last look
    claim_p99: float | None
    done_p50: float | None  # from the start to the end
    done_p99: float | None
    search: float  # one claim() of a queue without entries
    tables: dict[str, dict[str, int]] = field(default_factory=dict)  # rows, dead rows and bytes of each


class Sampler:
    def __init__(self, workers: Sequence[subprocess.Popen[bytes]]) -> None:
        self._workers = workers
        self._worker_id = new_id()
        self._begun = datetime.now(UTC)
        self._seen = self._begun  # runs that began before are in earlier samples

    def look(self, offered: int) -> Sample:
        now = datetime.now(UTC)
        claims, ends = self._times(now - timedelta(seconds=GRACE))
        is_open = Q(status__in=[status.value for status in OPEN_STATUSES])
        memory, cpu = zip(*map(_usage, self._workers), strict=True)
        return Sample(
            at=(now - self._begun).total_seconds(),
            offered=offered,
            closed=WorkflowExecution.objects.exclude(is_open).count(),
            open=WorkflowExecution.objects.filter(is_open).count(),
            rss=list(memory),
            cpu=list(cpu),
            claim_p50=_percentile(claims, 50),
            claim_p99=_percentile(claims, 99),
            done_p50=_percentile(ends, 50),
            done_p99=_percentile(ends, 99),
            search=self._search(),
            tables=_tables(),
        )

    def _times(self, until: datetime) -> tuple[list[float], list[float]]:
        """How long runs waited for their first decision and for their end."""
        runs = WorkflowExecution.objects.filter(
            workflow_name=WATCHED, created_at__gte=self._seen, created_at__lt=until
        ).values_list("created_at", "started_at", "finished_at")
        claims, ends = [], []
        for created, started, finished in runs.iterator():
            # Those that still wait count for as long as they do, or an overload would look like haste.
            claims.append(_milliseconds(created, started or until))
            ends.append(_milliseconds(created, finished or until))
        self._seen = max(self._seen, until)
        return claims, ends

    def _search(self) -> float:
        queue = backend_of(engine().queue)
        taken = []
        for _ in range(CLAIMS):
            begun = time.perf_counter()
            queue.claim(self._worker_id, {EntryKind.RUN: 1}, queues=(NOBODYS,), exclude=())
            taken.append((time.perf_counter() - begun) * 1e3)
        return median(taken)


def _milliseconds(since: datetime, until: datetime) -> float:
    return (until - since).total_seconds() * 1e3


def _percentile(values: list[float], percent: int) -> float | None:
    return quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else None


def _usage(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Megabytes and seconds of CPU."""
    command = ["ps", "-o", "rss=,cputimes=", "-p", str(process.pid)]
    rss, cpu = subprocess.check_output(command, text=True).split()
    return int(rss) / 1024, float(cpu)


def _tables() -> dict[str, dict[str, Any]]:
    if connection.vendor == "sqlite":
        file = Path(connection.settings_dict["NAME"])
        parts = {"database": file, "log": file.with_name(f"{file.name}-wal")}
        return {name: {"bytes": part.stat().st_size} for name, part in parts.items() if part.exists()}
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        return {name: {"rows": rows, "dead": dead, "bytes": size} for name, rows, dead, size in cursor.fetchall()}
