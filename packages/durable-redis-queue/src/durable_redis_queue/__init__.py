"""The task queue of Django Durable on Redis Streams.

    DURABLE = {"QUEUE": {"BACKEND": "redis", "OPTIONS": {"url": "redis://localhost:6379/0"}}}

Redis 6.2 or newer, or Valkey. The queue holds ids and no payloads, and may lose all of them: the database knows what
is missing.
"""

from durable_redis_queue.queue import RedisTaskQueue

__all__ = ["RedisTaskQueue"]
