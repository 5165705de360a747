"""Rows whose payloads may be sealed: the ORM shows them opened, or says why it cannot.

Only whole rows are opened: `values()` and `values_list()` give what stands in the column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models

from durable_core.codec import Unopened, decode, is_sealed, why_sealed
from durable_core.errors import PayloadSealed
from durable_core.sealing.sealer import SEALED

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Self

    from durable_core.sealing import Sealer


class SealableRow(models.Model):
    sealed_payloads: ClassVar[tuple[str, ...]] = ()  # columns of JSON
    sealed_texts: ClassVar[tuple[str, ...]] = ()  # columns of plain text
    sealed_failures: ClassVar[tuple[str, ...]] = ()  # columns of JSON that hold a record of a failure

    class Meta:
        abstract = True

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any) -> Self:
        row = super().from_db(db, field_names, values, **kwargs)
        held = row.__dict__
        for name in cls.sealed_payloads:
            if held.get(name).__class__ is Unopened:
                held[name] = _opened(held[name], row.place_of(name))
        for name in cls.sealed_texts:
            if is_sealed(held.get(name)):
                held[name] = _words(held[name], row.place_of(name))
        for name in cls.sealed_failures:
            if isinstance(held.get(name), dict) and SEALED in held[name]:
                held[name] = _failure(held[name], row.place_of(name))
        return row

    def place_of(self, column: str) -> bytes:
        """What its payloads were sealed for."""
        raise NotImplementedError(column)


def _sealer() -> Sealer | None:
    from django_durable.conf import inspect

    return inspect()[0].sealer


def _opened(text: str, place: bytes) -> Any:
    sealer = _sealer()
    try:
        return decode(text if sealer is None else sealer.open(text, place))
    except PayloadSealed as error:
        return f"(sealed: {error})"


def _words(text: str, place: bytes) -> str:
    sealer = _sealer()
    return f"(sealed: {why_sealed(text)})" if sealer is None else sealer.open_words(text, place)


def _failure(record: dict[str, Any], place: bytes) -> Any:
    sealer = _sealer()
    if sealer is None:
        return {"type": "PayloadSealed", "message": why_sealed(""), "traceback": ""}
    found = sealer.open_failure(record, place)
    return None if found is None else dict(found)
