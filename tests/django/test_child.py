"""Processes of activities in a Django project: what they take over from the process that starts them."""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import replace

import pytest
from django.conf import ENVIRONMENT_VARIABLE
from django.db import connections

from django_durable import child, register
from durable_core.codec import decode, encode
from durable_core.testing.clock import ManualClock
from durable_core.worker.process_executor import ProcessExecutor
from tests.core.test_attempts import task_of

LONG = 30.0  # real seconds: only ever waited for when a test fails


@pytest.fixture
def ending():
    """How an attempt in a process of this project ends."""
    woken = threading.Semaphore(0)
    executor = ProcessExecutor(
        command=child.command, slots=1, clock=ManualClock(), wake=woken.release, payload_limit=100_000
    )

    def run(name):
        task = replace(task_of(), input=encode({"args": [], "kwargs": {}}), activity_name=name)
        executor.submit(task, register.find_activity(name))
        assert woken.acquire(timeout=LONG), "it has not ended"
        (ended,) = executor.endings()
        return ended

    yield run
    executor.close()


def test_a_process_uses_the_databases_that_its_worker_uses(monkeypatch, ending):
    """And not those of the settings: a test runner has put others in their place."""
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "tests.project.settings")
    monkeypatch.setitem(connections.settings["default"], "NAME", "moved-by-a-test-runner")
    monkeypatch.setattr(logging.getLogger("durable"), "level", logging.ERROR)
    monkeypatch.syspath_prepend("/nowhere/special")
    expected = ["moved-by-a-test-runner", list(sys.path), logging.ERROR]
    ended = ending("sees_settings")
    assert ended.failure is None
    assert decode(ended.result) == expected


def test_a_process_without_settings_says_so(monkeypatch, ending):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    ended = ending("sees_settings")
    assert ended.type_names[0] == "ImproperlyConfigured"
    assert f"could not be set up: {ENVIRONMENT_VARIABLE} is not set" in ended.failure["message"]
