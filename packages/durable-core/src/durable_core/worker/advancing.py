"""One run, as far as it can go: to a proposal, or to what else is to become of it."""

from __future__ import annotations

import logging
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from durable_core import events as e
from durable_core.codec import opened
from durable_core.crashpoints import crashpoint
from durable_core.decision import WARN_HISTORY
from durable_core.ending import end_from_outside
from durable_core.errors import CodeFailed, CodeStuck, NewerCodeNeeded, NondeterminismError, PayloadSealed, did_you_mean
from durable_core.execution import Status
from durable_core.logs import sketch
from durable_core.worker.activities import unknown_name
from durable_core.worker.proposals import MENDED_CODE, propose
from durable_core.worker.slots import Proposal

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from durable_core.decision import Decision
    from durable_core.definitions import Registry
    from durable_core.ports import Commit, RunRecord
    from durable_core.replay import WorkflowRun
    from durable_core.worker.activities import ActivityDesk
    from durable_core.worker.liveness import CodeWatch
    from durable_core.worker.settings import WorkerSettings
    from durable_core.worker.slots import Slot

logger = logging.getLogger("durable.worker")


class Block(NamedTuple):
    """The run waits for its code to be mended, or for what opens its payloads."""

    error: str
    tries_again: bool = True  # by itself, now and then
    told: str = ""  # what logs say instead, where *error* has the text of somebody's exception
    waits_for: str = MENDED_CODE


class End(NamedTuple):
    """The run closes, whatever its code would say."""

    commit: Commit


class Leave(NamedTuple):
    """The run is for a worker that has other code."""

    waiting_for: str


class Nothing(Enum):
    """There is nothing to write."""

    TO_DO = "the run may leave memory"
    NEW = "the run goes on waiting"


Advance = Proposal | End | Block | Leave | Nothing


class Advancer:
    def __init__(
        self,
        registry: Registry,
        settings: WorkerSettings,
        activities: ActivityDesk,
        watch: CodeWatch,
        worker_id: UUID,
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._activities = activities
        self._watch = watch
        self._worker_id = worker_id

    def advance(
        self, slot: Slot, now: datetime, *, reserved: int, again_at: datetime | None, draining: bool
    ) -> Advance:
        """Let a run go on as far as it can.

        *reserved* places for activities were promised to other runs. *again_at* is when to look again after what a
        lossy queue may have lost; None for a queue that cannot.
        """
        record, run = slot.record, slot.run
        if record is None:
            return Nothing.TO_DO  # closed meanwhile, or its start was rolled back
        if record.paused_at is not None:
            return _end(slot, record, now) or Nothing.TO_DO
        if slot.crashes >= self._settings.max_crashes:
            return _end(slot, record, now) or self._give_up(slot)
        if run is None:
            hint = did_you_mean(record.workflow_name, self._registry.workflows)
            logger.warning(
                "no workflow %r here (%s); left for another worker", record.workflow_name, hint, extra=ids_of(slot)
            )
            return Leave(unknown_name("workflow", record.workflow_name))
        if record.start_at is not None and record.start_at > now and not slot.history_length:
            return Nothing.TO_DO  # a signal came before its time; the scheduler knows when
        try:
            with self._watch.over(run):
                decision = _decide(slot, record, run, now)
        except NewerCodeNeeded as newer:
            logger.warning("%s", newer, extra=ids_of(slot))
            return Leave(unknown_name("workflow version", record.workflow_name))
        except PayloadSealed as problem:
            return _end(slot, record, now) or Block(f"PayloadSealed: {problem}", waits_for="what opens its payloads")
        except (NondeterminismError, CodeFailed) as problem:
            cause = problem.__cause__
            return _end(slot, record, now) or Block(
                f"{type(problem).__name__}: {problem}", told="" if cause is None else sketch(cause)
            )
        except CodeStuck:
            return _end(slot, record, now) or Block(
                "CodeStuck: the workflow's code ran for too long without a ctx call"
            )
        for warning in decision.warnings:
            logger.warning("%s", warning, extra=ids_of(slot))
        if not _is_news(decision, slot):
            return Nothing.NEW
        _warn_of_length(decision, slot, run)
        worker_id = None if draining else self._worker_id
        starts_here = _never if draining or decision.status.is_closed else self._promise(reserved)
        return propose(slot, decision, now, worker_id=worker_id, starts_here=starts_here, again_at=again_at)

    def _give_up(self, slot: Slot) -> Advance:
        if slot.status is Status.BLOCKED:
            return Nothing.TO_DO
        return Block(
            f"WorkerDied: {slot.crashes} workers died while they ran this workflow's code. It is not tried again by "
            "itself: mend the code, then use durable_retry.",
            tries_again=False,
        )

    def _promise(self, reserved: int) -> Callable[[str, str], bool]:
        """Gives the places that are left to the activities of one run, by (name, queue)."""
        promised = reserved

        def starts_here(name: str, queue: str) -> bool:
            nonlocal promised
            here = self._serves(queue) and self._activities.starts_here(name, promised)
            promised += here
            return here

        return starts_here

    def _serves(self, queue: str) -> bool:
        settings = self._settings
        return queue in settings.queues if settings.queues else queue not in settings.exclude


def _end(slot: Slot, record: RunRecord, now: datetime) -> End | None:
    """The end of a run whose code is not asked, be it paused or unable to go on; None: it has not come yet."""
    if slot.end is None:
        return None
    last = max((event.created_at for event in slot.history or ()), default=now)
    return End(end_from_outside(record, slot.mail, slot.end, max(now, last), children=slot.children))


def _never(name: str, queue: str) -> bool:
    return False


def _decide(slot: Slot, record: RunRecord, run: WorkflowRun, now: datetime) -> Decision:
    if slot.history is not None:
        run.replay(slot.history)
        slot.history = None
        crashpoint("run-replayed")
    facts: list[e.HistoryEvent] = []
    if not run.history_length:
        facts.append(e.WorkflowStarted(workflow_name=record.workflow_name, input=opened(record.input)))
    facts += [e.event_of(e.EventRecord(0, mail.type, mail.call_id, mail.details, now)) for mail in slot.mail]
    facts += [outcome.fact for outcome in slot.outcomes if outcome.fact is not None]
    decision = run.advance([*facts, *slot.ended], now)
    slot.local = decision.local
    return decision


def _is_news(decision: Decision, slot: Slot) -> bool:
    # A run that waits for a time is written even so: whoever woke it has taken its due_at away.
    # And mail that meant nothing new is read all the same, or it would wake the run again and again.
    return bool(
        decision.events
        or decision.is_first  # nobody knows yet what it waits for
        or slot.mail
        or decision.wake_at is not None
        or slot.status is Status.BLOCKED
        or slot.crashes
    )


def _warn_of_length(decision: Decision, slot: Slot, run: WorkflowRun) -> None:
    if run.history_length >= WARN_HISTORY > run.history_length - len(decision.events):
        logger.warning(
            "a history has %d events; split the work into child workflows before it reaches the limit",
            run.history_length,
            extra=ids_of(slot),
        )


def ids_of(slot: Slot) -> dict[str, str]:
    """What a message in the log is about."""
    name = slot.record.workflow_name if slot.record is not None else ""
    return {"execution_id": str(slot.run_id), "workflow_name": name}
