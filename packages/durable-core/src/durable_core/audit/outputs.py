"""What others may read of a run is what its history tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit.violations import Invariant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durable_core.audit.story import Story
    from durable_core.audit.violations import Violation


def values(story: Story) -> Iterator[Violation]:
    """Each event has the value that was set last, and none has one that nobody has set."""
    set_last = {fact.key: (fact.value, placed.seq) for fact, placed in story.placed() if isinstance(fact, e.EventSet)}
    there = story.run.values
    for key, (value, seq) in set_last.items():
        if there.get(key) != value:
            found = f"event {key!r} {'without a value' if key not in there else 'with another value'}"
            yield story.violation(Invariant.OUTPUTS, found, "what was set last", seq=seq)
    for key in there.keys() - set_last.keys():
        yield story.violation(Invariant.OUTPUTS, f"a value of event {key!r}", "none, for it was never set")
