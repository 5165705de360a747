"""What runs let others read is committed with the decision, and found by any run of the chain."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from durable_core.codec import Payload
from durable_core.execution import Status, TaskStatus
from durable_core.ports import AttemptItems, AuditableStore, NewItem, NewValue, Published, TaskRecord, Verdict, new_id
from durable_core.testing.contracts.base import Interrupted
from durable_core.testing.contracts.builders import StoreCases, outcome_of


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

    # Streams

    def item(self, run_id: UUID, call_id: str, item: str, stream: str = "s") -> NewItem:
        return NewItem(self.record_of(run_id).chain_id or run_id, stream, call_id, 0, Payload(item))

    def publish(self, task: TaskRecord, *items: str, first: int = 0, stream: str = "s") -> Published:
        numbered = [(stream, number, Payload(item)) for number, item in enumerate(items, start=first)]
        return self.store.publish([AttemptItems(task.run_id, task.id, task.token, task.call_id, numbered)])

    def read(self, run_id: UUID, stream: str = "s", *, after: int = 0, limit: int = 100) -> list[str]:
        return [item for _, item in self.store.items(run_id, stream, after=after, limit=limit)]

    def test_items_are_read_in_order_and_from_any_cursor(self) -> None:
        run_id, other = self.start(), self.start()
        self.commit(run_id, items=[self.item(run_id, f"{n}", f"{n}") for n in range(3)])
        self.commit(other, items=[self.item(other, "0", "7")])
        self.commit(run_id, items=[self.item(run_id, "3", "3"), self.item(run_id, "4", "4", "elsewhere")])
        found = self.store.items(run_id, "s", after=0, limit=100)
        assert [item for _, item in found] == ["0", "1", "2", "3"]
        assert [cursor for cursor, _ in found] == sorted({cursor for cursor, _ in found})
        assert self.read(run_id, after=found[1].cursor) == ["2", "3"]
        assert self.read(run_id, after=found[0].cursor, limit=2) == ["1", "2"]
        assert (self.read(run_id, "elsewhere"), self.read(other), self.read(new_id())) == (["4"], ["7"], [])

    def test_items_of_one_run_are_told_with_their_calls_in_order(self) -> None:
        first = self.start()
        task = self.begin(first, call_id="a")
        self.commit(first, items=[self.item(first, "0", "0", "t")])
        self.publish(task, "1", "2")
        self.commit(first, items=[self.item(first, "3", "3")])
        mine = [(new.stream, new.call_id, new.number, new.item) for new in self.store.published(first)]
        assert mine == [("t", "0", 0, "0"), ("s", "a", 0, "1"), ("s", "a", 1, "2"), ("s", "3", 0, "3")]
        second = self.continue_as_new(first)
        later = self.item(second, "0", "4")
        self.commit(second, items=[later])
        assert self.store.published(second) == [later]
        assert later.chain_id == first
        assert len(self.store.published(first)) == 4
        assert self.store.published(new_id()) == []

    def test_items_are_committed_with_their_decision_or_not_at_all(self) -> None:
        run_id = self.start()
        stale = self.decision(run_id, items=[self.item(run_id, "0", "0")])
        self.commit(run_id, items=[self.item(run_id, "0", "1")])
        assert self.store.commit([stale]).results[run_id].verdict is Verdict.CONFLICT
        assert self.read(run_id) == ["1"]

    def test_items_of_a_run_that_goes_on_as_new_are_behind_those_of_the_first(self) -> None:
        first = self.start()
        self.commit(first, items=[self.item(first, "0", "1")])
        second = self.continue_as_new(first)
        self.commit(second, items=[self.item(second, "0", "2")])
        third = self.continue_as_new(second)
        self.publish(self.begin(third), "3")
        assert [self.read(run_id) for run_id in (first, second, third)] == [["1", "2", "3"]] * 3

    def test_items_of_an_activity_are_published_at_once(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        version = self.record_of(run_id).version
        assert self.publish(task, "0", "1") == (frozenset(), frozenset())
        self.publish(task, "2", first=2)
        self.publish(task, "0", stream="elsewhere")
        assert (self.read(run_id), self.read(run_id, "elsewhere")) == (["0", "1", "2"], ["0"])
        assert self.record_of(run_id).version == version
        assert self.store.publish([]) == (frozenset(), frozenset())

    def test_item_that_was_published_stays_what_it_was(self) -> None:
        """A reply was lost, or another attempt begins anew."""
        run_id = self.start()
        task = self.begin(run_id)
        self.publish(task, "0", "1")
        self.publish(task, "0", "1", "2")
        self.retry(task, self.store.now())
        self.store.requeue({task.id: None})
        (again,) = self.claim(task.id)
        self.publish(again, "zero", "one", "two", "three")
        assert self.read(run_id) == ["0", "1", "2", "three"]

    def test_two_activities_publish_into_one_stream(self) -> None:
        run_id = self.start()
        one, two = self.begin(run_id, call_id="0"), self.begin(run_id, call_id="1")
        self.publish(one, "a")
        self.publish(two, "b")
        self.publish(one, "c", first=1)
        assert self.read(run_id) == ["a", "b", "c"]

    def test_attempts_of_many_runs_publish_together(self) -> None:
        tasks = [self.begin(self.start()) for _ in range(3)]
        tasks.append(self.begin(tasks[0].run_id, call_id="1"))
        batches = [AttemptItems(t.run_id, t.id, t.token, t.call_id, [("s", 0, Payload(t.call_id))]) for t in tasks]
        assert self.store.publish(batches) == (frozenset(), frozenset())
        assert [sorted(self.read(task.run_id)) for task in tasks[:3]] == [["0", "1"], ["0"], ["0"]]

    def test_attempt_that_is_over_publishes_no_more(self) -> None:
        run_id = self.start()
        zombie, done = self.begin(run_id, call_id="0"), self.begin(run_id, call_id="1")
        self.retry(zombie, self.store.now())
        assert self.publish(zombie, "late").refused == {zombie.id}
        self.store.requeue({zombie.id: None})
        (again,) = self.claim(zombie.id)
        self.report(outcome_of(done))
        assert [self.publish(task, "late").refused for task in (zombie, done)] == [{zombie.id}, {done.id}]
        assert self.publish(again, "good").refused == frozenset()
        assert self.read(run_id) == ["good"]

    def test_closed_and_unknown_runs_take_no_items(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        self.close(run_id)
        assert self.publish(task, "late").refused == {task.id}
        assert (self.read(run_id), self.read_task_status(task.id)) == ([], TaskStatus.RUNNING)

    def test_items_of_a_failed_transaction_are_not_there(self) -> None:
        run_id = self.start()
        task = self.begin(run_id)
        with suppress(Interrupted), self.store.transaction():
            self.publish(task, "0")
            raise Interrupted
        self.publish(task, "1")
        assert self.read(run_id) == ["1"]

    def test_concurrent_writers_lose_nothing_and_publish_nothing_twice(self) -> None:
        run_id = self.start()
        tasks = [self.begin(run_id, call_id=f"{n}") for n in range(4)]

        def write(task: TaskRecord) -> None:
            for number in range(10):
                while self.publish(task, f"{number}", first=number).busy:
                    pass

        self.in_threads([partial(write, task) for task in (*tasks, tasks[0])])
        assert sorted(self.read(run_id)) == sorted(f"{number}" for number in range(10) for _ in tasks)

    def test_audit_sees_who_has_published(self) -> None:
        if not isinstance(self.store, AuditableStore):
            return
        run_id = self.start()
        self.commit(run_id, items=[self.item(run_id, "1", "0"), self.item(run_id, "2", "0")])
        task = self.begin(run_id, call_id="0")
        self.publish(task, "0", "1")
        (run,) = self.store.audited([run_id])
        assert list(run.items) == [("0", "s"), ("1", "s"), ("2", "s")]
