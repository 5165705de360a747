"""Stores that lie about messages with keys."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from durable_core.ports import AuditedRun, Commit, Letter, MessageNews, NewMessage, Reopening, Verdict
from durable_core.testing import InMemoryHistoryStore
from durable_core.testing.rows import RunRow


class StoreThatKnowsNoKeys(InMemoryHistoryStore):
    def note(self, message: NewMessage) -> bool:
        super().note(message)
        return True


class StoreThatNotesByName(InMemoryHistoryStore):
    def note(self, message: NewMessage) -> bool:
        return super().note(replace(message, key=message.name))


class StoreThatKnowsKeysOfOneRun(InMemoryHistoryStore):
    def note(self, message: NewMessage) -> bool:
        return super().note(replace(message, chain_id=message.run_id))


class StoreThatTellsBeforeItDecides(InMemoryHistoryStore):
    def _decide(self, commit: Commit) -> Verdict:
        self._tell(commit.run_id, commit.updates)
        return super()._decide(commit)


class StoreWhoseAnswersChange(InMemoryHistoryStore):
    def _tell(self, run_id: UUID, updates: Iterable[MessageNews]) -> None:
        for news in updates:
            row = self._messages.get((news.chain_id, "update", news.key))
            if row is not None:
                record = replace(
                    row.record, run_id=run_id, status=news.status, result=news.result, failure=news.failure
                )
                self._messages.put((news.chain_id, "update", news.key), replace(row, record=record))


class StoreThatLeavesUpdatesWithTheFirstRun(InMemoryHistoryStore):
    def _tell(self, run_id: UUID, updates: Iterable[MessageNews]) -> None:
        for news in updates:
            super()._tell(news.chain_id, [news])


class StoreThatHidesMessages(InMemoryHistoryStore):
    def audited(self, run_ids: Collection[UUID]) -> list[AuditedRun]:
        return [replace(run, messages=[]) for run in super().audited(run_ids)]


class StoreThatForgetsNoMessage(InMemoryHistoryStore):
    def _forget_messages(self, chain_id: UUID) -> None:
        pass


class StoreThatSaysAllWasDelivered(InMemoryHistoryStore):
    def _outgoing_letters(self, commit: Commit) -> list[Letter]:
        told = super()._outgoing_letters(commit)
        return [letter for letter in told if letter.run_id != commit.run_id] + [
            message.word(commit.run_id, None) for message in commit.outgoing
        ]


class StoreThatTellsNoSender(InMemoryHistoryStore):
    def _outgoing_letters(self, commit: Commit) -> list[Letter]:
        return [letter for letter in super()._outgoing_letters(commit) if not letter.type.startswith("external")]


class StoreThatNeverDelivers(InMemoryHistoryStore):
    def _outgoing_letters(self, commit: Commit) -> list[Letter]:
        return [letter for letter in super()._outgoing_letters(commit) if letter.type.startswith("external")]


class StoreThatKnowsNoNames(InMemoryHistoryStore):
    def _outgoing_letters(self, commit: Commit) -> list[Letter]:
        nameless = [message._replace(workflow_id=None) for message in commit.outgoing]
        return super()._outgoing_letters(replace(commit, outgoing=nameless))


class StoreThatSendsBeforeItDecides(InMemoryHistoryStore):
    def _decide(self, commit: Commit) -> Verdict:
        self._put_letters(self._outgoing_letters(commit))
        return super()._decide(commit)


class StoreThatWritesToTheFirstRun(InMemoryHistoryStore):
    def _newest(self, run_id: UUID) -> RunRow | None:
        return self._runs.get(run_id)


class StoreThatKeepsNoWord(InMemoryHistoryStore):
    def _keep_words(self, commit: Commit, letters: Sequence[Letter]) -> None:
        pass


class StoreThatKeepsOnlyWhatItSends(InMemoryHistoryStore):
    def _keep_words(self, commit: Commit, letters: Sequence[Letter]) -> None:
        super()._keep_words(replace(commit, unheard=()), letters)


class StoreThatKeepsAllWordsOfABatch(InMemoryHistoryStore):
    def _keep_words(self, commit: Commit, letters: Sequence[Letter]) -> None:
        super()._keep_words(commit, [letter._replace(run_id=commit.run_id) for letter in letters])


class StoreThatRemembersOldWords(InMemoryHistoryStore):
    def reopen(self, reopening: Reopening) -> UUID | None:
        before = self.get(reopening.run_id)
        holder = super().reopen(reopening)
        row = self._runs.get(reopening.run_id)
        if row is not None and before is not None:
            self._runs.put(row.record.id, replace(row, record=replace(row.record, unheard=before.unheard)))
        return holder


class StoreThatLeavesTheCanceled(InMemoryHistoryStore):
    def reopen(self, reopening: Reopening) -> UUID | None:
        return super().reopen(replace(reopening, canceled=()))


LIES: list[tuple[type[Any], str]] = [
    (StoreThatKeepsNoWord, "test_run_that_closes_keeps_what_has_become_of_its_messages"),
    (StoreThatKeepsOnlyWhatItSends, "test_run_that_closes_keeps_what_has_become_of_its_messages"),
    (StoreThatKeepsOnlyWhatItSends, "test_runs_that_close_at_once_keep_each_its_own_words"),
    (StoreThatKeepsAllWordsOfABatch, "test_runs_that_close_at_once_keep_each_its_own_words"),
    (StoreThatRemembersOldWords, "test_reopened_run_is_running_and_forgets_how_it_ended"),
    (StoreThatLeavesTheCanceled, "test_activity_that_its_code_has_canceled_is_canceled_when_its_run_goes_on"),
    (StoreThatSaysAllWasDelivered, "test_sender_hears_of_a_run_that_takes_nothing"),
    (StoreThatSaysAllWasDelivered, "test_each_call_hears_of_its_own_message"),
    (StoreThatTellsNoSender, "test_message_reaches_a_run_by_its_id"),
    (StoreThatTellsNoSender, "test_run_may_write_to_itself"),
    (StoreThatNeverDelivers, "test_message_reaches_a_run_by_its_id"),
    (StoreThatNeverDelivers, "test_run_that_closes_sends_and_hears_nothing"),
    (StoreThatKnowsNoNames, "test_message_reaches_the_open_run_with_a_workflow_id"),
    (StoreThatSendsBeforeItDecides, "test_decision_that_conflicts_sends_nothing"),
    (StoreThatSendsBeforeItDecides, "test_runs_of_one_batch_may_write_to_each_other"),
    (StoreThatWritesToTheFirstRun, "test_message_reaches_the_newest_run_of_a_chain"),
    (StoreThatKnowsNoKeys, "test_message_is_noted_once"),
    (StoreThatKnowsNoKeys, "test_only_one_of_two_senders_notes_a_key"),
    (StoreThatNotesByName, "test_message_is_read_as_it_was_noted"),
    (StoreThatKnowsKeysOfOneRun, "test_chain_knows_the_keys_of_all_its_runs"),
    (StoreThatTellsBeforeItDecides, "test_decision_that_conflicts_tells_of_no_update"),
    (StoreWhoseAnswersChange, "test_answer_to_an_update_stands"),
    (StoreThatLeavesUpdatesWithTheFirstRun, "test_update_belongs_to_the_run_that_took_it"),
    (StoreThatHidesMessages, "test_audit_sees_messages"),
    (StoreThatForgetsNoMessage, "test_chain_that_goes_on_forgets_all_but_the_newest_messages"),
]
