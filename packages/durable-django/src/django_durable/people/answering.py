"""What projects call to answer questions of workflows, and to list those that are open.

Joins the caller's transaction on the durable database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.db.models import Q

from django_durable.engine import engine
from durable_core.definitions import register
from durable_core.errors import ConfigurationError, HumanTaskError, InvalidAnswer
from durable_core.options import MAX_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from django import forms
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from django_durable.models import HumanTask
    from durable_core.definitions import WorkflowDefinition
    from durable_core.ports import HumanTaskRecord

    User = AbstractBaseUser | AnonymousUser


class TaskForbidden(HumanTaskError, PermissionDenied):
    """Who wants to answer a human task has not the permission that it asks for. Nothing was written."""


def answer_task(task: HumanTask | UUID | str, answer: Any = None, *, by: User | str | None = None) -> None:
    """Answer a human task: its workflow gets the answer, once, and its history says by whom.

    *task*: a row of `open_tasks()`, a handle or an id. *answer*: what the task's form takes, as a dict of its data or
    as a valid form; one of its choices; or else anything that JSON can hold. *by*: a user, who must have the task's
    permission, or a name, which is believed. Raises `TaskForbidden`, `TaskAnswered`, `TaskClosed`, `UnknownTask`,
    `InvalidAnswer`, `ConfigurationError` or `PayloadError`; nothing was written then.
    """
    answerer = engine().answerer
    found = answerer.find_open(_id_of(task))
    _check_permission(found, by)
    answerer.answer(found.id, _cleaned(found, answer), by=_name_of(by))


async def aanswer_task(task: HumanTask | UUID | str, answer: Any = None, *, by: User | str | None = None) -> None:
    """`answer_task` for async code."""
    await sync_to_async(answer_task)(task, answer, by=by)


def open_tasks(
    *,
    user: User | None = None,
    assignee: str | None = None,
    permission: str | None = None,
    workflow: str | Callable[..., Any] | WorkflowDefinition | None = None,
) -> QuerySet[HumanTask]:
    """Open human tasks, the oldest first.

    *user*: those that they may answer, and that are assigned to them, to a group of theirs, or to nobody. The others
    are compared as they are: *assignee*, *permission*, the *workflow* that asks.
    """
    from django_durable.models import HumanTask
    from durable_core.execution import HumanTaskStatus

    tasks = HumanTask.objects.using(engine().conf.database).filter(status=HumanTaskStatus.OPEN.value)
    if user is not None:
        tasks = tasks.filter(_for(user))
    if assignee is not None:
        tasks = tasks.filter(assignee=assignee)
    if permission is not None:
        tasks = tasks.filter(permission=permission)
    if workflow is not None:
        name = workflow if isinstance(workflow, str) else register.find_workflow(workflow).name
        tasks = tasks.filter(execution__workflow_name=name)
    return tasks.order_by("asked_at", "id")


def _for(user: Any) -> Q:
    mine = [user.get_username()]
    if user.is_authenticated and hasattr(user, "groups"):
        mine += user.groups.values_list("name", flat=True)
    assigned = Q(assignee__isnull=True) | Q(assignee__in=[name for name in mine if name])
    if user.is_active and getattr(user, "is_superuser", False):
        return assigned
    held = user.get_all_permissions() if hasattr(user, "get_all_permissions") else ()
    return assigned & (Q(permission__isnull=True) | Q(permission__in=list(held)))


def _id_of(task: Any) -> UUID:
    """Also of handles, and of rows."""
    found = getattr(task, "id", task)
    if isinstance(found, UUID):
        return found
    try:
        return UUID(str(found))
    except ValueError:
        raise ConfigurationError(
            f"answer_task() got {task!r}; expected a human task, or its id: a UUID or its text."
        ) from None


def _check_permission(task: HumanTaskRecord, by: Any) -> None:
    if task.permission is None or by is None or isinstance(by, str) or by.has_perm(task.permission):
        return
    raise TaskForbidden(
        f"{by.get_username() or 'Nobody'} may not answer {task.question!r}: that takes the permission "
        f"{task.permission!r}.",
        task_id=task.id,
    )


def _name_of(by: Any) -> str | None:
    if by is None or isinstance(by, str):
        return by
    return by.get_username()[:MAX_NAME] or None


def _cleaned(task: HumanTaskRecord, answer: Any) -> Any:
    """The answer that JSON is made of. Raises `InvalidAnswer` and `ConfigurationError`."""
    from django.forms import BaseForm

    from django_durable.people.forms import answer_in, form_class_of

    if isinstance(answer, BaseForm):
        return answer_in(_valid(task, answer))
    if not isinstance(task.form, str):
        return answer
    if not isinstance(answer, Mapping):
        text = f"an answer for {task.form} is a dict of its fields, not {answer!r}"
        raise InvalidAnswer(f"{text}.", task_id=task.id, errors={"__all__": [text]})
    return answer_in(_valid(task, form_class_of(task.form)(answer)))


def _valid(task: HumanTaskRecord, form: forms.BaseForm) -> forms.BaseForm:
    if form.is_valid():
        return form
    errors = {name: [str(message) for message in messages] for name, messages in form.errors.items()}
    told = "; ".join(f"{name}: {' '.join(messages)}" for name, messages in errors.items()) or "it is empty"
    raise InvalidAnswer(
        f"The answer is not what {task.form or 'the task'} takes: {told}", task_id=task.id, errors=errors
    )
