"""Two things that happen to one run at the same moment: exactly one of them wins, and the other is told.

Every race is run until each of its ends has been seen, and a number of times at least; what must hold holds for all.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import TYPE_CHECKING, Any

from django.db import connections

from django_durable import (
    WorkflowCanceled,
    WorkflowClosed,
    WorkflowTimeout,
    cancel_workflow,
    send_signal,
    start_workflow,
)
from django_durable.models import WorkflowExecution
from tests.crashes.proof import assert_sound
from tests.harness import MANAGE, ROOT
from tests.scenarios import ledger
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sites import Site

AT_LEAST = 30  # times
AT_MOST = 400
WINDOW = 0.03  # seconds over which the opponents are spread


@contextmanager
def opponents(site: Site, number: int) -> Iterator[Callable[..., list[Any]]]:
    """A function that calls functions at the same time, each in a thread of its own, and answers with their results. An
    exception is a result."""
    start = Barrier(number)
    dice = random.Random(7)

    def one(function: Callable[[], Any], head_start: float) -> Any:
        start.wait()
        time.sleep(head_start)  # so that each is first sometimes
        try:
            return function()
        except Exception as error:  # noqa: BLE001 - it is for the test to judge
            return error

    with ThreadPoolExecutor(number) as pool:

        def at_once(*functions: Callable[[], Any]) -> list[Any]:
            assert len(functions) == number
            asked = [pool.submit(one, function, dice.uniform(0, WINDOW)) for function in functions]
            return [future.result() for future in asked]

        try:
            yield at_once
        finally:
            all_there = Barrier(number)

            def disconnect() -> None:
                connections[site.alias].close()  # each thread has its own
                all_there.wait()

            for _ in range(number):
                pool.submit(disconnect)


def race(once: Callable[[], str], ends: set[str]) -> Counter[str]:
    """How often each end was reached."""
    seen: Counter[str] = Counter()
    while seen.total() < AT_LEAST or not ends <= seen.keys():
        assert seen.total() < AT_MOST, f"only these ends in {AT_MOST} races: {seen}"
        seen[once()] += 1
    assert seen.keys() <= ends, seen
    return seen


def closed(site: Site, handle: Any) -> str:
    """The status of a run, once it has one that lasts."""

    def ended() -> str | None:
        status = handle.status
        return status.value if status.is_closed else None

    return wait_until(ended, f"{handle} to close")


def test_cancel_against_completion(busy_site):
    site = busy_site
    with opponents(site, 2) as at_once:

        def once() -> str:
            handle = site.start("one_word")
            canceled, sent = at_once(
                lambda: cancel_workflow(handle, reason="race"), lambda: send_signal(handle, "word", 1)
            )
            status = closed(site, handle)
            assert status == ("CANCELED" if canceled is True else "COMPLETED"), (canceled, sent)
            if status == "COMPLETED":
                assert canceled is False
                assert sent is None
            else:
                assert sent is None or isinstance(sent, WorkflowClosed)
            received = site.history(handle).count("signal_received")
            assert received == (sent is None)  # who was not told otherwise finds the signal in the history
            assert_sound(site, handle)
            return status

        race(once, {"CANCELED", "COMPLETED"})


def test_signal_against_completion(busy_site):
    site = busy_site
    with opponents(site, 3) as at_once:

        def once() -> str:
            handle = site.start("one_word")
            sent = at_once(*(lambda n=n: send_signal(handle, "word", n) for n in range(3)))
            assert closed(site, handle) == "COMPLETED"
            assert all(answer is None or isinstance(answer, WorkflowClosed) for answer in sent), sent
            accepted = [number for number, answer in enumerate(sent) if answer is None]
            events = site.execution(handle).history.filter(type="signal_received").order_by("seq")
            recorded = [event.details["payload"] for event in events]
            assert sorted(recorded) == accepted
            assert handle.result(0) == recorded[0]
            assert_sound(site, handle)
            return "all accepted" if len(accepted) == 3 else "told that it is closed"

        race(once, {"all accepted", "told that it is closed"})


def test_cancel_against_an_activitys_outcome(busy_site):
    site = busy_site
    with opponents(site, 1) as at_once:

        def once() -> str:
            handle = site.start("hurries", seconds=WINDOW / 2)
            [canceled] = at_once(lambda: cancel_workflow(handle))
            status = closed(site, handle)
            assert status == ("CANCELED" if canceled else "COMPLETED")
            assert_sound(site, handle)  # no task is left open, and no outcome stands behind the end
            return status

        race(once, {"CANCELED", "COMPLETED"})


def test_timeout_against_result(busy_site):
    site, dice = busy_site, random.Random(7)

    def once() -> str:
        handle = start_workflow("hurries", timeout=0.05, seconds=dice.uniform(0.01, 0.07))
        status = closed(site, handle)
        try:
            assert handle.result(0) < 0.07
            assert status == "COMPLETED"
        except WorkflowTimeout:
            assert status == "TIMED_OUT"
        assert_sound(site, handle)
        return status

    race(once, {"COMPLETED", "TIMED_OUT"})


def test_child_closing_against_the_parents_wait(busy_site):
    site, dice = busy_site, random.Random(7)
    with opponents(site, 2) as at_once:

        def once() -> str:
            handle = site.start("waits_for_child", patience=dice.uniform(0.001, WINDOW))
            child = child_of(site, handle)
            at_once(lambda: send_signal(child.id, "word", "done"), lambda: send_signal(handle, "go"))
            result: str = handle.result(timeout=30)
            assert closed(site, handle) == "COMPLETED"
            ended = site.until_closed(child.id)
            # A child whose parent has closed before it was told to is canceled with it, and never lost.
            assert result == "done" if ended.status == "COMPLETED" and result != "patience" else result == "patience"
            assert ended.status in ("COMPLETED", "CANCELED")
            assert_sound(site, handle)
            return result

        race(once, {"done", "patience"})


def test_child_closing_against_the_parents_end(busy_site):
    site = busy_site
    with opponents(site, 2) as at_once:

        def once() -> str:
            handle = site.start("waits_for_child", patience=30)
            child = child_of(site, handle)
            send_signal(handle, "go")
            sent, canceled = at_once(lambda: send_signal(child.id, "word", "done"), lambda: cancel_workflow(handle))
            try:
                assert handle.result(timeout=30) == "done"
                assert canceled is False
                end = "COMPLETED"
            except WorkflowCanceled:
                assert canceled is True
                end = "CANCELED"
            ended = site.until_closed(child.id)
            if end == "COMPLETED":
                assert ended.status == "COMPLETED"
            assert sent is None or (isinstance(sent, WorkflowClosed) and ended.status == "CANCELED"), sent
            assert_sound(site, handle)
            return end

        race(once, {"COMPLETED", "CANCELED"})


def child_of(site: Site, handle: Any) -> Any:
    children = WorkflowExecution.objects.using(site.alias).filter(parent_id=handle.id)
    return wait_until(children.first, "the child to be started")


def test_one_id_started_by_many(busy_site, key):
    site = busy_site
    workflow = site.on_queue("holds_one", "default", workflow_id=key)
    command = [*MANAGE, "durable_start", "holds_one", "--input", f'{{"key": "{key}"}}', "--workflow-id", key]
    processes = [
        subprocess.Popen(
            command, cwd=ROOT, env=site.project.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    with opponents(site, 20) as at_once:
        handles = at_once(*[lambda: start_workflow(workflow, key=key)] * 20)
    said = [process.communicate(timeout=30) for process in processes]
    assert {process.returncode for process in processes} == {0}, said
    assert {str(handle) for handle in handles} | {out.strip() for out, _ in said} == {str(handles[0])}
    assert WorkflowExecution.objects.using(site.alias).filter(workflow_id=key).count() == 1
    ledger.open_gate(key)
    assert handles[0].result(timeout=30) == 1
    assert_sound(site, handles[0])
    assert len(ledger.effects(key)) == 1
