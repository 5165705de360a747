"""A transaction that code of a project's shares with the store: `transactional` activities.

The code uses the ORM as it always does, on the same connection. What it writes elsewhere would be committed by itself,
so that is refused; reading there is not.
"""

from __future__ import annotations

import logging
import re
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from django.db import Error, connections, transaction

from django_durable.store.database import TRY_AGAIN
from durable_core.errors import StoreUnavailable, TransactionConflict, TransactionRefused
from durable_core.logs import complain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django_durable.store.database import Database

logger = logging.getLogger("durable.worker")

READS = re.compile(r"\s*(SELECT|EXPLAIN|SHOW|PRAGMA|VALUES|WITH|SET|SAVEPOINT|RELEASE|ROLLBACK)\b", re.IGNORECASE)


@contextmanager
def shared_transaction(database: Database) -> Iterator[None]:
    """Raises `TransactionConflict` where nothing was written because of others, and what the code raised."""
    try:
        block = database.begin()
    except StoreUnavailable as error:
        raise TransactionConflict(f"its transaction could not begin: {error}") from error
    committed: list[bool] = []
    # The first of these functions: whatever another raises is raised behind the commit.
    transaction.on_commit(lambda: committed.append(True), using=database.alias)
    try:
        with _others_read_only(database.alias):
            yield
    except BaseException as error:
        with suppress(Error):
            block.__exit__(type(error), error, error.__traceback__)
        if isinstance(error, Exception):
            _raise_conflict(error)
        raise
    try:
        block.__exit__(None, None, None)
    except Exception as error:
        if not committed:
            _raise_conflict(error)
            raise
        complain(logger, logging.ERROR, "a function given to on_commit() failed: %s", error=error)


def _raise_conflict(error: BaseException) -> None:
    """If that is what it is about."""
    link: BaseException | None = error
    while link is not None:
        if getattr(link, "sqlstate", None) in TRY_AGAIN:
            raise TransactionConflict(f"its transaction was undone: {error}") from error
        link = link.__cause__


@contextmanager
def _others_read_only(alias: str) -> Iterator[None]:
    """Writes to other databases raise `TransactionRefused`."""

    def refuse(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if not READS.match(sql):
            other = context["connection"].alias
            raise TransactionRefused(
                f"a transactional activity wrote to database {other!r}; its transaction is one of {alias!r}, the "
                "database of DURABLE['DATABASE'], and the two cannot commit together. Write there in an activity of "
                "its own, without transactional=True."
            )
        return execute(sql, params, many, context)

    with ExitStack() as stack:
        for other in connections:
            if other != alias:
                stack.enter_context(connections[other].execute_wrapper(refuse))
        yield
