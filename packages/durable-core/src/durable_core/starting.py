"""Runs that are started: which of them come to be, where others have had their workflow_ids, or have them now.

An id that is free is taken by inserting the run; what had it before is looked for only then. So whoever starts, ends or
reopens runs with the same id at the same time stands either before that, and is seen, or waits behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from durable_core.errors import ConfigurationError, StoreUnavailable, WorkflowAlreadyStarted
from durable_core.execution import Status
from durable_core.options import IdConflictPolicy, IdReusePolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from durable_core.options import WorkflowOptions
    from durable_core.ports import Created, HistoryStore, NewRun

ATTEMPTS = 5  # at taking an id that others take at the same time
BATCH = 1_000  # runs that are inserted by one statement


class Start(NamedTuple):
    """A run to be created, and what its caller wants where it has company."""

    run: NewRun
    reuse: IdReusePolicy
    conflict: IdConflictPolicy


def start_of(run: NewRun, options: WorkflowOptions) -> Start:
    """Raises `ConfigurationError` for policies that mean nothing."""
    if run.workflow_id is None and (options.id_reuse_policy or options.id_conflict_policy):
        raise ConfigurationError(
            f"workflow {run.workflow_name!r} was given a policy for its workflow_id, and no workflow_id: expected "
            "using(workflow_id=..., id_reuse_policy=..., id_conflict_policy=...)."
        )
    reuse = options.id_reuse_policy or IdReusePolicy.ALLOW_DUPLICATE
    conflict = options.id_conflict_policy or IdConflictPolicy.USE_EXISTING
    if conflict is IdConflictPolicy.TERMINATE_EXISTING and reuse is IdReusePolicy.REJECT_DUPLICATE:
        raise ConfigurationError(
            f"workflow {run.workflow_name!r}: terminate_existing ends a run to take its workflow_id, which "
            "reject_duplicate forbids. Choose one."
        )
    return Start(run, reuse, conflict)


class Starter:
    """*cancel* ends the run of an id, if it is open; *check_same* raises unless a found run is the same again."""

    def __init__(
        self,
        store: HistoryStore,
        *,
        cancel: Callable[[UUID], None],
        check_same: Callable[[Created, NewRun], None],
    ) -> None:
        self._store = store
        self._cancel = cancel
        self._check_same = check_same

    def begin(self, starts: Sequence[Start]) -> list[Created]:
        """The runs that there are now, in the order of *starts*; in the caller's transaction, all or nothing.

        Raises `WorkflowAlreadyStarted`.
        """
        made: list[Created] = []
        for first in range(0, len(starts), BATCH):
            batch = starts[first : first + BATCH]
            found = self._store.create([start.run for start in batch])
            made += [self._settled(start, created) for start, created in zip(batch, found, strict=True)]
        return made

    def check_reuse(self, start: Start) -> None:
        """For a run that was just created."""
        run = start.run
        if run.workflow_id is None or start.reuse is IdReusePolicy.ALLOW_DUPLICATE:
            return
        last = self._store.last_of(run.workflow_id, besides=run.id)
        if last is None:
            return
        if start.reuse is IdReusePolicy.REJECT_DUPLICATE or last.status is Status.COMPLETED:
            raise WorkflowAlreadyStarted(
                f"workflow_id {run.workflow_id!r} has been used: run {last.id} of {last.workflow_name!r} is "
                f"{last.status}, and {start.reuse} starts no other.",
                execution_id=last.id,
            )

    def _settled(self, start: Start, created: Created) -> Created:
        for _ in range(ATTEMPTS):
            if created.created:
                self.check_reuse(start)
                return created
            match start.conflict:
                case IdConflictPolicy.USE_EXISTING:
                    self._check_same(created, start.run)
                    return created
                case IdConflictPolicy.FAIL:
                    raise WorkflowAlreadyStarted(
                        f"workflow_id {start.run.workflow_id!r} belongs to the open run {created.run_id} of "
                        f"{created.workflow_name!r}.",
                        execution_id=created.run_id,
                    )
                case IdConflictPolicy.TERMINATE_EXISTING:
                    self._cancel(created.run_id)
                    [created] = self._store.create([start.run])
        raise StoreUnavailable(f"workflow_id {start.run.workflow_id!r} keeps changing hands", ambiguous=False)
