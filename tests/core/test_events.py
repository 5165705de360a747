"""Facts as they are stored: every one comes back equal, and unknown ones are left to newer code."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_core import events as e
from durable_core.codec import MAX_PAYLOAD_BYTES, NULL, Payload, encode
from durable_core.errors import NewerCodeNeeded, PayloadError
from durable_core.failures import describe, invented
from tests.core.test_codec import text, values

TIME = datetime(2026, 1, 1, tzinfo=UTC)

failures = st.one_of(
    st.builds(invented, text, text, attempt=st.integers(0, 9)),
    text.map(lambda message: describe(ValueError(message), attempt=2)),
)
times = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
BY_TYPE: dict[Any, Any] = {
    "str": text,
    "str | None": text,
    "int": st.integers(),
    "int | None": st.none() | st.integers(),
    "bool": st.booleans(),
    "Payload": values.map(encode),
    "datetime": times,
    "datetime | None": st.none() | times,
    "UUID": st.uuids(),
    "UUID | None": st.none() | st.uuids(),
    "Any": values,
    "dict[str, Any]": failures,
    "dict[str, Any] | None": st.none() | failures,
}
CLASSES: tuple[Any, ...] = e.HistoryEvent.__args__


def events_of(cls):
    return st.builds(cls, **{field.name: BY_TYPE[field.type] for field in fields(cls)})


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.type)
@settings(max_examples=25)
@given(data=st.data())
def test_every_event_comes_back_equal(cls, data):
    event = data.draw(events_of(cls))
    details = e.details_of(event)
    assert details.isascii()
    stored = json.loads(details)
    absent = {field.name for field in fields(cls) if field.default is None and getattr(event, field.name) is None}
    assert set(stored) == {field.name for field in fields(cls)} - absent - {"call_id"}
    back = e.event_of(e.EventRecord(1, event.type, event.call_id, details, TIME))
    assert back == event
    assert e.details_of(back) == details


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.type)
def test_types_are_the_snake_case_of_their_class(cls):
    words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in cls.__name__)
    assert cls.type == words.lstrip("_")
    assert cls.__hash__ is not None
    assert not hasattr(cls(**{f.name: None for f in fields(cls)}), "__dict__")


def test_a_class_is_stored_by_its_fields_the_payload_as_the_text_that_it_is():
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Teleported(e.Event):
        type: ClassVar[str] = "workflow_teleported"
        to: str
        deadline: datetime
        cargo: Payload
        by: str | None = None
        call_id: str | None = None

    assert e._shape_of(Teleported) == (
        ("to", "deadline", "by"),
        frozenset({"by"}),
        "cargo",
        (("deadline", datetime.fromisoformat),),
    )


@pytest.mark.parametrize(
    ("fact", "details"),
    [
        (e.WorkflowCompleted(result=encode([1])), '{"result":[1]}'),
        (e.ActivityCompleted(call_id="1", attempt=2, result=encode("x")), '{"attempt":2,"result":"x"}'),
        (
            e.TimerStarted(call_id="1", fire_at=TIME, waits_for=None),
            '{"fire_at":"2026-01-01T00:00:00+00:00","waits_for":null}',
        ),
        (e.TimerCanceled(call_id="1"), "{}"),
        (e.SignalReceived(name="é", payload=encode({"payload": 1})), '{"name":"\\u00e9","payload":{"payload":1}}'),
    ],
)
def test_the_stored_form_is_what_databases_hold_already(fact, details):
    assert e.details_of(fact) == details
    assert e.event_of(e.EventRecord(1, fact.type, fact.call_id, details, TIME)) == fact


def test_a_failure_may_be_larger_than_the_limit_of_a_payload():
    long = "x" * MAX_PAYLOAD_BYTES
    failure = e.WorkflowFailed(failure=invented("E", long))
    assert e.event_of(e.EventRecord(1, failure.type, None, e.details_of(failure), TIME)) == failure


def test_an_unknown_type_needs_newer_code():
    with pytest.raises(NewerCodeNeeded, match="'workflow_teleported' at seq 5"):
        e.event_of(e.EventRecord(5, "workflow_teleported", None, "{}", TIME))


def test_fields_that_other_releases_added_or_left_out_do_no_harm():
    record = e.EventRecord(1, "version_marker", None, '{"change_id": "p", "version": 1, "colour": "red"}', TIME)
    event = e.event_of(record)
    assert isinstance(event, e.VersionMarker)
    assert (event.change_id, event.version, bool(event.deprecated)) == ("p", 1, False)
    empty = e.event_of(e.EventRecord(1, "workflow_completed", None, "{}", TIME))
    assert empty == e.WorkflowCompleted(result=NULL)


def test_broken_details_are_an_error_of_their_own():
    with pytest.raises(PayloadError):
        e.event_of(e.EventRecord(1, "timer_started", "0", "{", TIME))


def test_each_event_is_commanded_terminal_or_from_outside():
    assert not set(e.COMMANDED) & set(e.TERMINAL)
    outside = set(CLASSES) - set(e.COMMANDED) - set(e.TERMINAL)
    assert {cls.type for cls in outside} == {
        "workflow_started",
        "workflow_reopened",
        "workflow_cancel_requested",
        "signal_received",
        "task_answered",
        "task_expired",
        "task_canceled",
        "workflow_update_accepted",
        "external_message_delivered",
        "external_message_failed",
        "timer_fired",
        "activity_completed",
        "activity_failed",
        "activity_timed_out",
        "activity_canceled",
        "local_activity_completed",
        "local_activity_failed",
        "child_workflow_completed",
        "child_workflow_failed",
        "child_workflow_canceled",
        "child_workflow_timed_out",
    }
    assert frozenset(cls.type for cls in e.TERMINAL) == e.TERMINAL_TYPES
    assert len(e.EVENT_TYPES) == len(set(e.EVENT_TYPES)) == len(CLASSES)
