"""At the limit all is well; one more is refused by name, and nothing is written."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_durable import (
    PayloadError,
    WorkflowFailed,
    cancel_workflow,
    remote_workflow,
    run_workflow,
    send_signal,
    start_workflow,
)
from django_durable.models import HistoryEvent
from django_durable.store import mail
from durable_core import engine as core_engine
from durable_core.codec import MAX_NESTING, encode
from durable_core.errors import ConfigurationError, LimitExceeded
from durable_core.failures import MAX_MESSAGE
from durable_core.options import MAX_NAME
from tests.security.test_sql import tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT = 5_000  # of the payloads in these tests
MEGABYTE = 1_000_000  # the default


@pytest.fixture
def small(alias: str) -> Any:
    with override_settings(DURABLE={"DATABASE": alias, "MAX_PAYLOAD": LIMIT}):
        yield alias


def refused(alias: str, error: type[Exception], attempt: Callable[[], Any]) -> str:
    """What the refusal says; nothing has been written."""
    before = tables(alias)
    with pytest.raises(error) as caught:
        attempt()
    assert tables(alias) == before
    return str(caught.value)


def text_of(size: int, around: Callable[[str], Any]) -> str:
    """A text that makes what is around it *size* bytes as JSON."""
    return "x" * (size - len(encode(around(""))))


def nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def waiting() -> Any:
    return start_workflow("waits_for_answer")


@pytest.mark.parametrize("limit", [LIMIT, MEGABYTE])
def test_input(alias: str, limit: int) -> None:
    with override_settings(DURABLE={"DATABASE": alias, "MAX_PAYLOAD": limit}):
        text = text_of(limit, lambda value: {"value": value})
        start_workflow("returns", value=text)
        said = refused(alias, PayloadError, lambda: start_workflow("returns", value=text + "x"))
    assert f"takes {limit + 1:,} bytes as JSON; the limit is {limit:,}" in said
    assert "xxx" not in said


def test_input_of_many_bytes_in_few_characters(small: str) -> None:
    """What counts is the size of what is stored."""
    assert "the limit is" in refused(small, PayloadError, lambda: start_workflow("returns", value="\u2028" * 900))


def test_signal(small: str) -> None:
    run = waiting()
    text = text_of(LIMIT, lambda value: value)
    send_signal(run, "answer", text)
    refused(small, PayloadError, lambda: send_signal(run, "answer", text + "x"))


def test_reason(small: str) -> None:
    run = waiting()
    text = text_of(LIMIT, lambda value: value)
    for graceful in (False, True):
        refused(small, PayloadError, lambda: cancel_workflow(run, reason=text + "x", graceful=graceful))  # noqa: B023
    assert cancel_workflow(run, reason=text)


def test_nesting(alias: str) -> None:
    start_workflow("returns", value=nested(MAX_NESTING - 1))  # the input is an object around it
    refused(alias, PayloadError, lambda: start_workflow("returns", value=nested(MAX_NESTING)))
    refused(alias, PayloadError, lambda: start_workflow("returns", value=nested(3000)))


@pytest.mark.parametrize("what", ["workflow_name", "workflow_id", "queue", "signal"])
def test_names(alias: str, what: str) -> None:
    run = waiting()

    def use(name: str) -> None:
        match what:
            case "workflow_name":
                start_workflow(remote_workflow(name, queue="q"))
            case "signal":
                send_signal(run, name)
            case option:
                start_workflow(remote_workflow("w", **{"queue": "q", option: name}))

    use("é" * MAX_NAME)
    refused(alias, ConfigurationError, lambda: use("é" * (MAX_NAME + 1)))


@pytest.mark.parametrize("sign", [1, -1])
def test_priority(alias: str, sign: int) -> None:
    last = 32767 if sign > 0 else -32768
    start_workflow(remote_workflow("w", queue="q", priority=last))
    refused(alias, ConfigurationError, lambda: start_workflow(remote_workflow("w", queue="q", priority=last + sign)))


def test_pending_signals(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "MAX_UNREAD", 5)
    run = waiting()
    for number in range(5):
        send_signal(run, "other", number)
    refused(alias, LimitExceeded, lambda: send_signal(run, "other", 5))


def test_history(alias: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_engine, "MAX_HISTORY", 10)
    assert run_workflow("many_side_effects", n=9) == 9  # and the start
    with pytest.raises(WorkflowFailed, match="LimitExceeded"):
        run_workflow("many_side_effects", n=10)
    end = HistoryEvent.objects.using(alias).get(type="workflow_failed")
    assert end.seq == 11  # how it ends has a place all the same


def test_text_of_an_error(alias: str) -> None:
    with pytest.raises(WorkflowFailed):
        run_workflow("raises", kind="ValueError", length=5_000_000)
    end = HistoryEvent.objects.using(alias).get(type="workflow_failed")
    assert len(end.details["failure"]["message"]) < MAX_MESSAGE + 100


# Commands


@pytest.mark.parametrize("way", ["argument", "file"])
def test_input_of_a_command(small: str, way: str, tmp_path: Path) -> None:
    def start(size: int) -> None:
        text = text_of(size, lambda value: {"value": value})
        given = encode({"value": text})
        if way == "file":
            (tmp_path / "input.json").write_text(given)
            given = f"@{tmp_path}/input.json"  # type: ignore[assignment] # no payload any more
        call_command("durable_start", "returns", input=given, stdout=StringIO(), stderr=StringIO())

    start(LIMIT)
    assert "the limit is" in refused(small, CommandError, lambda: start(LIMIT + 1))


@pytest.mark.parametrize("text", ["[" * 3000 + "]" * 3000, '{"value":' * 3000 + "1" + "}" * 3000, "[" * 200_000])
def test_input_of_a_command_that_is_nested_too_deep(alias: str, text: str) -> None:
    given = f'{{"value": {text}}}'
    refused(alias, CommandError, lambda: call_command("durable_start", "returns", input=given, stdout=StringIO()))
