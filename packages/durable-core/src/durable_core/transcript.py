"""A recorded history as the code meets it that is brought back: step by step, and in a step call by call.

A step is a fact from outside and, behind it, what the code asked for then. The code must ask for exactly that again;
if it does not, either newer code wrote the history (the run is left to that), or the code was changed under the run.
Only where the run was forked in a step is the code free to end that as it likes: once, and that is history then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from durable_core import events as e
from durable_core import mismatch
from durable_core.errors import NondeterminismError
from durable_core.execution import record
from durable_core.places import caller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from durable_core import commands as c
    from durable_core.errors import DurableError
    from durable_core.patches import Patches


class Transcript:
    def __init__(
        self,
        records: Sequence[e.EventRecord],
        patches: Patches,
        *,
        park: Callable[[DurableError], NoReturn],
        strict_inputs: bool,
    ) -> None:
        self._records = records
        self._facts = [e.event_of(record) for record in records]
        self._patches = patches
        self._park = park
        self._strict_inputs = strict_inputs
        forks = [place for place, fact in enumerate(self._facts) if isinstance(fact, e.WorkflowForked)]
        self._forked_at = forks[-1] if forks else -1
        self._step = 0  # where the current step begins
        self._next = 0  # what the code must ask for next
        self._end = 0  # where the next step begins
        self.warnings: list[str] = []
        self._local: dict[str, e.LocalActivityCompleted | e.LocalActivityFailed] = {}
        for fact in self._facts:
            if isinstance(fact, e.LocalActivityCompleted | e.LocalActivityFailed):
                self._local.setdefault(fact.call_id, fact)
        patches.load(self._facts)

    @property
    def length(self) -> int:
        """The seq of the last event that the code has come past."""
        return self._records[self._next - 1].seq if self._next else 0

    @property
    def first_turn(self) -> e.WorkflowReopened | e.WorkflowForked | None:
        return next((fact for fact in self._facts if isinstance(fact, e.WorkflowReopened | e.WorkflowForked)), None)

    @property
    def was_forked(self) -> bool:
        return self._forked_at >= 0

    @property
    def first_fork(self) -> e.WorkflowForked | None:
        return next((fact for fact in self._facts if isinstance(fact, e.WorkflowForked)), None)

    @property
    def is_anothers(self) -> bool:
        """Whether the code has not come past the last fork: what it is told was told to another run."""
        return self._next <= self._forked_at

    @property
    def is_left_open(self) -> bool:
        """Whether the current step is the last, and is not at its end: the run was forked there, and has done nothing
        since but to be opened again."""
        return self._end == len(self._facts) and self._is_turn(self._end - 1)

    @property
    def is_free(self) -> bool:
        """Whether the code has asked for all that the history holds of a step that it is to end as it likes."""
        return self.is_left_open and self._next == self._end

    def turns(self) -> Iterator[tuple[e.WorkflowForked | e.WorkflowReopened, e.EventRecord]]:
        """Forks that stand here, with the reopenings directly behind them; markers before them are passed, too."""
        while (place := self._behind_markers()) < self._end and self._is_turn(place):
            self.skip_markers()
            self._next += 1
            fact = self._facts[place]
            assert isinstance(fact, e.WorkflowForked | e.WorkflowReopened)
            yield fact, self._records[place]

    def _behind_markers(self) -> int:
        place = self._next
        while place < self._end and isinstance(self._facts[place], e.VersionMarker):
            place += 1
        return place

    def _is_turn(self, place: int) -> bool:
        """Whether a fork stands at this place of the current step, or what belongs to it."""
        while place > self._step and isinstance(self._facts[place], e.WorkflowReopened):
            place -= 1
        return place > self._step and isinstance(self._facts[place], e.WorkflowForked)

    def steps(self) -> Iterator[tuple[e.HistoryEvent, e.EventRecord]]:
        """Each fact from outside, in turn; what stands behind it is what `fact_of` finds until the next one."""
        facts = self._facts
        while self._end < len(facts):
            self._step = self._end
            self._next = self._end = self._step + 1
            while self._end < len(facts) and (isinstance(facts[self._end], e.COMMANDED) or self._is_turn(self._end)):
                self._end += 1
            yield facts[self._step], self._records[self._step]

    def skip_markers(self) -> None:
        """Markers stand among the calls, and are not found by their place."""
        while self._next < self._end and isinstance(marker := self._facts[self._next], e.VersionMarker):
            self._patches.passed(marker)
            self._next += 1

    def upcoming(self) -> e.HistoryEvent | None:
        """What the code must ask for next; None: nothing more in this step."""
        self.skip_markers()
        return self._facts[self._next] if self._next < self._end else None

    def coming(self) -> Sequence[e.HistoryEvent]:
        """All that the code must ask for in this step, from here on."""
        self.skip_markers()
        return self._facts[self._next : self._end]

    def fact_of(self, command: c.Command) -> e.HistoryEvent:
        """The recorded fact of what the code asks for; a mismatch parks the code, which must not go on from it."""
        found = self.upcoming()
        asked = record(command)
        if found is None:
            self._park(self._newer_code() or mismatch.asked_for_more(asked, self._records[self._step], caller()))
        self._next += 1
        if mismatch.identity(found) != mismatch.identity(asked):
            self._park(self._newer_code() or mismatch.asked_for_other(found, self.length, asked, caller()))
        if (problem := mismatch.changed_arguments(found, asked)) is not None:
            message = f"{problem} The call is at {caller()}."
            if self._strict_inputs:
                self._park(NondeterminismError(message + " DURABLE['STRICT_INPUTS'] makes this a mismatch."))
            self.warnings.append(message)
        return found

    def local_outcome(self, call_id: str) -> e.LocalActivityCompleted | e.LocalActivityFailed | None:
        """How a local activity ended that was asked for by this call, here or further on; None: nobody knows."""
        return self._local.get(call_id)

    def check_local(self, asked: c.RunLocalActivity) -> None:
        """What the code asks for leaves no event of its own to be compared with; its outcome has the names."""
        found = self._local.get(asked.call_id)
        if found is None:
            return
        if found.activity_name != asked.activity_name:
            self._park(self._newer_code() or mismatch.other_local_activity(found, asked.activity_name, caller()))
        if found.arguments != asked.arguments:
            message = (
                f"The arguments of local activity {asked.activity_name!r} (call {asked.call_id}) are not those that "
                f"led to the recorded outcome, which holds. The call is at {caller()}."
            )
            if self._strict_inputs:
                self._park(NondeterminismError(message + " DURABLE['STRICT_INPUTS'] makes this a mismatch."))
            self.warnings.append(message)

    def never_asked(self, whereabouts: str) -> DurableError:
        """Why a step cannot be over yet. *whereabouts* is what the code does instead."""
        found = self.upcoming()
        assert found is not None
        self._next += 1
        return self._newer_code() or mismatch.never_asked(found, self.length, whereabouts)

    def _newer_code(self) -> DurableError | None:
        """Markers further on count too: newer code wrote the whole of this step."""
        for fact in self._facts[self._next : self._end]:
            self._patches.passed(fact)
        return self._patches.newer_code()
