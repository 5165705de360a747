"""What runs let others read. Rows are numbered while their run is held, so that no higher number is seen first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.sql.tables import RUN, VALUE

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect

# Columns and their types, as they are told to Postgres.
NEW_VALUE = {"execution_id": "uuid", "chain_id": "uuid", "key": "text", "value": "text", "set_at": "timestamptz"}


class OutputStatements:
    def __init__(self, d: Dialect) -> None:
        # Events that are set, for the first time or anew.
        self.set_values = d.insert(
            VALUE,
            NEW_VALUE,
            conflict="ON CONFLICT (execution_id, key) DO UPDATE SET value = excluded.value, set_at = excluded.set_at",
        )
        # What an event was set to by the last run of a chain that did. Parameters: any run of the chain, the key.
        self.value = (
            f"SELECT value FROM {VALUE} WHERE chain_id = (SELECT COALESCE(chain_id, id) FROM {RUN} WHERE id {d.among}) "
            "AND key = %s ORDER BY id DESC LIMIT 1"
        )
