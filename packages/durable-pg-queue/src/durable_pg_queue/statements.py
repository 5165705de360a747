"""What is sent to the server. The work is done there, by the functions of `versions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durable_pg_queue.schema import Names


class Statements:
    def __init__(self, names: Names) -> None:
        # Parameters: kinds, refs, queues, priorities, preferred workers, delay, whether settled, whether to notify
        self.enqueue = (
            f"SELECT {names.function('enqueue')}(%s::text[], %s::uuid[], %s::text[], %s::smallint[], %s::uuid[], "
            "%s::double precision, %s, %s)"
        )
        # Parameters: worker, limits and ranges of runs and activities, whether queues are named, queues, lease,
        # preference, whether settled
        self.claim = (
            "SELECT rank, id, kind, ref, queue, priority, preferred, deliveries "
            f"FROM {names.function('claim')}(%s, %s::integer, %s::integer, %s::bigint[], %s::bigint[], %s, %s::text[], "
            "%s::double precision, %s::double precision, %s) ORDER BY priority DESC, place, id"
        )
        # Parameters: ranges, whether queues are named, queues
        self.survey = (
            f"SELECT rank, snapshot, server FROM {names.function('survey')}(%s::bigint[], %s, %s::text[]) ORDER BY n"
        )
        # Parameters: workers, ids, numbers of deliveries
        self.complete = f"SELECT {names.function('complete')}(%s::uuid[], %s::bigint[], %s::integer[])"
        # Parameters: workers, ids, numbers of deliveries, delay, whether to notify
        self.release = (
            f"SELECT {names.function('release')}(%s::uuid[], %s::bigint[], %s::integer[], %s::double precision, %s)"
        )
        # Parameters: workers, their private queues, where those go, whether to notify
        self.release_dead = (
            "SELECT kind, ref, queue, priority, preferred "
            f"FROM {names.function('release_dead')}(%s::uuid[], %s::text[], %s, %s)"
        )
        # A claim whose lease is over is ready, and so is what was delayed until now.
        self.stats = (
            "SELECT queue, count(*) FILTER (WHERE NOT is_claimed AND NOT is_delayed), "
            "count(*) FILTER (WHERE is_claimed), count(*) FILTER (WHERE is_delayed), "
            "extract(epoch FROM statement_timestamp() "
            "- min(since) FILTER (WHERE NOT is_claimed AND NOT is_delayed))::double precision "
            "FROM (SELECT queue, worker IS NOT NULL AND leased_until > statement_timestamp() AS is_claimed, "
            "place IS NULL AND ready_at > statement_timestamp() AS is_delayed, "
            f"GREATEST(ready_at, leased_until, 'epoch') AS since FROM {names.quoted}) entries "
            "GROUP BY queue ORDER BY queue"
        )
        # A page of entries. Parameters: the last one's id, limit
        self.audited = (
            "SELECT id, kind, ref, queue, priority, preferred, "
            "CASE WHEN leased_until > statement_timestamp() THEN worker END, "
            f"place IS NULL AND ready_at > statement_timestamp() FROM {names.quoted} WHERE id > %s ORDER BY id LIMIT %s"
        )
