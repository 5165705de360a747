"""Queues and stores by name, and which plugin has each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from durable_core.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Offer(Generic[T]):
    """A queue or a store that a plugin has."""

    name: str
    plugin: str
    distribution: str  # "" for a module of the project
    target: str  # dotted path of the factory
    load: Callable[[], Callable[..., T]]  # imports it, if that has not been done; raises whatever that raises
    doc: str = ""


@dataclass(slots=True)
class Backends(Generic[T]):
    """What plugins offer of one kind. Two that offer one name trouble only those who ask for it."""

    kind: str
    offers: dict[str, list[Offer[T]]] = field(default_factory=dict)

    def add(self, offer: Offer[T]) -> None:
        rivals = self.offers.setdefault(offer.name, [])
        if all(rival.target != offer.target for rival in rivals):
            rivals.append(offer)

    @property
    def contested(self) -> list[str]:
        """Names that several plugins offer."""
        return sorted(name for name, rivals in self.offers.items() if len(rivals) > 1)

    def contest(self, name: str) -> tuple[str, str]:
        """What is wrong with such a name, and what to do."""
        rivals = self.offers[name]
        owners = " and ".join(f"{rival.plugin!r} of {rival.distribution or 'the project'}" for rival in rivals)
        paths = " or ".join(repr(rival.target) for rival in rivals)
        return (
            f"Two plugins offer a {self.kind} named {name!r}: {owners}.",
            f"Name the one you want by its path, {paths}; or uninstall the other.",
        )

    def find(self, name: str) -> Callable[..., T]:
        """The factory of a name.

        Raises `ConfigurationError` for one that nobody offers, with the nearest names, or that several do; and
        whatever its import raises.
        """
        rivals = self.offers.get(name, [])
        if not rivals:
            raise ConfigurationError(f"Unknown {self.kind} {name!r}. {did_you_mean(name, self.offers)}")
        if len(rivals) > 1:
            raise ConfigurationError(" ".join(self.contest(name)))
        return rivals[0].load()
