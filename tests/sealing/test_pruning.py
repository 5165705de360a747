"""What no row names is thrown away, and nothing that anybody may still name."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from io import StringIO

from django.core.management import call_command
from django.db import connections, transaction

from django_durable import start_workflow
from django_durable.models import WorkflowExecution
from django_durable.pruning import prune
from durable_core.sealing import FilePayloadStore
from tests.sealing.conftest import FIRST


def grow_old(sealed):
    for path in sealed.files():
        os.utime(path, (0, 0))


def prune_now(*options):
    out = StringIO()
    call_command("durable_prune_payloads", *options, stdout=out)
    return out.getvalue().strip()


def test_what_no_row_names_is_thrown_away(sealed, queue, canary):
    site, long = sealed.site, canary * 99
    with sealed.with_keys(FIRST), sealed.worker(queue, FIRST) as _:
        kept, gone = (start_workflow(site.on_queue("cries_out", queue), secret=long) for _ in range(2))
        for run in (kept, gone):
            site.until(run, "FAILED")
        grow_old(sealed)
        files = len(sealed.files())  # of each: its input, its start, its end, its error
        assert files == 8
        site.execution(gone).delete()
        assert prune_now("--dry-run") == "4 payloads would be thrown away; 4 old ones are named by rows."
        assert len(sealed.files()) == files
        assert prune_now() == "4 payloads were thrown away; 4 old ones are named by rows."
        assert len(sealed.files()) == 4
        assert site.execution(kept).error == f"ValueError: {long[:10_000]}"
        assert site.execution(kept).input == {"secret": long}


def test_every_column_is_looked_at(sealed, queue, canary):
    """Each payload of the tables is longer than a row may be."""
    site = sealed.site
    sealed.threshold = 0
    with sealed.with_keys(FIRST), sealed.worker(queue, FIRST):
        handle = start_workflow(site.on_queue("keeps_secret", queue), secret=canary, again=False)
        site.until_waiting(handle, "signal")
        grow_old(sealed)
        named = len(sealed.files())
        prune_now()
        # What was only mail, or was replaced, is gone; all that a row names is there.
        assert 0 < len(sealed.files()) <= named
        shown = StringIO()
        call_command("durable_status", str(handle.id), "--history", "0", stdout=shown)
        for rows in ("history", "activities", "events", "items"):
            for row in getattr(site.execution(handle), rows).all():
                assert "(sealed:" not in str(
                    [getattr(row, name) for name in (*row.sealed_payloads, *row.sealed_failures)]
                )
        assert "(sealed:" not in shown.getvalue()


def test_what_an_open_transaction_will_name_stays(sealed, canary):
    site = sealed.site
    with sealed.with_keys(FIRST):
        with transaction.atomic(using=site.alias):
            run = start_workflow("cries_out", secret=canary * 99)
            there = len(sealed.files())
            pruned = _in_another_thread(
                lambda: prune(_store(sealed), site.alias, datetime.now(UTC) - timedelta(hours=1))
            )
            assert (pruned.gone, len(sealed.files())) == (0, there)
            if not site.on_sqlite:  # where it can be seen how long others have been at it
                pruned = _in_another_thread(lambda: prune(_store(sealed), site.alias, datetime.now(UTC)))
                assert (pruned.gone, len(sealed.files())) == (0, there)
        assert WorkflowExecution.objects.using(site.alias).get(pk=run.id).input == {"secret": canary * 99}


def _store(sealed):
    return FilePayloadStore(directory=sealed.folder)


def _in_another_thread(work):
    found = []

    def run():
        found.append(work())
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    return found[0]
