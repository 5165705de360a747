"""The main job, once through."""

from __future__ import annotations

import pytest

from django_durable import send_signal
from tests.scenarios import ledger
from tests.waiting import wait_until


def test_onboarding_runs_to_its_end(site, key):
    handle = site.start("onboarding", key=key)
    send_signal(handle, "clicked", {"clicked": True})
    ledger.open_gate(f"{key}-gated")
    assert handle.result(timeout=30) == ["hello", {"clicked": True}]
    assert len(ledger.effects(f"{key}-welcome")) == 1


def test_none_is_a_result(site):
    assert site.run("returns") is None


@pytest.mark.promise("P1")
def test_onboarding_survives_sigkill(quiet_site, queue, key):
    site = quiet_site
    handle = site.start(site.on_queue("onboarding", queue), key=key)
    with site.project.worker("--queue-name", queue) as first:
        send_signal(handle, "clicked", 7)
        wait_until(lambda: ledger.effects(f"{key}-gated"), "the activity to begin")
        first.kill()
    ledger.open_gate(f"{key}-gated")
    with site.project.worker("--queue-name", queue):
        assert handle.result(timeout=30) == ["hello", 7]
    assert len(ledger.effects(f"{key}-welcome")) == 1
    assert len(ledger.effects(f"{key}-gated")) == 2
