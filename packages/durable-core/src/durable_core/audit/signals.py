"""Signals: what was acknowledged is in the history or in the mailbox, once, in its sender's order.

Runs that went on for each other are one receiver. What one of them had not read comes to the next once more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit.violations import Invariant, Violation
from durable_core.errors import NewerCodeNeeded
from durable_core.rewinding import lived

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from durable_core.audit.effects import Effects, SentSignal
    from durable_core.audit.posts import Posts
    from durable_core.audit.story import Story
    from durable_core.ports import AuditableStore, AuditedRun

BATCH = 500  # runs looked up at once

Message = tuple[str, str]  # name and payload


def signals(story: Story) -> Iterator[Violation]:
    if story.is_closed:
        for letter in story.run.mail:
            if letter.mail.type == e.SignalReceived.type:
                expected = "that a run takes no signal once it is closed, and does not close before it has read all"
                yield story.violation(Invariant.SIGNALS, "an unread signal of a closed run", expected)
        return
    told: set[str | None] = {fact.call_id for fact in story.facts if isinstance(fact, e.WORDS)}
    told |= {letter.mail.call_id for letter in story.run.mail if letter.mail.type in {cls.type for cls in e.WORDS}}
    for sent, placed in story.placed():
        if isinstance(sent, e.SENT) and sent.call_id not in told:
            found, expected = f"{sent.type} of which nothing has become", "that it was delivered, or failed"
            yield story.violation(Invariant.SIGNALS, found, expected, seq=placed.seq, call_id=sent.call_id)


# Of no single run


def delivered(store: AuditableStore, effects: Effects, posts: Posts) -> Iterator[Violation]:
    """What was sent has come to its run, or to one that went on for it, and nothing else has.

    *posts* are what other runs have sent.
    """
    receivers: dict[UUID, AuditedRun] = {}
    chains: dict[UUID, UUID] = {}  # a run's, by its first run
    wanted = list(dict.fromkeys(signal.run_id for signal in effects.signals))
    for first in range(0, len(wanted), BATCH):
        for run in store.audited(wanted[first : first + BATCH]):
            chain_id = chains[run.record.id] = run.record.chain_id or run.record.id
            receivers[chain_id] = run
    sent: defaultdict[UUID, list[SentSignal]] = defaultdict(list)
    for signal in effects.signals:  # in the order in which they were sent, which a store's answers do not have
        if signal.run_id in chains:
            sent[chains[signal.run_id]].append(signal)
    for chain_id, messages in sent.items():
        try:
            chain = list(_chain(store, chain_id, receivers[chain_id]))
            received = [list(_received(run)) for run in chain]
        except NewerCodeNeeded:
            continue
        posted = [signal for run in chain for signal in posts.sent_to(run.record)]
        yield from _compare(chain_id, [*messages, *posted], received)


def _chain(store: AuditableStore, chain_id: UUID, known: AuditedRun) -> Iterator[AuditedRun]:
    """The runs of a chain from its first, or from the one that is *known* if that is gone."""
    [run] = store.audited([chain_id]) if known.record.id != chain_id else [known]
    while True:
        yield run
        end = e.event_of(run.events[-1]) if run.events else None
        if not isinstance(end, e.WorkflowContinuedAsNew) or not (found := store.audited([end.next_id])):
            return
        [run] = found


def _compare(run_id: UUID, sent: Sequence[SentSignal], received: Sequence[Sequence[Message]]) -> Iterator[Violation]:
    """*received* is what each run of a chain has got, in its order."""
    there = Counter(message for messages in received for message in messages)
    at_once: Counter[Message] = Counter()  # how often the run has it that has it most often
    for messages in received:
        at_once |= Counter(messages)
    least = Counter(_message(signal) for signal in sent if signal.acknowledged)
    most = Counter(_message(signal) for signal in sent)
    for message, count in (least - there).items():
        found = f"{there[message]} of signal {message[0]!r} {message[1]} ({count} lost)"
        yield _violation(run_id, found, f"{least[message]}, as acknowledged")
    for message, count in (at_once - most).items():
        found = f"{at_once[message]} of signal {message[0]!r} {message[1]} ({count} too many)"
        yield _violation(run_id, found, f"{most[message]}, as sent")
    # Of messages that were sent more than once nobody can say which is which.
    in_order = dict.fromkeys(message for messages in received for message in messages)
    names = [message for message in in_order if most[message] == at_once[message] == 1]
    place = {message: number for number, message in enumerate(names)}
    for sender in {signal.sender for signal in sent}:
        places = [place[m] for s in sent if s.sender == sender and (m := _message(s)) in place]
        if places != sorted(places):
            order = ", ".join(f"{names[number][0]!r} {names[number][1]}" for number in sorted(places)[:5])
            yield _violation(run_id, f"signals in the order {order}", "the order in which they were sent")


def _received(run: AuditedRun) -> Iterator[Message]:
    for event in lived(run.events):  # what was put aside when the run was reopened has come again
        if event.type == e.SignalReceived.type:
            yield _told(e.event_of(event))
    for letter in run.mail:
        if letter.mail.type == e.SignalReceived.type:
            yield _told(e.event_of(e.EventRecord(0, *letter.mail[1:], run.record.created_at)))


def _told(fact: e.HistoryEvent) -> Message:
    assert isinstance(fact, e.SignalReceived)
    return fact.name, fact.payload


def _message(signal: SentSignal) -> Message:
    return signal.name, signal.payload


def _violation(run_id: UUID, found: str, expected: str) -> Violation:
    return Violation(invariant=Invariant.SIGNALS, run_id=run_id, found=found, expected=expected)
