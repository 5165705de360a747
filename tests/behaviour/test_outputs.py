"""What runs let others read, through the real worker: cached and replayed at every step, and behind a SIGKILL."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest
from django.db import connections, transaction

from django_durable import (
    DurableError,
    UnknownExecutionError,
    WaitTimeout,
    WorkflowClosed,
    aget_event,
    get_event,
    send_signal,
)
from django_durable.models import EventValue
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
