"""Where a text stands: in which columns of a database, in which keys of a Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sites import Site


def columns_with(site: Site, text: str) -> set[str]:
    """``table.column`` of each place in the whole database, without what all our tables begin with."""
    connection = connections[site.alias]
    found = set()
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            for column in connection.introspection.get_table_description(cursor, table):
                cursor.execute(
                    f'SELECT 1 FROM "{table}" WHERE CAST("{column.name}" AS text) LIKE %s LIMIT 1', [f"%{text}%"]
                )
                if cursor.fetchone():
                    found.add(f"{table}.{column.name}".removeprefix("django_durable_"))
    return found


def redis_bytes(site: Site) -> Iterator[bytes]:
    """Every key of the site's prefix, and what it holds as it is stored and as it is read."""
    import redis

    options = site.queue["OPTIONS"]
    with redis.Redis.from_url(options["url"]) as client:
        untyped: Any = client
        for key in untyped.scan_iter(match=f"{{{options['prefix']}}}:*"):
            yield key
            yield untyped.dump(key) or b""
            match untyped.type(key):
                case b"stream":
                    yield repr(untyped.xrange(key)).encode()
                case b"zset":
                    yield repr(untyped.zrange(key, 0, -1, withscores=True)).encode()
                case b"string":
                    yield untyped.get(key) or b""
                case kind:
                    raise AssertionError(f"{key!r} is a {kind!r}, which is not looked into")
