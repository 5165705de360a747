"""People who answer what a program asks, some of them what was answered before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from durable_core.answering import Answerer
from durable_core.errors import TaskAnswered, TaskClosed
from durable_core.execution import HumanTaskStatus
from tests.programs.answers import Accepted, open_questions
from tests.programs.interpreter import given_to

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random
    from uuid import UUID

    from durable_core.client import Client
    from durable_core.ports import HistoryStore, HumanTaskRecord
    from tests.simulation.orders import Order
    from tests.simulation.witness import Witness
    from tests.simulation.world import World

BEHIND_IT = re.compile(r"[^a-z0-9]")  # the path of an order, in those of its strands and children
PAYLOAD_LIMIT = 1_000_000
LOOKS = 5  # for a question, before the person gives up


class Person:
    def __init__(self, order: Order, world: World, random: Random, witness: Witness) -> None:
        self._order = order
        self._store = world.store
        self._opened = world.opened
        self._random = random
        self._witness = witness

    def answer(self, client: Client, reached: HistoryStore, pause: Callable[[], None]) -> None:
        for _ in range(LOOKS):
            tasks = [task for task in open_questions(self._store) if self._is_asked(task.run_id)]
            if tasks:
                break
            pause()
        else:
            return
        task = self._random.choice(tasks)
        assert isinstance(task.form, list)
        answerer = Answerer(client, reached, payload_limit=PAYLOAD_LIMIT)
        values = [value for value, _ in task.form]
        self._random.shuffle(values)
        if self._random.random() < 0.3:
            pause()  # and look at the page
        for value in values if self._random.random() < 0.5 else values[:1]:
            self._say(answerer, task, value)

    def _say(self, answerer: Answerer, task: HumanTaskRecord, value: str) -> None:
        self._witness.tried.add(value)
        answer = Accepted(task.run_id, task.call_id, value)
        was_answered = any(accepted[:2] == answer[:2] for accepted in self._witness.accepted)
        try:
            answerer.answer(task.id, value, by=f"{self._order.path} {value}")
        except TaskAnswered as answered:
            first = answered.by
        except TaskClosed:
            assert not was_answered, f"told that {task} is closed, which was answered"
            return
        else:
            assert not was_answered, f"{task} was answered twice"
            self._witness.accepted.append(answer)
            return
        row = self._store.human_task(task.id)
        assert row is not None
        assert row.status is HumanTaskStatus.ANSWERED, f"told that somebody has answered {row}"
        assert row.answered_by == first, f"told that {first} has answered {row}"

    def _is_asked(self, run_id: UUID) -> bool:
        """Whether the run is this order's, or a child of it."""
        run = self._opened.get(run_id)
        path: str = "" if run is None else given_to(run)["path"]
        order = self._order
        return BEHIND_IT.split(path)[0] == (order.workflow_id or order.path)
