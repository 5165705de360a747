"""The task queue of Django Durable on Postgres.

    DURABLE = {"QUEUE": {"BACKEND": "postgres"}}  # in the store's own database, in its transactions
    DURABLE = {"QUEUE": {"BACKEND": "postgres", "OPTIONS": {"dsn": "postgresql://..."}}}  # in another one

Postgres 15 or newer, psycopg 3. Knows nothing of Django.
"""

from durable_pg_queue.queue import PostgresTaskQueue

__all__ = ["PostgresTaskQueue"]
