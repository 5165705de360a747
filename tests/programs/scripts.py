"""What an activity is told to do, how it may end then, and how often it may have its effect. Faults widen both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.programs.activities import message_of
from tests.programs.language import Expression, Part, Seconds

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.programs.trace import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Script(Part):
    """One activity call: what the activity does, and under which policy and limits."""

    value: Expression
    fails: int = 0  # attempts with a number up to this raise
    spoils: bool = False  # returns what JSON cannot hold, instead of the value
    takes: Seconds = 0.0
    beats: bool = False  # with details, at the beginning
    attempts: int = 0  # RetryPolicy.maximum_attempts
    once: bool = False  # at_most_once, instead of a policy; attempts is 1 then
    interval: Seconds = 0.0  # RetryPolicy.initial_interval
    refused: bool = False  # its error is among the non-retryable ones
    timeout: Seconds | None = None  # schedule-to-close
    start_to_close: Seconds | None = None
    heals: bool = False  # fails counts all attempts there have been, also those before its run was reopened


class Allowance(NamedTuple):
    """How often an effect may have happened."""

    least: int
    most: int | None  # None: no limit

    def permits(self, times: int) -> bool:
        return self.least <= times and (self.most is None or times <= self.most)

    def __str__(self) -> str:
        return f"{self.least} to {'any number' if self.most is None else self.most}"


def any_of(allowed: Collection[Allowance]) -> Allowance:
    """What at least one of them permits, or what lies between two."""
    most = [one.most for one in allowed if one.most is not None]
    return Allowance(min(one.least for one in allowed), max(most) if len(most) == len(allowed) else None)


def attempts_of(script: Script) -> int:
    """How many it takes where nothing goes wrong but what the script says."""
    if script.fails and script.refused:
        return 1
    needed = script.fails + 1
    return min(needed, script.attempts) if script.attempts else needed


def may_end(script: Script, value: Any, ending: Entry, *, faults: int, reopened: int = 0) -> bool:
    """Whether an awaited call may end like this; *ending* is an entry of the trace without its label.

    *reopened*: how often its run was, which may have begun all attempts anew.
    """
    plain = attempts_of(script)
    loose = bool(faults) or script.start_to_close is not None
    fails_for_good = plain <= script.fails
    match ending:
        case ["value", found]:
            if script.spoils or not same(found, value):
                return False
            if script.heals:
                return not fails_for_good or loose or reopened > 0
            return not fails_for_good or (loose and (not script.attempts or script.fails < script.attempts))
        case ["failed", "ActivityTimeout", "schedule_to_close", _]:
            return script.timeout is not None
        case ["failed", "ActivityTimeout", "start_to_close", attempt]:
            return script.start_to_close is not None and attempt == script.attempts
        case ["failed", "ActivityError", "Scripted", message, attempt]:
            is_last = script.refused or attempt == script.attempts
            if script.heals and (loose or reopened):
                return is_last and message in map(message_of, range(1, script.fails + 1))
            return (
                message == message_of(attempt) and attempt <= script.fails and is_last and (loose or attempt == plain)
            )
        case ["failed", "ActivityError", "PayloadError", _, attempt]:
            return script.spoils and attempt > script.fails and (loose or attempt == plain)
        case ["failed", "ActivityError", "WorkerDied", *_]:
            return faults > 0
        case _:
            return False


def allowance(script: Script, ending: Entry | None, *, faults: int, reopened: int = 0) -> Allowance:
    """Of a call that ended like this; None: nobody has waited for its end."""
    plain = attempts_of(script)
    lives = reopened + 1
    if script.start_to_close is None:
        most: int | None = lives * plain + faults
    else:  # each attempt may have run out of time
        most = lives * script.attempts + faults if script.attempts else None
    if script.refused and faults:
        most = lives * max(script.fails + 1, script.attempts) + faults
    if script.once:
        most = lives
    match ending:
        case ["value", *_] if script.heals:  # whatever it took, and no more but for what was cut off
            return Allowance(1 if faults else script.fails + 1, script.fails + lives + faults)
        case ["value", *_] | ["failed", "ActivityError", "Scripted" | "PayloadError", *_]:
            loose = faults or script.start_to_close is not None
            return Allowance(1 if loose else plain, most)
        case _:
            return Allowance(0, most)


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1, 1.0 and True are three things."""
    if type(one) is not type(other):
        return False
    match one:
        case dict():
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
        case list():
            return len(one) == len(other) and all(map(same, one, other))
        case _:
            return bool(one == other)
