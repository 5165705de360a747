"""`ModelRef`: a row of the project's own tables, as something that can be stored and passed along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, get_origin

from greenlet import getcurrent

from durable_core.activity import current_activity
from durable_core.errors import DurableError, PayloadError
from durable_core.shapes import Misfit, extend, shape_of
from durable_core.subscripts import subscriptable

if TYPE_CHECKING:
    from django.db.models import Model

M = TypeVar("M", bound="Model")


@subscriptable
@dataclass(frozen=True, slots=True)
class ModelRef(Generic[M]):
    """Which row it is: the model's label, the primary key and the database. It holds nothing of what is in the row.

    Workflow code passes it along; activities `get()` the row as it is then. As an annotation, ``ModelRef[Order]``
    takes references to orders only.
    """

    label: str  # "shop.order"
    pk: int | str
    alias: str = "default"

    @classmethod
    def of(cls, instance: M) -> ModelRef[M]:
        """A reference to a row that was saved. Raises `PayloadError` for one that was not."""
        if instance.pk is None:
            raise PayloadError(f"{instance._meta.label_lower} has no primary key yet; save it before you refer to it.")
        pk = instance.pk if type(instance.pk) is int else instance._meta.pk.value_to_string(instance)
        return cls(instance._meta.label_lower, pk, instance._state.db or "default")

    def get(self) -> M:
        """The row as it is now. Raises the model's ``DoesNotExist``, and `DurableError` in workflow code."""
        # The code of a workflow has a greenlet of its own, in which no activity is current.
        if getcurrent().parent is not None and not _in_activity():
            raise DurableError(
                f"ModelRef.get() of {self.label} {self.pk} was called in workflow code, where a replay might find "
                "another row. Pass the reference to an activity, and call get() there."
            )
        from django.apps import apps

        model: Any = apps.get_model(self.label)
        found: M = model._default_manager.using(self.alias).get(pk=self.pk)
        return found


def _in_activity() -> bool:
    try:
        current_activity()
    except DurableError:
        return False
    return True


class _RefTo:
    """The shape of ``ModelRef[Order]``."""

    rank = (4, -3)

    def __init__(self, model: type[Model]) -> None:
        self._label = model._meta.label_lower
        self.name = f"ModelRef to {self._label}"

    def holds(self, value: object) -> bool:
        return isinstance(value, ModelRef)

    def dump(self, value: Any) -> Any:
        if not isinstance(value, ModelRef | dict):
            given = type(value).__qualname__
            raise Misfit(f"found an object of type {given}, expected {self.name}: what ModelRef.of(instance) makes")
        stored = _ANY_REF.dump(value)
        self.load(stored)
        return stored

    def load(self, value: Any) -> ModelRef[Any]:
        ref: ModelRef[Any] = _ANY_REF.load(value)
        if ref.label != self._label:
            raise Misfit(f"found a reference to {ref.label}, expected {self.name}")
        return ref


_ANY_REF: Any = shape_of(ModelRef)


@extend
def _shape_of_ref(annotation: Any) -> _RefTo | None:
    if get_origin(annotation) is not ModelRef:
        return None
    [model] = get_args(annotation)
    return _RefTo(model) if hasattr(model, "_meta") else None
