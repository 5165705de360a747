"""Queries that a run's own code answers, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_durable.auditing import writes_refused
from django_durable.engine import engine, worker_settings
from durable_core.audit import watch
from durable_core.definitions import register
from durable_core.querying import ask

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID


def ask_code(run_id: UUID, name: str, payload: Mapping[str, Any]) -> Any:
    """What the newest run of the chain answers; it is brought back for that and thrown away. See `querying.ask`.

    Neither its code nor the handler writes anything to a database meanwhile.
    """
    made, settings = engine(), worker_settings()
    newest = made.client.find_newest(run_id).id
    loaded = made.store.load([newest]).get(newest)
    if loaded is None:
        made.client.find(newest)  # says so
        raise AssertionError(newest)
    with watch(settings.stuck_after) as watched, writes_refused("a query"):
        return ask(loaded, name, payload, registry=register, settings=settings.run, watch=watched)
