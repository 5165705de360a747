"""What a queue does whose server is away, and the two things that a queue may offer beside its duties."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from durable_core.errors import QueueUnavailable, StoreUnavailable
from durable_core.ports import Diagnosable, Finding, Level, NeedsSetup, new_id
from durable_core.testing.contracts.queue_base import QueueCases, an_entry

if TYPE_CHECKING:
    from collections.abc import Callable

UNAVAILABLE = (QueueUnavailable, StoreUnavailable)


class ServerCases(QueueCases):
    def test_server_that_does_not_answer_is_told_by_our_own_errors(self) -> None:
        """A queue that has none always answers."""
        self.queue.enqueue([an_entry(), an_entry()])
        first, second = self.claim()
        absent = self.make_queue_without_server()
        queue = self.queue if absent is None else absent
        limits = dict.fromkeys(type(first.entry.kind), 5)
        calls: list[Callable[[], object]] = [
            partial(queue.enqueue, [an_entry()]),
            partial(queue.claim, new_id(), limits, queues=(), exclude=()),
            partial(queue.complete, [first]),
            partial(queue.release, [second]),
            partial(queue.release_dead, [self.me]),
            queue.stats,
        ]
        for call in calls:
            if absent is None:
                call()
            else:
                with pytest.raises(UNAVAILABLE):
                    call()
        with queue.watch(lambda: None):
            pass

    def test_setup_may_be_done_again_and_twice_at_once(self) -> None:
        entry = self.enqueue()
        if isinstance(self.queue, NeedsSetup):
            said = self.in_threads([self.queue.setup] * 2)
            assert all(isinstance(sentence, str) for sentences in said for sentence in sentences)
        assert self.claimed_refs() == [entry.ref]

    def test_diagnosis_finds_a_server_that_is_away_and_raises_nothing(self) -> None:
        if isinstance(self.queue, Diagnosable):
            assert all(isinstance(finding, Finding) for finding in self.queue.diagnose())
        absent: object = self.make_queue_without_server()
        if isinstance(absent, Diagnosable):
            assert Level.PROBLEM in {finding.level for finding in absent.diagnose()}
