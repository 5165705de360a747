"""What the customers of a world want: drawn anew, but for seeds that found something."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.programs.generator import generate, generate_transfers
from tests.programs.language import Program

if TYPE_CHECKING:
    from random import Random
    from uuid import UUID

MOST = 4
SAVED = Path(__file__).with_name("saved")  # what saved seeds were like when they found something


@dataclass
class Order:
    """What a customer wants to be run."""

    path: str  # a name for its effects, different for each
    program: Program
    workflow_id: str | None = None
    run_id: UUID | None = None  # once it is known
    cancels: bool = False
    is_refused: bool = False  # the workflow_id belongs to another run


def orders_of(seed: int, random: Random) -> list[Order]:
    """Those of a saved seed stay as they are, however the language of programs grows."""
    file = SAVED / f"{seed}.json"
    return _read(file) if file.exists() else _drawn(random)


def save(seed: int, orders: list[Order]) -> None:
    parts = [
        {"path": order.path, "workflow_id": order.workflow_id, "program": order.program.to_json()} for order in orders
    ]
    (SAVED / f"{seed}.json").write_text(json.dumps(parts) + "\n")


def _read(file: Path) -> list[Order]:
    parts = json.loads(file.read_text())
    return [Order(part["path"], Program.from_json(part["program"]), part["workflow_id"]) for part in parts]


def _any(random: Random) -> Program:
    return generate(random, size=4, books=True, others=True)


def _drawn(random: Random) -> list[Order]:
    orders: list[Order] = []
    for number in range(random.randint(1, MOST)):
        program = generate_transfers(random, size=2) if random.random() < 0.1 else _any(random)
        shares = orders and random.random() < 0.15
        if shares:
            first = orders[0]
            first.workflow_id = "shared"
            is_same = random.random() < 0.7
            if first.program.moves_money or program.moves_money:
                is_same = True  # or the one's customer would cancel the other's transfers half-way
            orders.append(Order(str(number), first.program if is_same else program, "shared"))
        else:
            orders.append(Order(str(number), program))
    return orders
