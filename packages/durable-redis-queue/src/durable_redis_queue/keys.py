"""How things are called in Redis. All keys of a queue have one hash tag, so a cluster keeps them together."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote

from durable_core.errors import ConfigurationError
from durable_core.ports import EntryKind

GROUP = "durable"  # consumer group of each stream; the scripts know it too


class Keys:
    """The keys that scripts are not told one by one begin with `root` too."""

    def __init__(self, prefix: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.:-]+", prefix):
            raise ConfigurationError(f"prefix of the Redis queue is {prefix!r}; it takes letters, digits and _ . : -")
        self.root = f"{{{prefix}}}:"
        self.registry = f"{self.root}streams"  # sorted set of stream names, by priority
        self.wake = f"{self.root}wake"  # stream of one entry, whose id changes when something came
        self.dead = f"{self.root}dead"  # stream of entries that nobody could read


@lru_cache(maxsize=4096)
def stream_name(kind: EntryKind, priority: int, queue: str) -> str:
    return f"{kind.value}:{priority}:{quoted(queue)}"


@lru_cache(maxsize=4096)
def parts_of(name: str) -> tuple[EntryKind, int, str]:
    """Raises `ValueError` for a name that `stream_name` never made."""
    kind, priority, queue = name.split(":", 2)
    return EntryKind(kind), int(priority), unquote(queue, errors="surrogatepass")


def quoted(queue: str) -> str:
    """A queue's name is any text; in keys it is plain ASCII without spaces."""
    return quote(queue, safe=":", errors="surrogatepass")
