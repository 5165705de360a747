"""Replay equivalence: code that is given a run's history again asks for the same again.

Three times: whole, from prefixes of the history, and whole once more in another process (`peer`), whose hashes are
salted otherwise. Replay is silent: what it tries to write, or to call, is caught by a trap.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from durable_core import commands as c
from durable_core import events as e
from durable_core.audit.violations import Invariant
from durable_core.decision import RunSettings
from durable_core.engine import WorkflowInfo
from durable_core.errors import CodeFailed, CodeStuck, DurableError, NewerCodeNeeded, NondeterminismError
from durable_core.execution import Status, record
from durable_core.failures import summary
from durable_core.replay import WorkflowRun
from durable_core.rewinding import decided
from durable_core.worker.loading import info_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from durable_core.audit.story import Story
    from durable_core.audit.violations import Violation
    from durable_core.definitions import Registry, WorkflowDefinition
    from durable_core.worker.liveness import CodeWatch

PREFIXES = 16  # of a history that are replayed by themselves, the shortest first


History = tuple[WorkflowInfo, "Sequence[e.EventRecord]"]


class Peer(Protocol):
    """Another process with the same code."""

    def digests(self, histories: Sequence[History]) -> list[str]:
        """`Code.digest` of each, as that process finds it."""


@contextmanager
def no_trap() -> Iterator[list[str]]:
    yield []


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The code that histories are held against."""

    registry: Registry
    settings: RunSettings = field(default_factory=RunSettings)
    # Whether it is the very code that wrote them: a closed history that it does not match is a violation then, and so
    # are other arguments. Otherwise both are what a deployment leaves behind.
    is_same: bool = True
    prefixes: int = PREFIXES
    # Around each replay: what it did that a replay must not do, a phrase each.
    trap: Callable[[], AbstractContextManager[list[str]]] = no_trap
    peer: Peer | None = None
    watch: CodeWatch | None = None  # over each replay; None: code that never comes back keeps the audit for ever

    def digest(self, info: WorkflowInfo, history: Sequence[e.EventRecord]) -> str:
        """What the code asks for, and how it ends; or what keeps it from being replayed."""
        definition = self.registry.workflows.get(info.workflow_name)
        if definition is None:
            return f"no workflow {info.workflow_name!r}"
        try:
            return self.bring_back(definition, info, self.asked(definition, info, history)).digest
        except (DurableError, CodeStuck) as problem:
            return f"{type(problem).__name__}: {problem}"

    def asked(
        self, definition: WorkflowDefinition, info: WorkflowInfo, history: Sequence[e.EventRecord]
    ) -> Sequence[e.EventRecord]:
        """*history* as far as the code was asked about it.

        A cancel stands at its end that came from outside, or one that the code let happen when it was asked to: where
        both may be, only the code can tell.
        """
        inside = decided(history)
        if len(inside) < len(history) and any(event.type == e.WorkflowCancelRequested.type for event in inside):
            try:
                self.bring_back(definition, info, history)
            except (DurableError, CodeStuck):
                return inside
            return history
        return inside

    def bring_back(
        self, definition: WorkflowDefinition, info: WorkflowInfo, history: Sequence[e.EventRecord]
    ) -> Recital:
        """Raises what keeps it from being replayed."""
        recital = Recital()
        replayed = WorkflowRun(definition, info, self.registry, self.settings)
        try:
            with nullcontext() if self.watch is None else self.watch.over(replayed):
                replayed.replay(history, heard=recital.hear)
            recital.end(replayed.ending)
        finally:
            replayed.close()
        return recital


class Recital:
    """What code asks for while it is replayed."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.changed: list[tuple[e.HistoryEvent, e.HistoryEvent]] = []  # what the history holds, what was asked for
        self.ending: e.HistoryEvent | None = None

    def hear(self, command: c.Command, found: e.HistoryEvent) -> None:
        if isinstance(command, c.RecordSideEffect):
            return  # made of what was found
        asked, found = _as_asked(record(command)), _as_asked(found)
        self._note(asked)
        if asked != found:
            self.changed.append((found, asked))

    def end(self, ending: e.HistoryEvent | None) -> None:
        self.ending = ending
        if ending is not None:
            self._hash.update(repr(_comparable(ending)).encode())

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def _note(self, event: e.HistoryEvent) -> None:
        self._hash.update(f"{event.type} {event.call_id} {e.details_of(event)}\n".encode())


class Replayed(NamedTuple):
    """What came of the replay of one run."""

    why_not: str  # "": it was replayed
    violations: Sequence[Violation] = ()
    digest: str = ""


def replay(story: Story, code: Code) -> Replayed:
    run = story.record
    info = info_of(run)
    definition = code.registry.workflows.get(run.workflow_name)
    if definition is None:
        return Replayed(f"no workflow {run.workflow_name!r} here")
    if run.status is Status.BLOCKED:
        return Replayed("BLOCKED")
    history = code.asked(definition, info, story.run.events)
    if not history:
        return Replayed("its code never ran")
    with code.trap() as acts:
        try:
            recital = code.bring_back(definition, info, history)
            again = code.bring_back(definition, info, history)
            violations = list(_prefixes(story, code, definition, history))
        except NewerCodeNeeded:
            return Replayed("written by newer code")
        except (NondeterminismError, CodeFailed, CodeStuck) as problem:
            if acts:  # which are why: they were refused
                return Replayed("", _silence(story, acts))
            if story.is_closed and not code.is_same:
                return Replayed("written by other code")
            return Replayed("", [_mismatch(story, f"{type(problem).__name__}: {problem}")])
    if again.digest != recital.digest:
        violations.append(_mismatch(story, "code that asks for something else when it is replayed again"))
    if code.is_same or code.settings.strict_inputs:
        for was, asked in recital.changed:
            found = f"{asked.type} {e.details_of(asked)} where the history has {e.details_of(was)}"
            violations.append(_mismatch(story, found, call_id=asked.call_id))
    violations += _ending(story, recital.ending, is_same=code.is_same)
    violations += _silence(story, acts)
    return Replayed("", violations, recital.digest)


def _silence(story: Story, acts: list[str]) -> list[Violation]:
    """Once each, however often the code was replayed."""
    expected = "that a replay writes nothing and calls no activity"
    return [story.violation(Invariant.SILENCE, f"a replay that {act}", expected) for act in dict.fromkeys(acts)]


def _prefixes(
    story: Story, code: Code, definition: WorkflowDefinition, history: Sequence[e.EventRecord]
) -> Iterator[Violation]:
    """As a worker that has just started would have found the run at some earlier time."""
    lengths = _boundaries(history)
    if len(lengths) > code.prefixes:
        lengths = [lengths[n * len(lengths) // code.prefixes] for n in range(code.prefixes)]
    for length in lengths:
        try:
            code.bring_back(definition, info_of(story.record), history[:length])
        except NewerCodeNeeded:
            continue  # a marker of a patch that stands further on
        except (NondeterminismError, CodeFailed) as problem:
            found = f"the first {length} events cannot be replayed, although all can: {problem}"
            yield _mismatch(story, found, seq=length)


def _boundaries(history: Sequence[e.EventRecord]) -> list[int]:
    """Lengths of prefixes at whose end the code waited."""
    forks = [place for place, event in enumerate(history) if event.type == e.WorkflowForked.type]
    first = forks[-1] if forks else 0  # what stands before was another run's
    starts = [n for n, event in enumerate(history) if n > first and event.type not in COMMANDED_TYPES]
    # Code that has ended takes signals and answers until that is written: nobody can have found it so.
    while starts and history[starts[-1]].type in (*e.TERMINAL_TYPES, *e.ACKNOWLEDGED_TYPES):
        starts.pop()
    return [place for place in starts if place]


COMMANDED_TYPES = frozenset(cls.type for cls in e.COMMANDED)


def _ending(story: Story, ending: e.HistoryEvent | None, *, is_same: bool) -> Iterator[Violation]:
    """A result that the code comes to again is the one that is recorded."""
    if ending is None or not story.is_closed or not is_same:
        return
    recorded = story.facts[-1]
    if _comparable(ending) != _comparable(recorded):
        found = f"code that ends with {e.details_of(ending)}"
        yield _mismatch(story, found, expected=e.details_of(recorded), seq=story.run.events[-1].seq)


def _as_asked(fact: e.HistoryEvent) -> e.HistoryEvent:
    """Without traceback text, in which lines of files stand, and without a digest that is made once, for later."""
    match fact:
        case e.WorkflowUpdateFailed():
            return replace(fact, failure={"type": fact.failure.get("type"), "message": fact.failure.get("message")})
        case e.ActivityScheduled() | e.ChildWorkflowScheduled() if fact.batch is not None:
            return replace(fact, batch=None)
        case _:
            return fact


def _comparable(end: e.HistoryEvent) -> object:
    """Without traceback text, in which lines of files stand."""
    return (end.type, summary(end.failure)) if isinstance(end, e.WorkflowFailed) else end


def _mismatch(
    story: Story,
    found: str,
    *,
    expected: str = "what its history holds",
    seq: int | None = None,
    call_id: str | None = None,
) -> Violation:
    return story.violation(Invariant.REPLAY, found, expected, seq=seq, call_id=call_id)
