"""What runs let others read, through the real worker: cached and replayed at every step, and behind a SIGKILL."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest
from django.db import connections, transaction

from django_durable import (
    ConfigurationError,
    DurableError,
    UnknownExecutionError,
    WaitTimeout,
    WorkflowClosed,
    aget_event,
    aread_stream,
    get_event,
    read_stream,
    run_workflow,
    send_signal,
)
from django_durable.models import EventValue, PublishedItem
from durable_core.ports import new_id
from tests.scenarios import ledger

# Events


def test_an_event_is_read_while_the_run_goes_on_and_afterwards(site, key):
    handle = site.start("tells_its_stage", key=key)
    assert get_event(handle, "stage", default="nothing yet") == "nothing yet"
    with pytest.raises(WaitTimeout, match="event 'stage' of run"):
        get_event(handle, "stage")
    send_signal(handle, "begin")
    assert get_event(handle, "stage", timeout=30) == "packing"
    ledger.open_gate(key)
    assert asyncio.run(aget_event(str(handle), "note", default="absent", timeout=30)) is None
    assert get_event(handle.execution, "stage") == {"sent": [1, 2]}
    send_signal(handle, "end")
    handle.result(timeout=30)
    assert get_event(handle, "stage") == "there"
    assert site.history(handle).count("event_set") == 4
    with pytest.raises(WorkflowClosed, match="has never set event 'colour'"):
        get_event(handle, "colour", timeout=30)
    assert get_event(handle, "colour", default=None, timeout=30) is None


def test_who_waits_for_an_event_hears_of_it_when_it_is_set(site, key):
    handle = site.start("tells_its_stage", key=key)
    heard = []

    def wait():
        try:
            heard.append(get_event(handle, "stage", timeout=30))
        finally:
            connections[site.alias].close()

    thread = threading.Thread(target=wait)
    thread.start()
    send_signal(handle, "begin")
    thread.join(30)
    ledger.open_gate(key)  # a worker does not drain before its activities are done
    assert heard == ["packing"]


def test_an_event_that_cannot_come_is_not_waited_for(quiet_site, key):
    with pytest.raises(UnknownExecutionError):
        get_event(new_id(), "stage", default=7)
    with transaction.atomic(quiet_site.alias):
        handle = quiet_site.start("tells_its_stage", key=key)
        with pytest.raises(DurableError, match="would never end"):
            get_event(handle, "stage", timeout=30)
        assert get_event(handle, "stage", default=None) is None


@pytest.mark.parametrize("point", ["decision-inside:2", "decision-committed:2", "activity-returned"])
def test_an_event_is_set_once_behind_a_death_at(point, quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("tells_its_stage", queue), key=key)
    for name in ("begin", "end"):
        send_signal(handle, name)
    ledger.open_gate(key)
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=impatient) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    told = get_event(handle, "stage", default=None)
    history = list(handle.execution.history.filter(type="event_set", details__contains="stage").order_by("seq"))
    assert told == (history[-1].details["value"] if history else None)
    with site.project.worker("--queue-name", queue, durable=impatient):
        handle.result(timeout=30)
    assert get_event(handle, "stage") == "there"
    assert site.history(handle).count("event_set") == 4
    assert EventValue.objects.using(site.alias).filter(execution=handle.id).count() == 2


# Streams


def numbers(items):
    return [item if isinstance(item, str) else item["number"] for item in items]


def test_a_stream_is_followed_to_its_end_and_resumed_from_any_cursor(site, key):
    handle = site.start("counts_in_public", key=key, n=5)
    found = list(read_stream(handle, timeout=30))
    assert numbers(item.item for item in found) == ["begins", 0, 1, 2, 3, 4, "ends"]
    behind = list(read_stream(str(handle), after=str(found[2].cursor)))
    assert behind == found[3:]
    assert [item.item for item in read_stream(handle, "said", follow=False)] == ["counted"]
    assert list(read_stream(handle, "nothing")) == []
    with pytest.raises(ConfigurationError, match="expected the cursor"):
        read_stream(handle, after="yesterday")

    execution = handle.execution

    async def read():
        return [item async for item in aread_stream(execution, after=found[0].cursor)]

    assert asyncio.run(read()) == found[1:]
    assert site.history(handle).count("item_published") == 2


def test_a_reader_waits_for_each_item_as_long_as_it_likes(site, key):
    handle = site.start("tells_its_stage", key=key)
    with pytest.raises(WaitTimeout, match="nothing was published"):
        list(read_stream(handle, timeout=0.05))
    assert list(read_stream(handle, follow=False)) == []
    with pytest.raises(UnknownExecutionError):
        list(read_stream(new_id()))
    for name in ("begin", "end"):
        send_signal(handle, name)
    ledger.open_gate(key)
    assert list(read_stream(handle, timeout=30)) == []


def test_a_chain_has_one_stream(site, key):
    handle = site.start("counts_in_public", key=key, n=1, rounds=3)
    assert numbers(item.item for item in read_stream(handle, timeout=30)) == ["begins", 0, "ends"] * 3


def test_run_workflow_publishes_inside_of_a_transaction_too(quiet_site, key):
    with transaction.atomic(quiet_site.alias):
        run_workflow("counts_in_public", key=key)
        items = PublishedItem.objects.using(quiet_site.alias).filter(stream="default").order_by("-id")[:5]
        assert numbers(item.item for item in reversed(items)) == ["begins", 0, 1, 2, "ends"]
        transaction.set_rollback(True, quiet_site.alias)


@pytest.mark.promise("P3")
def test_items_are_not_published_twice_by_the_attempt_behind_a_death(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("counts_in_public", queue), key=key, n=5, dies_at=2)
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    reader = read_stream(handle, timeout=30)
    with site.project.worker("--queue-name", queue, durable=impatient) as doomed:
        found = [next(reader).item for _ in range(4)]  # while the activity goes on
        ledger.open_gate(key)
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=impatient):
        found += [item.item for item in reader]
    assert numbers(found) == ["begins", 0, 1, 2, 3, 4, "ends"]
    assert [item["attempt"] for item in found[1:-1]] == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("point", ["decision-inside:2", "decision-committed:2"])
def test_code_publishes_once_behind_a_death_at(point, quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("counts_in_public", queue), key=key)
    impatient = {"HEARTBEAT_INTERVAL": 0.1, "WORKER_TIMEOUT": 0.3}
    with site.project.worker("--queue-name", queue, DURABLE_CRASH_AT=point, durable=impatient) as doomed:
        assert doomed.wait() == -signal.SIGKILL, doomed.said
    with site.project.worker("--queue-name", queue, durable=impatient):
        assert numbers(item.item for item in read_stream(handle, timeout=30)) == ["begins", 0, 1, 2, "ends"]


def test_what_a_run_has_told_is_deleted_with_it(quiet_site, key):
    alias = quiet_site.alias
    assert run_workflow("counts_in_public", key=key) is None
    run = PublishedItem.objects.using(alias).order_by("-id")[0].execution
    EventValue.objects.using(alias).create(execution=run, chain_id=run.id, key="stage", value="1")
    assert (run.items.count(), run.events.count()) == (6, 1)
    deleted = run.id
    run.delete()
    kept = [model.objects.using(alias).filter(execution_id=deleted).count() for model in (PublishedItem, EventValue)]
    assert kept == [0, 0]
