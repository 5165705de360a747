"""Columns: JSON as text, and instants that are UTC whatever the project's settings say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import models
from django.utils import timezone

from durable_core.codec import Unopened, decode, encode, is_sealed, why_sealed

_UNLIMITED = 2**62  # payloads were measured where they came in


class PayloadField(models.TextField):  # type: ignore[type-arg] # generic only in the stubs
    """A Python value in a column of ASCII JSON text.

    Text and not a JSON type: those reorder keys, change floats and refuse ``\\u0000``. NULL and the text ``null`` are
    both None here; ask the database with ``__isnull`` to tell them apart. What is
    sealed comes out as an `Unopened`, which its row opens: see `sealed_rows`.
    """

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Any:
        if value is None:
            return None
        return Unopened.of(value, why_sealed(value)) if is_sealed(value) else decode(value)

    def get_prep_value(self, value: Any) -> str | None:
        if isinstance(value, Unopened):
            return str(value)
        return None if value is None and self.null else encode(value, limit=_UNLIMITED)

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: models.Model) -> Any:
        return self.value_from_object(obj)


class InstantField(models.DateTimeField):  # type: ignore[type-arg] # generic only in the stubs
    """An aware datetime in UTC, also under ``USE_TZ = False`` and whatever ``TIME_ZONE``.

    A naive value is taken to be in the current time zone of Django.
    """

    def from_db_value(self, value: datetime | None, expression: Any, connection: Any) -> datetime | None:
        if value is None:
            return None
        if connection.vendor != "postgresql":
            return value.replace(tzinfo=UTC)  # Django put its own zone on a text that is UTC
        if value.tzinfo is None:  # USE_TZ = False: local time of the session; psycopg set its `fold`
            value = value.replace(tzinfo=ZoneInfo(connection.timezone_name))
        return value.astimezone(UTC)

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        return utc(value) if isinstance(value, datetime) else super().get_prep_value(value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        value = value if prepared else self.get_prep_value(value)
        if not isinstance(value, datetime):
            return super().get_db_prep_value(value, connection, prepared=True)
        return value if connection.vendor == "postgresql" else str(utc(value).replace(tzinfo=None))


def utc(value: datetime) -> datetime:
    """The same instant in UTC."""
    if value.tzinfo is None:
        value = timezone.make_aware(value)
    return value.astimezone(UTC)


def utc_now() -> datetime:
    return datetime.now(UTC)
