"""The audit of this project: its store, its queue, its code."""

from __future__ import annotations

import os
import re
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import NotSupportedError, connections

from django_durable.engine import engine, worker_settings
from durable_core.audit import EVERYTHING, Code, PeerProcess, Report, Scope, examine, watch
from durable_core.definitions import register
from durable_core.errors import ConfigurationError
from durable_core.ports import AuditableStore
from durable_core.worker.scheduler import MOST_PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from durable_core.audit import Peer
    from durable_core.worker.liveness import CodeWatch

READS = re.compile(r"\s*\(?\s*(SELECT|SHOW|EXPLAIN)\b", re.IGNORECASE)


def audit_project(*, scope: Scope = EVERYTHING, replay: str = "all", examples: int | None = None) -> Report:
    """What the audit of this project finds. *replay*: ``all``, ``strict`` or ``none``."""
    made = engine()
    store = made.store
    if not isinstance(store, AuditableStore):
        raise ConfigurationError(f"The store, a {type(store).__name__}, cannot be audited: it lacks AuditableStore.")
    with ExitStack() as stack:
        code = None
        if replay != "none":
            peer = stack.enter_context(second_process()) if can_have_second_process() else None
            watched = stack.enter_context(watch(worker_settings().stuck_after))
            code = code_of_project(is_same=replay == "strict", peer=peer, watched=watched)
        patience = 2 * MOST_PATIENCE * worker_settings().redelivery
        return examine(store, made.queue, code=code, scope=scope, patience=patience, keep=examples)


def code_of_project(*, is_same: bool = False, peer: Peer | None = None, watched: CodeWatch | None = None) -> Code:
    return Code(
        registry=register,
        settings=worker_settings().run,
        is_same=is_same,
        trap=writes_refused,
        peer=peer,
        watch=watched,
    )


def can_have_second_process() -> bool:
    """Whether another process can find the settings."""
    return bool(getattr(settings, "SETTINGS_MODULE", None))


def second_process() -> PeerProcess:
    """`manage.py durable_audit --second-process`, wherever manage.py is."""
    environment = {"DJANGO_SETTINGS_MODULE": settings.SETTINGS_MODULE, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "django", "durable_audit", "--skip-checks", "--second-process"]
    return PeerProcess(command, environment)


@contextmanager
def writes_refused(why: str = "an audit") -> Iterator[list[str]]:
    """Around workflow code that is replayed: it may read databases, unwise as that is. Answers what else it tried."""
    acts: list[str] = []

    def refuse(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        if READS.match(sql):
            return execute(sql, params, many, context)
        acts.append(f"runs {' '.join(sql.split())[:60]!r} on database {context['connection'].alias!r}")
        raise NotSupportedError(f"Workflow code is only replayed, by {why}: it cannot write.")

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(refuse))
        yield acts
