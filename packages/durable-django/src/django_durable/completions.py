"""What projects call to end an activity from outside: from a webhook, a consumer of a queue, a person's click.

Joins the caller's transaction on the durable database.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction

from django_durable.engine import engine
from durable_core.completion import Completer


def complete_activity(token: str, result: Any = None) -> None:
    """End the attempt that *token* was made for with this *result*, anything that JSON can hold.

    Raises `CompletionTokenUnknown`, `CompletionTokenExpired`, `CompletionTokenUsed` (all of them `CompletionError`) or
    `PayloadError`; then nothing was written.
    """
    _completer().complete(token, result)


def fail_activity(token: str, error: BaseException | str, *, retryable: bool = True) -> None:
    """End it as if its function had raised *error*: it is tried again by its retry policy, unless not *retryable*.

    A text stands for an error of type ``CompletionFailed`` with this message. Raises as `complete_activity`.
    """
    _completer().fail(token, error, retryable=retryable)


def heartbeat_activity(token: str, details: Any = None) -> None:
    """Say that somebody works on it; *details* are handed to the next attempt if this one runs out of time.

    Raises as `complete_activity`: `CompletionTokenUsed` also when the workflow wants the result no more.
    """
    _completer().heartbeat(token, details)


async def acomplete_activity(token: str, result: Any = None) -> None:
    """`complete_activity` for async code."""
    await sync_to_async(complete_activity)(token, result)


async def afail_activity(token: str, error: BaseException | str, *, retryable: bool = True) -> None:
    """`fail_activity` for async code."""
    await sync_to_async(fail_activity)(token, error, retryable=retryable)


async def aheartbeat_activity(token: str, details: Any = None) -> None:
    """`heartbeat_activity` for async code."""
    await sync_to_async(heartbeat_activity)(token, details)


def _completer() -> Completer:
    made = engine()
    return Completer(
        made.store,
        made.queue,
        after_commit=partial(transaction.on_commit, using=made.conf.database, robust=True),
        payload_limit=made.conf.max_payload,
    )
