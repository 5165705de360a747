"""Questions to people: asked with the commit that they belong to, and answered once.

    asked --answer_task()--> answered      its row first, then by mail, which no end of the run goes past unread
          --time is over---> expired       by a decision, which does not stand where an answer waits unread
          --ctx.cancel()---> canceled      by the store, unless it was answered before; the code hears of it by mail

What became of it is the first of these that was committed.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Any

from durable_core import canceling, composition
from durable_core import commands as c
from durable_core import events as e
from durable_core.codec import encode
from durable_core.errors import ConfigurationError, WorkflowCanceled
from durable_core.handles import TaskHandle
from durable_core.options import check_name, span_of
from durable_core.ports import human_task_id_of

if TYPE_CHECKING:
    from durable_core.engine import Engine
    from durable_core.options import Duration

DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def ask(
    engine: Engine,
    question: str,
    form: Any,
    assignee: str | None,
    permission: str | None,
    timeout: Duration | None,
) -> Any:
    """The answer. Whom a cancel takes away from here asks no more."""
    handle = start_ask(engine, question, form, assignee, permission, timeout)
    try:
        return composition.wait(engine, handle, None)
    except WorkflowCanceled as canceled:
        canceling.ask_to_end(engine, handle, canceled.reason)
        raise


def start_ask(
    engine: Engine,
    question: Any,
    form: Any,
    assignee: str | None,
    permission: str | None,
    timeout: Duration | None,
) -> TaskHandle:
    """Raises `TypeError`, `ConfigurationError` or `PayloadError`; nothing has happened then."""
    if not isinstance(question, str) or not question.strip():
        raise TypeError(f"ask() got {question!r}; expected the question, as people are to read it.")
    encode(question, what="the question of ctx.ask()", limit=engine.payload_limit)
    asked_by = form_name(form)
    encode(asked_by, what="the choices of ctx.ask()", limit=engine.payload_limit)
    if assignee is not None:
        check_name(assignee, "the assignee of ctx.ask()")
    if permission is not None:
        check_name(permission, "the permission of ctx.ask()")
        if not re.fullmatch(r"\w+\.\w+", permission):
            raise ConfigurationError(f"the permission of ctx.ask() is {permission!r}; expected app_label.codename.")
    fire_at = None if timeout is None else engine.moment_in(span_of(timeout, "ctx.ask(timeout=)"))
    call_id = engine.next_call_id()
    fact = engine.issue(
        c.AskPerson(
            call_id=call_id,
            task_id=human_task_id_of(engine.info.execution_id, call_id),
            question=question,
            form=asked_by,
            assignee=assignee,
            permission=permission,
            fire_at=fire_at,
        )
    )
    assert isinstance(fact, e.TaskAsked)
    if fact.fire_at is not None:
        engine.timers.arm(call_id, fact.fire_at)
    handle = TaskHandle(call_id, fact.question, fact.task_id, fact.fire_at)
    engine.branch.scope.add(handle)
    return handle


def form_name(form: Any) -> str | list[list[str]] | None:
    """*form* as the history keeps it: a dotted path, pairs of value and label, or None.

    Raises `ConfigurationError` for what no other process would find, and for what are no choices.
    """
    match form:
        case None:
            return None
        case str():
            check_name(form, "the form of ctx.ask()")
            if not DOTTED.fullmatch(form):
                raise ConfigurationError(
                    f"the form of ctx.ask() is {form!r}; expected a dotted path, as app.forms.Name."
                )
            return form
        case type() if issubclass(form, Enum):
            labels = getattr(form, "choices", None)  # which Django's have
            return _choices(labels or [(member.value, member.name) for member in form])
        case type():
            path = f"{form.__module__}.{form.__qualname__}"
            if "<locals>" in path or form.__module__ == "__main__":
                raise ConfigurationError(
                    f"the form of ctx.ask() is {path}, which no other process can import. Define it at the top of a "
                    "module."
                )
            return form_name(path)
        case list() | tuple():
            return _choices(form)
        case _:
            raise ConfigurationError(
                f"the form of ctx.ask() is {form!r}; expected a form class, its dotted path, a list of choices or an "
                "Enum."
            )


def _choices(choices: Any) -> list[list[str]]:
    """Each is a text, or a pair of value and label."""
    pairs = [[choice, choice] if isinstance(choice, str) else list(choice) for choice in choices]
    values = [pair[0] for pair in pairs if len(pair) == 2 and isinstance(pair[0], str)]
    if not values or len(values) < len(pairs) or len(set(values)) < len(values):
        raise ConfigurationError(
            f"the choices of ctx.ask() are {choices!r}; expected texts, or pairs of a text and its label, each once."
        )
    return [[value, str(label)] for value, label in pairs]
