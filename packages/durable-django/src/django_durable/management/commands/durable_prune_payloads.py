"""durable_prune_payloads: throw away what is in the payload store and belongs to no run any more."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError

from django_durable.conf import conf
from django_durable.management.shared import DurableCommand, require_migrated
from django_durable.pruning import prune

LEAST = 1.0  # hours


class Command(DurableCommand):
    help = (
        "Throw away payloads in the store of DURABLE['PAYLOAD_STORE'] that no row names any more. What was put there "
        "in the last hours stays, for a transaction that will name it may still be open."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--hours", type=float, default=24.0, help="since it was put there (default: 24; least: 1)")
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def run(self, **options: Any) -> None:
        hours = options["hours"]
        if not LEAST <= hours <= 24 * 365_000:
            raise CommandError(f"--hours is {hours}: it takes {LEAST:g} or more.")
        chosen = conf()
        store = None if chosen.sealer is None else chosen.sealer.elsewhere
        if store is None:
            raise CommandError("DURABLE['PAYLOAD_STORE'] is not set: there is nothing to prune.")
        require_migrated()
        before = datetime.now(UTC) - timedelta(hours=hours)
        pruned = prune(store, chosen.database, before, only_count=options["dry_run"])
        word = "would be" if options["dry_run"] else "were"
        self.stdout.write(f"{pruned.gone:,} payloads {word} thrown away; {pruned.kept:,} old ones are named by rows.")
