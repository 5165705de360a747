"""What people answer is sealed, and sealed runs go on in forks and after their end. No database has a part in it."""

from __future__ import annotations

import pytest

from django_durable import WorkflowFailed, answer_task, fork_workflow, retry_workflow, send_signal, start_workflow
from django_durable.auditing import audit_project
from django_durable.models import HumanTask
from durable_core.audit import Scope
from tests.scenarios import ledger
from tests.sealing.conftest import FIRST, SECOND
from tests.security.places import columns_with
from tests.waiting import wait_until

pytestmark = pytest.mark.parametrize("sealed_site_on", ["sqlite"], indirect=True)


def violations_of(*runs):
    return audit_project(scope=Scope(only=[run.id for run in runs]), replay="strict").violations


def found_nowhere(sealed, canary):
    return columns_with(sealed.site, canary) == set() and canary.encode() not in sealed.bytes_stored()


def test_what_people_answer_is_sealed_and_why_they_need_not(sealed, queue, canary):
    site = sealed.site
    with sealed.worker(queue, FIRST):
        handle = start_workflow(site.on_queue("asks_about", queue), secret=canary)
        site.until_waiting(handle, "task")
    asked = HumanTask.objects.using(site.alias).filter(execution=handle.id)
    withdrawn = wait_until(asked.filter(status="CANCELED").first, "the end of the other question")
    assert withdrawn.reason == "canceled by its workflow"
    task = asked.get(status="OPEN")
    answer_task(task, {"what": canary}, by="ann")
    assert columns_with(site, canary) == set()  # while it waits in the mailbox, too
    task.refresh_from_db()
    assert (task.answer, task.answered_by) == ({"what": canary}, "ann")
    with sealed.with_keys(SECOND):
        assert canary not in str(asked.get(pk=task.pk).answer)
    with sealed.worker(queue, FIRST) as worker:
        assert handle.result(timeout=30) == [{"what": canary}, f"no {canary}"]
        assert violations_of(handle) == []
    assert canary not in worker.said
    assert found_nowhere(sealed, canary)


def test_a_sealed_run_is_forked_and_reopened(sealed, queue, key, canary):
    site = sealed.site
    with sealed.worker(queue, FIRST, cache=0) as worker:
        origin = start_workflow(site.on_queue("goes_on_once_mended", queue), secret=canary, key=key)
        send_signal(origin, "go", {"with": canary})
        with pytest.raises(WorkflowFailed, match=f"mend me: {canary}"):
            origin.result(timeout=30)
        ledger.open_gate(key)
        heard = site.execution(origin).history.get(type="signal_received").seq
        fork = fork_workflow(origin, heard)  # which has not heard it
        assert found_nowhere(sealed, canary)
        send_signal(fork, "go", {"but": canary})
        assert fork.result(timeout=30) == [canary, {"but": canary}, canary, canary]
        retry_workflow(origin, reason=canary)
        assert origin.result(timeout=30) == [canary, {"with": canary}, canary, canary]
        assert violations_of(origin, fork) == []
    assert canary not in worker.said
    assert found_nowhere(sealed, canary)
