"""Whether a soak was flat: judged by slopes and by quarters, so that one slow second decides nothing."""

from __future__ import annotations

from itertools import pairwise
from statistics import linear_regression, mean, median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.sampling import Sample

WARM_UP = 0.1  # of the whole time: caches fill, Postgres makes its first statistics
MEMORY = 0.10  # that RSS may grow after the warm-up
SLOWER = 1.5  # times that the last quarter may be slower than the first
THROUGHPUT = 0.95  # that the last quarter must have of the first, and the whole of what was asked for
BACKLOG = 10.0  # seconds' worth of starts that may be open at the end
LEAST = 8  # samples after the warm-up


class Finding(NamedTuple):
    what: str
    found: str
    limit: str
    ok: bool


def judge(samples: Sequence[Sample], *, per_second: float) -> list[Finding]:
    """*samples* while the load was on; *per_second* is how many starts were asked for."""
    warm = [sample for sample in samples if sample.at >= samples[-1].at * WARM_UP]
    if len(warm) < LEAST:
        return [Finding("samples", str(len(warm)), f"{LEAST} after the warm-up", ok=False)]
    findings = [_memory(warm, place) for place in range(len(warm[0].rss))]
    findings += [
        _slower("claim p50 (ms)", warm, lambda sample: sample.claim_p50),
        _slower("completion p50 (ms)", warm, lambda sample: sample.done_p50),
        _slower("search of an empty queue (ms)", warm, lambda sample: sample.search),
    ]
    rates = [(later.closed - sooner.closed) / (later.at - sooner.at) for sooner, later in pairwise(warm)]
    first, last = _quarters(rates)
    findings.append(
        Finding(
            "throughput (runs/s)",
            f"{mean(first):.1f} at first, {mean(last):.1f} at last",
            f"{THROUGHPUT:.0%} of the first quarter",
            ok=mean(last) >= THROUGHPUT * mean(first),
        )
    )
    offered = (warm[-1].offered - warm[0].offered) / (warm[-1].at - warm[0].at)
    findings.append(
        Finding(
            "offered (starts/s)",
            f"{offered:.1f}",
            f"{THROUGHPUT:.0%} of {per_second:.1f}",
            ok=offered >= THROUGHPUT * per_second,
        )
    )
    backlog = samples[-1].open
    findings.append(
        Finding(
            "open at the last look", str(backlog), f"{BACKLOG * per_second:.0f}", ok=backlog <= BACKLOG * per_second
        )
    )
    return findings


def _memory(warm: Sequence[Sample], place: int) -> Finding:
    slope, start = linear_regression([sample.at for sample in warm], [sample.rss[place] for sample in warm])
    before, after = (start + slope * warm[index].at for index in (0, -1))
    growth = after / before - 1
    return Finding(
        f"memory of worker {place + 1} (MB)",
        f"{before:.1f} to {after:.1f}, {growth:+.1%}",
        f"+{MEMORY:.0%}",
        ok=growth < MEMORY,
    )


def _slower(what: str, warm: Sequence[Sample], figure: Callable[[Sample], float | None]) -> Finding:
    values = [value for sample in warm if (value := figure(sample)) is not None]
    if len(values) < LEAST:
        return Finding(what, f"{len(values)} figures", f"{LEAST}", ok=False)
    first, last = map(median, _quarters(values))
    return Finding(
        what,
        f"{first:.2f} at first, {last:.2f} at last",
        f"{SLOWER} times the first quarter",
        ok=last <= SLOWER * first,
    )


def _quarters(values: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """The first and the last."""
    size = max(len(values) // 4, 1)
    return values[:size], values[-size:]
