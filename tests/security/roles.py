"""Logins that have the roles which `durable_roles` makes, and no other right."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from io import StringIO
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import psycopg
from django.core.management import call_command
from django.test import override_settings
from psycopg import sql

from tests.servers import postgres, run_directory
from tests.store.databases import registered

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from tests.servers import Postgres

DUTIES = ("worker", "web", "auditor")


@dataclass
class Logins:
    """A migrated database; its owner, and a user for each role."""

    owner: Postgres
    prefix: str
    users: dict[str, Postgres] = field(default_factory=dict)  # by role, without the prefix
    aliases: dict[str, str] = field(default_factory=dict)  # of DATABASES; "owner" too

    def durable(self, who: str, **queue: Any) -> dict[str, Any]:
        """The DURABLE setting of a process that connects as *who*."""
        return {"DATABASE": self.aliases[who], **({"QUEUE": queue} if queue else {})}

    def execute(self, who: str, statement: str) -> list[tuple[Any, ...]]:
        """The rows of one statement, in a transaction that is rolled back."""
        server = self.owner if who == "owner" else self.users[who]
        with psycopg.connect(server.url) as raw:
            cursor = raw.execute(statement.encode())
            rows = cursor.fetchall() if cursor.description else []
            raw.rollback()
            return rows

    def grant(self, queue: dict[str, Any]) -> str:
        """Run what `durable_roles` prints for this queue; the text of it."""
        out = StringIO()
        with override_settings(DURABLE=self.durable("owner", **queue)):
            call_command("durable_queue_setup", verbosity=0)
            call_command("durable_roles", prefix=self.prefix, stdout=out)
        with psycopg.connect(self.owner.url, autocommit=True) as raw:
            raw.execute(out.getvalue().encode())
        return out.getvalue()


@contextmanager
def logins(factory: pytest.TempPathFactory, *queues: dict[str, Any]) -> Iterator[Logins]:
    """Logins for a fresh database, with the rights for all of *queues*."""
    with ExitStack() as stack:
        server = stack.enter_context(postgres(shared=run_directory(factory)))
        fresh = stack.enter_context(server.database())
        made = Logins(fresh, f"t_{token_hex(6)}")
        made.aliases["owner"] = stack.enter_context(registered(fresh.django()))
        call_command("migrate", database=made.aliases["owner"], verbosity=0)
        stack.callback(_drop, made)
        for queue in queues or ({},):
            made.grant(queue)
        for duty in DUTIES:
            user = replace(fresh, user=f"{made.prefix}_as_{duty}", password=token_hex(8))
            statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}")
            names = sql.Identifier(user.user), sql.Literal(user.password), sql.Identifier(f"{made.prefix}_{duty}")
            fresh.execute(statement.format(*names))
            made.users[duty] = user
            made.aliases[duty] = stack.enter_context(registered(user.django()))
        yield made


def _drop(made: Logins) -> None:
    """Roles belong to the whole server."""
    for name in [f"{made.prefix}_{duty}" for duty in DUTIES] + [user.user for user in made.users.values()]:
        made.owner.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        made.owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
