"""Histories as they are read: in the order of seq, and never longer than the run that was read with them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connections

from durable_core.codec import EMPTY_OBJECT
from durable_core.events import EventRecord
from durable_core.execution import Status
from durable_core.ports import Commit
from durable_core.testing.contracts.builders import a_run
from tests.store.databases import session

if TYPE_CHECKING:
    from django_durable.store import DjangoHistoryStore

TYPES = ["workflow_started", "timer_started", "timer_fired", "timer_started"]


def decide(store: DjangoHistoryStore, run_id: UUID) -> None:
    """A first decision of so many events."""
    now = store.now()
    events = [EventRecord(seq, kind, None, EMPTY_OBJECT, now) for seq, kind in enumerate(TYPES, start=1)]
    store.commit([Commit(run_id=run_id, version=0, status=Status.RUNNING, events=events, history_length=len(events))])


def test_history_is_in_order_of_seq_whatever_the_ids(alias: str, store: DjangoHistoryStore) -> None:
    """On Postgres a higher id can become visible first, and a sequence that caches ids gives them out of order."""
    (run,) = store.create([a_run()])
    decide(store, run.run_id)
    with connections[alias].cursor() as cursor:
        cursor.execute("UPDATE django_durable_historyevent SET id = 1000000 - id")
    events = store.load([run.run_id])[run.run_id].events
    assert [(event.seq, event.type) for event in events] == list(enumerate(TYPES, start=1))


def test_history_ends_where_the_run_says_it_does(alias: str, store: DjangoHistoryStore) -> None:
    """Run and history are read by two statements, and another worker commits between them."""
    (run,) = store.create([a_run()])

    def other_worker() -> None:
        with session(alias):
            decide(store, run.run_id)

    calls = []

    def commit_behind_the_first(execute: Any, *call: Any) -> Any:
        answer = execute(*call)
        calls.append(call)
        if len(calls) == 1:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(other_worker).result()
        return answer

    with connections[alias].execute_wrapper(commit_behind_the_first):
        loaded = store.load([run.run_id])[run.run_id]
    assert loaded.record.history_length == len(loaded.events) == 0
    again = store.load([run.run_id])[run.run_id]
    assert again.record.history_length == len(again.events) == len(TYPES)
