"""One seed, from its first word to the verdict."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.programs.activities import install
from tests.programs.bookings import install_books
from tests.programs.errands import install_errands
from tests.programs.source import source_of
from tests.simulation.customers import Customer
from tests.simulation.judging import complaints
from tests.simulation.neighbors import Neighbors
from tests.simulation.orders import orders_of
from tests.simulation.trace import KEPT
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.orders import Order


@dataclass
class Verdict:
    """What became of a seed."""

    seed: int
    digest: str  # of all that happened: equal for equal seeds
    orders: list[Order]
    complaints: list[str] = field(default_factory=list)
    report: str = ""  # for a seed that failed

    @property
    def is_good(self) -> bool:
        return not self.complaints


def simulate(seed: int, *, kept: int | None = KEPT) -> Verdict:
    """*kept*: steps that the report of a failure shows, None for all."""
    world = World(seed, kept=kept)
    install(world.registry, world.witness.ledger, pause=world.pass_time)
    install_books(world.registry, world.witness.ledger, world.witness.books)
    install_errands(world.registry, world.witness.ledger, Neighbors(world, world.generator()).others)
    orders = orders_of(seed, world.generator())
    world.customers = [Customer(world, order, world.generator(), world.witness) for order in orders]
    with world.entered():
        came_to_its_end = world.run()
        found = complaints(world, orders, world.witness, came_to_its_end=came_to_its_end)
    verdict = Verdict(seed, _digest(world), orders, found)
    if found:
        verdict.report = _report(world, orders, found)
    return verdict


def _digest(world: World) -> str:
    digest = hashlib.blake2b(f"{world.trace.checksum} {world.trace.length}".encode(), digest_size=8)
    for row in world.store._runs:
        digest.update(f"{row.record.id} {row.record.status} {row.record.result}\n".encode())
        for event in world.store._events.get(row.record.id, ()):
            digest.update(f"{event.seq} {event.type} {event.call_id} {event.details} {event.created_at}\n".encode())
    return digest.hexdigest()


def _report(world: World, orders: list[Order], found: list[str]) -> str:
    parts = [f"SIM_SEED={world.seed} python -m tests.simulation {world.seed}", str(world.weather)]
    for order in orders:
        parts.append(f"--- program {order.path}: run {order.run_id}, {order.workflow_id or 'no workflow_id'}")
        parts.append(source_of(order.program))
    parts += ["--- the last steps", str(world.trace), "--- violations", *found]
    return "\n".join(parts)
