"""Questions to people in a Django project: forms, permissions, lists, pages and commands."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from django_durable import (
    ConfigurationError,
    InvalidAnswer,
    TaskAnswered,
    TaskForbidden,
    aanswer_task,
    answer_task,
    cancel_workflow,
    open_tasks,
    register,
    start_workflow,
)
from django_durable.engine import make_worker, worker_settings
from django_durable.models import HumanTask, WorkflowExecution
from django_durable.people.forms import form_class_of
from tests.scenarios.forms import Approval

ROOT = Path(__file__).resolve().parents[2]
GOOD = {"approved": True, "amount": "12.50", "day": "2026-05-01"}
CLEANED = {"approved": True, "amount": "12.50", "day": "2026-05-01", "comment": ""}


def work():
    make_worker(worker_settings()).run(until_idle=True)


def ask(workflow="asks", **options):
    handle = start_workflow(workflow, **options)
    work()
    return handle, HumanTask.objects.get(execution=handle.id)


def result_of(handle):
    work()
    return handle.result(timeout=0)


@pytest.fixture
def user():
    made = User.objects.create_user("ann", is_staff=True)
    yield made
    User.objects.all().delete()
    Group.objects.all().delete()


def allow(user, *codenames):
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
    return User.objects.get(pk=user.pk)  # which has forgotten what it knew of its permissions


def client_of(user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def url(action, task=None):
    return reverse(f"admin:django_durable_humantask_{action}", args=[] if task is None else [task.pk])


def post(client, task, **data):
    """As a browser does it, from the page with the form."""
    client.get(url("answer", task))
    return client.post(url("answer", task), {**data, "csrfmiddlewaretoken": client.cookies["csrftoken"].value})


# Forms


def test_a_form_cleans_the_answer_where_it_is_given():
    handle, task = ask("asks_with_a_form")
    assert task.form == "tests.scenarios.forms.Approval"
    with pytest.raises(InvalidAnswer, match="amount: <i>less</i> than nothing; day: This field is required") as wrong:
        answer_task(task, {"amount": "-1"})
    assert wrong.value.errors == {"amount": ["<i>less</i> than nothing"], "day": ["This field is required."]}
    with pytest.raises(InvalidAnswer, match="is a dict of its fields, not 'yes'"):
        answer_task(task, "yes")
    answer_task(task, GOOD, by="ann")
    assert result_of(handle) == CLEANED


def test_a_valid_form_is_an_answer():
    handle, task = ask("asks_with_a_form")
    assert isinstance(task.make_form(), Approval)
    with pytest.raises(InvalidAnswer):
        answer_task(task, task.make_form({}))
    answer_task(task, task.make_form(GOOD))
    assert result_of(handle) == CLEANED


def test_choices_and_texts_have_forms_too():
    handle, task = ask(form=[["y", "Yes & <b>now</b>"], ["n", "No"]])
    form = task.make_form({"answer": "x"})
    assert not form.is_valid()
    assert "Yes &amp; &lt;b&gt;now&lt;/b&gt;" in str(form)
    answer_task(task, task.make_form({"answer": "y"}))
    assert result_of(handle) == "y"
    handle, task = ask()
    answer_task(task, task.make_form({"answer": "so so"}))
    assert result_of(handle) == "so so"


def test_rows_are_answered_by_their_keys(user):
    from django import forms

    from django_durable.people.forms import answer_in

    class Pick(forms.Form):
        one = forms.ModelChoiceField(User.objects.all())
        some = forms.ModelMultipleChoiceField(User.objects.all())

    form = Pick({"one": user.pk, "some": [user.pk]})
    assert form.is_valid()
    assert answer_in(form) == {"one": user.pk, "some": [user.pk]}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("tests.scenarios.forms.Gone", "cannot be imported here"),
        ("tests.scenarios.gone.Approval", "cannot be imported here"),
        ("tests.scenarios.forms.NOT_A_FORM", "expected a class of forms"),
        ("os.system", "is not in an app of INSTALLED_APPS"),
    ],
)
def test_a_form_that_is_not_there_is_told_in_words(path, says):
    with pytest.raises(ConfigurationError, match=says):
        form_class_of(path)


# Permissions


def test_who_has_not_the_permission_may_not_answer(user):
    handle, task = ask(permission="auth.add_group")
    for nobody in (user, AnonymousUser()):
        with pytest.raises(TaskForbidden, match=r"takes the permission 'auth\.add_group'") as refused:
            answer_task(task, "yes", by=nobody)
        assert isinstance(refused.value, PermissionDenied)  # which a view answers with 403
    answer_task(task, "yes", by=allow(user, "add_group"))
    task.refresh_from_db()
    assert (task.answered_by, result_of(handle)) == ("ann", "yes")


def test_a_name_is_believed():
    handle, task = ask(permission="auth.add_group")
    answer_task(task, "yes", by="the cashier's desk")
    assert result_of(handle) == "yes"


def test_async_code_answers():
    handle, task = ask()
    async_to_sync(aanswer_task)(task.pk, 7)
    assert result_of(handle) == 7
    with pytest.raises(ConfigurationError, match="expected a human task, or its id"):
        answer_task("seven", 7)


def test_tasks_are_found_by_who_may_answer_them(user):
    choices: tuple[dict[str, str], ...] = (
        {},
        {"assignee": "ann"},
        {"assignee": "shop"},
        {"permission": "auth.add_group"},
        {"assignee": "ben"},
    )
    ours = {ask(**options)[1].pk: number for number, options in enumerate(choices)}

    def found(**choice):
        return [ours[task.pk] for task in open_tasks(**choice) if task.pk in ours]

    assert found() == [0, 1, 2, 3, 4]
    assert (found(assignee="ann"), found(permission="auth.add_group")) == ([1], [3])
    assert (found(workflow="asks"), found(workflow="echoes")) == ([0, 1, 2, 3, 4], [])
    assert found(user=user) == [0, 1]
    user.groups.add(Group.objects.create(name="shop"))
    assert found(user=allow(user, "add_group")) == [0, 1, 2, 3]
    assert found(user=User.objects.create_superuser("root")) == [0, 3]
    assert found(user=AnonymousUser()) == [0]
    for run in WorkflowExecution.objects.filter(human_tasks__in=list(ours)):
        cancel_workflow(run)
    assert found() == []


# The admin


def test_a_person_answers_on_a_page_and_the_second_sees_who_did(user):
    client = client_of(allow(user, "view_humantask", "change_humantask", "view_workflowexecution"))
    handle, task = ask(question="Is <script>alert(1)</script> good?", form=["yes", "<b>no</b>"])
    listed = client.get(url("changelist")).content.decode()
    assert "Is &lt;script&gt;" in listed
    assert "<script>alert" not in listed
    page = client.get(url("answer", task)).content.decode()
    assert "Is &lt;script&gt;" in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page
    assert "<script>alert" not in page
    assert client.post(url("answer", task), {"answer": "yes"}).status_code == 403  # without the token
    assert "Select a valid choice" in post(client, task, answer="perhaps").content.decode()
    answered = post(client, task, answer="<b>no</b>")
    assert (answered.status_code, answered.url) == (302, url("change", task))
    shown = client.get(url("change", task)).content.decode()
    assert "&lt;b&gt;no&lt;/b&gt;" in shown
    assert "<b>no</b>" not in shown
    ben = client_of(allow(User.objects.create_user("ben", is_staff=True), "view_humantask", "change_humantask"))
    late = ben.post(url("answer", task), {"answer": "yes", "csrfmiddlewaretoken": csrf_of(ben)}, follow=True)
    assert "Ann answered" in late.content.decode()  # Django begins messages with a capital
    assert urlsplit(late.redirect_chain[0][0]).path == url("change", task)
    assert result_of(handle) == "<b>no</b>"
    assert str(task.pk) not in client.get(url("changelist")).content.decode()
    assert str(task.pk) in client.get(url("changelist") + "?status=all").content.decode()
    assert (
        str(task.pk)
        in client.get(reverse("admin:django_durable_workflowexecution_change", args=[handle.id])).content.decode()
    )


def csrf_of(client):
    client.get(reverse("admin:password_change"))
    return client.cookies["csrftoken"].value


def test_a_page_shows_the_projects_own_form_and_its_mistakes(user):
    client = client_of(allow(user, "view_humantask", "change_humantask"))
    handle, task = ask("asks_with_a_form")
    page = post(client, task, amount="-1", day="2026-05-01").content.decode()
    assert "&lt;i&gt;less&lt;/i&gt; than nothing" in page
    assert 'value="2026-05-01"' in page
    assert post(client, task, **{**GOOD, "approved": "on"}).status_code == 302
    assert result_of(handle) == CLEANED


def test_a_form_that_cannot_be_imported_is_told_on_the_page(user):
    client = client_of(allow(user, "view_humantask", "change_humantask"))
    handle, task = ask(form="tests.scenarios.forms.Gone")
    assert "cannot be imported here" in client.get(url("answer", task)).content.decode()
    assert "cannot be imported here" in post_as_it_is(client, task).content.decode()
    cancel_workflow(handle)


def post_as_it_is(client, task):
    return client.post(url("answer", task), {"csrfmiddlewaretoken": csrf_of(client)})


@pytest.mark.parametrize(
    ("held", "permission", "status"),
    [
        ((), None, 403),
        (("view_humantask",), None, 403),
        (("change_humantask",), None, 200),
        (("view_humantask", "change_humantask"), "auth.add_group", 403),
        (("view_humantask", "add_group"), "auth.add_group", 200),
        (("add_group",), "auth.add_group", 403),
    ],
)
def test_the_page_asks_for_the_permission_of_the_task(user, held, permission, status):
    handle, task = ask(permission=permission)
    client = client_of(allow(user, *held))
    assert client.get(url("answer", task)).status_code == status
    posted = client.post(url("answer", task), {"answer": "x", "csrfmiddlewaretoken": csrf_of(client)})
    assert posted.status_code == (302 if status == 200 else 403)
    if status == 403:
        cancel_workflow(handle)
    else:
        assert result_of(handle) == "x"


def test_nothing_is_answered_that_is_not_there(user):
    client = client_of(User.objects.create_superuser("root"))
    for key in ("00000000-0000-4000-8000-000000004711", "seven"):
        assert client.get(reverse("admin:django_durable_humantask_answer", args=[key])).status_code == 404
    assert Client().get(reverse("admin:django_durable_humantask_answer", args=["x"])).status_code == 302  # to log in


# Commands


def test_tasks_are_listed_and_answered_by_commands():
    handle, task = ask(assignee="ann")
    out = StringIO()
    call_command("durable_tasks", assignee="ann", stdout=out)
    assert str(task.pk) in out.getvalue()
    out = StringIO()
    call_command("durable_tasks", workflow="asks", format="json", stdout=out)
    [told] = [each for each in json.loads(out.getvalue()) if each["id"] == str(task.pk)]
    assert (told["question"], told["execution"], told["expires_at"]) == (task.question, str(handle), None)
    out = StringIO()
    call_command("durable_tasks", permission="auth.nothing", stdout=out)
    assert out.getvalue() == "No task is open.\n"
    err = StringIO()
    call_command("durable_answer", str(task.pk), input='{"ok": true}', by="ann", stderr=err)
    assert "answered" in err.getvalue()
    with pytest.raises(CommandError, match="ann answered"):
        call_command("durable_answer", str(task.pk))
    assert result_of(handle) == {"ok": True}
    with pytest.raises(TaskAnswered):
        answer_task(task)


# The how-to


def test_the_examples_of_the_how_to_run():
    page = (ROOT / "docs/howto/ask-a-person.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    here: dict[str, Any] = {}
    names = ("remind", "pay_invoice", "publish_article")
    try:
        for block in code:
            exec(block, here)
        handle, task = ask("pay_invoice", number="7")
        assert (task.assignee, task.form) == ("ann", [["yes", "yes"], ["no", "no"]])
        answer_task(task, "yes", by="ann")
        assert result_of(handle) == "yes"
        handle = start_workflow("publish_article", title="Durable")
        work()
        for name in ("cleo", "ann"):
            answer_task(open_tasks(assignee=name, workflow="publish_article").get(), "no", by=name)
        assert result_of(handle) is False
        told = HumanTask.objects.get(execution=handle.id, assignee="ben")
        assert (told.status, told.reason) == ("CANCELED", "the others have decided")
    finally:
        for name in names:
            register.activities.pop(name, None)
            register.workflows.pop(name, None)
