"""Trees of a thousand children: they all come to their end, and a cancel of the root reaches every one."""

from __future__ import annotations

from collections import Counter

from django_durable import cancel_workflow
from django_durable.models import WorkflowExecution
from tests.waiting import wait_until

WIDTHS = [10, 10, 9]  # 10 + 100 + 900 children
RUNS = 1 + 10 + 100 + 900


def statuses_of_tree(site, handle):
    """How many runs of the tree are in each status."""
    rows = WorkflowExecution.objects.using(site.alias)
    found: Counter[str] = Counter()
    level = [handle.id]
    while level:
        found.update(rows.filter(id__in=level).values_list("status", flat=True))
        level = list(rows.filter(parent_id__in=level).values_list("id", flat=True))
    return found


def test_a_tree_of_a_thousand_children_comes_to_its_end(site):
    handle = site.start("grows", widths=WIDTHS)
    assert handle.result(timeout=60) == RUNS
    assert statuses_of_tree(site, handle) == {"COMPLETED": RUNS}


def test_a_thousand_children_of_one_run_come_to_their_end(site):
    handle = site.start("grows", widths=[1_000])
    assert handle.result(timeout=60) == 1_001


def test_a_cancel_reaches_a_thousand_children(site):
    handle = site.start("grows_and_waits", widths=WIDTHS)
    wait_until(lambda: sum(statuses_of_tree(site, handle).values()) == RUNS, "the whole tree")
    assert cancel_workflow(handle) is True
    wait_until(
        lambda: statuses_of_tree(site, handle) == {"CANCELED": RUNS},
        lambda: f"all to be canceled; there are {statuses_of_tree(site, handle)}",
    )
