"""Every statement of the store, in terms of a dialect; one module for each part of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.sql.auditing import AuditStatements
from django_durable.store.sql.commits import CommitStatements
from django_durable.store.sql.life import LifeStatements
from django_durable.store.sql.mail import MailStatements
from django_durable.store.sql.messages import MessageStatements
from django_durable.store.sql.outputs import OutputStatements
from django_durable.store.sql.people import PeopleStatements
from django_durable.store.sql.runs import RunStatements
from django_durable.store.sql.schedule import ScheduleStatements
from django_durable.store.sql.tasks import TaskStatements
from django_durable.store.sql.workers import WorkerStatements

if TYPE_CHECKING:
    from django_durable.store.dialect import Dialect

PARTS = (
    RunStatements,
    CommitStatements,
    MailStatements,
    MessageStatements,
    OutputStatements,
    PeopleStatements,
    TaskStatements,
    ScheduleStatements,
    WorkerStatements,
    AuditStatements,
    LifeStatements,
)


class Statements(
    RunStatements,
    CommitStatements,
    MailStatements,
    MessageStatements,
    OutputStatements,
    PeopleStatements,
    TaskStatements,
    ScheduleStatements,
    WorkerStatements,
    AuditStatements,
    LifeStatements,
):
    """All of them, for one dialect."""

    def __init__(self, d: Dialect) -> None:
        for part in PARTS:
            part.__init__(self, d)
