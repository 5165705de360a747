"""The admin shows, to those who may look, and changes nothing whatever it is sent."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from django_durable.models import (
    ActivityTask,
    EventValue,
    HistoryEvent,
    Mail,
    PublishedItem,
    QueueEntry,
    Worker,
    WorkflowExecution,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = (WorkflowExecution, HistoryEvent, ActivityTask, EventValue, PublishedItem)
TABLES = (*MODELS, Mail, QueueEntry, Worker)
METHODS = ("get", "post", "put", "delete")
PAGES = ("changelist", "add", "change", "history", "delete")
SHOWN = {"changelist", "change", "history"}  # by methods that Django takes for a look
LOOKS = set(METHODS) - {"post"}
CANARY = "S3CR3T"


@pytest.fixture
def people(here: None) -> Iterator[dict[str, Client]]:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(*Permission.objects.filter(content_type__app_label="django_durable"))  # all there are
    users = {
        "superuser": User.objects.create_superuser("root"),
        "viewer": viewer,
        "staff": User.objects.create_user("staff", is_staff=True),
    }
    clients = {"anonymous": Client()}
    for name, user in users.items():
        clients[name] = Client()
        clients[name].force_login(user)
    yield clients
    User.objects.all().delete()


def made(model: Any, **fields: Any) -> Any:
    return model.objects.create(**fields)


def rows(text: str) -> dict[Any, Any]:
    """A row of each model with *text* wherever people's text can stand."""
    short = text[:200]
    payload = {text: [text, {"deep": text}]}
    waiting = {"kind": short, "what": text, "at": text}
    run = made(
        WorkflowExecution,
        **dict.fromkeys(("workflow_name", "workflow_id", "queue", "parent_call_id"), short),
        input=payload,
        result=payload,
        error=text,
        waiting_for=waiting,
        status="COMPLETED",
    )
    event = made(HistoryEvent, execution=run, seq=1, type=short[:64], call_id=short, details=payload)
    task = made(
        ActivityTask,
        execution=run,
        **dict.fromkeys(("activity_name", "call_id", "queue"), short),
        **dict.fromkeys(("input", "result", "retry_policy", "heartbeat_details"), payload),
        failure={"traceback": text, "message": text},
        error=text,
    )
    value = made(EventValue, execution=run, chain_id=run.pk, key=short, value=payload)
    item = made(PublishedItem, execution=run, chain_id=run.pk, stream=short, call_id=short, number=0, item=payload)
    return {WorkflowExecution: run, HistoryEvent: event, ActivityTask: task, EventValue: value, PublishedItem: item}


def url(model: Any, page: str, key: Any) -> str:
    args = [] if page in ("changelist", "add") else [key]
    return reverse(f"admin:django_durable_{model._meta.model_name}_{page}", args=args)


def snapshot() -> list[list[Any]]:
    return [list(model._default_manager.order_by("pk").values()) for model in TABLES]


def test_nobody_changes_anything_by_any_method(people: dict[str, Client]) -> None:
    found = rows("plain")
    before = snapshot()
    forms: list[dict[str, Any]] = [
        {},
        {"post": "yes", "status": "FAILED", "workflow_name": "other", "details": "{}", "_save": "Save"},
        {"action": "delete_selected", "post": "yes", "_selected_action": [row.pk for row in found.values()]},
    ]
    for who, client in people.items():
        for model, row in found.items():
            for page in PAGES:
                for method in METHODS:
                    for data in forms if method == "post" else forms[:1]:
                        answer = getattr(client, method)(url(model, page, row.pk), data)
                        status = answer.status_code
                        what = f"{who}: {method} {page} of {model.__name__} answers {status}"
                        if who == "anonymous":
                            assert status == 302, what
                            assert "/login/" in answer.url, what
                        elif who == "staff":
                            assert status == 403, what
                        elif page in SHOWN and (method in LOOKS or page != "change"):
                            assert status in (200, 302), what
                        else:
                            assert status in (403, 405), what
    assert snapshot() == before


def test_posts_need_a_csrf_token(people: dict[str, Client]) -> None:
    row = rows("plain")[WorkflowExecution]
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="root"))
    for page in PAGES:
        assert strict.post(url(WorkflowExecution, page, row.pk), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("lookup", ["error__startswith", "input__contains", "parent__input__contains", "pk__gt"])
def test_filters_that_nobody_offers_are_refused(people: dict[str, Client], lookup: str) -> None:
    """They would let somebody guess, letter by letter, what he may not see."""
    rows("plain")
    answer = people["viewer"].get(url(WorkflowExecution, "changelist", None), {lookup: "x"})
    assert answer.status_code == 400


class Skeleton(HTMLParser):
    """A page's elements and attributes, without its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[Any] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append((tag, [name for name, _ in attrs]))
        self.links += [str(value) for name, value in attrs if name in ("href", "src", "action", "formaction")]

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(tag)


EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</pre></td></table></script><!--",
    "{{ 7|add:7 }}{% csrf_token %}",
    "&lt;script&gt;\u2028\u202e",
)


@pytest.mark.parametrize("text", EVIL)
def test_text_changes_nothing_of_a_page_but_its_text(people: dict[str, Client], text: str) -> None:
    admin = people["superuser"]
    plain, evil = rows("x" * len(text)), rows(text)
    for model in MODELS:
        for page in ("change", "history"):
            expected, found = (
                admin.get(url(model, page, row.pk)).content.decode() for row in (plain[model], evil[model])
            )
            assert Skeleton(found).parts == Skeleton(expected).parts, f"{page} of {model.__name__}"
            assert not [link for link in Skeleton(found).links if link.strip().lower().startswith("javascript:")]
    for model in MODELS:
        found = admin.get(url(model, "changelist", None), {"q": text}).content.decode()
        assert not [link for link in Skeleton(found).links if link.strip().lower().startswith("javascript:")]
        assert text not in found or not set(text) & set("<\"'")


def test_payloads_are_on_the_pages_of_rows_and_in_no_list(people: dict[str, Client]) -> None:
    run = made(WorkflowExecution, workflow_name="order", input=CANARY, result=CANARY, error=CANARY)
    event = made(HistoryEvent, execution=run, seq=1, type="workflow_started", details=CANARY)
    task = made(ActivityTask, execution=run, activity_name="a", call_id="0", input=CANARY, result=CANARY, error=CANARY)
    for model, row in ((WorkflowExecution, run), (HistoryEvent, event), (ActivityTask, task)):
        assert CANARY not in people["viewer"].get(url(model, "changelist", None)).content.decode()
        assert CANARY in people["viewer"].get(url(model, "change", row.pk)).content.decode()
        for who in ("staff", "anonymous"):
            assert CANARY not in people[who].get(url(model, "change", row.pk), follow=True).content.decode()
