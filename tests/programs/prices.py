"""Values with types: what an activity takes and returns has those of its annotations, on both sides and in replays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

from durable_core.activity import current_activity
from tests.programs.activities import Effect

if TYPE_CHECKING:
    from durable_core.definitions import Registry
    from tests.programs.activities import Ledger

PRICED = "priced"


class Size(Enum):
    SMALL = "s"
    LARGE = 2


@dataclass(frozen=True)
class Item:
    name: str
    price: Decimal
    size: Size


@dataclass(frozen=True)
class Order:
    id: UUID
    placed_at: datetime
    due_on: date | None
    patience: timedelta
    items: list[Item]
    by_size: dict[str, Item | None]
    place: tuple[float, int]


def order_of(number: int) -> Order:
    """The same for the same number, everywhere."""
    random = Random(number)
    items = [_item(random) for _ in range(random.randint(0, 3))]
    return Order(
        id=UUID(int=random.getrandbits(128), version=4),
        placed_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=random.getrandbits(50)),
        due_on=random.choice((None, date(2026, 2, 28))),
        patience=timedelta(microseconds=random.randint(-(10**12), 10**12)),
        items=items,
        by_size={size.name: next((item for item in items if item.size is size), None) for size in Size},
        place=(random.uniform(-90, 90), random.getrandbits(53)),
    )


def _item(random: Random) -> Item:
    price = Decimal(random.randint(-(10**9), 10**9)) / 100
    return Item(random.choice(("", "ä€😀", "\x00")), price, random.choice(list(Size)))


def priced(order: Order, times: int) -> Order:
    """With other prices; raises where a part has another type than it had."""
    return replace(order, items=[replace(item, price=item.price * times) for item in order.items])


def install_prices(registry: Registry, ledger: Ledger) -> None:
    def price(key: str, number: int, order: Order, times: int) -> Order:
        current = current_activity()
        effect = Effect(key, current.idempotency_key, current.attempt)
        ledger.begin(effect)
        assert repr(order) == repr(order_of(number)), f"expected {order_of(number)}, got {order}"
        ledger.end(effect)
        return priced(order, times)

    registry.activity(name=PRICED)(price)
