"""System checks: mistakes in settings and registrations, before they hurt.

E001  unknown queue backend                  W002  SQLite without what makes it fit for several processes
E002  its package is missing                 W005  starts are not atomic with the rows of the default database
E003  the alias is not in DATABASES          W006  a query of a workflow that is not registered
E004  two callables with one name            W007  two plugins offer a queue of one name
E005  a setting is wrong or unknown          W008  a plugin that is to be turned off is not there
E008  CODECS or PAYLOAD_STORE cannot be used
E006  a plugin that could not be loaded (a warning: the others work)
E007  a database there is no SQL for            W003  what the queue finds wrong with its server (check --deploy)
                                             W009  transactional activities beside another database
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections

from django_durable import backends, conf
from django_durable.engine import engine
from durable_core.definitions import register
from durable_core.errors import ConfigurationError, DurableError, did_you_mean
from durable_core.hints import backend_of
from durable_core.hooks import DISABLE
from durable_core.ports import Diagnosable, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.checks import CheckMessage

TAG = "durable"
BUSY_TIMEOUT = 5  # seconds; Python's default for SQLite
ADVICE = (
    'DATABASES[{alias!r}]["OPTIONS"] = {{"transaction_mode": "IMMEDIATE", "timeout": 20, '
    '"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL"}}'
)


def connect() -> None:
    for check in (
        check_settings,
        check_queue,
        check_registrations,
        check_annotations,
        check_plugins,
        check_database,
        check_transactional,
    ):
        checks.register(check, TAG)
    checks.register(check_server, TAG, deploy=True)


def check_settings(**kwargs: Any) -> list[CheckMessage]:
    _, problems = conf.inspect()
    return [checks.Error(p.message, hint=p.hint, id=p.id) for p in problems]


def check_queue(**kwargs: Any) -> list[CheckMessage]:
    """Options that only the queue itself can judge: it is made, which asks no server."""
    _, problems = conf.inspect()
    if problems:
        return []
    try:
        engine()
    except DurableError as error:
        hint = "See DURABLE['QUEUE']['OPTIONS']."
        return [checks.Error(str(error), hint=hint, id="durable.E005")]
    except ImproperlyConfigured:
        return []  # of the database, which has its own check
    return []


def check_server(**kwargs: Any) -> list[CheckMessage]:
    """What the queue finds out about its server: with ``check --deploy`` alone, for it asks that."""
    if conf.inspect()[1] or check_queue():
        return []
    backend = backend_of(engine().queue)
    if not isinstance(backend, Diagnosable):
        return []
    return [
        checks.Warning(f"{finding.subject}: {finding.message}", hint=finding.hint or None, id="durable.W003")
        for finding in backend.diagnose()
        if finding.level is not Level.OK
    ]


def check_registrations(**kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = [
        checks.Error(
            f"Two callables are registered as {twin.kind} {twin.name!r}: {twin.first} and {twin.second}.",
            hint=f'Only the first is used. Give one of them another name: @register.{twin.kind}(name="...").',
            id="durable.E004",
        )
        for twin in register.duplicates
    ]
    found += [
        checks.Warning(
            f"Query {query!r} is registered for workflow {workflow!r}, which is not registered.",
            hint=did_you_mean(workflow, register.workflows),
            id="durable.W006",
        )
        for workflow, query in register.orphan_queries
    ]
    return found


def check_annotations(**kwargs: Any) -> list[CheckMessage]:
    functions = [each.typed for each in register.workflows.values()]
    functions += [each.typed for each in register.activities.values()]
    return [
        checks.Warning(
            f"{typed.what} has the annotation {annotation!r}, which is not there at run time: values are "
            "passed as JSON has them.",
            hint="Import it outside of `if TYPE_CHECKING:`.",
            id="durable.W012",
        )
        for typed in functions
        for annotation in typed.unresolved
    ]


def check_plugins(**kwargs: Any) -> list[CheckMessage]:
    plugins = backends.plugins()
    found: list[CheckMessage] = []
    for broken in plugins.broken:
        owner = f" of {broken.distribution}" if broken.distribution else ""
        message = f"Plugin {broken.name!r}{owner} could not be loaded: {broken.error}"
        found.append(checks.Warning(message, hint=broken.remedy, id="durable.E006"))
    for name in plugins.queues.contested:
        message, hint = plugins.queues.contest(name)
        found.append(checks.Warning(message, hint=hint, id="durable.W007"))
    for name, reason in plugins.not_disabled.items():
        message = f"{DISABLE} names {name!r}, which cannot be turned off."
        found.append(checks.Warning(message, hint=reason, id="durable.W008"))
    return found


def check_database(**kwargs: Any) -> list[CheckMessage]:
    """Looks at settings only, connects to nothing."""
    found, problems = conf.inspect()
    if any(problem.id == "durable.E003" for problem in problems):
        return []
    return [*_vendor_problems(found.database), *_alias_problems(found.database)]


def check_transactional(**kwargs: Any) -> list[CheckMessage]:
    """Activities whose writes may go elsewhere than their transaction."""
    found, problems = conf.inspect()
    if problems or found.database == DEFAULT_DB_ALIAS:
        return []
    names = sorted(activity.name for activity in register.activities.values() if activity.transactional)
    if not names:
        return []
    return [
        checks.Warning(
            f"Transactional activities ({', '.join(names)}) have their transaction in {found.database!r}, the database "
            f"of DURABLE['DATABASE']; a write to {DEFAULT_DB_ALIAS!r} is refused when they run.",
            hint=f"Route the models they write to {found.database!r}, or take transactional=True away. If that is so "
            'already: SILENCED_SYSTEM_CHECKS = ["durable.W009"].',
            id="durable.W009",
        )
    ]


def _vendor_problems(alias: str) -> Iterator[CheckMessage]:
    try:
        connection: Any = connections[alias]
    except ImproperlyConfigured as error:
        yield checks.Error(
            f"Database {alias!r} cannot be used: {error}",
            hint="For Postgres: pip install 'durable-django[postgres]'",
            id="durable.E007",
        )
        return
    match connection.vendor:
        case "postgresql":
            from django_durable.store.postgres import require_psycopg3

            try:
                require_psycopg3()
            except ConfigurationError as error:
                yield checks.Error(
                    str(error), hint="pip install 'durable-django[postgres]'", obj=alias, id="durable.E007"
                )
        case "sqlite":
            lacks = list(_lacks_of_sqlite(connection.settings_dict))
            if lacks:
                yield checks.Warning(
                    f"SQLite database {alias!r} lacks {', '.join(lacks)}. Without, workers and web processes meet "
                    "'database is locked' when they write at the same time.",
                    hint=ADVICE.format(alias=alias),
                    id="durable.W002",
                )
        case vendor:
            yield checks.Error(
                f"DURABLE['DATABASE'] is {alias!r}, a {vendor} database; Django Durable runs on PostgreSQL and SQLite.",
                hint="Name an alias of DATABASES that is one of these, and route the app django_durable there.",
                id="durable.E007",
            )


def _lacks_of_sqlite(entry: dict[str, Any]) -> Iterator[str]:
    options = entry.get("OPTIONS") or {}
    if str(options.get("transaction_mode") or "").upper() not in ("IMMEDIATE", "EXCLUSIVE"):
        yield "transaction_mode IMMEDIATE"
    if not re.search(r"journal_mode\s*=\s*wal", str(options.get("init_command") or ""), re.IGNORECASE):
        yield "journal_mode WAL"
    if options.get("timeout", BUSY_TIMEOUT) < BUSY_TIMEOUT:
        yield f"a busy timeout of {BUSY_TIMEOUT} s or more"


def _alias_problems(alias: str) -> Iterator[CheckMessage]:
    if alias != DEFAULT_DB_ALIAS:
        yield checks.Warning(
            f"DURABLE['DATABASE'] is {alias!r} and not {DEFAULT_DB_ALIAS!r}: start_workflow() inside "
            "transaction.atomic() does not commit and roll back together with the rows of your models.",
            hint=f"Start runs inside transaction.atomic(using={alias!r}), or after your transaction. If that is what "
            'you want: SILENCED_SYSTEM_CHECKS = ["durable.W005"].',
            id="durable.W005",
        )
