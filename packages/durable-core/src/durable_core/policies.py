"""When a batch of items is done, and what it has come to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, cast

from durable_core.errors import ConfigurationError
from durable_core.functions import R_co
from durable_core.subscripts import subscriptable

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionPolicy:
    """When ``ctx.map()`` is done before all items are. Without either, it waits for all of them."""

    min_successful: int | None = None  # done once so many have succeeded; failed once so many cannot any more
    tolerated_failures: int | None = None  # failed with the first failure beyond these

    def __post_init__(self) -> None:
        if self.min_successful is not None and (type(self.min_successful) is not int or self.min_successful < 1):
            raise ConfigurationError(f"min_successful is {self.min_successful!r}; expected a number from 1, or None.")
        if self.tolerated_failures is not None and (
            type(self.tolerated_failures) is not int or self.tolerated_failures < 0
        ):
            raise ConfigurationError(
                f"tolerated_failures is {self.tolerated_failures!r}; expected a number from 0, or None."
            )

    def is_enough(self, succeeded: int) -> bool:
        return self.min_successful is not None and succeeded >= self.min_successful

    def most_failures(self, items: int) -> int | None:
        """How many failures of so many items may be, while they go on; None: any number."""
        limits = [] if self.tolerated_failures is None else [self.tolerated_failures]
        if self.min_successful is not None:
            limits.append(items - self.min_successful)
        return min(limits, default=None)


class ItemStatus(StrEnum):
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"  # it was under way when the batch was done
    NOT_STARTED = "NOT_STARTED"


@subscriptable
@dataclass(frozen=True, slots=True)
class ItemOutcome(Generic[R_co]):
    """What became of one item."""

    status: ItemStatus
    value: R_co | None = None  # of one that has succeeded
    error: Exception | None = None  # of one that has failed


@subscriptable
@dataclass(frozen=True, slots=True)
class BatchResult(Generic[R_co]):
    """What became of all items, in their order."""

    outcomes: Sequence[ItemOutcome[R_co]]

    @property
    def results(self) -> list[R_co]:
        """Of those that have succeeded."""
        return [cast("Any", item.value) for item in self.outcomes if item.status is ItemStatus.SUCCEEDED]

    @property
    def failures(self) -> list[Exception]:
        """Of those that have failed."""
        return [item.error for item in self.outcomes if item.error is not None]
