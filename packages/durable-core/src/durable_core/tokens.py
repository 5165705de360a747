"""Tokens by which an activity is completed from outside: who has one may say how the attempt ended.

A token is the id of the task, which tells where to look, and 32 random bytes, which nobody can guess. Stored is only a
digest of it and of the attempt's own fence, so that it is worth nothing to who reads the table, nor for another
attempt.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import UUID

from durable_core.errors import CompletionTokenUnknown

SECRET = 32  # bytes
LENGTH = 64  # characters: of 16 bytes of the id and the secret, in base64


def new_token(task_id: UUID) -> str:
    return urlsafe_b64encode(task_id.bytes + secrets.token_bytes(SECRET)).decode()


def task_of(token: str) -> UUID:
    """Where to look. Raises `CompletionTokenUnknown` for what cannot be a token."""
    try:
        return UUID(bytes=urlsafe_b64decode(token.encode("ascii"))[:16]) if len(token) == LENGTH else _refuse()
    except (ValueError, AttributeError, TypeError):
        return _refuse()


def digest_of(token: str, fence: int) -> str:
    """What is stored for the attempt that has this *fence*."""
    return hashlib.sha256(f"{fence}:{token}".encode()).hexdigest()


def check(token: str, fence: int, digest: str | None) -> None:
    """Raises `CompletionTokenUnknown` where it is not the one that was given away for this attempt."""
    if not hmac.compare_digest(digest_of(token, fence), digest or ""):
        _refuse()


UNKNOWN = (
    "No activity waits for this completion token: it is none of ours, or the attempt it was made for was followed by "
    "another, which has a token of its own."
)


def _refuse() -> UUID:
    raise CompletionTokenUnknown(UNKNOWN)
