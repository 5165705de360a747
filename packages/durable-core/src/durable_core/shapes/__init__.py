"""Values that JSON has no form for: written as plain JSON, and read back as the type that an annotation names.

Which type that is stands in the code that receives the value, never in the data. The forms are the same whatever is
installed: ISO 8601 for dates, times and durations; text for decimals and UUIDs; an Enum's value; an object of a class's
fields; a list for tuples, named tuples and sets.
"""

from durable_core.shapes.base import Misfit, Shape
from durable_core.shapes.finding import extend, shape_of
from durable_core.shapes.values import plain

__all__ = ["Misfit", "Shape", "extend", "plain", "shape_of"]
