"""Throws away what is in the payload store and no row names.

A payload is put there before the transaction that names it commits, and one that is there already counts as put there
now. So nothing that was put there lately is touched, nor anything since the oldest transaction that is open began.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import connections

from django_durable.sealed_rows import SealableRow
from durable_core.codec import MARK
from durable_core.sealing.sealer import ELSEWHERE, REFERENCE, SEALED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from durable_core.sealing import PayloadStore

IN_TEXT = f"{MARK}{ELSEWHERE}:"  # what such a column begins with
IN_RECORD = f'{{"{SEALED}": "{ELSEWHERE}:'
PAGE = 1_000
MARGIN = timedelta(hours=1)  # a payload is put there before the first statement, with which a transaction begins
# Of this database, as far as we may see them; what is prepared waits for its commit, too.
OLDEST = (
    "SELECT MIN(began) FROM (SELECT xact_start AS began FROM pg_stat_activity WHERE datname = current_database() "
    "UNION ALL SELECT prepared FROM pg_prepared_xacts WHERE database = current_database()) open_now"
)


@dataclass(slots=True)
class Pruned:
    kept: int = 0  # old ones that a row names
    gone: int = 0


def prune(store: PayloadStore, alias: str, before: datetime, *, only_count: bool = False) -> Pruned:
    """What was put there last before *before*, and is named by no row of the database."""
    if (oldest := _oldest_transaction(alias)) is not None:
        before = min(before, oldest - MARGIN)
    # In this order: whoever commits between the two has named something that is younger, or is named by then.
    old = set(store.put_before(before))
    unnamed = set(old)
    if unnamed:
        for key in _named(alias):
            unnamed.discard(key)
    pruned = Pruned(kept=len(old) - len(unnamed))
    for key in unnamed:
        pruned.gone += only_count or store.discard(key, before)
    return pruned


def _named(alias: str) -> Iterator[str]:
    """Keys that rows name. Reads all rows: what is asked for is the beginning of a text, which no index knows."""
    for model in SealableRow.__subclasses__():
        columns = [(name, IN_TEXT) for name in (*model.sealed_payloads, *model.sealed_texts)]
        columns += [(name, IN_RECORD) for name in model.sealed_failures]
        for name, beginning in columns:
            yield from _keys_in(alias, model._meta.db_table, name, beginning)


def _keys_in(alias: str, table: str, column: str, beginning: str) -> Iterator[str]:
    sql = f'SELECT "{column}" FROM "{table}" WHERE substr("{column}", 1, %s) = %s'
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, [len(beginning), beginning])
        while rows := cursor.fetchmany(PAGE):
            for (text,) in rows:
                if (found := REFERENCE.search(text)) is not None:
                    yield found[1]


def _oldest_transaction(alias: str) -> datetime | None:
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute(OLDEST)
        found: datetime | None = cursor.fetchone()[0]
    return found
