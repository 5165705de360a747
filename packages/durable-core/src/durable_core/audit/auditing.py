"""`audit`: reads runs page by page, and believes what it finds only when it finds it again.

Workers may be busy meanwhile. A page is read in one snapshot, so that the rows of a run are of one moment; a violation
counts if a second look finds the same. What would be lost without an entry in the queue is collected, and held against
all entries some ten thousand at a time: memory stays the same, however much there is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.audit import (
    children,
    forks,
    history,
    needs,
    outputs,
    people,
    quiescence,
    signals,
    tasks,
    updates,
    witnesses,
)
from durable_core.audit.effects import NOTHING_WITNESSED
from durable_core.audit.posts import Posts
from durable_core.audit.replaying import replay
from durable_core.audit.report import Report
from durable_core.audit.story import Story
from durable_core.audit.violations import Invariant, Violation
from durable_core.codec import is_sealed
from durable_core.errors import NewerCodeNeeded, PayloadSealed
from durable_core.hints import backend_of
from durable_core.ports import AuditableQueue
from durable_core.rewinding import lived
from durable_core.worker.loading import info_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from datetime import datetime, timedelta
    from uuid import UUID

    from durable_core.audit.effects import Effects
    from durable_core.audit.replaying import Code
    from durable_core.ports import AuditableStore, AuditedRun, Outline, TaskQueue

CHECKS: tuple[Callable[[Story], Iterator[Violation]], ...] = (
    history.one_end,
    history.reopenings,
    history.no_gaps,
    history.outcomes,
    history.timers,
    tasks.attempts,
    tasks.told,
    children.family,
    forks.forks,
    outputs.values,
    outputs.items,
    people.asked,
    signals.signals,
    updates.updates,
    quiescence.quiescence,
    needs.abandoned,
    witnesses.one_of_a_name,
    witnesses.effects,
    witnesses.model,
    witnesses.liveness,
)

PAGE = 500  # runs whose outlines are read at once
MOST_RUNS = 100  # whose histories are
MOST_EVENTS = 5_000  # among them; a run with more comes alone
MOST_SUSPECTS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which runs to look at."""

    since: datetime | None = None  # created then or later
    sample: float = 1.0  # this share of them, always the same ones
    only: Collection[UUID] | None = None  # these, whenever they were created; None: all

    def chooses(self, run_id: UUID) -> bool:
        digest = hashlib.blake2b(run_id.bytes, digest_size=8).digest()
        return int.from_bytes(digest, "big") < self.sample * 2**64


EVERYTHING = Scope()


def audit(
    store: AuditableStore,
    queue: TaskQueue,
    effects: Effects = NOTHING_WITNESSED,
    now: datetime | None = None,
    *,
    code: Code | None = None,
    scope: Scope = EVERYTHING,
    patience: timedelta = needs.PATIENCE,
) -> list[Violation]:
    """All that is not as it must be.

    Without *code* nothing is replayed. *now* is the store's time, if none is given. *patience* is how much later than
    wanted the store may look again at what a queue is believed to hold.
    """
    return examine(store, queue, effects, now, code=code, scope=scope, patience=patience).violations


def examine(
    store: AuditableStore,
    queue: TaskQueue,
    effects: Effects = NOTHING_WITNESSED,
    now: datetime | None = None,
    *,
    code: Code | None = None,
    scope: Scope = EVERYTHING,
    patience: timedelta = needs.PATIENCE,
    keep: int | None = None,
) -> Report:
    """The same, with what was looked at. *keep* bounds how many violations of each invariant are kept."""
    examination = _Examination(store, queue, effects, now, code, patience, Report(keep=keep))
    for runs in _batches(store, scope):
        examination.look_at(runs)
    return examination.finish()


def _batches(store: AuditableStore, scope: Scope) -> Iterator[list[UUID]]:
    """Runs to be read at once: not too many, and not too much of them."""
    if scope.only is not None:
        chosen = [run_id for run_id in scope.only if scope.chooses(run_id)]
        yield from (chosen[first : first + MOST_RUNS] for first in range(0, len(chosen), MOST_RUNS))
        return
    after: Outline | None = None
    while outlines := store.outlines(after=after, since=scope.since, limit=PAGE):
        after = outlines[-1]
        batch: list[UUID] = []
        weight = 0
        for outline in outlines:
            if not scope.chooses(outline.run_id):
                continue
            if batch and (len(batch) == MOST_RUNS or weight + outline.history_length > MOST_EVENTS):
                yield batch
                batch, weight = [], 0
            batch.append(outline.run_id)
            weight += outline.history_length
        if batch:
            yield batch


class _Suspect:
    """Something that needs an entry in the queue."""

    __slots__ = ("run_id", "version")

    def __init__(self, run_id: UUID, version: int) -> None:
        self.run_id = run_id
        self.version = version  # of the run, when it was found


class _Examination:
    def __init__(
        self,
        store: AuditableStore,
        queue: TaskQueue,
        effects: Effects,
        now: datetime | None,
        code: Code | None,
        patience: timedelta,
        report: Report,
    ) -> None:
        self._store = store
        self._queue = backend_of(queue)
        self._effects = effects
        self._now = now
        self._code = code
        self._patience = patience
        self._report = report
        self._suspects: dict[UUID, _Suspect] = {}  # by what an entry would be for
        self._posts = Posts()  # only where signals were witnessed: production's would be too many
        self._open: set[UUID] = set()  # runs and tasks, if whatever is not among them must have no entry

    def look_at(self, run_ids: Sequence[UUID]) -> None:
        runs = self._read(run_ids)
        if self._effects.signals:
            for run in runs:
                self._posts.collect(run)
        found = self._violations(runs, counting=True)
        if found:
            again = set(self._violations(self._read({v.run_id for v in found if v.run_id is not None})))
            self._report.add(violation for violation in found if violation in again)
        if len(self._suspects) >= MOST_SUSPECTS:
            self._settle()

    def finish(self) -> Report:
        self._settle()
        self._report.add(witnesses.starts(self._store, self._effects))
        self._report.add(signals.delivered(self._store, self._effects, self._posts))
        self._report.add(witnesses.conservation(self._effects))
        return self._report

    # Reading

    def _read(self, run_ids: Iterable[UUID]) -> list[AuditedRun]:
        with self._store.snapshot():
            return self._store.audited(list(run_ids))

    def _story(self, run: AuditedRun) -> Story | Violation | None:
        """None for a history of a newer release, and for one that is sealed."""
        if _has_sealed(run):
            return None
        facts: list[e.HistoryEvent] = []
        for event in run.events:
            try:
                facts.append(e.event_of(event))
            except (NewerCodeNeeded, PayloadSealed):
                return None
            except Exception as problem:  # noqa: BLE001 - whatever is wrong with a row, the audit goes on
                return Violation(
                    invariant=Invariant.NO_GAPS,
                    run_id=run.record.id,
                    seq=event.seq,
                    found=f"an event of type {event.type} that cannot be read: {type(problem).__name__}: {problem}",
                    expected="an event as it was written",
                )
        events = lived(run.events)
        seqs = {event.seq for event in events}
        facts = [fact for fact, event in zip(facts, run.events, strict=True) if event.seq in seqs]
        now = self._now or self._store.now()
        return Story(replace(run, events=events), facts, self._effects, now, whole=run.events)

    # Judging

    def _violations(self, runs: Sequence[AuditedRun], *, counting: bool = False) -> list[Violation]:
        found: list[Violation] = []
        stories: list[Story] = []
        for run in runs:
            story = self._story(run)
            if isinstance(story, Violation):
                found.append(story)
            elif story is None:
                self._report.unreadable += counting
            else:
                stories.append(story)
            if counting:
                self._count(run)
        for story in stories:
            for check in CHECKS:
                found += check(story)
            if counting:
                self._suspect(story)
        found += forks.origins(self._store, stories)
        if self._code is not None:
            found += self._replay(stories, self._code, counting=counting)
        return found

    def _count(self, run: AuditedRun) -> None:
        report = self._report
        report.runs += 1
        report.open_runs += not run.record.status.is_closed
        report.events += len(run.events)
        report.tasks += len(run.tasks)
        report.mail += len(run.mail)

    def _replay(self, stories: Sequence[Story], code: Code, *, counting: bool) -> Iterator[Violation]:
        done: list[tuple[Story, str]] = []
        for story in stories:
            replayed = replay(story, code)
            yield from replayed.violations
            if replayed.digest:
                done.append((story, replayed.digest))
            if not counting:
                continue
            if replayed.why_not:
                self._report.not_replayed[replayed.why_not] += 1
            else:
                self._report.replayed += 1
        if code.peer is None or not done:
            return
        elsewhere = code.peer.digests([(info_of(story.record), story.run.events) for story, _ in done])
        for (story, here), there in zip(done, elsewhere, strict=True):
            if here != there:
                found = "code that asks for something else when it is replayed in another process"
                expected = "the same, whatever the process, its hashes and its surroundings"
                yield story.violation(Invariant.REPLAY, found, expected)

    # What the queue must have, and what it must not

    def _suspect(self, story: Story) -> None:
        for need in needs.needs(story, story.now, self._patience):
            self._suspects[need.ref] = _Suspect(story.record.id, story.record.version)
        if self._effects.drained and not story.is_closed:
            self._open.add(story.record.id)
        if self._effects.drained:
            self._open.update(task.record.id for task in story.run.tasks if not task.record.status.is_closed)

    def _settle(self) -> None:
        """Hold all suspects against all entries, in one moment where queue and store are in one database."""
        suspects, self._suspects = self._suspects, {}
        queue = self._queue
        if not isinstance(queue, AuditableQueue):
            return
        with self._store.snapshot():
            self._report.entries = 0
            for audited in queue.audited():
                self._report.entries += 1
                suspects.pop(audited.entry.ref, None)
                if self._effects.drained and audited.entry.ref not in self._open:
                    found = f"a {audited.state.value} entry for {audited.entry.kind.value} {audited.entry.ref}"
                    expected = "none, for that is closed, or does not exist"
                    self._report.add(
                        [Violation(invariant=Invariant.QUIESCENCE, run_id=None, found=found, expected=expected)]
                    )
            if suspects:
                self._report.add(self._lost(suspects))

    def _lost(self, suspects: dict[UUID, _Suspect]) -> Iterator[Violation]:
        """Of these, that have no entry, those that still need one."""
        run_ids = list(dict.fromkeys(suspect.run_id for suspect in suspects.values()))
        for first in range(0, len(run_ids), MOST_RUNS):
            for run in self._store.audited(run_ids[first : first + MOST_RUNS]):
                story = self._story(run)
                if not isinstance(story, Story):
                    continue
                for need in needs.needs(story, story.now, self._patience):
                    suspect = suspects.get(need.ref)
                    if suspect is not None and suspect.version == run.record.version:
                        yield need.violation


def _has_sealed(run: AuditedRun) -> bool:
    """Whether something beside its history cannot be opened here."""
    texts: list[str | None] = [run.record.input, run.record.result, *run.values.values()]
    texts += [letter.mail.details for letter in run.mail]
    texts += [text for task in run.tasks for text in (task.record.input, task.record.heartbeat_details, task.result)]
    texts += [child.result for child in run.children] + [message.result for message in run.messages]
    return any(map(is_sealed, texts))
