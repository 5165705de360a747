"""Which tests prove the promises of docs/explanation/semantics.md.

    @pytest.mark.promise("P3")
    def test_stale_worker_cannot_complete_a_reclaimed_task(): ...

Mark a test that fails when the promise is broken and goes through what users go through. tests/proofs.py reads the
marks from the sources, for the list in the documentation; ``pytest -m promise`` runs them all.
"""

from __future__ import annotations

import pytest

PROMISES = tuple(f"P{number}" for number in range(1, 11))

# Cases of the contract suites. They are shipped, to projects that do not know our marker.
CONTRACT_CASES: dict[str, tuple[str, ...]] = {
    "test_entry_and_run_appear_together": ("P1",),
    "test_entry_of_a_rolled_back_transaction_does_not_exist": ("P1",),
    "test_concurrent_creates_with_one_workflow_id_make_one_run": ("P2",),
    "test_open_run_keeps_its_workflow_id": ("P2",),
    "test_workflow_id_is_free_again_after_close": ("P2",),
    "test_second_outcome_of_an_attempt_is_refused_and_not_mailed": ("P3",),
    "test_stale_token_cannot_complete_a_reclaimed_task": ("P3",),
    "test_two_reports_of_one_attempt_cannot_both_be_accepted": ("P3",),
    "test_what_a_buried_worker_reports_later_is_refused": ("P3",),
    "test_bury_answers_what_the_dead_were_running": ("P4",),
    "test_letters_are_kept_in_order": ("P6",),
    "test_concurrent_deliveries_lose_nothing": ("P6",),
    "test_closing_commit_with_unread_mail_is_refused_and_writes_nothing": ("P6",),
    "test_run_cannot_close_while_a_letter_is_on_its_way": ("P6",),
    "test_closed_run_is_a_conflict": ("P7",),
    "test_two_commits_on_one_version_cannot_both_succeed": ("P7",),
    "test_task_named_twice_is_claimed_once": ("P9",),
    "test_unread_mail_is_due_before_long": ("P9",),
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(*names): proves these of the promises P1 to P10")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark contract cases, and refuse what is no promise."""
    function = getattr(item, "originalname", item.name)
    if function in CONTRACT_CASES:
        item.add_marker(pytest.mark.promise(*CONTRACT_CASES[function]))
    for mark in item.iter_markers("promise"):
        if not mark.args or mark.kwargs or (unknown := [name for name in mark.args if name not in PROMISES]):
            told = f"knows no {unknown[0]!r}" if mark.args and not mark.kwargs else "wants names only"
            raise pytest.UsageError(f"{item.nodeid}: the marker promise {told}; there are {', '.join(PROMISES)}")
