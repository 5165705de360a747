"""What `durable_doctor` looks at: each examination answers findings, and none stops the others.

settings   the system checks of this app
databases  the store's database: reachable, migrated, in time, vacuumed
work       workers, queues that nobody serves, runs that nobody moves
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import Error

from django_durable.checks import TAG
from django_durable.doctor import databases, work
from django_durable.engine import engine
from durable_core.errors import DurableError
from durable_core.hints import backend_of
from durable_core.ports import Diagnosable, Finding, Level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def examine() -> Iterator[Finding]:
    """All findings, in the order in which somebody would look for the fault."""
    yield from settings()
    for subject, examination in (("database", databases.examine), ("queue", queue), ("work", work.examine)):
        yield from _guarded(subject, examination)


def settings() -> Iterator[Finding]:
    messages = checks.run_checks(tags=[TAG])
    for message in messages:
        level = Level.PROBLEM if message.is_serious() else Level.WARNING
        yield Finding(level, f"settings ({message.id})", str(message.msg), message.hint or "")
    if not messages:
        yield Finding(Level.OK, "settings", "the system checks have nothing to say")


def queue() -> Iterable[Finding]:
    made = engine()
    backend = backend_of(made.queue)
    if isinstance(backend, Diagnosable):
        return backend.diagnose()
    backend.stats()
    return [Finding(Level.OK, "queue", f"{made.conf.queue_backend!r} answers")]


def _guarded(subject: str, examination: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from examination()
    except (DurableError, ImproperlyConfigured, Error) as error:
        # Without settings that make sense there is nothing to ask, and the system checks have said so.
        yield Finding(Level.PROBLEM, subject, f"cannot be asked: {error}".strip())
    except Exception as error:  # noqa: BLE001 - a bug in somebody's queue must not hide what else is wrong
        yield Finding(Level.PROBLEM, subject, f"cannot be asked: {type(error).__name__}: {error}".strip())
