"""Values that ``DURABLE["REDACT"]`` keeps from people: on every page, in every command, in the log of workflow code."""

from __future__ import annotations

import json
import logging
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client, override_settings
from django.urls import reverse

from django_durable import register, run_workflow, start_workflow
from django_durable.models import ActivityTask, EventValue, HistoryEvent, WorkflowExecution
from django_durable.redaction import redacted
from durable_core.definitions import remote_activity

SECRET = "S3CR3T-4711"
SHOWN = "shown-as-it-is"


@register.activity(name="redaction.pay")
def pay(card_number, *more, note="", **others):
    return {"receipt": {"Card_Number": card_number}, "note": note}


@register.workflow(name="redaction.buys")
def buys(ctx, account):
    ctx.logger.info("pays %s of %s", {"card_number": account["card_number"]}, SHOWN)
    paid = ctx.run_activity(pay, account["card_number"], note=SHOWN, password=account["card_number"])
    ctx.set_event("password", account["card_number"])
    ctx.set_event("account", account)
    return [paid, {"password": account["card_number"]}]


@register.workflow(name="redaction.asks_far")
def asks_far(ctx, password):
    ctx.start_activity(remote_activity("redaction.far", queue="far"), password, note=SHOWN)


@pytest.fixture
def run():
    """A run that has ended, and holds the secret wherever it can."""
    with override_settings(DURABLE={"REDACT": ["card_number", "password"]}):
        found = run_workflow(buys, account={"card_number": SECRET, "note": SHOWN})
        assert found[1] == {"password": SECRET}  # code gets it whole
        yield WorkflowExecution.objects.get(workflow_name="redaction.buys")
    User.objects.filter(username="root").delete()  # whoever looked, see `pages_of`


def pages_of(run):
    rows = [run, *HistoryEvent.objects.filter(execution=run), *ActivityTask.objects.filter(execution=run)]
    rows += EventValue.objects.filter(execution=run)
    User.objects.filter(username="root").delete()
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    for row in rows:
        url = reverse(f"admin:django_durable_{row._meta.model_name}_change", args=[row.pk])
        yield client.get(url).content.decode()
    User.objects.filter(username="root").delete()


def said_by(*command, **options):
    out = StringIO()
    call_command(*command, stdout=out, stderr=out, **options)
    return out.getvalue()


def test_named_values_are_shown_to_nobody(run):
    shown = [
        *pages_of(run),
        said_by("durable_status", str(run.id)),
        said_by("durable_status", str(run.id), format="json"),
        said_by("durable_status", str(run.id), query="status"),
    ]
    assert len(shown) > 8
    assert not [text for text in shown if SECRET in text]
    assert sum(SHOWN in text for text in shown) >= 5
    assert json.loads(said_by("durable_status", str(run.id), format="json"))["result"][1] == {"password": "***"}
    with override_settings(DURABLE={}):
        assert sum(SECRET in text for text in pages_of(run)) >= 4


def test_what_workflow_code_logs_is_masked(caplog):
    caplog.set_level(logging.INFO, "durable.workflow")
    with override_settings(DURABLE={"REDACT": ["card_number"]}):
        run_workflow(buys, account={"card_number": SECRET})
    [record] = [r for r in caplog.records if r.name == "durable.workflow.redaction.buys"]
    assert record.getMessage() == f"pays {{'card_number': '***'}} of {SHOWN}"
    assert (record.filename, record.funcName) == ("test_redaction.py", "buys")
    caplog.clear()
    with override_settings(DURABLE={}):
        run_workflow(buys, account={"card_number": SECRET})
    assert SECRET in caplog.text


def test_positional_arguments_of_an_activity_that_is_not_known_here_are_masked():
    with override_settings(DURABLE={"REDACT": ["password"]}):
        handle = start_workflow(asks_far.using(timeout=60), password=SECRET)
        call_command("durable_worker", until_idle=True, verbosity=0)
        run = WorkflowExecution.objects.get(pk=handle.id)
        shown = [*pages_of(run), said_by("durable_status", str(run.id))]
    assert not [text for text in shown if SECRET in text]
    assert SHOWN in "".join(shown)


def test_keys_are_found_however_deep_and_in_any_case():
    with override_settings(DURABLE={"REDACT": ["token"]}):
        assert redacted([{"a": ({"TOKEN": {"b": 1}},), "tokens": 1}]) == [{"a": [{"TOKEN": "***"}], "tokens": 1}]
    with override_settings(DURABLE={}):
        value = {"token": 1}
        assert redacted(value) is value
