"""A rolling deploy: workers with old code meet runs that need the new one."""

from __future__ import annotations

from tests.crashes.proof import assert_sound, until_up
from tests.scenarios import ledger


def test_old_worker_leaves_what_it_does_not_know_to_a_new_one(quiet_site, queue, key):
    site = quiet_site
    both = f"{queue},{queue}-activities"
    with site.project.worker("--queue-name", queue):  # a new one, which leaves the activity to others
        orders = site.on_queue("orders_newly_written", queue)
        activity = site.start(orders, key=f"{key}-activity", queue=f"{queue}-activities")
        site.until_waiting(activity, "activity")
    with site.project.worker("--queue-name", both, DURABLE_TEST_CODE="1") as old:
        until_up(site, old)
        workflow = site.start(site.on_queue("newly_written_workflow", queue), key=f"{key}-workflow")
        for handle, wanted in ((workflow, "workflow 'newly_written_workflow'"), (activity, "activity 'newly_written'")):
            waiting = site.until_waiting(handle, "worker").waiting_for
            assert waiting["what"] == f"a worker that has {wanted}"
        assert site.execution(workflow).status == "PENDING"
        assert site.history(workflow) == []
        [task] = site.tasks(activity)
        assert (task.status, task.attempt) == ("QUEUED", 0)  # nothing is charged
        assert site.run_on(queue, "marks", key=f"{key}-other") == 1  # the old one goes on with what it knows
        assert old.stop() == 0
        assert "no workflow 'newly_written_workflow' here" in old.said
        assert 1 <= old.said.count("no activity 'newly_written' here") <= 3  # with delays of 5 s, not as fast as it can
    with site.project.worker("--queue-name", both) as new:
        assert workflow.result(timeout=30) == "new"
        assert activity.result(timeout=30) == 1
        for handle in (workflow, activity):
            assert_sound(site, handle)
        assert {int(line.split()[0]) for line in ledger.effects(f"{key}-activity")} == {new.pid}
    assert len(ledger.effects(f"{key}-workflow")) == len(ledger.effects(f"{key}-activity")) == 1
