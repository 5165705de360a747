"""Mailboxes: what others write to a run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from django_durable.store.base import Part
from django_durable.store.database import uuid
from django_durable.store.records import row_of_letter, wake_of
from durable_core.ports import MAX_UNREAD, mailbox_full

if TYPE_CHECKING:
    from collections.abc import Sequence

    from durable_core.ports import Letter, Wake


class Mailboxes(Part):
    def deliver(self, letters: Sequence[Letter]) -> list[Wake]:
        with self.db.transaction():
            new = Counter(letter.run_id for letter in letters)
            counts = {uuid(key): count for key, count in self.db.rows(self.sql.count_mail, self.db.ids(new))}
            for run_id, more in new.items():
                if (waiting := counts.get(run_id, 0)) + more > MAX_UNREAD:
                    raise mailbox_full(run_id, waiting)
            return self._post(letters, self.sql.hold_open_runs)

    def _post(self, letters: Sequence[Letter], addressees: str) -> list[Wake]:
        """Put letters into the boxes of the runs that the statement *addressees* finds open."""
        if not letters:
            return []
        wakes = [wake_of(row) for row in self.db.rows(addressees, self.db.ids({letter.run_id for letter in letters}))]
        there = {wake.run_id for wake in wakes}
        now = self.db.now()
        text, due_at = self.db.dialect.text_of(now), self.db.dialect.text_of(now + self.redelivery)
        self.db.run_many(
            self.sql.insert_mail, [row_of_letter(letter, text, due_at) for letter in letters if letter.run_id in there]
        )
        return wakes
