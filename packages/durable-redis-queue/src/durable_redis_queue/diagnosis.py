"""What a look at the server finds."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from durable_core.errors import QueueUnavailable
from durable_core.ports import Finding, Level
from durable_redis_queue.lua.upkeep import PROBE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from durable_redis_queue.connection import Server
    from durable_redis_queue.keys import Keys

OLDEST = (6, 2)
NEARLY_FULL = 0.9  # of maxmemory
SKEW = 2.0  # seconds between two clocks that are worth a word
COSTS_TIME = "Runs are not lost with it: the database puts back what is missing, within half a minute or so."


def diagnose(server: Server, keys: Keys) -> list[Finding]:
    """Findings from one connection; a server that does not answer is the only one then."""
    try:
        with server.reached():
            node = server.node(keys.registry)
            begun = time.perf_counter()
            node.ping()
            latency = time.perf_counter() - begun
        findings = [Finding(Level.OK, "Redis connection", f"{server.name} answers in {1000 * latency:.1f} ms")]
        findings += _of_permissions(server, keys)
        findings += _of_info(server, node)
        findings += _of_clock(server, node)
        findings += _of_dead(server, node, keys)
    except QueueUnavailable as error:
        hint = "Is it running, and may this host reach it? Meanwhile runs go on by polling the database."
        return [Finding(Level.PROBLEM, "Redis connection", str(error), hint)]
    return findings


def evicts(server: Server, keys: Keys) -> str:
    """The policy by which the server deletes the queue's keys when it is full; empty if it does not."""
    with server.reached():
        info = server.node(keys.registry).info("memory")
    policy = str(info.get("maxmemory_policy", ""))
    return policy if int(info.get("maxmemory", 0)) and policy.startswith("allkeys-") else ""


def _of_permissions(server: Server, keys: Keys) -> Iterator[Finding]:
    try:
        refused = server.run(PROBE, keys.registry)
    except QueueUnavailable as error:
        yield Finding(Level.PROBLEM, "Redis scripts", str(error))
        return
    denied = sorted({command for command, error in refused if re.search(r"NOPERM|ACL|can't run|permission", error)})
    others = [f"{command}: {error}" for command, error in refused if command not in denied]
    if denied:
        message = f"its user may not run {', '.join(denied)}, or not on keys that begin with {keys.root}"
        yield Finding(Level.PROBLEM, "Redis permissions", message, "Grant what the README lists for an ACL user.")
    if others:
        yield Finding(Level.PROBLEM, "Redis commands", "; ".join(others), server.told(RuntimeError(others[0])))
    if not refused:
        yield Finding(Level.OK, "Redis permissions", "all commands of the queue are allowed")


def _of_info(server: Server, node: Any) -> Iterator[Finding]:
    try:
        with server.reached():
            info = node.info()
    except QueueUnavailable as error:
        hint = "Allow INFO to see version, memory and persistence here."
        yield Finding(Level.WARNING, "Redis server", str(error), hint)
        return
    yield from _of_version(info)
    yield from _of_memory(info)
    yield from _of_persistence(info)


def _of_version(info: Mapping[str, Any]) -> Iterator[Finding]:
    is_valkey = info.get("server_name") == "valkey"
    name, text = ("Valkey", info.get("valkey_version")) if is_valkey else ("Redis", info.get("redis_version"))
    numbers = tuple(int(number) for number in re.findall(r"\d+", str(text))[:2])
    if numbers >= OLDEST:
        yield Finding(Level.OK, "Redis version", f"{name} {text}")
    else:
        yield Finding(Level.PROBLEM, "Redis version", f"{name} {text} is too old", "Use Redis 6.2 or newer, or Valkey.")
    if info.get("role") not in ("master", "primary"):
        yield Finding(Level.PROBLEM, "Redis role", "it is a replica, and takes no writes", "Name the primary.")


def _of_memory(info: Mapping[str, Any]) -> Iterator[Finding]:
    policy, most = str(info.get("maxmemory_policy", "unknown")), int(info.get("maxmemory", 0))
    change = "Set maxmemory-policy to noeviction, or give the queue a Redis of its own, apart from caches."
    if policy == "noeviction":
        yield Finding(Level.OK, "Redis eviction", "noeviction: it deletes nothing by itself")
    elif not most:
        message = f"maxmemory-policy is {policy}; nothing is deleted as long as maxmemory is 0"
        yield Finding(Level.WARNING, "Redis eviction", message, change)
    elif policy.startswith("volatile-"):
        message = f"{policy} spares the queue's keys, which never expire; when it is full, entries are refused"
        yield Finding(Level.WARNING, "Redis eviction", message, change)
    else:
        message = f"{policy} deletes whole streams of the queue when it is full. {COSTS_TIME}"
        yield Finding(Level.PROBLEM, "Redis eviction", message, change)
    used = int(info.get("used_memory", 0))
    if most and used > NEARLY_FULL * most:
        message = f"{used:,} of {most:,} bytes are used; when it is full, entries are refused"
        yield Finding(Level.WARNING, "Redis memory", message, "Raise maxmemory, or find out what fills it.")
    else:
        limit = f"of {most:,} bytes" if most else "bytes, without a limit (maxmemory 0)"
        yield Finding(Level.OK, "Redis memory", f"{used:,} {limit} are used")


def _of_persistence(info: Mapping[str, Any]) -> Iterator[Finding]:
    if info.get("aof_enabled"):
        yield Finding(Level.OK, "Redis persistence", "append-only file is on")
    else:
        message = f"append-only file is off, so a restart may forget entries. {COSTS_TIME}"
        yield Finding(Level.OK, "Redis persistence", message)
    if info.get("rdb_last_bgsave_status", "ok") != "ok" or info.get("aof_last_write_status", "ok") != "ok":
        message = "its last save to disk failed; it may refuse writes until one succeeds"
        yield Finding(Level.WARNING, "Redis persistence", message, "Look at its disk and its log.")


def _of_clock(server: Server, node: Any) -> Iterator[Finding]:
    with server.reached():
        before = time.time()
        seconds, micros = node.time()
        after = time.time()
    skew = seconds + micros / 1e6 - (before + after) / 2
    if abs(skew) > SKEW:
        message = f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this host"
        hint = "Leases and delays go by the server's clock alone, so nothing breaks; times in logs differ. Check NTP."
        yield Finding(Level.WARNING, "Redis clock", message, hint)
    else:
        yield Finding(Level.OK, "Redis clock", f"within {SKEW:.0f} s of this host's")


def _of_dead(server: Server, node: Any, keys: Keys) -> Iterator[Finding]:
    with server.reached():
        count = node.xlen(keys.dead)
    if count:
        message = f"{count} entries that nobody could read are kept in {keys.dead}"
        hint = f"Look at them (XRANGE {keys.dead} - +), find out who wrote them, then delete the key."
        yield Finding(Level.WARNING, "Redis dead entries", message, hint)
    else:
        yield Finding(Level.OK, "Redis dead entries", "none")
