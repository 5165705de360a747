"""durable_plugins: what is installed, what it offers, and what could not be loaded."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.core.management.base import CommandError

from django_durable import backends, conf
from django_durable.management.shared import DurableCommand, table
from durable_core.hooks import DISABLE, Offer, Plugin, Plugins


class Row(NamedTuple):
    """One plugin."""

    name: str
    kind: str  # hooks, queue
    package: str  # "" for a module of the project
    version: str
    queues: list[str]
    stores: list[str]
    hooks: list[str]
    state: str  # loaded, available (not imported until it is chosen), chosen, disabled, failed
    error: str = ""


class Command(DurableCommand):
    help = "List the plugins: what they offer, which queue is chosen, and what could not be loaded."
    requires_system_checks = ()  # they would stop it where it is needed most

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--format", choices=["text", "json"], default="text")

    def run(self, **options: Any) -> None:
        plugins, chosen = backends.plugins(), conf.inspect()[0].queue_backend
        trouble = trouble_with(chosen)
        rows = list(rows_of(plugins, chosen, trouble))
        if options["format"] == "json":
            self.stdout.write(json.dumps(as_json(plugins, rows, chosen)))
        else:
            self.stdout.write("\n".join(as_text(plugins, rows, chosen)))
        if trouble is not None:
            raise CommandError(str(trouble))


def trouble_with(chosen: str) -> backends.UnknownBackend | None:
    """Why the chosen queue cannot be used."""
    try:
        backends.find_queue(chosen)
    except backends.UnknownBackend as error:
        return error
    return None


def rows_of(plugins: Plugins, chosen: str, trouble: backends.UnknownBackend | None) -> Iterator[Row]:
    for plugin in plugins.found:
        queues, stores = _names(plugins.queues.offers, plugin), _names(plugins.stores.offers, plugin)
        hooks = [hook for hook in plugin.hooks if not hook.startswith("durable_register_")]
        state, error = "available" if plugin.kind == "queue" else "loaded", ""
        if chosen in queues and trouble is None:
            state = "chosen"
        elif chosen in queues:
            state, error = "failed", str(trouble)
        yield Row(plugin.name, plugin.kind, plugin.distribution, plugin.version, queues, stores, hooks, state, error)
    for plugin in plugins.disabled:
        yield Row(plugin.name, plugin.kind, plugin.distribution, plugin.version, [], [], [], "disabled")
    for broken in plugins.broken:
        yield Row(broken.name, broken.kind, broken.distribution, broken.version, [], [], [], "failed", broken.error)


def _names(offers: dict[str, list[Offer[Any]]], plugin: Plugin) -> list[str]:
    return sorted(
        offer.name
        for rivals in offers.values()
        for offer in rivals
        if (offer.plugin, offer.distribution) == (plugin.name, plugin.distribution)
    )


def queues_of(plugins: Plugins, chosen: str) -> Iterator[tuple[str, str, str, str]]:
    """(name, plugin, what it is, "chosen" or nothing) of each."""
    for name, rivals in sorted(plugins.queues.offers.items()):
        for offer in rivals:
            yield name, offer.plugin, doc_of(offer, imported=name == chosen), "chosen" if name == chosen else ""
    if "." in chosen and chosen not in plugins.queues.offers:
        yield chosen, "", "by its path", "chosen"


def doc_of(offer: Offer[Any], *, imported: bool) -> str:
    """A line about a queue; of one that is not imported, where it is."""
    text = offer.doc
    if not text and imported:
        try:
            text = (inspect.getdoc(offer.load()) or "").partition("\n")[0]
        except (Exception, SystemExit):  # noqa: BLE001 - what is wrong with it is said elsewhere
            text = ""
    return text or offer.target


# Output


def as_json(plugins: Plugins, rows: list[Row], chosen: str) -> dict[str, Any]:
    return {
        "chosen": chosen,
        "plugins": [row._asdict() for row in rows],
        "queues": [{"name": name, "plugin": plugin, "doc": doc} for name, plugin, doc, _ in queues_of(plugins, chosen)],
        "warnings": list(warnings_of(plugins)),
    }


def as_text(plugins: Plugins, rows: list[Row], chosen: str) -> Iterator[str]:
    yield table(
        ("plugin", "kind", "package", "offers", "state"),
        [(row.name, row.kind, f"{row.package} {row.version}".strip(), _offers(row), row.state) for row in rows],
        width=lambda place: 200 if place == 3 else 60,
    )
    yield ""
    yield table(("queue", "plugin", "", ""), list(queues_of(plugins, chosen)), width=lambda _: 100)
    failed = [row for row in rows if row.error]
    if failed:
        yield ""
        yield from (f"{row.name} failed: {row.error}" for row in failed)
    warnings = list(warnings_of(plugins))
    if warnings:
        yield ""
        yield from warnings


def _offers(row: Row) -> str:
    parts = [f"queue {name}" for name in row.queues] + [f"store {name}" for name in row.stores] + row.hooks
    return ", ".join(parts)


def warnings_of(plugins: Plugins) -> Iterator[str]:
    for name in plugins.queues.contested:
        yield " ".join(plugins.queues.contest(name))
    for name, reason in plugins.not_disabled.items():
        yield f"{DISABLE} names {name!r}, which cannot be turned off. {reason}"
