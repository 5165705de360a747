"""Generic values that can be made by their subscripted name, as in ``WorkflowHandle[int](run_id)``."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


def subscriptable(cls: type[T]) -> type[T]:
    """For frozen dataclasses with slots. Calling a subscripted class has `typing` set an attribute of what was made;
    before Python 3.12 it takes an AttributeError for a no, and nothing else. What `dataclass` writes for a class with
    slots raises TypeError for a name that is no field: it means the class that stood there before the slots did.
    """

    def refuse(self: object, name: str, *value: Any) -> NoReturn:
        raise FrozenInstanceError(f"cannot change {name!r} of {type(self).__name__}")

    cls.__setattr__ = cls.__delattr__ = refuse  # type: ignore[method-assign]
    return cls
