"""Questions and requests to runs that are under way, through the real worker: cached, and replayed at every step."""

from __future__ import annotations

import asyncio

import pytest
from django.db import NotSupportedError

from django_durable import (
    DurableError,
    UnknownQueryError,
    aquery_workflow,
    cancel_workflow,
    query_workflow,
    send_signal,
)
from tests.scenarios import ledger
from tests.waiting import wait_until

# Queries


def test_a_live_query_is_answered_here_without_a_trace(site, key):
    handle = site.start("answers_questions", key=key)
    for item in ("a", "b"):
        send_signal(handle, "item", item)
    wait_until(lambda: site.history(handle).count("activity_completed") == 2, "two items")
    site.until_waiting(handle, "signal")
    before = site.history(handle)
    assert query_workflow(handle, "items") == handle.query("items") == ["a", "b"]
    assert query_workflow(handle, "has", item="a") is True
    with pytest.raises(DurableError, match="inside the handler of a query"):
        query_workflow(handle, "acts")
    with pytest.raises(NotSupportedError, match="cannot write"):
        query_workflow(handle, "writes")
    with pytest.raises(UnknownQueryError, match="Did you mean 'items'"):
        query_workflow(handle, "item")
    assert site.history(handle) == before
    assert [len(ledger.effects(f"{key}-{item}")) for item in "ab"] == [1, 1]
    send_signal(handle, "item", "c")
    assert handle.result(timeout=30) == ["a", "b", "c"]
    assert query_workflow(handle, "items") == ["a", "b", "c"]


def test_a_live_query_needs_no_worker(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("answers_questions", queue), key=key)
    send_signal(handle, "item", "a")
    with pytest.raises(UnknownQueryError, match="no worker has begun it"):
        query_workflow(handle, "items")
    with site.project.worker("--queue-name", queue):
        wait_until(lambda: "activity_completed" in site.history(handle), "an item")
        site.until_waiting(handle, "signal")
    assert asyncio.run(aquery_workflow(handle, "items")) == ["a"]
    assert cancel_workflow(handle)
    assert query_workflow(handle, "items") == ["a"]
