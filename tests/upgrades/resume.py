"""Go on with a database in the middle of its life: today's worker, the release's code.

    python -m tests.upgrades.resume v0_1_0 URL FOLDER SETTINGS

Prints as JSON how each run ended, by its workflow_id, and what durable_audit says.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from tests.harness import Project
from tests.upgrades.releases import Release
from tests.waiting import wait_until


def main() -> None:
    name, url, folder, settings = sys.argv[1:]
    release, project = Release(name), Project(url, Path(folder), json.loads(settings))
    release.become(project)
    from django_durable.models import WorkflowExecution

    midlife = import_module(f"{release.package}.midlife")
    runs = WorkflowExecution.objects.filter(workflow_id__isnull=False)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(release.worker(project, "--queue-name", midlife.QUEUES))
        midlife.go_on()
        still = runs.filter(finished_at=None)
        wait_until(
            lambda: not still.exists(), lambda: f"the end of {[(r.workflow_id, r.status, r.error) for r in still]}"
        )
    audited = project.manage("durable_audit", "--replay", "strict", "--json", **release.environment)
    assert audited.stdout, audited.stderr
    print(
        json.dumps(
            {
                "ends": {run.workflow_id: (run.status, run.result) for run in runs},
                "expected": midlife.ENDS,
                "audit": json.loads(audited.stdout),
            }
        )
    )


if __name__ == "__main__":
    main()
