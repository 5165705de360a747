"""What others may read of a run is what its history tells, with what was put aside when it was opened again."""

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
    set_last: dict[str, tuple[str, int]] = {}
    for placed in story.whole:
        fact = e.event_of(placed) if placed.type == e.EventSet.type else None
        if isinstance(fact, e.EventSet):
            set_last[fact.key] = (fact.value, placed.seq)
    there = story.run.values
    for key, (value, seq) in set_last.items():
        if there.get(key) != value:
            found = f"event {key!r} {'without a value' if key not in there else 'with another value'}"
            yield story.violation(Invariant.OUTPUTS, found, "what was set last", seq=seq)
    for key in there.keys() - set_last.keys():
        yield story.violation(Invariant.OUTPUTS, f"a value of event {key!r}", "none, for it was never set")


def items(story: Story) -> Iterator[Violation]:
    """Each item that its code has published is there; of activities, only of those that were started."""
    kinds = (e.ItemPublished.type, e.ActivityScheduled.type)
    facts = [(e.event_of(placed), placed) for placed in story.whole if placed.type in kinds]
    there = {(item.call_id, item.stream) for item in story.run.items}
    for fact, placed in facts:
        if isinstance(fact, e.ItemPublished) and (fact.call_id, fact.stream) not in there:
            found = f"no item of stream {fact.stream!r}"
            yield story.violation(Invariant.OUTPUTS, found, "what was published", seq=placed.seq, call_id=fact.call_id)
    asked = {fact.call_id for fact, _ in facts}
    for call_id, stream in sorted(there):
        if call_id not in asked:
            found = f"an item of stream {stream!r} by a call that never published"
            yield story.violation(Invariant.OUTPUTS, found, "only what was published", call_id=call_id)
