"""The worker's side of runs: load, advance, commit.

Whatever goes wrong with a decision has one answer: forget the run, hand the outcomes of its local activities to the
store (which refuses what it has already), and let the queue bring the run back. Fencing makes that safe even when
nobody knows whether a commit arrived.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from durable_core import events as e
from durable_core.context import WorkflowInfo
from durable_core.crashpoints import crashpoint
from durable_core.decision import WARN_HISTORY, CodeFailed
from durable_core.errors import CodeStuck, NewerCodeNeeded, NondeterminismError, StoreUnavailable, did_you_mean
from durable_core.execution import Status
from durable_core.ports import REDELIVERY, Verdict
from durable_core.replay import WorkflowRun
from durable_core.worker.activities import UNKNOWN_NAME_DELAY, unknown_name
from durable_core.worker.proposals import propose, propose_block
from durable_core.worker.slots import Proposal, Slot, SlotTable
from durable_core.worker.units import unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from uuid import UUID

    from durable_core.decision import Decision
    from durable_core.definitions import Registry
    from durable_core.ports import Claim, CommitResult, HistoryStore, LoadedRun, TaskOutcome, TaskQueue
    from durable_core.worker.activities import ActivityDesk
    from durable_core.worker.liveness import CodeWatch
    from durable_core.worker.settings import WorkerSettings

logger = logging.getLogger("durable.worker")

SUSPECT_DELAY = timedelta(milliseconds=100)


class RunDesk:
    """Runs that got something to work on, and the cache of those that wait."""

    def __init__(
        self,
        store: HistoryStore,
        queue: TaskQueue,
        registry: Registry,
        settings: WorkerSettings,
        activities: ActivityDesk,
        watch: CodeWatch,
        worker_id: UUID,
    ) -> None:
        self._store = store
        self._queue = queue
        self._registry = registry
        self._settings = settings
        self._activities = activities
        self._watch = watch
        self._worker_id = worker_id
        self._slots = SlotTable(settings.cache_size)
        self._dirty: dict[UUID, Slot] = {}  # to be worked on in this round
        self._spent: list[Claim] = []  # claims that lead to nothing more
        self._released: list[tuple[timedelta | None, list[Claim]]] = []
        self._notes: dict[UUID, str] = {}  # what runs wait for that this worker cannot go on with
        self.draining = False
        self.wake_at: datetime | None = None  # the earliest timer among this round's commits

    @property
    def dirty(self) -> int:
        return len(self._dirty)

    @property
    def is_busy(self) -> bool:
        """Whether a decision waits for a row that somebody holds."""
        return any(slot.proposal is not None for slot in self._dirty.values())

    def undecided(self) -> Iterator[UUID]:
        """Tasks that have ended here, and whose outcomes wait to be committed with their runs."""
        for slot in self._slots:
            yield from (outcome.task_id for outcome in slot.outcomes)
            if slot.proposal is not None:
                yield from (outcome.task_id for outcome in slot.proposal.outcomes)

    def claimed(self, claim: Claim) -> None:
        """A queue entry says that a run wants attention."""
        slot = self._slots.touch(claim.entry.ref)
        slot.claims.append(claim)
        slot.must_read_mail = True
        self._dirty[slot.run_id] = slot

    def accept(self, outcome: TaskOutcome) -> None:
        """A run that is in memory here takes an outcome directly; any other one by mail."""
        slot = self._slots.get(outcome.run_id)
        if slot is not None:
            slot.running_here = max(slot.running_here - 1, 0)
        if outcome.fact is None or slot is None or slot.run is None:
            self._activities.report(outcome)
            return
        slot.outcomes.append(outcome)
        self._dirty[slot.run_id] = slot

    def decide(self) -> bool:
        """Advance and commit every run that got something; whether any did."""
        slots, self._dirty = list(self._dirty.values()), {}
        try:
            self._load(slots)
            # Suspects go last and alone: one that kills this process must not have others' claims beside its own, nor
            # an activity that would be given up for it.
            suspects = [slot for slot in slots if slot.crashes]
            welcome = 0 if self._activities.holds_suspect else 1
            for surplus in suspects[welcome:]:
                self._disown(surplus, delay=SUSPECT_DELAY)
            self._work_on([slot for slot in slots if slot not in suspects])
            if suspects:
                self._flush_claims()
                self._work_on(suspects[:welcome])
        except StoreUnavailable:
            # What a slot holds, such as the outcome of an activity that ran here, is known to nobody else.
            left = {slot.run_id: slot for slot in slots if self._slots.get(slot.run_id) is slot}
            self._dirty = left | self._dirty
            raise
        self._flush_claims()
        self._slots.shrink()
        return bool(slots)

    def forget_all(self) -> None:
        """Drop every run and give back every claim; the store knows all that was committed."""
        for slot in self._slots:
            self._disown(slot)
        self._dirty = {}

    def release(self, claims: list[Claim]) -> None:
        """Hand claims back at the next opportunity."""
        self._released.append((None, claims))

    def release_claims(self) -> None:
        """Hand back what is left over."""
        self._flush_claims()

    # Loading

    def _load(self, slots: list[Slot]) -> None:
        cold = [slot for slot in slots if slot.run is None]
        if cold:
            loaded = self._store.load([slot.run_id for slot in cold])
            for slot in cold:
                self._revive(slot, loaded.get(slot.run_id))
        warm = [slot for slot in slots if slot.must_read_mail and slot.proposal is None]
        if warm:
            unread = self._store.unread([slot.run_id for slot in warm])
            for slot in warm:
                slot.mail = unread.get(slot.run_id, [])
                slot.must_read_mail = False

    def _revive(self, slot: Slot, loaded: LoadedRun | None) -> None:
        slot.must_read_mail = False
        if loaded is None or loaded.record.status.is_closed:
            return
        record = loaded.record
        slot.record, slot.mail = record, loaded.mail
        slot.version, slot.history_length = record.version, record.history_length
        slot.status, slot.failures, slot.crashes = record.status, record.failures, record.crashes
        definition = self._registry.workflows.get(record.workflow_name)
        if definition is None:
            return
        info = WorkflowInfo(
            execution_id=record.id,
            workflow_name=record.workflow_name,
            workflow_id=record.workflow_id,
            parent_id=record.parent_id,
            queue=record.queue,
            priority=record.priority,
            created_at=record.created_at,
            deadline=record.deadline,
        )
        slot.run = WorkflowRun(definition, info, self._registry, self._settings.run)
        slot.history = loaded.events

    # Advancing

    def _work_on(self, slots: Iterable[Slot]) -> None:
        """Advance all, then commit all. Nothing in between asks the store: an outage there would lose decisions that
        the code has gone past already."""
        now = self._store.now()
        proposals: list[tuple[Slot, Proposal]] = []
        reserved = 0
        for slot in slots:
            proposal = slot.proposal or self._advance(slot, now, reserved)
            if proposal is not None:
                proposals.append((slot, proposal))
                reserved += len(proposal.eager)
        if proposals:
            self._commit(proposals)

    def _advance(self, slot: Slot, now: datetime, reserved: int) -> Proposal | None:
        """Let a run go on as far as it can; None when there is nothing to commit."""
        record, run = slot.record, slot.run
        if record is None:
            self._retire(slot)  # closed meanwhile, or its start was rolled back
            return None
        if slot.crashes >= self._settings.max_crashes:
            return self._block_for_crashes(slot, now)
        if run is None:
            self._leave(slot, unknown_name("workflow", record.workflow_name))
            hint = did_you_mean(record.workflow_name, self._registry.workflows)
            logger.warning(
                "no workflow %r here (%s); left for another worker", record.workflow_name, hint, extra=_ids(slot)
            )
            return None
        if record.start_at is not None and record.start_at > now and not slot.history_length:
            self._retire(slot)  # a signal came before its time; the scheduler knows when
            return None
        try:
            with self._watch:
                decision = self._decision_of(slot, run, now)
        except NewerCodeNeeded as newer:
            logger.warning("%s", newer, extra=_ids(slot))
            self._leave(slot, unknown_name("workflow version", record.workflow_name))
            return None
        except (NondeterminismError, CodeFailed) as problem:
            return self._block(slot, f"{type(problem).__name__}: {problem}", now)
        except CodeStuck:
            return self._block(slot, "CodeStuck: the workflow's code ran for too long without a ctx call", now)
        for warning in decision.warnings:
            logger.warning("%s", warning, extra=_ids(slot))
        if self._is_void(decision, slot.status, slot.crashes):
            self._spent += slot.claims
            slot.claims, slot.mail, slot.outcomes = [], [], []
            return None
        return self._propose(slot, decision, now, reserved)

    def _decision_of(self, slot: Slot, run: WorkflowRun, now: datetime) -> Decision:
        record = slot.record
        assert record is not None
        if slot.history is not None:
            run.replay(slot.history)
            slot.history = None
            crashpoint("run-replayed")
        facts: list[e.HistoryEvent] = []
        if not run.history_length:
            facts.append(e.WorkflowStarted(workflow_name=record.workflow_name, input=record.input))
        facts += [e.event_of(e.EventRecord(0, mail.type, mail.call_id, mail.details, now)) for mail in slot.mail]
        facts += [outcome.fact for outcome in slot.outcomes if outcome.fact is not None]
        return run.advance(facts, now)

    def _is_void(self, decision: Decision, status: Status, crashes: int) -> bool:
        # A run that waits for a time is written even so: whoever woke it has taken its due_at away.
        is_news = decision.events or decision.wake_at is not None or status is Status.BLOCKED or crashes
        return not is_news

    def _propose(self, slot: Slot, decision: Decision, now: datetime, reserved: int) -> Proposal:
        promised = 0

        def starts_here(name: str, queue: str) -> bool:
            nonlocal promised
            here = (
                not self.draining
                and not decision.status.is_closed
                and self._serves(queue)
                and self._activities.starts_here(name, reserved + promised)
            )
            promised += here
            return here

        assert slot.run is not None
        if slot.run.history_length >= WARN_HISTORY > slot.run.history_length - len(decision.events):
            logger.warning(
                "a history has %d events; split the work into child workflows before it reaches the limit",
                slot.run.history_length,
                extra=_ids(slot),
            )
        worker_id = None if self.draining else self._worker_id
        proposal = propose(
            slot, decision, now, worker_id=worker_id, starts_here=starts_here, again_at=self.again_at(now)
        )
        slot.mail, slot.outcomes, slot.claims = [], [], []
        return proposal

    def again_at(self, now: datetime) -> datetime | None:
        """When to look again after what a lossy queue may have lost."""
        return None if self._queue.transactional else now + REDELIVERY

    def _serves(self, queue: str) -> bool:
        settings = self._settings
        return queue in settings.queues if settings.queues else queue not in settings.exclude

    # Committing

    def _commit(self, proposals: list[tuple[Slot, Proposal]]) -> None:
        try:
            with unit(self._store, self._queue) as box:
                committed = self._store.commit([proposal.commit for _, proposal in proposals])
                box.wake(committed.wakes)
                for slot, proposal in proposals:
                    if committed.results[slot.run_id].verdict is Verdict.COMMITTED:
                        commit = proposal.commit
                        box.completed += proposal.claims
                        box.queue_tasks(task for task in commit.tasks if not task.claimed)
                        box.wake(run.wake() for run in commit.children if run.start_at is None)
                crashpoint("decision-inside")
        except StoreUnavailable as error:
            self._abandon(proposals)
            error.ambiguous = True  # tasks may be committed as claimed: see what the store says
            raise
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one decision, the others must not suffer
            self._commit_singly(proposals, error)
            return
        crashpoint("decision-committed")
        for slot, proposal in proposals:
            self._settle(slot, proposal, committed.results[slot.run_id])

    def _commit_singly(self, proposals: list[tuple[Slot, Proposal]], error: Exception) -> None:
        """The store refuses a decision, and only one by one can it say which; that run is blocked."""
        if len(proposals) > 1:
            for place, one in enumerate(proposals, start=1):
                try:
                    self._commit([one])
                except BaseException:
                    self._abandon(proposals[place:])
                    raise
            return
        [(slot, proposal)] = proposals
        if proposal.commit.status is Status.BLOCKED:
            raise error
        assert slot.run is not None
        now = slot.run.time
        slot.take_back(proposal)
        reason = f"{type(error).__name__}: {error} (the decision could not be written, which is no fault of the code)"
        self._commit([(slot, self._block(slot, reason, now))])

    def _abandon(self, proposals: list[tuple[Slot, Proposal]]) -> None:
        """Nobody knows whether they were written: the runs are decided on again, from the store."""
        for slot, proposal in proposals:
            slot.take_back(proposal)
            self._disown(slot)

    def _settle(self, slot: Slot, proposal: Proposal, result: CommitResult) -> None:
        match result.verdict:
            case Verdict.COMMITTED:
                self._go_on(slot, proposal, result)
            case Verdict.BUSY:
                slot.proposal = proposal
                self._dirty[slot.run_id] = slot
            case Verdict.UNREAD:
                # The code returned without having seen the mail: let it come here again, with the mail first.
                slot.take_back(proposal)
                slot.evict()
                self._dirty[slot.run_id] = slot
            case Verdict.CONFLICT:
                slot.take_back(proposal)
                self._disown(slot)

    def _go_on(self, slot: Slot, proposal: Proposal, result: CommitResult) -> None:
        commit = proposal.commit
        slot.proposal = None
        slot.version, slot.history_length = slot.version + 1, commit.history_length
        for task in proposal.eager:
            self._activities.submit(task)
        slot.running_here += len(proposal.eager)
        if commit.status.is_closed or commit.status is Status.BLOCKED:
            for outcome in slot.outcomes:
                self._activities.report(outcome)
            self._spent += slot.claims
            self._slots.drop(slot)
            return
        slot.status, slot.failures, slot.crashes = commit.status, 0, 0
        if commit.due_at is not None and (self.wake_at is None or commit.due_at < self.wake_at):
            self.wake_at = commit.due_at
        slot.mail = result.mail
        if not slot.is_idle:
            self._dirty[slot.run_id] = slot

    # Giving up

    def _block(self, slot: Slot, error: str, now: datetime, *, tries_again: bool = True) -> Proposal:
        record = slot.record
        assert record is not None
        logger.error("a run is blocked: %s", error, extra=_ids(slot))
        for outcome in slot.outcomes:
            self._activities.report(outcome)
        commit = propose_block(slot, error, now, tries_again=tries_again)
        proposal = Proposal(commit, [], slot.claims)
        slot.outcomes, slot.claims = [], []
        slot.evict()
        slot.record = record
        return proposal

    def _block_for_crashes(self, slot: Slot, now: datetime) -> Proposal | None:
        if slot.status is Status.BLOCKED:
            self._retire(slot)
            return None
        return self._block(
            slot,
            f"WorkerDied: {slot.crashes} workers died while they ran this workflow's code. It is not tried again by "
            "itself: mend the code, then use durable_retry.",
            now,
            tries_again=False,
        )

    def _leave(self, slot: Slot, waiting_for: str) -> None:
        """This worker cannot go on with a run; another may."""
        self._notes[slot.run_id] = waiting_for
        self._disown(slot, delay=UNKNOWN_NAME_DELAY)

    def _retire(self, slot: Slot) -> None:
        """Nothing is to be done for a run; its claims have done their work."""
        for outcome in slot.outcomes:
            self._activities.report(outcome)
        self._spent += slot.claims
        slot.outcomes, slot.claims = [], []
        self._slots.drop(slot)

    def _disown(self, slot: Slot, *, delay: timedelta | None = None) -> None:
        if slot.proposal is not None:
            slot.take_back(slot.proposal)
        for outcome in slot.outcomes:
            self._activities.report(outcome)
        if slot.claims:
            self._released.append((delay, slot.claims))
        slot.outcomes, slot.claims = [], []
        self._dirty.pop(slot.run_id, None)
        self._slots.drop(slot)

    def _flush_claims(self) -> None:
        if self._notes:
            self._store.annotate(self._notes)
            self._notes = {}
        if self._spent:
            self._queue.complete(self._spent)
            self._spent = []
        while self._released:
            delay, claims = self._released[-1]
            self._queue.release(claims, delay=delay)
            self._released.pop()


def _ids(slot: Slot) -> dict[str, str]:
    name = slot.record.workflow_name if slot.record is not None else ""
    return {"execution_id": str(slot.run_id), "workflow_name": name}
