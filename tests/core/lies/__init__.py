"""Queues that lie, each about one thing: the honest queue in memory but for a method or two.

To import this package is to register all of them, see `tests.core.lying`.
"""

from tests.core.lies import auditing, claims, endings, entries, outside, servers, transactions, workers

__all__ = ["auditing", "claims", "endings", "entries", "outside", "servers", "transactions", "workers"]
