"""Stores that lie about letters that are to be sealed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from durable_core.ports import Commit, Letter, Wake
from durable_core.testing import InMemoryHistoryStore


def _say(text: str, letter: Letter) -> str:
    return text


class StoreThatSealsForTheFirstAddressee(InMemoryHistoryStore):
    def _put_letters(self, letters: Iterable[Letter]) -> list[Wake]:
        seal, wakes = self._seal, []
        for letter in letters:
            if seal is not None:
                self._seal = partial(_say, seal(letter))
            wakes += super()._put_letters([letter])
            self._seal = seal
        return wakes


class StoreThatSealsNothing(InMemoryHistoryStore):
    def seal_letters_with(self, seal: Callable[[Letter], str]) -> None: ...


class StoreThatSealsNoWordsToSenders(InMemoryHistoryStore):
    def _outgoing_letters(self, commit: Commit) -> list[Letter]:
        seal, self._seal = self._seal, None
        self._put_letters(super()._outgoing_letters(commit))
        self._seal = seal
        return []


class StoreThatTellsWhyItWithdrew(InMemoryHistoryStore):
    def _seen(self, reason: str) -> str:
        return reason


LIES: list[tuple[type[Any], str]] = [
    (StoreThatSealsForTheFirstAddressee, "test_letters_are_sealed_for_the_run_that_they_come_to"),
    (StoreThatSealsNothing, "test_letters_are_sealed_for_the_run_that_they_come_to"),
    (StoreThatSealsNoWordsToSenders, "test_letters_that_the_store_writes_are_sealed_too"),
    (StoreThatTellsWhyItWithdrew, "test_row_of_a_withdrawn_question_does_not_tell_what_its_letter_seals"),
]
