"""References to rows of the project's own tables."""

from __future__ import annotations

import pytest

from django_durable import ModelRef, PayloadError
from durable_core.shapes import Misfit, shape_of
from tests.project.app.models import Order


def test_a_reference_finds_its_row_as_it_is_now():
    order = Order.objects.create(number="7")
    ref = ModelRef.of(order)
    assert (ref.label, ref.pk, ref.alias) == ("testapp.order", order.pk, "default")
    Order.objects.update(paid=True)
    assert ref.get().paid
    order.delete()
    with pytest.raises(Order.DoesNotExist):
        ref.get()


def test_what_was_not_saved_has_no_reference():
    with pytest.raises(PayloadError, match="has no primary key yet; save it"):
        ModelRef.of(Order(number="7"))


def test_an_annotation_takes_references_to_its_model_only():
    shape = shape_of(ModelRef[Order])
    assert shape is not None
    ref: ModelRef[Order] = ModelRef("testapp.order", 7)
    assert shape.load(shape.dump(ref)) == ref
    for wrong, problem in [
        (ModelRef("auth.user", 7), "found a reference to auth.user, expected ModelRef to testapp.order"),
        (Order(pk=7), "found an object of type Order, expected ModelRef to testapp.order: what ModelRef.of"),
        ({"label": "testapp.order"}, "refuses"),
    ]:
        with pytest.raises(Misfit) as caught:
            shape.dump(wrong)
        assert problem in caught.value.problem
