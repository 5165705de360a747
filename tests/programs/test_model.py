"""What the model makes of what a run saw, where that leaves more than one possibility."""

from __future__ import annotations

from uuid import UUID

from durable_core.execution import Status
from tests.programs import language as p
from tests.programs.activities import arguments
from tests.programs.model import Circumstances, judge
from tests.programs.scripts import Allowance, Script
from tests.programs.seen import Seen
from tests.programs.steps.sagas import Action, RunSaga
from tests.programs.steps.signals import WaitSignal
from tests.programs.steps.values import Patched

NOTHING = Script(value=p.Const(None))
ONCE = Script(value=p.Const(None), attempts=1)
DIED = ["failed", "ActivityError", "WorkerDied", "the worker died while it ran this activity", 1]


def test_failure_of_a_saga_may_be_of_any_of_its_undos():
    """The first that ran may have died before its effect, and so may the second."""
    saga = RunSaga(
        label="1", actions=(Action(script=NOTHING, undo=NOTHING), Action(script=NOTHING, undo=ONCE)), raises=True
    )
    done = [["1.0", "value", arguments(NOTHING, "r:1-", None)], ["1.1", "value", arguments(ONCE, "r:2-", None)]]
    program = p.Program(body=(saga,))
    seen = Seen(UUID(int=1), "r", program, Status.COMPLETED, [*done, ["1", "failed", "SagaError", DIED]], None)
    judgement = judge(seen, Circumstances(faults=3))
    assert judgement.complaints == []
    assert judgement.effects["r:1-"] == judgement.effects["r:2-"] == Allowance(0, 4)
    plain = judge(seen._replace(trace=[*done, ["1", "failed", "ProgramError"]]), Circumstances(faults=3))
    assert plain.effects["r:1-"] == plain.effects["r:2-"] == Allowance(1, 4)


def test_code_that_is_brought_behind_its_last_decision_for_a_look_is_as_old_as_its_run():
    patched = Patched(label="1", change_id="change-1", binds="v1")
    program = p.Program(body=(patched, WaitSignal(label="2", name="go", timeout=None, binds="v2")))
    for status in (Status.CANCELED, Status.COMPLETED):
        seen = Seen(UUID(int=1), "r", program, status, [["1", "value", False]], None)
        is_wrong = bool(judge(seen, Circumstances(may_be_canceled=True)).complaints)
        assert is_wrong == (status is Status.COMPLETED)
