"""Signals from outside: once by their key, and with the run that they are for."""

from __future__ import annotations

import pytest

from durable_core.errors import (
    ConfigurationError,
    PayloadError,
    StoreUnavailable,
    WorkflowAlreadyStarted,
    WorkflowClosed,
)
from durable_core.execution import Status
from durable_core.ports import MessageKind
from durable_core.testing import InMemoryHistoryStore
from tests.core.test_worker import Bench


class Box(Bench):
    def __init__(self, **settings):
        super().__init__(**settings)

        @self.registry.workflow
        def collects(ctx, most=3, items=()):
            items = [*items, ctx.wait_signal("item")]
            if len(items) < most:
                ctx.continue_as_new(most=most, items=items)
            return items

        @self.registry.workflow
        def other(ctx): ...

        self.collects = collects

    def settle(self):
        self.worker().run(until_idle=True)

    def open(self, workflow_id="w", item=None, **kwargs):
        return self.client.signal_with_start(self.collects.using(workflow_id=workflow_id), kwargs, "item", item)


# By a key


def test_a_signal_with_a_key_is_delivered_once_to_a_chain():
    box = Box()
    run_id = box.start("collects")
    for _ in range(2):
        box.client.signal(run_id, "item", 1, dedupe_key="a")
    box.settle()
    newest = box.client.find_newest(run_id).id
    assert newest != run_id
    for known in (run_id, newest):
        box.client.signal(known, "item", 1, dedupe_key="a")  # it was read, by another run
    box.client.signal(newest, "item", 2, dedupe_key="b")
    box.client.signal(newest, "item", 3)
    box.settle()
    assert box.result(run_id) == [1, 2, 3]
    box.client.signal(run_id, "item", 1, dedupe_key="a")  # sent, whatever has become of the run
    with pytest.raises(WorkflowClosed):
        box.client.signal(run_id, "item", 4, dedupe_key="c")
    assert box.store.message(run_id, MessageKind.SIGNAL, "c") is None


def test_keys_are_of_a_chain_and_not_of_updates():
    box = Box()
    one, two = box.start("collects", most=1), box.start("collects", most=1)
    for run_id in (one, two):
        box.client.signal(run_id, "item", 1, dedupe_key="a")
    box.drive(one, two)
    assert box.result(one) == box.result(two) == [1]


def test_a_key_that_cannot_be_kept_is_refused_before_anything_is_sent():
    box = Box()
    run_id = box.start("collects")
    for key in ("", "x" * 256, "\0"):
        with pytest.raises(ConfigurationError, match="the dedupe_key of a signal"):
            box.client.signal(run_id, "item", 1, dedupe_key=key)
    assert box.store.load([run_id])[run_id].mail == []


# With a start


def test_a_signal_finds_the_open_run_or_starts_it():
    box = Box()
    first = box.open(item=1, most=2)
    again = box.open(item=2, most=9)  # it keeps the input that it has
    assert (first.created, again.created, again.run_id) == (True, False, first.run_id)
    box.settle()
    assert box.result(first.run_id) == [1, 2]
    assert box.open(item=3).created


def test_a_signal_finds_the_newest_run_of_a_chain():
    box = Box()
    first = box.open(item=1)
    box.settle()
    again = box.open(item=2)
    assert (again.created, again.run_id) == (False, box.client.find_newest(first.run_id).id)


def test_what_cannot_be_started_or_sent_leaves_nothing():
    box = Box()
    with pytest.raises(ConfigurationError, match=r"expected collects.using\(workflow_id=...\)"):
        box.client.signal_with_start("collects", {}, "item")
    with pytest.raises(PayloadError):
        box.open(item=object())
    with pytest.raises(TypeError):
        box.open(unknown=1)
    with pytest.raises(ConfigurationError, match="the signal's name"):
        box.client.signal_with_start(box.collects.using(workflow_id="w"), {}, "")
    assert box.client.start(box.registry.find_workflow("other").using(workflow_id="w"), {}).created
    with pytest.raises(WorkflowAlreadyStarted, match="of 'other', not of 'collects'"):
        box.open()
    assert len(list(box.store._runs)) == 1


class StoreWhereRunsClose(InMemoryHistoryStore):
    """Between finding the run with an id and writing to it."""

    closing = 1

    def deliver(self, letters):
        for letter in letters:
            if self.closing > 0 and (run := self._open_run(letter.run_id)) is not None:
                self.closing -= 1
                self._runs.remove(run.record.id)
        return super().deliver(letters)


def test_a_run_that_closes_in_between_is_followed_by_a_new_one():
    box = Box(store=StoreWhereRunsClose)
    box.store.closing = 0
    first = box.open(item=1)
    box.store.closing = 1
    again = box.open(item=2, most=1)
    assert again.created
    assert again.run_id != first.run_id
    box.settle()
    assert box.client.find(again.run_id).status is Status.COMPLETED
    box.store.closing = 99
    with pytest.raises(StoreUnavailable, match="keeps changing hands"):
        box.open()
