"""What a human task's form means to Django: a class that asks for an answer, and the answer that it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.apps import apps
from django.db.models import Model, QuerySet
from django.utils.module_loading import import_string

from durable_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

ANSWER = "answer"  # the one field of forms that nobody has written


def form_class_of(form: str | Sequence[Sequence[str]] | None) -> type[forms.BaseForm]:
    """*form* as the history has it. Raises `ConfigurationError` for what cannot be imported, or is no form."""
    match form:
        case None:
            field: forms.Field = forms.CharField(widget=forms.Textarea(attrs={"rows": 4, "cols": 60}))
            return _form_with(field)
        case str():
            return _imported(form)
        case _:
            pairs = [(value, label) for value, label in form]
            return _form_with(forms.ChoiceField(choices=pairs, widget=forms.RadioSelect))


def answer_in(form: forms.BaseForm) -> Any:
    """What a valid form was told; rows of models as their primary keys."""
    told: dict[str, Any] = form.cleaned_data
    if isinstance(form, _OneAnswer):
        return told[ANSWER]
    return {name: _plain(value) for name, value in told.items()}


class _OneAnswer(forms.Form):
    """A form of ours: its answer is what its only field holds."""


def _form_with(field: forms.Field) -> type[forms.BaseForm]:
    field.label = "Answer"
    return cast("type[forms.BaseForm]", type("Answer", (_OneAnswer,), {ANSWER: field}))


def _imported(path: str) -> type[forms.BaseForm]:
    # The name stands in the database: whoever can write there must not choose what is imported.
    if apps.get_containing_app_config(path) is None:
        raise ConfigurationError(
            f"The form of this human task, {path!r}, is not in an app of INSTALLED_APPS. Define forms in an app."
        )
    try:
        found = import_string(path)
    except ImportError as error:
        raise ConfigurationError(
            f"The form of this human task, {path!r}, cannot be imported here: {error}. Let the name lead to it "
            "again, or answer where it does."
        ) from error
    if not (isinstance(found, type) and issubclass(found, forms.BaseForm)):
        raise ConfigurationError(f"The form of this human task, {path!r}, is {found!r}; expected a class of forms.")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return value.pk
    if isinstance(value, QuerySet):
        return [row.pk for row in value]
    return value
