"""Records as they are stored, and as the engine has them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.execution import Status
from durable_core.sealing import places

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from durable_core.codec import Payload
    from durable_core.events import EventRecord
    from durable_core.ports import (
        AuditedChild,
        AuditedRun,
        AuditedTask,
        Commit,
        HumanTaskRecord,
        Letter,
        Mail,
        MessageNews,
        MessageRecord,
        NewItem,
        NewRun,
        NewTask,
        NewValue,
        RunRecord,
        TaskOutcome,
        TaskRecord,
    )
    from durable_core.sealing.sealer import Sealer

# Types of facts whose details hold nothing but names, numbers and times. All others are sealed, new ones too.
PLAIN = frozenset(
    cls.type
    for cls in (
        e.TimerStarted,
        e.TimerFired,
        e.TimerCanceled,
        e.SignalWaitStarted,
        e.ExternalMessageDelivered,
        e.ExternalMessageFailed,
        e.ChildWorkflowTimedOut,
        e.VersionMarker,
        e.ItemPublished,
        e.WorkflowTimedOut,
    )
)
# Why a run is BLOCKED that cannot be read: for people who cannot read it either.
TOLD = "PayloadSealed: "


class Rows:
    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    # Into the store

    def sealed_run(self, run: NewRun) -> NewRun:
        return replace(run, input=self._sealer.seal(run.input, places.of_run(run.id, "input")))

    def sealed_event(self, run_id: UUID, event: EventRecord) -> EventRecord:
        if event.type in PLAIN:
            return event
        return event._replace(details=self._sealer.seal(event.details, _place_of(run_id, event)))

    def sealed_letter(self, letter: Letter) -> str:
        """Its details, for the mailbox that it comes to."""
        if letter.type in PLAIN:
            return letter.details
        return self._sealer.seal(letter.details, places.of_mail(letter.run_id, letter.type, letter.call_id))

    def sealed_outcome(self, outcome: TaskOutcome) -> TaskOutcome:
        """Its fact becomes a letter in the store, or is an event already."""
        seal, task_id = self._sealer, outcome.task_id
        return replace(
            outcome,
            result=seal.seal_or_none(outcome.result, places.of_task(task_id, "result")),
            failure=seal.seal_failure(outcome.failure, places.of_task(task_id, "failure")),
        )

    def sealed_error(self, run_id: UUID, status: Status, error: str) -> str:
        if not error or (status is Status.BLOCKED and error.startswith(TOLD)):
            return error
        return self._sealer.seal(error, places.of_run(run_id, "error"))

    def sealed_beat(self, task_id: UUID, details: Payload | None) -> Payload | None:
        return self._sealer.seal_or_none(details, places.of_task(task_id, "heartbeat_details"))

    def sealed_item(self, chain_id: UUID, stream: str, item: Payload) -> Payload:
        return self._sealer.seal(item, places.of_item(chain_id, stream))

    def sealed_commit(self, commit: Commit) -> Commit:
        run_id = commit.run_id
        return replace(
            commit,
            events=[self.sealed_event(run_id, event) for event in commit.events],
            result=self._sealer.seal_or_none(commit.result, places.of_run(run_id, "result")),
            error=self.sealed_error(run_id, commit.status, commit.error),
            tasks=[self._sealed_task(run_id, task) for task in commit.tasks],
            outcomes=[self.sealed_outcome(outcome) for outcome in commit.outcomes],
            children=[self.sealed_run(run) for run in commit.children],
            updates=[self._sealed_news(news) for news in commit.updates],
            values=[self._sealed_value(value) for value in commit.values],
            items=[self._sealed_new_item(item) for item in commit.items],
        )

    def _sealed_task(self, run_id: UUID, task: NewTask) -> NewTask:
        return replace(task, input=self._sealer.seal(task.input, places.of_input(task.id, run_id, task.call_id)))

    def _sealed_news(self, news: MessageNews) -> MessageNews:
        chain_id, key = news.chain_id, news.key
        return news._replace(
            result=self._sealer.seal_or_none(news.result, places.of_message(chain_id, key, "result")),
            failure=self._sealer.seal_failure(news.failure, places.of_message(chain_id, key, "failure")),
        )

    def _sealed_value(self, value: NewValue) -> NewValue:
        return value._replace(value=self._sealer.seal(value.value, places.of_value(value.chain_id, value.key)))

    def _sealed_new_item(self, item: NewItem) -> NewItem:
        return item._replace(item=self.sealed_item(item.chain_id, item.stream, item.item))

    # Out of it

    def run(self, record: RunRecord) -> RunRecord:
        run_id = record.id
        return replace(
            record,
            input=self._sealer.open(record.input, places.of_run(run_id, "input")),
            result=self._sealer.open_or_none(record.result, places.of_run(run_id, "result")),
            error=self._sealer.open_words(record.error, places.of_run(run_id, "error")),
        )

    def input(self, run_id: UUID, payload: Payload) -> Payload:
        return self._sealer.open(payload, places.of_run(run_id, "input"))

    def event(self, run_id: UUID, event: EventRecord) -> EventRecord:
        return event._replace(details=self._sealer.open(event.details, _place_of(run_id, event)))

    def events(self, run_id: UUID, events: Sequence[EventRecord]) -> list[EventRecord]:
        return [self.event(run_id, event) for event in events]

    def mail(self, run_id: UUID, mail: Mail) -> Mail:
        return mail._replace(details=self._sealer.open(mail.details, places.of_mail(run_id, mail.type, mail.call_id)))

    def mailbox(self, run_id: UUID, letters: Sequence[Mail]) -> list[Mail]:
        return [self.mail(run_id, mail) for mail in letters]

    def task(self, record: TaskRecord) -> TaskRecord:
        """One whose code is about to run."""
        beat = places.of_task(record.id, "heartbeat_details")
        return replace(
            self.outline(record),
            input=self._sealer.open(record.input, places.of_input(record.id, record.run_id, record.call_id)),
            heartbeat_details=self._sealer.open_or_none(record.heartbeat_details, beat),
        )

    def outline(self, record: TaskRecord) -> TaskRecord:
        """One that is only looked after. What its code is given stays sealed: it may be long, and is not needed."""
        return replace(record, failure=self._sealer.open_failure(record.failure, places.of_task(record.id, "failure")))

    def result(self, task_id: UUID, payload: Payload | None) -> Payload | None:
        return self._sealer.open_or_none(payload, places.of_task(task_id, "result"))

    def message(self, chain_id: UUID, record: MessageRecord) -> MessageRecord:
        return replace(
            record,
            result=self._sealer.open_or_none(record.result, places.of_message(chain_id, record.key, "result")),
            failure=self._sealer.open_failure(record.failure, places.of_message(chain_id, record.key, "failure")),
        )

    def human_task(self, record: HumanTaskRecord) -> HumanTaskRecord:
        """What is asked is shown to people as it is; what they answer is sealed."""
        return replace(record, answer=self._sealer.open_or_none(record.answer, places.of_task(record.id, "answer")))

    def value(self, chain_id: UUID, key: str, value: Payload) -> Payload:
        return self._sealer.open(value, places.of_value(chain_id, key))

    def item(self, chain_id: UUID, stream: str, item: Payload) -> Payload:
        return self._sealer.open(item, places.of_item(chain_id, stream))

    def audited(self, run: AuditedRun) -> AuditedRun:
        record = run.record
        chain_id = record.chain_id or record.id
        return replace(
            run,
            record=self.run(record),
            events=self.events(record.id, run.events),
            mail=[letter._replace(mail=self.mail(record.id, letter.mail)) for letter in run.mail],
            tasks=[self._audited_task(task) for task in run.tasks],
            children=[self._audited_child(child) for child in run.children],
            messages=[self.message(chain_id, message) for message in run.messages],
            asked=[self.human_task(task) for task in run.asked],
            values={key: self.value(chain_id, key, value) for key, value in run.values.items()},
        )

    def _audited_task(self, task: AuditedTask) -> AuditedTask:
        return replace(task, record=self.task(task.record), result=self.result(task.record.id, task.result))

    def _audited_child(self, child: AuditedChild) -> AuditedChild:
        return replace(
            child,
            result=self._sealer.open_or_none(child.result, places.of_run(child.id, "result")),
            error=self._sealer.open_words(child.error, places.of_run(child.id, "error")),
        )


def _place_of(run_id: UUID, event: EventRecord) -> bytes:
    return places.of_event(run_id, event.seq, event.type, event.call_id)
