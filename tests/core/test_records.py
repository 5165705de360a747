"""What crosses between the engine and a store: nothing is lost on the way from one form to the next."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from durable_core import events as e
from durable_core.codec import Payload, encode
from durable_core.execution import TaskStatus
from durable_core.ports import Entry, EntryKind, Letter, NewRun, NewTask, TaskOutcome, Wake

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN, TASK, WORKER = UUID(int=1), UUID(int=2), UUID(int=3)
SECOND = timedelta(seconds=1)


def test_a_new_run_wakes_anybody_of_its_queue():
    run = NewRun(id=RUN, workflow_name="w", input=Payload("{}"), queue="slow", priority=4)
    assert run.wake() == Wake(RUN, "slow", 4, None)


def test_a_wake_up_is_an_entry_for_who_has_the_run_in_memory():
    assert Wake(RUN, "slow", 4, WORKER).entry == Entry(EntryKind.RUN, RUN, "slow", 4, WORKER)


def test_a_letter_is_a_fact_under_way():
    fact = e.ActivityCompleted(call_id="1.2", attempt=1, result=encode(5))
    assert Letter.of(RUN, fact) == Letter(RUN, "activity_completed", "1.2", '{"attempt":1,"result":5}')
    outcome = TaskOutcome(task_id=TASK, run_id=RUN, token=1, status=TaskStatus.COMPLETED, fact=fact)
    assert outcome.letter == Letter.of(RUN, fact)
    assert TaskOutcome(task_id=TASK, run_id=RUN, token=1, status=TaskStatus.QUEUED).letter is None


@pytest.mark.parametrize("claimed", [False, True])
def test_a_committed_task_is_what_was_asked_for_and_begun_only_by_who_claimed_it(claimed):
    asked = {
        "id": TASK,
        "call_id": "1.2",
        "activity_name": "send",
        "input": Payload("[]"),
        "queue": "slow",
        "priority": 4,
        "retry_policy": {"maximum_attempts": 3},
        "expires_at": NOW + SECOND,
        "schedule_to_start": 2 * SECOND,
        "start_to_close": 3 * SECOND,
        "heartbeat_timeout": 4 * SECOND,
    }
    task = NewTask(**asked, claimed=claimed)  # type: ignore[arg-type]
    begun = {"status": TaskStatus.RUNNING, "attempt": 1, "token": 1, "started_at": NOW}
    waits = {"status": TaskStatus.QUEUED, "attempt": 0, "token": 0, "started_at": None}
    assert asdict(task.committed(RUN, NOW)) == {
        **asked,
        **(begun if claimed else waits),
        "run_id": RUN,
        "scheduled_at": NOW,
        "queued_at": NOW,
        "retry_at": None,
        "heartbeat_at": None,
        "heartbeat_details": None,
        "crashes": 0,
        "at_most_once": False,
        "completion_digest": None,
        "completion_expires_at": None,
        "is_detached": False,
        "failure": None,
    }
    copy: dict[str, int] = {}
    assert task.committed(RUN, NOW, retry_policy=copy).retry_policy is copy
