"""How figures are printed: a table for each suite."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from benchmarks.rig import Options, Row

NARROWEST = 8  # characters of the column "backend"


class Table(NamedTuple):
    """Without its first column, which is the backend."""

    header: str
    line: Callable[[Options, Row], str]

    def headed(self, width: int) -> str:
        return f"{'backend':<{width}} {self.header}"

    def rows(self, backend: str, width: int, o: Options, row: Row) -> str:
        return "\n".join(f"{backend:<{width}} {line}" for line in self.line(o, row).splitlines())


def width_for(backends: list[str]) -> int:
    return max(NARROWEST, *map(len, backends))


def latency(o: Options, row: Row) -> str:
    return f"{o.concurrency:>4} {o.payload_size:>7}  {row['p50']:>7.2f}  {row['p95']:>7.2f}  {row['throughput']:>10.1f}"


def idle_latency(o: Options, row: Row) -> str:
    return f"{row['p50']:>8.2f} {row['p95']:>8.2f} {row['picked']:>11.2f} {row['stored']:>11.2f}"


def throughput(o: Options, row: Row) -> str:
    return (
        f"{row['runs']:>6.0f} {row['per_second']:>8.0f} {row['per_second min']:>8.0f} "
        f"{row['per_second max']:>8.0f} {row['cpu'] * 1e3:>12.0f} {row['busy']:>7.2f}"
    )


def sequential(o: Options, row: Row) -> str:
    return (
        f"{row['steps']:>6.0f} {row['seconds']:>8.3f} {row['twice']:>8.3f} {row['ratio']:>6.2f} "
        f"{row['seconds'] / row['steps'] * 1e6:>8.0f} {row['busy']:>7.2f}"
    )


def sleepers(o: Options, row: Row) -> str:
    return (
        f"{row['runs']:>6.0f} {row['parked']:>9.1f} {row['rss']:>9.1f} {row['rss_after']:>9.1f} "
        f"{row['cpu']:>12.2f} {row['cpu_after']:>12.2f} {row['statements_after']:>7.1f}"
    )


def idle(o: Options, row: Row) -> str:
    return (
        f"{row['cpu']:>12.2f} {row['statements'] * _tick(o):>16.2f} {row['others'] * 60:>15.1f} {row['rss']:>8.1f} "
        f"{row['asked'] * _tick(o):>17.2f}"
    )


def limits(o: Options, row: Row) -> str:
    phases = " ".join(f"{row[phase]:>9.1f}" for phase in ("claim", "load", "first", "last"))
    return f"{row['runs']:>6.0f} {row['per_second']:>8.0f} {phases}"


def queue(o: Options, row: Row) -> str:
    """A line for each figure."""
    return "\n".join(_figure(row, name) for name in row if name[-1].isdigit())


def _figure(row: Row, name: str) -> str:
    """*name* is "enqueue/s 10" for batches of 10."""
    figure, batch = name.split()
    decimals = 2 if figure.endswith("(ms)") else 0
    values = [f"{row[name + part]:.{decimals}f}" for part in ("", " min", " max")]
    values += (
        [f"{row[f'{name} limit']:.{decimals}f}", f"{row[f'{name} ratio']:.2f}"] if f"{name} limit" in row else "--"
    )
    return f"{figure:<16} {batch:>5} " + " ".join(
        f"{value:>{width}}" for value, width in zip(values, (8, 8, 8, 8, 6), strict=True)
    )


# Columns are only ever added on the right: people have scripts that read these.
TABLES = {
    "latency": Table("conc payload  p50(ms)  p95(ms)  throughput", latency),
    "idle-latency": Table(" p50(ms)  p95(ms)  decided(ms)  closing(ms)", idle_latency),
    "throughput": Table("  runs     wf/s      min      max  CPU(us)/wf    busy", throughput),
    "sequential": Table(" steps  seconds    twice  ratio  us/step    busy", sequential),
    "sleepers": Table("  runs parked(s)   RSS(MB)  with(MB)  CPU(s)/min    with them  SQL/s", sleepers),
    "idle": Table("  CPU(s)/min    SQL/tick(loop)  SQL/min(others)  RSS(MB)  queue/tick(loop)", idle),
    "limits": Table("  runs     wf/s     claim      load     first      last  (us/wf)", limits),
    "queue": Table("figure           batch   median      min      max    limit  ratio", queue),
}


def _tick(o: Options) -> float:
    """Seconds; what durable_worker does unless told otherwise."""
    return float(o.worker[o.worker.index("--tick") + 1]) if "--tick" in o.worker else 0.2
