"""What runs let others read is committed with the decision, and found by any run of the chain."""

from __future__ import annotations

from typing import Any

from durable_core.codec import Payload
from durable_core.execution import Status
from durable_core.ports import AuditableStore, NewValue, Verdict, new_id
from durable_core.testing.contracts.builders import StoreCases


class OutputCases(StoreCases):
    def set_values(self, run_id: Any, **values: str) -> Verdict:
        chain_id = self.record_of(run_id).chain_id or run_id
        new = [NewValue(chain_id, key, Payload(value)) for key, value in values.items()]
        return self.commit(run_id, values=new).verdict

    def test_value_of_an_event_is_the_one_that_was_set_last(self) -> None:
        run_id, other = self.start(), self.start()
        assert self.store.value(run_id, "stage") is None
        self.set_values(run_id, stage='"packed"', weight="7")
        self.set_values(other, stage='"lost"')
        self.set_values(run_id, stage='"sent"')
        assert [self.store.value(run_id, key) for key in ("stage", "weight", "colour")] == ['"sent"', "7", None]
        assert self.store.value(other, "stage") == '"lost"'

    def test_value_is_committed_with_its_decision_or_not_at_all(self) -> None:
        run_id = self.start()
        stale = self.decision(run_id, values=[NewValue(run_id, "stage", Payload('"stale"'))])
        self.set_values(run_id, stage='"true"')
        assert self.store.commit([stale]).results[run_id].verdict is Verdict.CONFLICT
        assert self.store.value(run_id, "stage") == '"true"'

    def test_values_of_many_runs_are_set_in_one_commit(self) -> None:
        runs = [self.start() for _ in range(3)]
        self.store.commit(
            [self.decision(run, values=[NewValue(run, "n", Payload(f"{n}"))]) for n, run in enumerate(runs)]
        )
        assert [self.store.value(run, "n") for run in runs] == ["0", "1", "2"]

    def test_value_outlives_its_run(self) -> None:
        run_id = self.start()
        self.set_values(run_id, stage="1")
        self.close(run_id, values=[NewValue(run_id, "stage", Payload("2"))])
        assert self.store.value(run_id, "stage") == "2"

    def test_value_is_that_of_the_newest_run_of_the_chain_that_has_one(self) -> None:
        first = self.start()
        self.set_values(first, old="1", both="1")
        second = self.continue_as_new(first)
        third = self.continue_as_new(second)
        self.set_values(third, both="3")
        for run_id in (first, second, third):
            assert [self.store.value(run_id, key) for key in ("old", "both")] == ["1", "3"]
        assert self.record_of(first).status is Status.CONTINUED_AS_NEW

    def test_unknown_run_has_no_values(self) -> None:
        assert self.store.value(new_id(), "stage") is None

    def test_audit_sees_the_values_that_a_run_has_set(self) -> None:
        if not isinstance(self.store, AuditableStore):
            return
        run_id, other = self.start(), self.start()
        self.set_values(run_id, stage="1", weight="2")
        self.set_values(run_id, stage="3")
        seen = {run.record.id: dict(run.values) for run in self.store.audited([run_id, other])}
        assert seen == {run_id: {"stage": "3", "weight": "2"}, other: {}}
