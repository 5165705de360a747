"""What can be chosen for one run or one activity, and how it is checked where it is written down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from durable_core.errors import ConfigurationError, did_you_mean
from durable_core.retry import RetryPolicy

Duration = float | timedelta  # seconds, or a timedelta

MAX_NAME = 200  # characters; the width of the columns that hold names
DEFAULT_QUEUE = "default"
DEFAULT_STREAM = "default"
LONGEST = timedelta(days=365_000)  # about a thousand years; any later, and the sum with a date overflows
YEARS = range(2, 9000)  # of a date that a timeout may be added to, and that has a time in UTC


def check_name(name: object, what: str) -> None:
    """Raises `ConfigurationError` for a name that some database could not hold."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or _UNSTORABLE.search(name):
        raise ConfigurationError(
            f"{what} is {name!r}; expected a text of 1 to {MAX_NAME} characters without NUL and lone surrogates."
        )


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def as_timedelta(value: object, *, what: str) -> timedelta | None:
    """*value* as a timedelta; None stays None.

    Raises `ConfigurationError` unless it is a number of seconds, or a timedelta, from 0 to a thousand years.
    """
    if value is None:
        return None
    if isinstance(value, timedelta):
        span = value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            span = timedelta(seconds=value)
        except (OverflowError, ValueError):
            raise ConfigurationError(f"{what} is {value!r}; expected seconds that fit a timedelta.") from None
    else:
        raise ConfigurationError(f"{what} is {value!r}; expected seconds (a number) or a timedelta.")
    if span < timedelta(0):
        raise ConfigurationError(f"{what} is {value!r}; expected 0 or more.")
    if span > LONGEST:
        raise ConfigurationError(f"{what} is {value!r}; expected at most {LONGEST.days:,} days.")
    return span


def span_of(duration: Duration, what: str) -> timedelta:
    """As `as_timedelta`, where None will not do."""
    span = as_timedelta(duration, what=what)
    if span is None:
        raise ConfigurationError(f"{what} is None; expected seconds or a timedelta.")
    return span


def seconds_of(duration: Duration | None) -> str:
    """For messages."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    return f"{seconds:.15g}"


class ExecutorKind(StrEnum):
    """What performs an activity that is an ordinary function."""

    THREAD = "thread"  # of the worker
    PROCESS = "process"  # a child of the worker, which can be killed


class IdReusePolicy(StrEnum):
    """Whether a workflow_id may be used again once its run has closed."""

    ALLOW_DUPLICATE = "allow_duplicate"
    ALLOW_DUPLICATE_FAILED_ONLY = "allow_duplicate_failed_only"  # unless the last run with it was COMPLETED
    REJECT_DUPLICATE = "reject_duplicate"


class IdConflictPolicy(StrEnum):
    """What becomes of a start whose workflow_id an open run has."""

    USE_EXISTING = "use_existing"  # that run, if workflow and input are the same
    FAIL = "fail"
    TERMINATE_EXISTING = "terminate_existing"  # that run is canceled at once


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowOptions:
    """How one run is started. None leaves it to the definition."""

    workflow_id: str | None = None  # the caller's own id: one open run per workflow_id
    run_after: timedelta | datetime | None = None  # from now, or an aware time
    queue: str | None = None
    priority: int | None = None  # higher first
    timeout: timedelta | None = None  # from start to close, all retries and waits included
    cancel_with_parent: bool = True  # what happens to a child whose parent closes
    id_reuse_policy: IdReusePolicy | None = None  # None: allow_duplicate
    id_conflict_policy: IdConflictPolicy | None = None  # None: use_existing

    def start_at(self, now: datetime) -> datetime | None:
        """The moment that *run_after* means; None: at once."""
        return now + self.run_after if isinstance(self.run_after, timedelta) else self.run_after


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityOptions:
    """How one activity is run. None leaves it to the definition; there, None means no limit."""

    retry_policy: RetryPolicy | None = None
    timeout: timedelta | None = None  # schedule-to-close: from the call to the end, all retries included
    schedule_to_start: timedelta | None = None  # in a queue, per attempt
    start_to_close: timedelta | None = None  # one attempt
    heartbeat_timeout: timedelta | None = None  # between two heartbeats of one attempt
    queue: str | None = None
    priority: int | None = None  # higher first
    at_most_once: bool = False  # never begun again, whatever becomes of the attempt and whatever the retry policy says


def _policy(policies: type[StrEnum], value: Any, what: str) -> StrEnum:
    try:
        return policies(value)
    except ValueError:
        raise ConfigurationError(f"{what} is {value!r}; expected one of {', '.join(policies)}.") from None


_ID_POLICIES: dict[str, type[StrEnum]] = {"id_reuse_policy": IdReusePolicy, "id_conflict_policy": IdConflictPolicy}
_DURATIONS = frozenset({"timeout", "schedule_to_start", "start_to_close", "heartbeat_timeout"})
Options = TypeVar("Options", WorkflowOptions, ActivityOptions)


def changed(options: Options, changes: Mapping[str, Any], *, what: str) -> Options:
    """A copy of *options* with *changes*, checked. Raises `ConfigurationError` for an unknown name or a bad value."""
    known = {f.name for f in fields(options)}
    clean: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in known:
            raise ConfigurationError(f"{what}.using() got an unknown option {name!r}. {did_you_mean(name, known)}")
        if name in _DURATIONS or (name == "run_after" and not isinstance(value, datetime)):
            clean[name] = as_timedelta(value, what=f"{what}: {name}")
        else:
            clean[name] = value
    run_after = clean.get("run_after")
    if isinstance(run_after, datetime) and run_after.tzinfo is None:
        raise ConfigurationError(f"{what}: run_after is the naive time {run_after}; expected an aware one.")
    if isinstance(run_after, datetime) and run_after.year not in YEARS:
        raise ConfigurationError(f"{what}: run_after is {run_after}; expected a year from {YEARS[0]} to {YEARS[-1]}.")
    for name in ("queue", "workflow_id"):
        if clean.get(name) is not None:
            check_name(clean[name], f"{what}: {name}")
    for name, policies in _ID_POLICIES.items():
        if clean.get(name) is not None:
            clean[name] = _policy(policies, clean[name], f"{what}: {name}")
    policy = clean.get("retry_policy")
    if policy is not None and not isinstance(policy, RetryPolicy):
        raise ConfigurationError(f"{what}: retry_policy is {policy!r}; expected a RetryPolicy.")
    priority = clean.get("priority")
    if priority is not None and (isinstance(priority, bool) or not isinstance(priority, int)):
        raise ConfigurationError(f"{what}: priority is {priority!r}; expected a whole number, higher first.")
    if priority is not None and not -32768 <= priority <= 32767:
        raise ConfigurationError(f"{what}: priority is {priority}; expected -32768 to 32767.")
    if not isinstance(clean.get("at_most_once", False), bool):
        raise ConfigurationError(f"{what}: at_most_once is {clean['at_most_once']!r}; expected True or False.")
    made = replace(options, **clean)
    if policy is not None and getattr(made, "at_most_once", False):
        raise ConfigurationError(
            f"{what}: at_most_once and a retry_policy; expected one of them: what runs at most once is never retried."
        )
    return made
