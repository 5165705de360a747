"""Activities that give their token away, and others, who say by it what came out: each attempt has its *saying*."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from durable_core import tokens
from durable_core.activity import current_activity
from durable_core.codec import decode
from durable_core.errors import CompleteLater, CompletionError
from durable_core.execution import TaskStatus
from durable_core.ports import PastTask
from durable_core.retry import RetryPolicy
from tests.programs.activities import Effect
from tests.programs.scripts import same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from durable_core.completion import Completer
    from durable_core.definitions import Registry
    from durable_core.testing import InMemoryHistoryStore
    from durable_core.testing.clock import TimeSource
    from tests.programs.activities import Ledger

ENTRUSTED = "entrusted"
ATTEMPTS = 2
SAYINGS: Mapping[str, Sequence[str]] = {
    "complete": ("complete",),
    "twice": ("complete", "complete", "fail"),
    "fail": ("beat", "fail"),
    "refuse": ("refuse", "complete"),
    "forge": ("forge", "complete"),
    "late": ("complete",),
    "nothing": (),
}


class Errand(NamedTuple):
    """An attempt that is left to others."""

    token: str
    run_id: str
    key: str  # of the call, as that of its effects
    attempt: int
    saying: str
    expires: float  # seconds
    asked_at: datetime  # the token was not there yet
    given_at: datetime  # it was there

    @property
    def is_late(self) -> bool:
        """Whether others wait until the token is worth nothing."""
        return self.saying == "late"

    @property
    def words(self) -> Sequence[str]:
        return SAYINGS[self.saying]


class Word(NamedTuple):
    """What was said by a token, and what came of it."""

    errand: Errand
    how: str
    what: list[Any]  # a result, or the words of a failure
    said_at: datetime
    heard_at: datetime
    refusal: str | None  # the name of an error
    is_certain: bool = True  # False: there was no reply

    @property
    def may_hold(self) -> bool:
        return self.refusal is None

    @property
    def ends_it(self) -> bool:
        return self.how in ("complete", "fail", "refuse")


class Others:
    """Who have been given tokens, and what they have said."""

    def __init__(self, clock: TimeSource, words: list[Word], *, come: Callable[[Errand], None]) -> None:
        self.clock = clock
        self.words = words
        self.come = come  # in time; then `say` all the words of the errand

    def say(self, completer: Completer, errand: Errand, number: int) -> None:
        """One of its words; what is raised is no answer."""
        how, what, said_at = errand.words[number], [errand.key, errand.attempt, number], self.clock.now()
        place = len(self.words)
        # At once: who is killed in the middle of it can note nothing any more.
        self.words.append(Word(errand, how, what, said_at, said_at, None, is_certain=False))
        refusal = None
        try:
            match how:
                case "complete":
                    completer.complete(errand.token, what)
                case "fail" | "refuse":
                    completer.fail(errand.token, message_of(what), retryable=how == "fail")
                case "forge":
                    completer.complete(_forged(errand.token), what)
                case "beat":
                    completer.heartbeat(errand.token, what)
        except CompletionError as error:
            refusal = type(error).__name__
        self.words[place] = Word(errand, how, what, said_at, self.clock.now(), refusal)


def _forged(token: str) -> str:
    """Of the same task."""
    return token[:-4] + token[-4:].swapcase() if token[-4:].swapcase() != token[-4:] else token[:-4] + "AAAA"


def message_of(what: Sequence[Any]) -> str:
    return f"{what}"


def install_errands(registry: Registry, ledger: Ledger, others: Others | None) -> None:
    """Register the activity; without *others* it is for code that is replayed, and never called."""

    def entrusted(key: str, sayings: Sequence[str], expires: float) -> None:
        current = current_activity()
        effect = Effect(key, current.idempotency_key, current.attempt)
        ledger.begin(effect)
        assert others is not None
        asked_at = others.clock.now()
        token = current.completion_token(expires)
        run_id, _, _ = current.idempotency_key.rpartition(":")
        saying = sayings[min(current.attempt, len(sayings)) - 1]
        others.come(Errand(token, run_id, key, current.attempt, saying, expires, asked_at, others.clock.now()))
        ledger.end(effect)
        raise CompleteLater

    policy = RetryPolicy(initial_interval=0.01, maximum_interval=0.05, maximum_attempts=ATTEMPTS)
    registry.activity(name=ENTRUSTED, retry_policy=policy)(entrusted)


def past_tasks(store: InMemoryHistoryStore) -> dict[UUID, PastTask]:
    return {row.record.id: PastTask(row.record, row.result) for row in store._tasks}


# Whether it was true what they were told


def judge_words(
    words: Iterable[Word], tasks: Mapping[UUID, PastTask], reopened: Callable[[UUID], bool], *, is_rough: bool
) -> Iterator[str]:
    """*tasks*, at the end. *reopened*: whether a run was, whose activities may have begun anew."""
    used: set[str] = set()
    for word in words:
        if not word.is_certain:
            continue
        wrong = _of_itself(word)
        if word.ends_it and word.refusal is None:
            if word.errand.token in used:
                wrong = "was used before"
            used.add(word.errand.token)
        past = tasks.get(tokens.task_of(word.errand.token))
        if past is None:
            wrong = wrong or "is of no activity"
        elif wrong is None and not reopened(past.record.run_id):
            wrong = _of_its_task(word, past, is_rough=is_rough)
        if wrong is not None:
            yield f"a token {wrong}: {word}; its activity is {past}"


def _of_itself(word: Word) -> str | None:
    errand = word.errand
    match word.refusal:
        case None if word.how == "forge":
            return "that was forged holds"
        case None if (word.said_at - errand.given_at).total_seconds() > errand.expires:
            return "holds for too long"
        case "CompletionTokenExpired" if (word.heard_at - errand.asked_at).total_seconds() < errand.expires:
            return "has expired too early"
        case "CompletionTokenUsed" | "CompletionTokenExpired" if word.how == "forge":
            return "that was forged is known"
        case _:
            return None


def _of_its_task(word: Word, past: PastTask, *, is_rough: bool) -> str | None:
    record = past.record
    match word.how, word.refusal:
        case "complete", None:
            done = record.status is TaskStatus.COMPLETED and past.result is not None
            if not done or not same(decode(past.result or "null"), word.what):
                return "completed something, and it is not so"
        case "refuse", None if record.status is not TaskStatus.FAILED:
            return "failed something for good, and it is not so"
        case "fail", None if not record.status.is_closed and record.attempt == word.errand.attempt:
            return "failed an attempt that goes on"
        case _, "CompletionTokenUsed" if not record.status.is_closed:
            return "is said to be used, and its activity goes on"
        case how, "CompletionTokenUnknown" if how != "forge" and not is_rough and record.attempt <= word.errand.attempt:
            return "is said to be unknown, and no other attempt has begun"
    return None
