"""Signals: what was acknowledged is in the history or in the mailbox, once, in its sender's order."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit.violations import Invariant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from durable_core.audit.effects import SentSignal
    from durable_core.audit.story import Story
    from durable_core.audit.violations import Violation

Message = tuple[str, str]  # name and payload


def signals(story: Story) -> Iterator[Violation]:
    if story.is_closed:
        for letter in story.run.mail:
            if letter.mail.type == e.SignalReceived.type:
                expected = "that a run takes no signal once it is closed, and does not close before it has read all"
                yield story.violation(Invariant.SIGNALS, "an unread signal of a closed run", expected)
    if (sent := story.effects.signals_by_run.get(story.record.id)) is not None:
        yield from _compare(story, sent)


def _compare(story: Story, sent: list[SentSignal]) -> Iterator[Violation]:
    received = list(_received(story))
    there = Counter(received)
    least = Counter(_message(signal) for signal in sent if signal.acknowledged)
    most = Counter(_message(signal) for signal in sent)
    for message, count in (least - there).items():
        found, expected = (
            f"{there[message]} of signal {message[0]!r} {message[1]}",
            f"{least[message]}, as acknowledged",
        )
        yield story.violation(Invariant.SIGNALS, f"{found} ({count} lost)", expected)
    for message, count in (there - most).items():
        found, expected = f"{there[message]} of signal {message[0]!r} {message[1]}", f"{most[message]}, as sent"
        yield story.violation(Invariant.SIGNALS, f"{found} ({count} too many)", expected)
    # Of messages that were sent more than once nobody can say which is which.
    place = {message: number for number, message in enumerate(received) if most[message] == there[message] == 1}
    for sender in {signal.sender for signal in sent}:
        places = [place[m] for s in sent if s.sender == sender and (m := _message(s)) in place]
        if places != sorted(places):
            order = ", ".join(f"{received[number][0]!r} {received[number][1]}" for number in sorted(places)[:5])
            yield story.violation(
                Invariant.SIGNALS, f"signals in the order {order}", "the order in which they were sent"
            )


def _received(story: Story) -> Iterator[Message]:
    for fact in story.facts:
        if isinstance(fact, e.SignalReceived):
            yield fact.name, fact.payload
    for letter in story.run.mail:
        if letter.mail.type == e.SignalReceived.type:
            fact = e.event_of(e.EventRecord(0, *letter.mail[1:], story.record.created_at))
            assert isinstance(fact, e.SignalReceived)
            yield fact.name, fact.payload


def _message(signal: SentSignal) -> Message:
    return signal.name, signal.payload
