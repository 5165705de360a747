"""Roles of a Postgres database that may do what they are for, and nothing else.

Who may write the history decides what every run did, so nobody may change it: workers and web processes add to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db.migrations.recorder import MigrationRecorder

from durable_core.ports import Duty

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from django.db.backends.base.base import BaseDatabaseWrapper

SUFFIXES = {Duty.WORK: "worker", Duty.CALL: "web", Duty.LOOK: "auditor"}

# By model. FOR UPDATE and FOR SHARE need UPDATE too.
RIGHTS: dict[str, dict[Duty, str]] = {
    "workflowexecution": {Duty.WORK: "SELECT, INSERT, UPDATE", Duty.CALL: "SELECT, INSERT, UPDATE"},
    "historyevent": {Duty.WORK: "SELECT, INSERT", Duty.CALL: "SELECT, INSERT"},  # a cancel writes how the run ended
    # Who forks a run writes what it has done until then.
    "activitytask": {Duty.WORK: "SELECT, INSERT, UPDATE", Duty.CALL: "SELECT, INSERT, UPDATE"},
    "eventvalue": {Duty.WORK: "SELECT, INSERT, UPDATE", Duty.CALL: "SELECT, INSERT, UPDATE"},
    "publisheditem": {Duty.WORK: "SELECT, INSERT", Duty.CALL: "SELECT, INSERT"},
    "humantask": {Duty.WORK: "SELECT, INSERT, UPDATE", Duty.CALL: "SELECT, INSERT, UPDATE"},
    "mail": {Duty.WORK: "SELECT, INSERT, UPDATE, DELETE", Duty.CALL: "SELECT, INSERT, DELETE"},
    "message": {Duty.WORK: "SELECT, INSERT, UPDATE, DELETE", Duty.CALL: "SELECT, INSERT, UPDATE"},
    "worker": {Duty.WORK: "SELECT, INSERT, UPDATE, DELETE", Duty.CALL: "SELECT"},
}
OF_QUEUE = "queueentry"  # its rights are the queue's to know


def store_grants(connection: BaseDatabaseWrapper, duty: Duty) -> Iterator[str]:
    """What a role is granted on the tables of runs, without those of the queue."""
    tables = {
        model._meta.model_name: find(connection, model._meta.db_table)
        for model in apps.get_app_config("django_durable").get_models()
    }
    yield f"USAGE ON SCHEMA {tables['workflowexecution'].schema}"
    for name, rights in RIGHTS.items():
        yield f"{rights.get(duty, 'SELECT')} ON TABLE {tables[name]}"
    yield f"SELECT ON TABLE {find(connection, MigrationRecorder.Migration._meta.db_table)}"


class Table(NamedTuple):
    """Where a table is, both quoted."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def find(connection: BaseDatabaseWrapper, table: str) -> Table:
    """Where the search path leads. Raises `ImproperlyConfigured` if there is no such table."""
    quoted = connection.ops.quote_name(table)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(nspname), quote_ident(relname) FROM pg_class "
            "JOIN pg_namespace n ON n.oid = relnamespace WHERE pg_class.oid = to_regclass(%s)",
            [quoted],
        )
        row = cursor.fetchone()
    if row is None:
        raise ImproperlyConfigured(f"There is no table {quoted} in the search path. Run: python manage.py migrate")
    return Table(*row)


def script(prefix: str, grants: Mapping[Duty, Iterable[str]]) -> Iterator[str]:
    """Statements that make the roles of one database what they should be, whatever they were before."""
    roles = {duty: f'"{prefix}_{suffix}"' for duty, suffix in SUFFIXES.items()}
    yield "BEGIN;"
    for role in roles.values():
        yield f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
    for duty, rights in grants.items():
        for right in rights:
            what = right.partition(" ON ")[2]
            yield f"REVOKE ALL ON {what} FROM {roles[duty]};"
            yield f"GRANT {right} TO {roles[duty]};"
    yield "COMMIT;"
