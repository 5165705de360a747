"""A run, told fact by fact: what it decides each time, and whether every replay of it decides the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import dropwhile
from typing import TYPE_CHECKING, Any
from uuid import UUID

from durable_core import events as e
from durable_core.codec import EMPTY_OBJECT, encode
from durable_core.context import WorkflowInfo
from durable_core.decision import Decision, RunSettings
from durable_core.definitions import Registry
from durable_core.execution import Status
from durable_core.failures import describe
from durable_core.replay import WorkflowRun

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
RUN_ID = UUID(int=7)


@dataclass
class Step:
    length: int  # of the history behind it
    asked: int  # of that, what the code was asked about: all but a cancel that asks nobody, and signals behind that
    time: datetime
    decision: Decision
    fn: Callable[..., Any]


class Story:
    """One run in memory, its history, and the facts that code outside would send it."""

    def __init__(self, fn, *, registry=None, settings=None, deadline=None, **payload):
        self.registry = registry or activities_and_children()
        self.settings = settings or RunSettings()
        self.deadline = None if deadline is None else EPOCH + timedelta(seconds=deadline)
        self.fn = fn
        self.time = EPOCH
        self.history: list[e.EventRecord] = []
        self.steps: list[Step] = []
        self.run = self.fresh(fn)
        self.started = e.WorkflowStarted(workflow_name="story", input=encode(payload) if payload else EMPTY_OBJECT)

    # Facts

    def start(self, *facts) -> Decision:
        return self.give(self.started, *facts)

    def give(self, *facts, after: float = 0) -> Decision:
        self.time += timedelta(seconds=after)
        decision = self.run.advance(facts, self.time)
        self.history += decision.events
        asked = len(self.history)
        if isinstance(decision.end, e.WorkflowCanceled) and self.run.ending is None:
            behind = list(dropwhile(lambda fact: not _asks_nobody(fact), facts))
            asked -= bool(behind) + sum(isinstance(fact, e.ACKNOWLEDGED) for fact in behind)
        self.steps.append(Step(len(self.history), asked, self.time, decision, self.fn))
        return decision

    def wait(self, seconds: float) -> Decision:
        return self.give(after=seconds)

    # Looking

    @property
    def decision(self) -> Decision:
        return self.steps[-1].decision

    @property
    def types(self) -> list[str]:
        return [record.type for record in self.history]

    @property
    def result(self) -> Any:
        assert self.decision.status is Status.COMPLETED, self.decision.error or self.decision.waiting_for
        return loads(self.decision.result)

    # Replaying

    def fresh(self, fn=None, settings=None) -> WorkflowRun:
        definition = definition_of(fn or self.fn)
        info = WorkflowInfo(
            execution_id=RUN_ID,
            workflow_name="story",
            workflow_id=None,
            parent_id=None,
            queue="default",
            priority=0,
            created_at=EPOCH,
            deadline=self.deadline,
        )
        return WorkflowRun(definition, info, self.registry, settings or self.settings)

    def replayed(self, fn=None, *, length: int | None = None, settings=None) -> WorkflowRun:
        """A cold run that has replayed the history, or its beginning; closed when it does not fit."""
        run = self.fresh(fn, settings)
        try:
            run.replay(self.history[:length])
        except BaseException:
            run.close()
            raise
        return run

    def evict(self, fn=None) -> None:
        """Go on cold, perhaps with other code."""
        self.run.close()
        self.fn = fn or self.fn
        self.run = self.replayed()

    def check(self) -> Story:
        """Every prefix of the history that ends where a step did replays to what that step decided."""
        for step in self.steps:
            run = self.replayed(length=step.asked)
            assert run.history_length == step.asked
            if step.asked < step.length:
                assert not run.is_closed
            elif step.decision.end is not None:
                assert run.is_closed
            else:
                again = run.advance((), step.time)
                assert again.events == []
                assert again.activities == []
                assert again.children == []
                assert again.wake_at == step.decision.wake_at
                if step.fn is self.fn:  # lines of code are part of it
                    assert again.waiting_for == step.decision.waiting_for
            run.close()
        return self


def loads(payload: str | None) -> Any:
    assert payload is not None
    return json.loads(payload)  # not our codec: the tests do not trust it


def definition_of(fn):
    registry = Registry()
    registry.workflow_from(fn, name="story")
    return registry.workflows["story"]


def activities_and_children() -> Registry:
    registry = Registry()

    @registry.activity
    def add(a, b): ...

    @registry.activity
    def send(user_id, *, subject=""): ...

    @registry.activity
    def old(): ...

    @registry.activity
    def new(): ...

    @registry.workflow
    def child(ctx, n=0): ...

    return registry


# Facts


def _asks_nobody(fact: e.HistoryEvent) -> bool:
    return isinstance(fact, e.WorkflowCancelRequested) and not fact.graceful


def completed(call_id: str | int, value: Any = None) -> e.ActivityCompleted:
    return e.ActivityCompleted(call_id=str(call_id), attempt=1, result=encode(value))


def failed(call_id: str | int, error: BaseException | None = None) -> e.ActivityFailed:
    return e.ActivityFailed(call_id=str(call_id), failure=describe(error or ValueError("no"), attempt=3))


def timed_out(call_id: str | int, kind: str = "start_to_close") -> e.ActivityTimedOut:
    return e.ActivityTimedOut(call_id=str(call_id), kind=kind, failure=describe(TimeoutError("late")))


def signal(name: str, payload: Any = None) -> e.SignalReceived:
    return e.SignalReceived(name=name, payload=encode(payload))


def answered(call_id: str | int, answer: Any = None, by: str | None = None) -> e.TaskAnswered:
    return e.TaskAnswered(call_id=str(call_id), by=by, answer=encode(answer))


def cancel(reason: str = "", *, graceful: bool = True) -> e.WorkflowCancelRequested:
    return e.WorkflowCancelRequested(reason=reason, graceful=graceful)


def child_completed(call_id: str | int, value: Any = None) -> e.ChildWorkflowCompleted:
    return e.ChildWorkflowCompleted(call_id=str(call_id), result=encode(value))
