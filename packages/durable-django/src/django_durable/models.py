"""Tables. Everything that writes them is in `store` and `queue`, by SQL; the ORM is for reading.

Read `HistoryEvent` by ``seq``, never by ``id``: under Postgres a higher id can become visible first.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import models
from django.db.models import Q

from django_durable.fields import InstantField, PayloadField, utc_now
from django_durable.sealed_rows import SealableRow
from durable_core.execution import OPEN_STATUSES, HumanTaskStatus, MessageStatus, Status, TaskStatus
from durable_core.failures import summary
from durable_core.handles import QUESTION_SHOWN
from durable_core.ports import EntryKind, MessageKind, new_id
from durable_core.sealing import places

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Self

    from django import forms

NAME_LENGTH = 255  # characters of a name, a workflow_id or a queue

Row_co = TypeVar("Row_co", bound=models.Model, covariant=True)

_OPEN = [status.value for status in OPEN_STATUSES]


def _choices(statuses: type[StrEnum]) -> list[tuple[str, str]]:
    return [(status.value, status.value.replace("_", " ").lower()) for status in statuses]


class RunsOwn(models.Manager[Row_co]):
    """Behind `run.history` and its like: rows from the run's own database.

    A router may send reads to a replica, which would show a run as it is beside a history as it was.
    """

    def get_queryset(self) -> models.QuerySet[Row_co]:
        run = getattr(self, "instance", None)  # none behind `HistoryEvent.objects`
        rows = super().get_queryset()
        return rows if run is None else rows.using(run._state.db)


class WorkflowExecution(SealableRow):
    """A run of a workflow."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)  # of a child: made from its parent's
    workflow_name = models.CharField(max_length=NAME_LENGTH)
    workflow_id = models.CharField(max_length=NAME_LENGTH, null=True, blank=True)
    input = PayloadField(default=dict)
    status = models.CharField(max_length=24, choices=_choices(Status), default=Status.PENDING.value)
    result = PayloadField(null=True)  # NULL: none (yet); 'null': the workflow returned None
    error = models.TextField(blank=True, default="")  # "TypeName: message"
    parent = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, related_name="children", db_index=False)
    parent_call_id = models.CharField(max_length=NAME_LENGTH, null=True, blank=True)
    cancel_with_parent = models.BooleanField(default=True)
    chain_id = models.UUIDField(null=True, blank=True)  # the first of the runs that it goes on for, as a new one
    queue = models.CharField(max_length=NAME_LENGTH, default="default")
    priority = models.SmallIntegerField(default=0)  # higher first
    version = models.BigIntegerField(default=0)  # up by one with every commit
    history_length = models.IntegerField(default=0)
    start_at = InstantField(null=True, blank=True)  # not to be begun before
    deadline = InstantField(null=True, blank=True)
    timeout = models.FloatField(null=True, blank=True)  # seconds from its start to that
    due_at = InstantField(null=True, blank=True)  # when the scheduler must look at it
    paused_at = InstantField(null=True, blank=True)  # since when nothing is decided for it
    pause_reason = models.TextField(null=True, blank=True)
    waiting_for = PayloadField(null=True)  # object: kind, what, since, until, at
    unheard = PayloadField(null=True)  # of a closed one, object: why messages to others have failed, by call
    forked_from = models.ForeignKey(  # no constraint: see HistoryEvent
        "self", models.SET_NULL, null=True, blank=True, related_name="forks", db_index=False, db_constraint=False
    )
    worker_id = models.UUIDField(null=True, blank=True)  # who has it in memory; no key: workers come and go
    failures = models.IntegerField(default=0)  # decisions in a row that ended BLOCKED
    crashes = models.IntegerField(default=0)  # workers in a row that died over it
    created_at = InstantField(default=utc_now)
    updated_at = InstantField(default=utc_now)
    started_at = InstantField(null=True, blank=True)
    finished_at = InstantField(null=True, blank=True)

    objects = RunsOwn["WorkflowExecution"]()
    sealed_payloads = ("input", "result")
    sealed_texts = ("error", "pause_reason")

    class Meta:
        verbose_name = "workflow execution"
        constraints = (
            models.UniqueConstraint(
                fields=["workflow_id"],
                condition=Q(status__in=_OPEN, workflow_id__isnull=False),
                name="durable_one_open_run_per_id",
            ),
        )
        indexes = (
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="durable_run_due"),
            models.Index(fields=["parent"], condition=Q(parent__isnull=False), name="durable_run_parent"),
            models.Index(fields=["forked_from"], condition=Q(forked_from__isnull=False), name="durable_run_forks"),
            models.Index(fields=["chain_id", "status"], condition=Q(chain_id__isnull=False), name="durable_run_chain"),
            models.Index(
                fields=["workflow_id", "created_at"], condition=Q(workflow_id__isnull=False), name="durable_run_own_id"
            ),
            models.Index(fields=["status", "created_at"], name="durable_run_status"),
            models.Index(fields=["workflow_name", "created_at"], name="durable_run_name"),
            models.Index(fields=["-created_at"], name="durable_run_created"),  # the admin's list
        )

    def __str__(self) -> str:
        return f"{self.workflow_name} {self.workflow_id or self.id}"

    def place_of(self, column: str) -> bytes:
        return places.of_run(self.id, column)

    @property
    def newest(self) -> WorkflowExecution:
        """The run itself or, if it was continued as new, the newest of those that go on for it."""
        if self.status != Status.CONTINUED_AS_NEW.value:
            return self
        last = [status.value for status in Status if status is not Status.CONTINUED_AS_NEW]
        chain = WorkflowExecution.objects.using(self._state.db).filter(chain_id=self.chain_id or self.id)
        return chain.filter(status__in=last).first() or self


class HistoryEvent(SealableRow):
    """A fact in the history of a run."""

    # No constraint in the database: whoever writes history holds the run's row, and checking each of its events again
    # takes a third of the time to insert them.
    execution = models.ForeignKey(
        WorkflowExecution, models.CASCADE, related_name="history", db_index=False, db_constraint=False
    )
    seq = models.IntegerField()  # from 1, no gaps
    type = models.CharField(max_length=64)
    call_id = models.CharField(max_length=NAME_LENGTH, null=True, blank=True)
    details = PayloadField(default=dict)
    created_at = InstantField(default=utc_now)

    objects = RunsOwn["HistoryEvent"]()
    sealed_payloads = ("details",)

    class Meta:
        verbose_name = "history event"
        ordering = ("execution", "seq")
        constraints = (models.UniqueConstraint(fields=["execution", "seq"], name="durable_event_seq"),)

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"

    def place_of(self, column: str) -> bytes:
        return places.of_event(self.execution_id, self.seq, self.type, self.call_id)


class ActivityTask(SealableRow):
    """An activity that a run set in motion, with its current or last attempt."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    execution = models.ForeignKey(  # no constraint: see HistoryEvent
        WorkflowExecution, models.CASCADE, related_name="activities", db_constraint=False
    )
    activity_name = models.CharField(max_length=NAME_LENGTH)
    status = models.CharField(max_length=24, choices=_choices(TaskStatus), default=TaskStatus.QUEUED.value)
    attempt = models.IntegerField(default=0)  # begun so far
    call_id = models.CharField(max_length=NAME_LENGTH)
    input = PayloadField(default=dict)  # {"args": [...], "kwargs": {...}}
    result = PayloadField(null=True)
    error = models.TextField(blank=True, default="")  # of the last failed attempt: "TypeName: message"
    failure = PayloadField(null=True)  # the whole record of it
    token = models.IntegerField(default=0)  # what an outcome must name; goes up whenever the task changes hands
    worker_id = models.UUIDField(null=True, blank=True)
    queue = models.CharField(max_length=NAME_LENGTH, default="default")
    priority = models.SmallIntegerField(default=0)
    retry_policy = PayloadField(default=dict)
    scheduled_at = InstantField(default=utc_now)
    queued_at = InstantField(default=utc_now)  # when the current wait for a worker began
    started_at = InstantField(null=True, blank=True)  # of the current attempt
    finished_at = InstantField(null=True, blank=True)
    retry_at = InstantField(null=True, blank=True)  # while in backoff
    expires_at = InstantField(null=True, blank=True)  # schedule-to-close
    schedule_to_start = models.FloatField(null=True, blank=True, help_text="seconds")
    start_to_close = models.FloatField(null=True, blank=True, help_text="seconds")
    heartbeat_timeout = models.FloatField(null=True, blank=True, help_text="seconds")
    heartbeat_at = InstantField(null=True, blank=True)
    heartbeat_details = PayloadField(null=True)
    crashes = models.IntegerField(default=0)  # workers that died over it
    cancel_requested = models.BooleanField(default=False)
    at_most_once = models.BooleanField(null=True, blank=True)  # NULL: no
    completion_digest = models.CharField(max_length=64, null=True, blank=True)  # of the token that completes it
    completion_expires_at = InstantField(null=True, blank=True)  # of that token
    due_at = InstantField(null=True, blank=True)  # when the scheduler must look at it

    objects = RunsOwn["ActivityTask"]()
    sealed_payloads = ("input", "result", "heartbeat_details")
    sealed_failures = ("failure",)

    class Meta:
        verbose_name = "activity task"
        indexes = (
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="durable_task_due"),
            models.Index(fields=["worker_id"], condition=Q(status="RUNNING"), name="durable_task_worker"),
        )

    def __str__(self) -> str:
        return f"{self.activity_name} {self.id}"

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any) -> Self:
        task = super().from_db(db, field_names, values, **kwargs)
        held = task.__dict__
        # Where the failure is sealed, nothing else tells of it. One that a later attempt has made good is no error.
        if held.get("error") == "" and held.get("failure") and held.get("status") != TaskStatus.COMPLETED.value:
            task.error = summary(held["failure"])
        return task

    def place_of(self, column: str) -> bytes:
        if column == "input":
            return places.of_input(self.id, self.execution_id, self.call_id)
        return places.of_task(self.id, column)


class EventValue(SealableRow):
    """What `ctx.set_event` has set last, in one run, under one key."""

    execution = models.ForeignKey(  # no constraint: see HistoryEvent
        WorkflowExecution, models.CASCADE, related_name="events", db_index=False, db_constraint=False
    )
    chain_id = models.UUIDField()  # the first run of the chain; of two runs of one, the later has the higher id
    key = models.CharField(max_length=NAME_LENGTH)
    value = PayloadField(null=True)
    set_at = InstantField(default=utc_now)

    objects = RunsOwn["EventValue"]()
    sealed_payloads = ("value",)

    class Meta:
        verbose_name = "event"
        constraints = (models.UniqueConstraint(fields=["execution", "key"], name="durable_one_value_per_key"),)
        indexes = (models.Index(fields=["chain_id", "key", "id"], name="durable_event_of_chain"),)

    def __str__(self) -> str:
        return self.key

    def place_of(self, column: str) -> bytes:
        return places.of_value(self.chain_id, self.key)


class PublishedItem(SealableRow):
    """An item of a stream. In one stream of a chain, no item is ever seen before one with a lower id."""

    execution = models.ForeignKey(  # no constraint: see HistoryEvent
        WorkflowExecution, models.CASCADE, related_name="items", db_index=False, db_constraint=False
    )
    chain_id = models.UUIDField()  # the first run of the chain
    stream = models.CharField(max_length=NAME_LENGTH)
    call_id = models.CharField(max_length=NAME_LENGTH)  # of ctx.publish(), or of the activity
    number = models.IntegerField()  # of ctx.publish() the seq of its fact; of an activity, among its own, from 0
    item = PayloadField(null=True)
    created_at = InstantField(default=utc_now)

    objects = RunsOwn["PublishedItem"]()
    sealed_payloads = ("item",)

    class Meta:
        verbose_name = "published item"
        constraints = (
            # What an activity's attempts publish is the same item if it has the same number.
            models.UniqueConstraint(
                fields=["execution", "call_id", "stream", "number"], name="durable_item_published_once"
            ),
        )
        indexes = (models.Index(fields=["chain_id", "stream", "id"], name="durable_stream_of_chain"),)

    def __str__(self) -> str:
        return f"{self.stream} {self.id}"

    def place_of(self, column: str) -> bytes:
        return places.of_item(self.chain_id, self.stream)


class Mail(SealableRow):
    """A fact that waits in a run's mailbox until the run's writer moves it into the history."""

    execution = models.ForeignKey(WorkflowExecution, models.CASCADE, related_name="mailbox")
    type = models.CharField(max_length=64)
    call_id = models.CharField(max_length=NAME_LENGTH, null=True, blank=True)
    details = PayloadField(default=dict)
    created_at = InstantField(default=utc_now)
    due_at = InstantField(null=True, blank=True)  # when the run is woken again if nobody has read it

    sealed_payloads = ("details",)

    class Meta:
        verbose_name = "mail"
        verbose_name_plural = "mail"
        indexes = (models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="durable_mail_due"),)

    def __str__(self) -> str:
        return f"{self.type} for {self.execution_id}"

    def place_of(self, column: str) -> bytes:
        return places.of_mail(self.execution_id, self.type, self.call_id)


class Message(SealableRow):
    """A signal or an update that its sender has given a key: known again should it be sent again."""

    # That it was sent to; of an update, the run that has accepted or rejected it.
    execution = models.ForeignKey(WorkflowExecution, models.CASCADE, related_name="messages")
    chain_id = models.UUIDField()  # the first run of the execution's chain
    kind = models.CharField(max_length=8, choices=[(kind.value, kind.value) for kind in MessageKind])
    key = models.CharField(max_length=NAME_LENGTH)  # dedupe_key or update_id
    name = models.CharField(max_length=NAME_LENGTH)
    status = models.CharField(
        max_length=24, choices=_choices(MessageStatus), default=MessageStatus.SENT.value
    )  # a signal stays SENT
    result = PayloadField(null=True)  # of an update
    failure = PayloadField(null=True)  # why it failed or was rejected
    created_at = InstantField(default=utc_now)
    finished_at = InstantField(null=True, blank=True)

    objects = RunsOwn["Message"]()
    sealed_payloads = ("result",)
    sealed_failures = ("failure",)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["chain_id", "kind", "key"], name="durable_one_message_per_key"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.name} {self.key}"

    def place_of(self, column: str) -> bytes:
        return places.of_message(self.chain_id, self.key, column)


class HumanTask(SealableRow):
    """A question of a run to a person."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)  # made from its run's, and the call
    execution = models.ForeignKey(  # no constraint: see HistoryEvent
        WorkflowExecution, models.CASCADE, related_name="human_tasks", db_constraint=False
    )
    call_id = models.CharField(max_length=NAME_LENGTH)
    question = models.TextField()
    form = PayloadField(null=True)  # a dotted path, a list of [value, label], or NULL: an answer may be anything
    assignee = models.CharField(max_length=NAME_LENGTH, null=True, blank=True)
    permission = models.CharField(max_length=NAME_LENGTH, null=True, blank=True)  # that who answers must have
    status = models.CharField(max_length=24, choices=_choices(HumanTaskStatus), default=HumanTaskStatus.OPEN.value)
    answer = PayloadField(null=True)
    answered_by = models.CharField(max_length=NAME_LENGTH, null=True, blank=True)
    reason = models.TextField(blank=True, default="")  # why it was canceled
    asked_at = InstantField(default=utc_now)
    expires_at = InstantField(null=True, blank=True)
    ended_at = InstantField(null=True, blank=True)

    objects = RunsOwn["HumanTask"]()
    sealed_payloads = ("answer",)

    class Meta:
        verbose_name = "human task"
        indexes = (
            models.Index(fields=["assignee", "asked_at"], condition=Q(status="OPEN"), name="durable_human_open"),
            models.Index(fields=["-asked_at"], name="durable_human_asked"),  # the admin's list
        )

    def __str__(self) -> str:
        return self.question if len(self.question) <= QUESTION_SHOWN else f"{self.question[: QUESTION_SHOWN - 1]}…"

    def place_of(self, column: str) -> bytes:
        return places.of_task(self.id, column)

    @property
    def is_open(self) -> bool:
        return self.status == HumanTaskStatus.OPEN.value

    def make_form(self, *args: Any, **kwargs: Any) -> forms.BaseForm:
        """What asks for an answer on a page: an instance of its form, or one with a field ``answer``.

        The arguments are those of a form. Raises `ConfigurationError` for a form that cannot be imported.
        """
        from django_durable.people.forms import form_class_of

        return form_class_of(self.form)(*args, **kwargs)


class QueueEntry(models.Model):
    """A hint of the database queue that a run or an activity wants attention."""

    kind = models.CharField(max_length=8, choices=[(kind.value, kind.value) for kind in EntryKind])
    ref = models.UUIDField()  # of the run or of the task
    queue = models.CharField(max_length=NAME_LENGTH)
    priority = models.SmallIntegerField(default=0)
    preferred = models.UUIDField(null=True, blank=True)  # worker that has the run in memory
    visible_at = InstantField(default=utc_now)  # not before; of a claimed entry: the end of its lease
    worker_id = models.UUIDField(null=True, blank=True)  # who has claimed it
    deliveries = models.IntegerField(default=0)  # claims so far; the last one's token

    class Meta:
        verbose_name = "queue entry"
        verbose_name_plural = "queue entries"
        indexes = (models.Index("kind", models.F("priority").desc(), "id", name="durable_queue_order"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.ref}"


class Worker(models.Model):
    """A worker process that is alive, or was until its heartbeat stopped."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    host = models.CharField(max_length=NAME_LENGTH)
    pid = models.IntegerField()
    queues = PayloadField(default=list)  # empty: all but *exclude*
    exclude = PayloadField(null=True)  # a list of queues; NULL: none
    started_at = InstantField(default=utc_now)
    heartbeat_at = InstantField(default=utc_now)

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
