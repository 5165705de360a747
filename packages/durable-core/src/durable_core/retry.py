"""When to try again. A policy is data: it is stored with the task and decided on by whoever reports a failure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from durable_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Seconds = float

LONGEST_INTERVAL = 1e9  # seconds, 31 years; a date this much later can still be computed


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and how long apart, a failing activity is tried.

    The defaults are those of Temporal's activities, but for the cap of 60 s instead of 100 s.
    Raises `ConfigurationError` for values that make no sense.
    """

    initial_interval: Seconds = 1.0
    backoff_coefficient: float = 2.0
    maximum_interval: Seconds = 60.0
    maximum_attempts: int = 0  # 0: no limit
    jitter: float = 0.0  # share of the delay that may be taken off it, 0 to 1
    strategy: Literal["exponential", "linear"] = "exponential"
    non_retryable_error_types: tuple[str, ...] = ()  # class names; a base class's name counts too
    retry_if: Callable[[BaseException], bool] | None = None  # asked in the activity's process; False: give up

    def __post_init__(self) -> None:
        object.__setattr__(self, "non_retryable_error_types", _names(self.non_retryable_error_types))
        for name in ("initial_interval", "maximum_interval"):
            value = getattr(self, name)
            if isinstance(value, timedelta):
                value = value.total_seconds()
                object.__setattr__(self, name, value)
            if not _is_number(value) or not 0 <= value <= LONGEST_INTERVAL:  # also refuses NaN
                raise ConfigurationError(
                    f"RetryPolicy.{name} is {value!r}; expected 0 to {LONGEST_INTERVAL:,.0f} seconds."
                )
        if not _is_number(self.backoff_coefficient) or not 1 <= self.backoff_coefficient < inf:
            raise ConfigurationError(
                f"RetryPolicy.backoff_coefficient is {self.backoff_coefficient!r}; expected a number of 1 or more."
            )
        if type(self.maximum_attempts) is not int or self.maximum_attempts < 0:
            raise ConfigurationError(
                f"RetryPolicy.maximum_attempts is {self.maximum_attempts!r}; expected 0 (no limit) or more."
            )
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise ConfigurationError(f"RetryPolicy.jitter is {self.jitter!r}; expected a share from 0 to 1.")
        if self.strategy not in ("exponential", "linear"):
            raise ConfigurationError(f"RetryPolicy.strategy is {self.strategy!r}; expected 'exponential' or 'linear'.")

    def delay_after(self, attempt: int, *, seed: str = "") -> timedelta | None:
        """Wait before the attempt that follows *attempt*; None means give up.

        *attempt* counts from 1: the attempt that has just failed. *seed* spreads jittered delays of different
        tasks; the same seed and attempt give the same delay.
        """
        if self.maximum_attempts and attempt >= self.maximum_attempts:
            return None
        if self.strategy == "linear":
            delay = self.initial_interval * attempt
        else:
            try:
                delay = self.initial_interval * float(self.backoff_coefficient) ** (attempt - 1)
            except OverflowError:  # 2.0 ** 1100
                delay = self.maximum_interval if self.initial_interval else 0.0
        delay = min(delay, self.maximum_interval)
        if self.jitter:
            digest = blake2b(f"{seed}:{attempt}".encode(), digest_size=8).digest()
            delay *= 1 - self.jitter * int.from_bytes(digest, "big") / 2**64
        return timedelta(seconds=delay)

    def refuses(self, type_names: Iterable[str]) -> bool:
        """Whether an exception with these class names (its own and its bases') must not be retried."""
        return not set(self.non_retryable_error_types).isdisjoint(type_names)

    def to_json(self) -> dict[str, Any]:
        """What is stored with a task: only what differs from the defaults. `retry_if` stays in the code."""
        if self is DEFAULT_RETRY_POLICY:
            return {}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name in _STORED
            if (value := getattr(self, name)) != getattr(DEFAULT_RETRY_POLICY, name)
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> RetryPolicy:
        # A newer release may have stored fields that this one does not know.
        known = {name: stored[name] for name in _STORED if name in stored}
        return cls(**known) if known else DEFAULT_RETRY_POLICY


_STORED = (
    "initial_interval",
    "backoff_coefficient",
    "maximum_interval",
    "maximum_attempts",
    "jitter",
    "strategy",
    "non_retryable_error_types",
)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _names(types: Iterable[str | type[BaseException]] | str) -> tuple[str, ...]:
    if isinstance(types, str):
        raise ConfigurationError(
            f"RetryPolicy.non_retryable_error_types is the string {types!r}; expected a list of class names."
        )
    return tuple(t if isinstance(t, str) else t.__name__ for t in types)


DEFAULT_RETRY_POLICY = RetryPolicy()
NO_RETRIES = RetryPolicy(maximum_attempts=1)
