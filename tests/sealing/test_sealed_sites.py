"""Everything works with encrypted payloads, and nobody finds one in the tables, the files or the logs."""

from __future__ import annotations

import os
import shutil
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connections

from django_durable import (
    PayloadSealed,
    UpdateFailed,
    UpdateRejected,
    WorkflowFailed,
    cancel_workflow,
    get_event,
    pause_workflow,
    query_workflow,
    read_stream,
    resume_workflow,
    run_workflow,
    send_signal,
    start_workflow,
    update_workflow,
)
from django_durable.auditing import audit_project
from django_durable.models import WorkflowExecution
from durable_core.audit import Scope
from tests.crashes.killing import IMPATIENT, die_at, repeated, start_everything
from tests.crashes.proof import assert_sound
from tests.scenarios.crash_workflows import EVERYTHING
from tests.sealing.conftest import BOTH, FIRST, SECOND, ZLIB, aes
from tests.security.places import columns_with
from tests.sites import CACHES
from tests.waiting import wait_until


def said_by(*command):
    out = StringIO()
    call_command(*command, stdout=out, stderr=out)
    return out.getvalue()


@pytest.mark.parametrize("cache", CACHES)
def test_a_secret_goes_through_everything_and_is_found_nowhere(sealed, queue, canary, cache):
    site = sealed.site
    with sealed.worker(queue, ZLIB, FIRST, cache=CACHES[cache]) as worker:
        handle = start_workflow(site.on_queue("keeps_secret", queue), secret=canary)
        run = site.until_waiting(wait_until(lambda: _next_of(site, handle), "the next run"), "signal")
        long = f"{canary}!" * 200  # which is too long for a row
        assert update_workflow(handle, "take", {"what": long}, timeout=30) == [long]
        with pytest.raises(UpdateRejected, match=canary):
            update_workflow(handle, "take", {"what": ""}, timeout=30)
        with pytest.raises(UpdateFailed, match=canary):
            update_workflow(handle, "refuse", {"what": canary}, timeout=30)
        assert pause_workflow(handle, reason=canary)
        send_signal(handle, "go", {"with": canary}, dedupe_key="once")
        assert canary.encode() not in sealed.bytes_stored()
        assert columns_with(site, canary) == set()  # while it waits in the mailbox, too
        assert resume_workflow(handle)
        secrets = [canary, canary, {"left": canary}, canary, 1, 1, canary, {"with": canary}, long]
        assert handle.result(timeout=30) == secrets
        failed = start_workflow(site.on_queue("cries_out", queue), secret=canary)
        with pytest.raises(WorkflowFailed, match=canary):
            failed.result(timeout=30)
        assert get_event(handle, "secret") == canary
        assert [found.item for found in read_stream(handle)] == [canary, {"item": canary}]
        assert audit_project(scope=Scope(only=[handle.id, run.id, failed.id]), replay="strict").violations == []
    assert canary not in worker.said
    assert columns_with(site, canary) == set()
    assert canary.encode() not in sealed.bytes_stored()
    assert len(sealed.files()) > 2
    # Whoever has the key is shown all of it.
    run.refresh_from_db()
    assert query_workflow(handle)["status"] == "CONTINUED_AS_NEW"
    assert (run.input, run.result) == ({"secret": canary, "again": False}, secrets)
    assert site.execution(failed).error == f"ValueError: {canary}"
    shown = said_by("durable_status", str(run.id), "--history", "0") + said_by("durable_status", str(failed))
    assert shown.count(canary) > 10
    tasks = {task.activity_name: task for task in run.activities.all()}
    assert tasks["cries"].error == f"ValueError: {canary}"
    assert (tasks["cries"].failure["message"], tasks["cries"].input["args"]) == (canary, [canary])
    assert (tasks["whispers"].result, tasks["whispers"].error) == ({"left": canary}, "")


def _next_of(site, handle):
    return WorkflowExecution.objects.using(site.alias).filter(chain_id=handle.id).first()


@pytest.mark.promise("P1")
@pytest.mark.parametrize("point", ["decision-inside:2", "decision-committed", "outcome-inside", "decision-inside:3"])
def test_a_worker_that_is_killed_at_the_commit_loses_no_payload(sealed, queue, key, point):
    site = sealed.site
    before = dict(site.project.settings)
    sealed.threshold = 150  # so that most of it is in files
    site.project.settings.update(sealed.durable(ZLIB, FIRST))
    try:
        handle = start_everything(site, queue, key)
        die_at(point, site, queue)
        with site.project.worker("--queue-name", queue, "--threads", "1", durable=IMPATIENT):
            assert handle.result(timeout=30) == EVERYTHING
            assert_sound(site, handle)
    finally:
        site.project.settings.clear()
        site.project.settings.update(before)
    assert max(repeated(key).values()) <= 1
    for path in sealed.files():
        os.utime(path, (0, 0))
    there = len(sealed.files())
    assert "payloads were thrown away" in said_by("durable_prune_payloads")
    assert 0 < len(sealed.files()) <= there
    assert handle.result(timeout=0) == EVERYTHING
    assert_sound(site, handle)


def test_keys_are_changed_under_runs_that_go_on(sealed, queue, canary):
    site = sealed.site
    with sealed.worker(queue, FIRST, cache=0):
        first, later = (start_workflow(site.on_queue("waits_with", queue), secret=canary) for _ in range(2))
        for run in (first, later):
            site.until_waiting(run, "signal")
    with sealed.with_keys(BOTH), sealed.worker(queue, BOTH, cache=0):
        send_signal(first, "go", canary)
        assert first.result(timeout=30) == [canary, canary]
    with sealed.with_keys(SECOND), sealed.worker(queue, SECOND, cache=0):
        assert first.result() == [canary, canary]  # its result was sealed with the new key
        send_signal(later, "go", canary)
        blocked = site.until(later, "BLOCKED")
        assert "sealed with the key 'k1', which is not here: 'k2' is" in blocked.error
        assert start_workflow(site.on_queue("tells_secret", queue), secret=1).result(timeout=30) == 1
    with sealed.with_keys(BOTH), sealed.worker(queue, BOTH, cache=0):
        assert later.result(timeout=30) == [canary, canary]  # by itself, for the key is back


def test_an_activity_waits_uncharged_for_a_worker_with_the_key(sealed, queue, canary):
    site = sealed.site
    with sealed.worker(queue, FIRST):
        handle = start_workflow(site.on_queue("echoes_secret", queue), secret=canary, queue=f"{queue}-b")
        wait_until(lambda: site.tasks(handle), "the activity")
    with sealed.worker(f"{queue}-b", SECOND) as stranger:
        site.until_waiting(handle, "worker")
        [task] = site.tasks(handle)
        assert (task.status, task.attempt) == ("QUEUED", 0)
        assert "its payload is sealed" in stranger.said
    with sealed.worker(queue, FIRST), sealed.worker(f"{queue}-b", FIRST):
        assert handle.result(timeout=30) == canary
    assert [task.attempt for task in site.tasks(handle)] == [1]


def test_a_site_with_a_history_begins_to_encrypt_and_stops_again(sealed, queue, canary):
    site = sealed.site
    with sealed.with_keys(), sealed.worker(queue, cache=0):
        plain = [start_workflow(site.on_queue("waits_with", queue), secret=canary) for _ in range(2)]
        for run in plain:
            site.until_waiting(run, "signal")
    with sealed.worker(queue, FIRST, cache=0):
        send_signal(plain[0], "go", 1)
        assert plain[0].result(timeout=30) == [canary, 1]
        ours = start_workflow(site.on_queue("waits_with", queue), secret=canary)
        site.until_waiting(ours, "signal")
    assert '"\\u0024' in _column(site, "workflowexecution", "input", ours.id)
    only_opens = aes("k1", use=None)
    with sealed.with_keys(only_opens), sealed.worker(queue, only_opens, cache=0):
        for run in (plain[1], ours):
            send_signal(run, "go", 2)
            assert run.result(timeout=30) == [canary, 2]
    assert "\\u0024" not in _column(site, "workflowexecution", "result", ours.id)


def _column(site, table, column, run_id):
    with connections[site.alias].cursor() as cursor:
        value = run_id.hex if site.on_sqlite else run_id
        cursor.execute(f'SELECT "{column}" FROM "django_durable_{table}" WHERE id = %s', [value])
        return cursor.fetchone()[0]


def test_rows_that_were_swapped_in_the_database_are_refused(sealed, queue, canary):
    site = sealed.site
    with sealed.worker(queue, FIRST, cache=0):
        mine, other = (start_workflow(site.on_queue("waits_with", queue), secret=n) for n in ("mine", "other"))
        for run in (mine, other):
            site.until_waiting(run, "signal")
    events = site.execution(mine).history.order_by("seq").first(), site.execution(other).history.order_by("seq").first()
    table = '"django_durable_historyevent"'
    with connections[site.alias].cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET details = (SELECT details FROM {table} WHERE id = %s) WHERE id = %s",
            [events[1].pk, events[0].pk],
        )
    assert "(sealed: it does not fit the key 'k1' and its row" in str(site.execution(mine).history.first().details)
    with sealed.worker(queue, FIRST, cache=0):
        for run in (mine, other):
            send_signal(run, "go")
        assert other.result(timeout=30) == ["other", None]
        assert "does not fit the key 'k1' and its row" in site.until(mine, "BLOCKED").error


def test_a_payload_whose_file_is_gone_is_waited_for(sealed, queue, canary):
    site, long = sealed.site, canary * 99
    with sealed.with_keys(FIRST), sealed.worker(queue, FIRST, cache=0):
        handle = start_workflow(site.on_queue("waits_with", queue), secret=long)
        site.until_waiting(handle, "signal")
        shutil.move(sealed.folder, f"{sealed.folder}-away")
        send_signal(handle, "go")
        assert "the payload store has no" in site.until(handle, "BLOCKED").error
        shutil.move(f"{sealed.folder}-away", sealed.folder)
        assert handle.result(timeout=30) == [long, None]


def test_whoever_has_no_key_is_told_so_and_nothing_breaks(sealed, queue, canary, admin):
    site = sealed.site
    with sealed.worker(queue, FIRST):
        done = start_workflow(site.on_queue("tells_secret", queue), secret=canary)
        assert done.result(timeout=30) == canary
        waits = start_workflow(site.on_queue("keeps_secret", queue), secret=canary, again=False)
        site.until_waiting(waits, "signal")
    for codecs in ((), (SECOND,)):
        with sealed.with_keys(*codecs):
            with pytest.raises(PayloadSealed):
                done.result()
            assert "(sealed:" in query_workflow(done)["result"]
            for run in (done, waits):
                for form in ("text", "json"):
                    assert "(sealed:" in said_by("durable_status", str(run), "--format", form)
            assert "payloads that cannot be opened here" in " ".join(said_by("durable_audit").split())
            assert "(sealed:" in admin("workflowexecution", waits.id)
            for task in site.tasks(waits):
                assert "(sealed:" in admin("activitytask", task.pk)
            with pytest.raises(PayloadSealed):
                get_event(waits, "secret")
            with pytest.raises(PayloadSealed):
                list(read_stream(waits, follow=False))
    assert cancel_workflow(waits)


def test_run_workflow_in_one_process_seals_too(sealed, canary):
    assert run_workflow("tells_secret", secret=canary) == canary
    assert columns_with(sealed.site, canary) == set()
