"""Messages from runs to others, delivered with the decision that sends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_durable.store.database import uuid
from django_durable.store.mail import Mailboxes
from durable_core.ports import Letter, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from durable_core.ports import Commit, CommitResult, Outgoing


class OutgoingMail(Mailboxes):
    def _hold_targets(self, commits: Sequence[Commit], results: dict[UUID, CommitResult]) -> None:
        """No run that is written to may close before the letter is in its box; a decision that has to wait for one is
        BUSY. Nothing here waits for a lock, so two runs that write to each other cannot wait for each other."""
        sending = [c for c in commits if c.outgoing and results[c.run_id].verdict is Verdict.COMMITTED]
        if not sending:
            return
        targets = self._targets(sending)
        letters = [message.letter(target) for message, target in targets.items()]
        wanted = {letter: wake.run_id for letter, wake in self._addressed(letters, self.sql.open_runs)}
        held = {letter: wake.run_id for letter, wake in self._addressed(letters, self.sql.hold_free_open_runs)}
        for commit in sending:
            mine = [message.letter(targets[message]) for message in commit.outgoing if message in targets]
            if any(letter in wanted and letter not in held for letter in mine):
                results[commit.run_id].verdict = Verdict.BUSY

    def _outgoing(self, commits: Sequence[Commit]) -> list[Letter]:
        """What can be delivered, now that these decisions are written, and what their senders hear of all."""
        sending = [commit for commit in commits if commit.outgoing]
        if not sending:
            return []
        targets = self._targets(sending)
        letters = [message.letter(target) for message, target in targets.items()]
        there = {letter: wake.run_id for letter, wake in self._addressed(letters, self.sql.open_runs)}
        known = {uuid(row[0]) for row in self.db.rows(self.sql.runs_there, self.db.ids(set(targets.values())))}
        found: list[Letter] = []
        for commit in sending:
            for message in commit.outgoing:
                target = targets.get(message)
                letter = None if target is None else message.letter(target)
                if letter is not None and letter in there:
                    found.append(letter._replace(run_id=there[letter]))
                    failure = None
                else:
                    failure = "closed" if target in known else "unknown"
                found.append(message.word(commit.run_id, failure))
        return found

    def _targets(self, commits: Iterable[Commit]) -> dict[Outgoing, UUID]:
        """Ids of the addressees, of those that have one."""
        messages = [message for commit in commits for message in commit.outgoing]
        named = {message.workflow_id for message in messages if message.workflow_id is not None}
        rows = self.db.rows(self.sql.open_by_workflow_id, self.db.texts(named)) if named else ()
        holders = {row[0]: uuid(row[1]) for row in rows}
        found = {message: message.run_id or holders.get(message.workflow_id) for message in messages}
        return {message: target for message, target in found.items() if target is not None}
