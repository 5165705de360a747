"""Every kind of step, by family."""

from tests.programs.steps.activities import RunActivity, StartActivity, Transfer, WaitActivity, WrongCall
from tests.programs.steps.asks import Ask, WaitAnswer
from tests.programs.steps.batches import Map, MapBranches, MapChildren
from tests.programs.steps.blocks import For, If, Raise, Return, Shield, Try
from tests.programs.steps.bookings import Book
from tests.programs.steps.branches import Spawn, WaitBranch
from tests.programs.steps.cancels import Cancel
from tests.programs.steps.children import RunChild, StartChild, WaitChild
from tests.programs.steps.coroutines import RunCoroutine
from tests.programs.steps.errands import Entrust
from tests.programs.steps.handles import Gather, Select
from tests.programs.steps.local import RunLocal
from tests.programs.steps.messages import EndChild, TellChild, TellParent
from tests.programs.steps.outputs import Publish, SetEvent
from tests.programs.steps.prices import Price
from tests.programs.steps.sagas import RunSaga
from tests.programs.steps.scopes import CancelScope, GiveUp
from tests.programs.steps.signals import WaitSignal
from tests.programs.steps.timers import Now, Sleep, StartTimer, WaitTimer
from tests.programs.steps.updates import OnUpdate
from tests.programs.steps.values import DeprecatePatch, DrawRandom, DrawUuid, GetVersion, Patched, SideEffect

__all__ = [
    "Ask",
    "Book",
    "Cancel",
    "CancelScope",
    "DeprecatePatch",
    "DrawRandom",
    "DrawUuid",
    "EndChild",
    "Entrust",
    "For",
    "Gather",
    "GetVersion",
    "GiveUp",
    "If",
    "Map",
    "MapBranches",
    "MapChildren",
    "Now",
    "OnUpdate",
    "Patched",
    "Price",
    "Publish",
    "Raise",
    "Return",
    "RunActivity",
    "RunChild",
    "RunCoroutine",
    "RunLocal",
    "RunSaga",
    "Select",
    "SetEvent",
    "Shield",
    "SideEffect",
    "Sleep",
    "Spawn",
    "StartActivity",
    "StartChild",
    "StartTimer",
    "TellChild",
    "TellParent",
    "Transfer",
    "Try",
    "WaitActivity",
    "WaitAnswer",
    "WaitBranch",
    "WaitChild",
    "WaitSignal",
    "WaitTimer",
    "WrongCall",
]
