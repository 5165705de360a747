from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from django_durable import cancel_workflow, start_workflow
from django_durable.engine import make_worker, worker_settings
from django_durable.models import ActivityTask, HistoryEvent, WorkflowExecution

MODELS = (WorkflowExecution, HistoryEvent, ActivityTask)


@pytest.fixture
def admin() -> Iterator[Client]:
    yield from client_of(User.objects.create_superuser("root"))


def client_of(user):
    client = Client()
    client.force_login(user)
    yield client
    User.objects.all().delete()


@pytest.fixture
def viewer() -> Iterator[Client]:
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__startswith="view_"))
    yield from client_of(user)


@pytest.fixture
def staff() -> Iterator[Client]:
    yield from client_of(User.objects.create_user("staff", is_staff=True))


@pytest.fixture
def run() -> WorkflowExecution:
    """A failed run: it has history, an activity with an error, and text that is no HTML."""
    handle = start_workflow("declined", reason="<script>alert('x')</script>")
    make_worker(worker_settings()).run(until_idle=True)
    return handle.execution


def url(model, action, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{action}", args=args)


def row_of(model, run):
    return run if model is WorkflowExecution else model.objects.filter(execution=run).first()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("who", ["admin", "viewer"])
def test_pages_show_and_nothing_can_be_changed(request, who, model, run):
    client = request.getfixturevalue(who)
    row = row_of(model, run)
    assert client.get(url(model, "changelist")).status_code == 200
    assert client.get(url(model, "change", row.pk)).status_code == 200
    before = list(model.objects.order_by("pk").values())
    assert client.get(url(model, "add")).status_code == 403
    assert client.post(url(model, "add"), {}).status_code == 403
    assert client.post(url(model, "change", row.pk), {"status": "COMPLETED"}).status_code == 403
    assert client.get(url(model, "delete", row.pk)).status_code == 403
    assert client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    client.post(url(model, "changelist"), {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"})
    assert list(model.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("model", MODELS)
def test_staff_without_the_permission_sees_nothing(staff, model, run):
    assert staff.get(url(model, "changelist")).status_code == 403
    assert staff.get(url(model, "change", row_of(model, run).pk)).status_code == 403


@pytest.mark.parametrize("model", MODELS)
def test_text_of_users_is_escaped(admin, model, run):
    pages = [url(model, "changelist"), *(url(model, "change", row.pk) for row in rows_of(model, run))]
    texts = [admin.get(page).content.decode() for page in pages]
    assert not any("<script>alert" in text for text in texts)
    assert any("&lt;script&gt;alert" in text for text in texts[1:])


def rows_of(model, run):
    return [run] if model is WorkflowExecution else list(model.objects.filter(execution=run))


def test_the_page_of_a_run_has_its_history_and_activities(admin, run):
    text = admin.get(url(WorkflowExecution, "change", run.pk)).content.decode()
    for word in ("workflow_started", "activity_scheduled", "activity_failed", "workflow_failed", "decline", "FAILED"):
        assert word in text


def test_the_page_of_a_long_run_shows_the_newest_events(admin):
    run = WorkflowExecution.objects.create(workflow_name="order", history_length=250)
    HistoryEvent.objects.bulk_create(
        HistoryEvent(execution=run, seq=seq, type=f"event_{seq}_") for seq in range(1, 251)
    )
    text = admin.get(url(WorkflowExecution, "change", run.pk)).content.decode()
    assert "event_250_" in text
    assert "event_151_" in text
    assert "event_150_" not in text
    assert f"{url(HistoryEvent, 'changelist')}?q={run.pk}" in text


def test_the_list_says_what_a_run_waits_for(admin):
    start_workflow("approval")
    make_worker(worker_settings()).run(until_idle=True)
    text = admin.get(url(WorkflowExecution, "changelist")).content.decode()
    assert "signal &#x27;approved&#x27;, for " in text


def test_search_finds_ids(admin):
    from tests.project.app.durable_workflows import approval

    wanted = start_workflow(approval.using(workflow_id="user-7"))
    other = start_workflow(approval.using(workflow_id="other"))
    for term in (str(wanted), wanted.id.hex, "user-7", "user-"):
        text = admin.get(url(WorkflowExecution, "changelist"), {"q": term}).content.decode()
        assert str(wanted) in text
        assert str(other) not in text
    cancel_workflow(wanted)
    text = admin.get(url(HistoryEvent, "changelist"), {"q": str(wanted)}).content.decode()
    assert "workflow_canceled" in text
    assert "0 history events" in admin.get(url(HistoryEvent, "changelist"), {"q": "x"}).content.decode()


def test_filters(admin, run):
    page = url(WorkflowExecution, "changelist")
    assert str(run.pk) in admin.get(page, {"status__exact": "FAILED", "workflow_name": "declined"}).content.decode()
    assert str(run.pk) not in admin.get(page, {"workflow_name": "order"}).content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_lists_cost_as_many_queries_whatever_their_length(admin, model, run):
    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert admin.get(url(model, "changelist")).status_code == 200
        return len(captured)

    few = queries()
    for _ in range(5):
        start_workflow("declined")
    make_worker(worker_settings()).run(until_idle=True)
    assert queries() == few


def test_lists_leave_payloads_in_the_database(admin, run):
    for model, payloads in ((WorkflowExecution, ("input", "result")), (HistoryEvent, ("details",))):
        with CaptureQueriesContext(connection) as captured:
            admin.get(url(model, "changelist"))
        table = model._meta.db_table
        [listing] = [q["sql"] for q in captured if f'FROM "{table}"' in q["sql"] and "COUNT" not in q["sql"]]
        assert not [name for name in payloads if f'"{table}"."{name}"' in listing]


def test_the_newest_run_is_the_first_of_the_list(admin):
    """Ids of children are made from their parents': they say nothing of age."""
    old = WorkflowExecution.objects.create(id=UUID(int=2**128 - 1), workflow_name="order")
    new = WorkflowExecution.objects.create(workflow_name="order")
    text = admin.get(url(WorkflowExecution, "changelist")).content.decode()
    assert text.index(str(new.pk)) < text.index(str(old.pk))


def test_pages_have_no_inline_styles_or_scripts_of_ours(admin, run):
    text = admin.get(url(WorkflowExecution, "change", run.pk)).content.decode()
    body = text[text.index('id="content"') :]
    assert not re.search(r"<(table|td|tr|pre|code)[^>]*style=", body)


@pytest.fixture
def operator() -> Iterator[Client]:
    user = User.objects.create_user("operator", is_staff=True)
    names = ["view_workflowexecution", "change_workflowexecution"]
    user.user_permissions.add(*Permission.objects.filter(codename__in=names))
    yield from client_of(user)


def act(client, action, run):
    chosen = {"action": action, "_selected_action": [str(run.id)]}
    return client.post(url(WorkflowExecution, "changelist"), chosen, follow=True).content.decode()


def test_operators_try_failed_runs_again(operator, run):
    assert "1 of 1 will be tried again" in act(operator, "retry", run)
    run.refresh_from_db()
    assert run.status == "RUNNING"
    assert run.history.last().details["reason"] == "by operator, in the admin"
    assert "it goes on by itself" in act(operator, "retry", run)


def test_operators_pause_and_resume(operator):
    run = start_workflow("approval").execution
    assert "1 of 1 paused" in act(operator, "pause", run)
    run.refresh_from_db()
    assert run.pause_reason == "by operator, in the admin"
    page = operator.get(url(WorkflowExecution, "change", run.id)).content.decode()
    assert "by operator, in the admin" in page
    assert "0 of 1 paused" in act(operator, "pause", run)
    assert "1 of 1 resumed" in act(operator, "resume", run)
    run.refresh_from_db()
    assert run.paused_at is None


def test_who_may_only_look_may_do_nothing(viewer, run):
    act(viewer, "retry", run)
    act(viewer, "pause", run)
    run.refresh_from_db()
    assert (run.status, run.paused_at) == ("FAILED", None)
    assert "Try again" not in viewer.get(url(WorkflowExecution, "changelist")).content.decode()


def fork(client, *events):
    chosen = {"action": "fork", "_selected_action": [str(event.pk) for event in events]}
    return client.post(url(HistoryEvent, "changelist"), chosen, follow=True).content.decode()


def test_operators_fork_a_run_from_an_event(operator, viewer, run):
    for client in (operator, viewer):
        user = User.objects.get(pk=client.session["_auth_user_id"])
        user.user_permissions.add(Permission.objects.get(codename="view_historyevent"))
    events = list(run.history.order_by("seq"))
    told = fork(operator, events[-1], events[0])
    [forked] = run.forks.all()
    assert f'Forked as <a href="{url(WorkflowExecution, "change", forked.id)}">{forked.id}</a>.' in told
    assert "cannot be forked" in told
    page = operator.get(url(WorkflowExecution, "change", forked.id)).content.decode()
    assert str(run.id) in page
    fork(viewer, events[-1])
    assert run.forks.count() == 1
