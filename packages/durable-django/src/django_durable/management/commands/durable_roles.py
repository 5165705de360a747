"""durable_roles: SQL for roles of least privilege."""

from __future__ import annotations

import argparse
import re
from typing import Any

from django.core.management.base import CommandError
from django.db import connections

from django_durable.engine import engine
from django_durable.management.shared import DurableCommand, require_migrated
from django_durable.roles import script, store_grants
from durable_core.hints import backend_of
from durable_core.ports import Duty, HasGrants

PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,40}")
WHAT_THEY_ARE = """\
-- Roles of least privilege for Django Durable. Run this as the owner of the tables; running it again is fine.
-- Then give them to the users of your processes, which must not own the tables:
--   CREATE ROLE shop_worker LOGIN PASSWORD '...' IN ROLE {prefix}_worker;
--   CREATE ROLE shop_web LOGIN PASSWORD '...' IN ROLE {prefix}_web;"""


class Command(DurableCommand):
    help = (
        "Print SQL that makes three roles in Postgres: PREFIX_worker for workers, PREFIX_web for processes that start, "
        "signal, cancel and query, PREFIX_auditor for reading. None may change or delete history, or alter a table. "
        "Changes nothing itself."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--prefix", default="durable", help="of the roles' names (durable)")

    def run(self, **options: Any) -> None:
        prefix = options["prefix"]
        if not PREFIX.fullmatch(prefix):
            raise CommandError(f"--prefix is {prefix!r}: it takes small letters, digits and _, 41 at most.")
        made = engine()
        connection = connections[made.conf.database]
        if connection.vendor != "postgresql":
            raise CommandError(f"Database {made.conf.database!r} is {connection.vendor}, which has no roles.")
        require_migrated()
        queue = backend_of(made.queue)
        of_store = {duty: list(store_grants(connection, duty)) for duty in Duty}
        of_queue = {duty: queue.grants(duty) for duty in Duty} if isinstance(queue, HasGrants) else {}
        if queue.transactional:
            of_store = {duty: [*of_store[duty], *of_queue.get(duty, ())] for duty in Duty}
            of_queue = {}
        sections = [WHAT_THEY_ARE.format(prefix=prefix), *script(prefix, of_store)]
        if of_queue:
            sections += [f"\n-- In the other database, of the queue: {queue!r}", *script(prefix, of_queue)]
        self.stdout.write("\n".join(sections))
