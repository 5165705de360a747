"""What activity code may ask about itself, and what becomes of its heartbeats."""

from __future__ import annotations

from uuid import UUID

import pytest

from durable_core.activity import CurrentActivity, activity_heartbeat, current_activity, enter
from durable_core.codec import Payload
from durable_core.errors import ActivityCanceled, DurableError, PayloadError
from tests.core.test_attempts import task_of


@pytest.fixture
def current():
    activity = CurrentActivity(task_of(attempt=3, call_id="1.4"))
    enter(activity)
    yield activity
    enter(None)


def test_an_activity_knows_who_it_is(current):
    assert current_activity() is current
    assert (current.id, current.execution_id) == (UUID(int=1), UUID(int=2))
    assert (current.name, current.attempt) == ("send", 3)
    assert current.idempotency_key == f"{UUID(int=2)}:1.4"
    assert (current.heartbeat_details, current.canceled) == (None, False)


def test_a_later_attempt_gets_what_an_earlier_one_left():
    assert CurrentActivity(task_of(heartbeat_details=Payload('{"row":5}'))).heartbeat_details == {"row": 5}


def test_outside_of_an_activity_there_is_none_and_a_heartbeat_is_nothing():
    activity_heartbeat(object())
    with pytest.raises(DurableError, match="outside of an activity that a worker runs"):
        current_activity()


def test_heartbeats_are_taken_once_and_the_last_details_win(current):
    assert current.take_beat() is None
    activity_heartbeat()
    assert current.take_beat() == (None,)
    assert current.take_beat() is None
    activity_heartbeat(1)
    activity_heartbeat([2])
    activity_heartbeat()  # alive, and its details are not written yet
    assert current.take_beat() == ("[2]",)


@pytest.mark.parametrize(
    ("since", "left"),
    [([], ("1",)), ([None], ("1",)), ([2], ("2",))],
)
def test_a_heartbeat_that_was_not_written_gives_way_to_newer_details_only(current, since, left):
    current.heartbeat(1)
    beat = current.take_beat()
    assert beat is not None
    for details in since:
        current.heartbeat(details)
    current.put_back(beat)
    assert current.take_beat() == left


def test_details_that_json_cannot_hold_are_no_heartbeat(current):
    with pytest.raises(PayloadError, match=r"^the details of a heartbeat cannot be stored"):
        activity_heartbeat(object())
    assert current.take_beat() is None


def test_a_canceled_activity_hears_of_it_at_its_next_heartbeat_which_counts(current):
    current.cancel()
    assert current.canceled
    with pytest.raises(ActivityCanceled, match="its workflow wants it no more") as caught:
        activity_heartbeat("last words")
    error = caught.value
    assert (error.activity_name, error.type_name, error.attempt) == ("send", "ActivityCanceled", 3)
    assert error.message == "its workflow wants it no more"
    assert current.take_beat() == ('"last words"',)
