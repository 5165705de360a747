"""What was witnessed from outside of the store: what callers were told, and what activities did in the world.

Tests have witnesses, production has none: `NOTHING_WITNESSED`. Each field stands for itself, and an empty one is not
checked.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from durable_core.codec import Payload
    from durable_core.events import EventRecord
    from durable_core.execution import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A start whose caller was told that it is committed."""

    run_id: UUID  # what the caller was answered
    workflow_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SentSignal:
    """A signal that somebody sent."""

    run_id: UUID
    name: str
    payload: Payload  # encoded
    sender: str = ""  # signals of one sender are in order
    acknowledged: bool = True  # False: the reply was lost, so it may have been delivered or not


@dataclass(frozen=True, slots=True, kw_only=True)
class Performed:
    """An attempt of an activity, as the activity's own code noted it outside of any transaction."""

    key: str  # current_activity().idempotency_key
    attempt: int  # current_activity().attempt
    ended: bool  # its code came to its end; False: only that it began is known
    begun_at: datetime | None = None  # by the store's clock; None: nobody knows
    is_local: bool = False  # beside its workflow's code: it has no task, and if its outcome was lost no event


class End(NamedTuple):
    """How a run ended, or should."""

    status: Status
    result: Payload | None = None  # encoded; None: any
    error: str | None = None  # "TypeName: message"; None: any


class Seal(NamedTuple):
    """What a history was at some time: it may grow behind that, and nothing else."""

    length: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Something that no transfer may change."""

    name: str
    found: int
    expected: int


@dataclass(frozen=True, kw_only=True)
class Effects:
    starts: Sequence[Start] = ()
    # Runs that are named here, and those that went on for them, have got these signals, those that
    # other runs in the audit's scope have sent them, and no others.
    signals: Sequence[SentSignal] = ()
    performed: Sequence[Performed] = ()
    # Activities that note each attempt in *performed*, before and after what they do.
    noting: Set[str] = frozenset()
    # Runs canceled with keep_queued=True, whose activities may still begin.
    kept: Set[UUID] = frozenset()
    # How long a cancel may take to commit. Its time is that of its transaction: what is claimed in between came first.
    cancel_takes: timedelta = timedelta(0)
    # How a run may end, by a model of its program: any of these.
    ends: Mapping[UUID, Sequence[End]] = field(default_factory=dict)
    # When the last fault was over, and how long after that all runs in *ends* must have closed.
    calm_since: datetime | None = None
    bound: timedelta = timedelta(seconds=60)
    # Workers have had the time to clear away every entry of what is closed.
    drained: bool = False
    seals: Mapping[UUID, Seal] = field(default_factory=dict)
    totals: Sequence[Total] = ()

    # By what the checks look for

    @cached_property
    def performed_by_run(self) -> dict[str, dict[str, list[Performed]]]:
        """By run, and then by key."""
        found: defaultdict[str, dict[str, list[Performed]]] = defaultdict(dict)
        for attempt in self.performed:
            found[attempt.key.partition(":")[0]].setdefault(attempt.key, []).append(attempt)
        return dict(found)

    @cached_property
    def started(self) -> frozenset[UUID]:
        return frozenset(start.run_id for start in self.starts)


NOTHING_WITNESSED = Effects()


def seal_of(events: Iterable[EventRecord]) -> Seal:
    """For `Effects.seals`; *events* are a history from its beginning."""
    digest, length = hashlib.blake2b(digest_size=16), 0
    for event in events:
        digest.update(repr((event.seq, event.type, event.call_id, event.details, event.created_at)).encode())
        length += 1
    return Seal(length, digest.hexdigest())
