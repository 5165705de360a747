"""No port is opened, and no password is shown."""

from __future__ import annotations

import logging
import os
import re
import socket
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.views.debug import get_exception_reporter_filter

from django_durable.models import Worker
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.sites import Site

SECRET = "S3CR3T"
LISTENING = "0A"  # state of a socket in /proc/net/tcp
UNIX_LISTENING = "00010000"  # flags of one in /proc/net/unix


def listening_sockets(pid: int) -> list[str]:
    """Lines of the kernel's tables about sockets that this process accepts connections at."""
    mine = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if found := re.fullmatch(r"socket:\[(\d+)\]", str(link.readlink())):
                mine.add(found[1])
    net = Path(f"/proc/{pid}/net")
    lines = []
    for name in ("tcp", "tcp6"):
        table = (net / name).read_text().splitlines()[1:]
        lines += [line for line in table if line.split()[3] == LISTENING and line.split()[9] in mine]
    table = (net / "unix").read_text().splitlines()[1:]
    return lines + [line for line in table if line.split()[3] == UNIX_LISTENING and line.split()[6] in mine]


def test_a_worker_has_no_listening_socket(open_site: Site, queue: str) -> None:
    site = open_site
    with site.project.worker("--queue-name", queue, "--procs", "2") as parent:
        workers = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        children = wait_until(
            lambda: pids if len(pids := workers.read_text().split()) == 2 else None, "two worker processes"
        )
        for pid in map(int, children):
            wait_until(lambda pid=pid: is_known(site, pid), "it to be up")  # type: ignore[misc] # of a default
        assert [listening_sockets(pid) for pid in (parent.pid, *map(int, children))] == [[], [], []]


def is_known(site: Site, pid: int) -> bool:
    return Worker.objects.using(site.alias).filter(pid=pid).exists()


def test_a_listening_socket_would_be_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)):
        assert len(listening_sockets(os.getpid())) == 1


# Passwords

QUEUES: dict[str, Any] = {
    "redis, in the url": {"BACKEND": "redis", "OPTIONS": {"url": f"redis://me:{SECRET}@127.0.0.1:1/0"}},
    "redis, as an option": {
        "BACKEND": "redis",
        "OPTIONS": {"url": "redis://127.0.0.1:1/0", "username": "me", "password": SECRET},
    },
    "redis, twice": {
        "BACKEND": "redis",
        "OPTIONS": {"url": f"redis://:{SECRET}@127.0.0.1:1/0", "password": SECRET},
    },
    "redis, not escaped": {"BACKEND": "redis", "OPTIONS": {"url": f"redis://me:{SECRET}/x@127.0.0.1:1/0"}},
    "redis, an option too many": {
        "BACKEND": "redis",
        "OPTIONS": {"url": f"redis://me:{SECRET}@127.0.0.1:1/0", "ssl": True},
    },
    "postgres": {"BACKEND": "postgres", "OPTIONS": {"dsn": f"postgresql://me:{SECRET}@127.0.0.1:1/x"}},
    "postgres, misspelt": {"BACKEND": "postgres", "OPTIONS": {"dsn": f"postgresql://me:{SECRET}@127.0.0.1:port/x"}},
    "postgres, in words": {"BACKEND": "postgres", "OPTIONS": {"dsn": f"host=127.0.0.1 password={SECRET} por=1"}},
    "a url for a dict": f"redis://me:{SECRET}@127.0.0.1:1/0",
    "a url for options": {"BACKEND": "redis", "OPTIONS": f"redis://me:{SECRET}@127.0.0.1:1/0"},
    "options in a list": {"BACKEND": "redis", "OPTIONS": [f"redis://me:{SECRET}@127.0.0.1:1/0"]},
}


@pytest.mark.parametrize("what", QUEUES)
def test_no_command_shows_a_password(here: None, what: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = []
    with override_settings(DURABLE={"QUEUE": QUEUES[what]}):
        for command in (
            ("durable_doctor",),
            ("check", "--deploy"),
            ("durable_queue",),
            ("durable_plugins",),
            ("durable_queue_setup",),
            ("durable_worker", "--until-idle"),
            ("durable_start", "returns"),
        ):
            out = StringIO()
            try:
                call_command(*command, stdout=out, stderr=out)
            except (CommandError, SystemExit) as error:
                said.append(str(error))
            except Exception as error:  # noqa: BLE001 - ImproperlyConfigured, of the project's own code
                said.append(str(error))
            said.append(out.getvalue())
    assert len("".join(said)) > 100
    assert not [text for text in [*said, caplog.text] if SECRET in text]


def test_error_reports_of_django_hide_a_password_that_is_an_option() -> None:
    """In a url they show it, so the docs say not to put it there."""
    with override_settings(DURABLE={"QUEUE": QUEUES["redis, as an option"]}):
        assert SECRET not in str(get_exception_reporter_filter(None).get_safe_settings()["DURABLE"])
