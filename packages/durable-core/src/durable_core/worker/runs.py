"""The worker's side of runs: collect what came in for them, load, advance, commit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from durable_core.crashpoints import crashpoint
from durable_core.errors import StoreUnavailable
from durable_core.execution import Status
from durable_core.failures import message_of
from durable_core.logs import complain, sketch
from durable_core.ports import Verdict
from durable_core.worker.advancing import Advancer, Block, End, Leave, Nothing, ids_of
from durable_core.worker.holdings import Holdings
from durable_core.worker.loading import Loader
from durable_core.worker.proposals import propose_block
from durable_core.worker.slots import Proposal
from durable_core.worker.units import unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from uuid import UUID

    from durable_core.commands import RunLocalActivity
    from durable_core.definitions import Registry
    from durable_core.events import HistoryEvent
    from durable_core.hooks import News
    from durable_core.ports import Claim, CommitResult, Committed, HistoryStore, TaskOutcome, TaskQueue
    from durable_core.worker.activities import ActivityDesk
    from durable_core.worker.liveness import CodeWatch
    from durable_core.worker.settings import WorkerSettings
    from durable_core.worker.slots import Slot

logger = logging.getLogger("durable.worker")

SUSPECT_RUN_DELAY = timedelta(milliseconds=100)  # before another worker is asked to decide; that takes milliseconds

# Perform these local activities of a run, and none besides.
WantLocal = Callable[["UUID", "list[RunLocalActivity]", "datetime"], None]


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
        want_local: WantLocal = lambda run_id, commands, now: None,
    ) -> None:
        self._store = store
        self._want_local = want_local
        self._queue = queue
        self._activities = activities
        self._held = Holdings(store, queue, activities, settings.cache_size)
        self._loader = Loader(store, registry, settings.run)
        self._advancer = Advancer(registry, settings, activities, watch, worker_id)
        self._hooks = settings.hooks
        self._redelivery = settings.redelivery
        self.draining = False
        self.wake_at: datetime | None = None  # the earliest timer among this round's commits

    @property
    def dirty(self) -> int:
        """How many runs have something to decide."""
        return self._held.dirty

    @property
    def is_busy(self) -> bool:
        """Whether a decision waits for a row that somebody holds."""
        return self._held.is_busy

    def undecided(self) -> Iterator[tuple[UUID, int]]:
        """Attempts that have ended here, and whose outcomes wait to be committed with their runs."""
        return self._held.undecided()

    # What comes in

    def claimed(self, claim: Claim) -> None:
        """A queue entry says that a run wants attention."""
        self._held.claimed(claim)

    def accept(self, outcome: TaskOutcome) -> None:
        """A run that is in memory here takes an outcome directly; any other one by mail."""
        slot = self._held.get(outcome.run_id)
        if outcome.fact is None or slot is None or slot.run is None:
            self._activities.report(outcome)
            return
        slot.outcomes.append(outcome)
        self._held.mark(slot)

    def accept_local(self, run_id: UUID, fact: HistoryEvent) -> None:
        """How a local activity ended. Nobody else knows: the run is loaded for it if need be."""
        self._held.accept_local(run_id, fact)

    # The round

    def decide(self) -> bool:
        """Advance and commit every run that got something; whether any did."""
        slots = self._held.take_dirty()
        try:
            self._loader.load(slots)
            # Suspects go last and alone: one that kills this process must not have others' claims beside its own, nor
            # an activity that would be given up for it.
            suspects = [slot for slot in slots if slot.crashes]
            welcome = 0 if self._activities.holds_suspect else 1
            for surplus in suspects[welcome:]:
                self._held.disown(surplus, delay=SUSPECT_RUN_DELAY)
            self._work_on([slot for slot in slots if slot not in suspects])
            if suspects:
                self._held.flush()
                self._work_on(suspects[:welcome])
        except StoreUnavailable:
            # What a slot holds, such as the outcome of an activity that ran here, is known to nobody else.
            self._held.put_back(slots)
            raise
        self._held.flush()
        self._held.shrink()
        return bool(slots)

    def _work_on(self, slots: Iterable[Slot]) -> None:
        """Advance all, then commit all. Nothing in between asks the store: an outage there would lose decisions that
        the code has gone past already."""
        now = self._store.now()
        again_at = None if self._queue.transactional else now + self._redelivery
        proposals: list[tuple[Slot, Proposal]] = []
        reserved = 0
        for slot in slots:
            proposal = slot.proposal or self._advance(slot, now, reserved, again_at)
            if proposal is not None:
                proposals.append((slot, proposal))
                reserved += len(proposal.eager)
        if proposals:
            self._commit(proposals)

    def _advance(self, slot: Slot, now: datetime, reserved: int, again_at: datetime | None) -> Proposal | None:
        """What is to be committed for a run; None: nothing."""
        try:
            advance = self._advancer.advance(slot, now, reserved=reserved, again_at=again_at, draining=self.draining)
        except Exception as error:  # noqa: BLE001 - it blocks this run, and the others go on
            complain(logger, logging.ERROR, "a decision could not be made: %s", error=error, extra=ids_of(slot))
            advance = _not_its_codes_fault(error, "made")
        match advance:
            case Proposal():
                slot.mail, slot.outcomes, slot.ended = [], [], []
                slot.claims = slot.claims if slot.local else []
                return advance
            case End(commit):
                # Outcomes stay in the slot: the run hears of them no more, the store does once it is retired.
                proposal = Proposal(commit, [], slot.claims, ended=slot.ended)
                slot.mail, slot.claims, slot.local, slot.ended = [], [], [], []
                return proposal
            case Block():
                return self._block(slot, advance, now)
            case Leave():
                self._held.leave(slot, advance.waiting_for)
            case Nothing.TO_DO:
                self._want_local(slot.run_id, [], now)
                self._held.retire(slot)
            case Nothing.NEW:
                # An outcome that is no news is that of an activity which is not known here: another worker has gone on
                # with the run.
                self._held.report(slot)
                self._held.spend(slot)  # nothing local is under way: that alone is news, for it has a time
                slot.mail, slot.ended = [], []
            case _:
                assert_never(advance)
        return None

    def _block(self, slot: Slot, block: Block, now: datetime) -> Proposal:
        """Drop the run's code, and have the store say why."""
        logger.error("a run is blocked: %s", block.told or block.error, extra=ids_of(slot))
        self._held.report(slot)
        commit = propose_block(slot, block.error, now, waits_for=block.waits_for, tries_again=block.tries_again)
        proposal = Proposal(commit, [], slot.claims)
        slot.claims, slot.local, slot.ended = [], [], []
        slot.evict()
        return proposal

    # Leaving

    def forget_all(self) -> None:
        """Drop every run and give back every claim; the store knows all that was committed."""
        self._held.forget_all()

    def release(self, claims: list[Claim]) -> None:
        """Hand claims back at the next opportunity."""
        self._held.release(claims)

    def release_claims(self) -> None:
        """Hand back what is left over."""
        self._held.flush()

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
        news = _news_of(proposals, committed) if self._hooks.hears_events else []
        for slot, proposal in proposals:
            self._settle(slot, proposal, committed.results[slot.run_id])
        self._hooks.announce(news)

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
        self._commit([(slot, self._block(slot, _not_its_codes_fault(error, "written"), now))])

    def _abandon(self, proposals: list[tuple[Slot, Proposal]]) -> None:
        """Nobody knows whether they were written: the runs are decided on again, from the store."""
        for slot, proposal in proposals:
            slot.take_back(proposal)
            self._held.disown(slot)

    def _settle(self, slot: Slot, proposal: Proposal, result: CommitResult) -> None:
        match result.verdict:
            case Verdict.COMMITTED:
                self._go_on(slot, proposal, result)
            case Verdict.BUSY:
                slot.proposal = proposal
                self._held.mark(slot)
            case Verdict.UNREAD:
                # The code returned without having seen the mail: let it come here again, with the mail first.
                slot.take_back(proposal)
                slot.evict()
                self._held.mark(slot)
            case Verdict.CONFLICT:
                slot.take_back(proposal)
                ended = slot.ended
                self._held.disown(slot)
                for fact in ended:  # which nobody else knows: the activity would be performed again
                    self.accept_local(slot.run_id, fact)

    def _go_on(self, slot: Slot, proposal: Proposal, result: CommitResult) -> None:
        commit = proposal.commit
        slot.proposal = None
        slot.version, slot.history_length = slot.version + 1, commit.history_length
        for task in proposal.eager:
            self._activities.submit(task)
        self._want_local(slot.run_id, slot.local, self._store.now())
        self._activities.cancel(slot.run_id, {cancel.call_id for cancel in commit.cancels})
        if commit.status.is_closed or commit.status is Status.BLOCKED:
            self._held.retire(slot)
            return
        slot.status, slot.failures, slot.crashes = commit.status, 0, commit.crashes
        if commit.due_at is not None and (self.wake_at is None or commit.due_at < self.wake_at):
            self.wake_at = commit.due_at
        slot.mail = result.mail
        if slot.has_news:
            self._held.mark(slot)


def _not_its_codes_fault(error: Exception, what_failed: str) -> Block:
    why = f"(the decision could not be {what_failed}, which is no fault of the code)"
    return Block(f"{type(error).__name__}: {message_of(error)} {why}", told=f"{sketch(error)} {why}")


def _news_of(proposals: list[tuple[Slot, Proposal]], committed: Committed) -> list[News]:
    return [
        (slot.run_id, slot.record.workflow_name, proposal.commit.events)
        for slot, proposal in proposals
        if slot.record is not None and committed.results[slot.run_id].verdict is Verdict.COMMITTED
    ]
