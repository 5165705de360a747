"""What runs let others read. Rows are numbered while their run is held, so that no higher number is seen first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.sql.tables import ITEM, OPEN, RUN, TASK, VALUE

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect

# Columns and their types, as they are told to Postgres.
NEW_VALUE = {"execution_id": "uuid", "chain_id": "uuid", "key": "text", "value": "text", "set_at": "timestamptz"}
NEW_ITEM = {
    "execution_id": "uuid",
    "chain_id": "uuid",
    "stream": "text",
    "call_id": "text",
    "number": "int",
    "item": "text",
    "created_at": "timestamptz",
}


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
        # Items for streams, but for those that an earlier attempt has published.
        self.insert_items = d.insert(ITEM, NEW_ITEM, conflict="ON CONFLICT DO NOTHING")
        # Runs that items can be put into, held as by their writers: numbers of items must become visible in order.
        self.own_open_runs = (
            f"SELECT id, COALESCE(chain_id, id) FROM {RUN} WHERE id {d.among} AND status IN {OPEN} "
            f"ORDER BY id {d.own_free}"
        )
        # Which of these are open, held or not.
        self.open_runs_there = f"SELECT id FROM {RUN} WHERE id {d.among} AND status IN {OPEN}"
        # Attempts that are under way.
        self.live_attempts = f"SELECT id, token FROM {TASK} WHERE id {d.among} AND status = 'RUNNING'"
        # All that one run has published.
        self.items_of_run = (
            f"SELECT chain_id, stream, call_id, number, item FROM {ITEM} WHERE execution_id {d.among} ORDER BY id"
        )
        # A page of a stream. Parameters: any run of the chain, the stream, the last cursor, how many.
        self.items = (
            f"SELECT id, item FROM {ITEM} "
            f"WHERE chain_id = (SELECT COALESCE(chain_id, id) FROM {RUN} WHERE id {d.among}) "
            "AND stream = %s AND id > %s ORDER BY id LIMIT %s"
        )
