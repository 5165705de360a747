"""What an audit has looked at, and what it found."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from durable_core.audit.violations import Invariant, Violation


@dataclass(slots=True, kw_only=True)
class Report:
    """Of constant size, if *keep* says how many violations of an invariant it shows."""

    keep: int | None = None  # None: all
    runs: int = 0
    open_runs: int = 0
    events: int = 0
    tasks: int = 0
    mail: int = 0
    entries: int | None = None  # None: the queue cannot be audited
    replayed: int = 0
    not_replayed: Counter[str] = field(default_factory=Counter)  # by why
    unreadable: int = 0  # runs with events of a newer release, or sealed: nothing of them was checked
    counts: Counter[Invariant] = field(default_factory=Counter)
    _examples: defaultdict[Invariant, list[Violation]] = field(default_factory=lambda: defaultdict(list))

    def add(self, violations: Iterable[Violation]) -> None:
        for violation in violations:
            self.counts[violation.invariant] += 1
            kept = self._examples[violation.invariant]
            if self.keep is None or len(kept) < self.keep:
                kept.append(violation)

    @property
    def is_clean(self) -> bool:
        return not self.counts

    @property
    def violations(self) -> list[Violation]:
        """By invariant; of each not more than *keep*."""
        return [violation for invariant in sorted(self._examples) for violation in self._examples[invariant]]
