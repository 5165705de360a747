"""Mailboxes: what others write to a run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from django_durable.store.base import Part
from django_durable.store.database import uuid
from django_durable.store.records import row_of_letter, wake_of
from durable_core.ports import MAX_UNREAD, mailbox_full

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from durable_core.ports import Letter, Wake


class Mailboxes(Part):
    def seal_letters_with(self, seal: Callable[[Letter], str]) -> None:
        self.seal_letter = seal

    def deliver(self, letters: Sequence[Letter]) -> list[Wake]:
        with self.db.transaction():
            addressed = self._addressed(letters, self.sql.hold_open_runs)
            new = Counter(wake.run_id for _, wake in addressed)
            counts = {uuid(key): count for key, count in self.db.rows(self.sql.count_mail, self.db.ids(new))}
            for run_id, more in new.items():
                if (waiting := counts.get(run_id, 0)) + more > MAX_UNREAD:
                    raise mailbox_full(run_id, waiting)
            return self._put(addressed)

    def _post(self, letters: Sequence[Letter]) -> list[Wake]:
        """Put letters of the engine into the boxes of the runs that are open."""
        return self._put(self._addressed(letters, self.sql.open_runs)) if letters else []

    def _addressed(self, letters: Sequence[Letter], find: str) -> list[tuple[Letter, Wake]]:
        """Letters that can be put, and who gets them: of the runs that the statement *find* answers, open ones.

        Between a look for the end of a chain and the next statement, that run too may be continued as new.
        """
        asked = {letter.run_id: letter.run_id for letter in letters}
        following = {letter.run_id for letter in letters if letter.follows}
        found: dict[UUID, Wake] = {}
        while asked:
            there = {wake.run_id: wake for wake in map(wake_of, self.db.rows(find, self.db.ids(set(asked.values()))))}
            found |= {first: there[now] for first, now in asked.items() if now in there}
            missing = {now for first, now in asked.items() if now not in there and first in following}
            rows = self.db.rows(self.sql.open_ends, self.db.ids(missing)) if missing else ()
            ends = {uuid(row[0]): uuid(row[1]) for row in rows}
            asked = {first: ends[now] for first, now in asked.items() if now in ends}
        return [
            (letter, wake)
            for letter in letters
            if (wake := found.get(letter.run_id)) is not None and (letter.follows or wake.run_id == letter.run_id)
        ]

    def _put(self, addressed: Sequence[tuple[Letter, Wake]]) -> list[Wake]:
        now = self.db.now()
        text, due_at = self.db.dialect.text_of(now), self.db.dialect.text_of(now + self.redelivery)
        letters = [letter._replace(run_id=wake.run_id) for letter, wake in addressed]
        if self.seal_letter is not None:
            letters = [letter._replace(details=self.seal_letter(letter)) for letter in letters]
        self.db.run_many(self.sql.insert_mail, [row_of_letter(letter, text, due_at) for letter in letters])
        return list({wake.run_id: wake for _, wake in addressed}.values())
