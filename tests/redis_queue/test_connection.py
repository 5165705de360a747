"""Reaching the server: addresses, passwords, TLS, ACL; and what its refusals look like."""

from __future__ import annotations

import logging
import re
import socket
import ssl
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from durable_core.errors import ConfigurationError, QueueUnavailable
from durable_core.ports import Level, new_id
from durable_redis_queue import RedisTaskQueue
from tests.redis_queue.actions import HOUR, claim, enqueue, fake_server, listening, refs, totals
from tests.redis_queue.tls import behind_tls
from tests.redis_servers import PrivateServer, RedisServer, private_cluster, private_server
from tests.waiting import wait_until

README = Path(__file__).parents[2] / "packages" / "durable-redis-queue" / "README.md"
SECRET = "S3CR3T/#:@?"
QUOTED = "S3CR3T%2F%23%3A%40%3F"


def is_served(queue: RedisTaskQueue) -> bool:
    entries = enqueue(queue)
    claims = claim(queue)
    queue.complete(claims)
    return refs(claims) == refs(entries)


# Addresses


def test_unix_socket(tmp_path: Path) -> None:
    with private_server(unixsocket=str(tmp_path / "s")):
        queue = RedisTaskQueue(f"unix://{tmp_path}/s?db=1")
        assert is_served(queue)
        with listening(queue) as bell:
            enqueue(queue)
            assert bell.answers(5)
        assert f"unix://{tmp_path}/s?db=1" in repr(queue)


def test_options_of_redis_py_may_stand_in_the_url(own: PrivateServer) -> None:
    with own.client() as client:
        queue = RedisTaskQueue(f"{own.url}?client_name=of-the-url&socket_timeout=7")
        enqueue(queue)
        assert "of-the-url" in {found["name"] for found in client.client_list()}


@pytest.mark.parametrize(
    ("url", "options", "says"),
    [
        ("localhost:6379", {}, "must look like redis://"),
        ("http://localhost", {}, "must look like redis://"),
        ("", {}, "must look like redis://"),
        (f"redis://:{SECRET}@localhost", {}, "escape what is special"),
        ("redis://localhost:port", {}, "must look like"),
        ("redis://localhost?socket_timeout=soon", {}, "must look like"),
        ("unix:///s", {"cluster": True}, "must look like redis://host:6379/0 or rediss://"),
        ("redis://localhost/3", {"cluster": True}, "no databases"),
        ("redis://:a@localhost", {"password": "b"}, "password .* in its url and in its options"),
        ("redis://a:b@localhost", {"username": "b"}, "username .* in its url and in its options"),
        ("redis://localhost", {"ssl_ca_certs": "/ca.pem"}, "ssl_ca_certs: for TLS, .* rediss://"),
        ("redis://localhost", {"ssl_check_hostname": False}, "rediss://"),
    ],
)
def test_address_that_makes_no_sense_is_refused_at_once(url: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        RedisTaskQueue(url, **options)
    assert "S3CR3T" not in "".join(traceback.format_exception(caught.value))


# Silence


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Where connections are taken and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_server_that_says_nothing_is_given_up_in_time(silent_port: int) -> None:
    queue = RedisTaskQueue(f"redis://127.0.0.1:{silent_port}", socket_timeout=0.2)
    with pytest.raises(QueueUnavailable, match=rf"redis://127.0.0.1:{silent_port}/0: Timeout"):
        claim(queue)


def test_connection_that_broke_is_made_again(own: PrivateServer) -> None:
    queue = RedisTaskQueue(own.url)
    enqueue(queue)
    own.kill()
    own.start()
    assert claim(queue) == []
    assert is_served(queue)


def test_claim_whose_reply_was_lost_is_not_made_twice() -> None:
    """What the first had claimed would stay claimed for the time of a lease."""
    heard = []

    def answer(data: bytes) -> bytes:
        heard.append(data)
        return b"+OK\r\n" * data.count(b"SETINFO")

    with fake_server(answer) as port:
        queue = RedisTaskQueue(f"redis://127.0.0.1:{port}", health_check_interval=0)
        with pytest.raises(QueueUnavailable):
            claim(queue)
        assert b"".join(heard).count(b"EVALSHA") == 1
        with pytest.raises(QueueUnavailable):
            enqueue(queue)
        assert b"".join(heard).count(b"EVALSHA") == 3  # entries may come twice


# Passwords


@pytest.fixture
def locked() -> Iterator[PrivateServer]:
    with private_server(requirepass=SECRET) as server:
        yield server


@pytest.mark.parametrize("where", ["url", "options"])
def test_password_is_used_and_never_shown(locked: PrivateServer, where: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    place = f"127.0.0.1:{locked.port}/0"
    if where == "url":
        queue = RedisTaskQueue(f"redis://default:{QUOTED}@{place}")
    else:
        queue = RedisTaskQueue(f"redis://{place}", username="default", password=SECRET)
    with queue.watch(lambda: None):
        assert is_served(queue)
        shown = [repr(queue), str(queue), *map(str, queue.diagnose())]
        locked.kill()
        with pytest.raises(QueueUnavailable) as caught:
            enqueue(queue)
        shown += [*traceback.format_exception(caught.value), *map(str, queue.diagnose())]
        wait_until(lambda: "no wake-ups" in caplog.text)
    shown.append(caplog.text)
    assert f"redis://default:***@{place}" in shown[0]
    assert not [text for text in shown if "S3CR3T" in text]


@pytest.mark.parametrize("password", ["", "wrong-S3CR3T"])
def test_wrong_password_is_told_without_it(locked: PrivateServer, password: str) -> None:
    queue = RedisTaskQueue(f"redis://127.0.0.1:{locked.port}", password=password or None)
    with pytest.raises(QueueUnavailable, match="Check username and password") as caught:
        enqueue(queue)
    assert "S3CR3T" not in str(caught.value)


def test_password_that_a_server_repeats_is_masked() -> None:
    """A proxy may say what it likes."""
    with fake_server(lambda _: f"-ERR what do you mean by {SECRET}?\r\n".encode()) as port:
        queue = RedisTaskQueue(f"redis://:{QUOTED}@127.0.0.1:{port}")
        with pytest.raises(QueueUnavailable, match=r"what do you mean by \*\*\*\?") as caught:
            claim(queue)
    assert "S3CR3T" not in str(caught.value)


# ACL


def acl_words(prefix: str = "durable") -> list[str]:
    """The user that the README describes."""
    (text,) = re.findall(r"^ACL SETUSER (.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    return str(text).replace("PASSWORD", SECRET).replace("{durable}", f"{{{prefix}}}").split()


def test_user_of_the_readme_may_do_all_that_is_needed(own: PrivateServer, caplog: pytest.LogCaptureFixture) -> None:
    with own.client() as client:
        client.execute_command("ACL SETUSER", *acl_words())
    queue = RedisTaskQueue(own.url, username="durable", password=SECRET)
    worker = new_id()
    with listening(queue) as bell:
        enqueue(queue, 3, preferred=new_id())
        assert bell.answers(5)
        assert claim(queue) == []
        enqueue(queue, 3, queue=f"local:{worker.hex}")
        queue.release(claim(queue, worker, queues=[f"local:{worker.hex}"], limit=1), delay=HOUR)
        claim(queue, worker, queues=[f"local:{worker.hex}"], limit=1)
        assert len(queue.release_dead([worker])) == 1
        assert totals(queue) == (5, 0, 1)
    assert {finding.level for finding in queue.diagnose()} == {Level.OK}
    assert caplog.text == ""


def test_every_command_of_the_readme_is_needed(own: PrivateServer) -> None:
    """An operator should not grant more than is used."""
    granted = [word for word in acl_words() if word.startswith("+")]
    told = set()
    with own.client() as client:
        for word in granted:
            client.execute_command("ACL SETUSER", "durable", "reset", *acl_words()[1:], f"-{word[1:].split('|')[0]}")
            client.script_flush()
            queue = RedisTaskQueue(own.url, username="durable", password=SECRET)
            if any(finding.level is not Level.OK for finding in queue.diagnose()):
                told.add(word)
    # What the thread uses that hears of entries is no part of the diagnosis.
    assert set(granted) - told == {"+xread", "+xrevrange"}


def test_user_of_another_project_gets_nowhere(own: PrivateServer) -> None:
    with own.client() as client:
        client.execute_command("ACL SETUSER", *acl_words("other"))
    queue = RedisTaskQueue(own.url, username="durable", password=SECRET)
    with pytest.raises(QueueUnavailable, match="ACL denies"):
        enqueue(queue)
    assert Level.PROBLEM in {finding.level for finding in queue.diagnose()}
    assert is_served(RedisTaskQueue(own.url, prefix="other", username="durable", password=SECRET))


def test_missing_command_is_named(own: PrivateServer) -> None:
    with own.client() as client:
        client.execute_command("ACL SETUSER", *acl_words(), "-xautoclaim", "-zadd")
    queue = RedisTaskQueue(own.url, username="durable", password=SECRET)
    (finding,) = [finding for finding in queue.diagnose() if finding.level is not Level.OK]
    assert (finding.level, finding.subject) == (Level.PROBLEM, "Redis permissions")
    assert "may not run XAUTOCLAIM, ZADD" in finding.message


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls_port(server: RedisServer, authority: trustme.CA) -> Iterator[int]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    with server.client() as client:
        port = client.connection_pool.connection_kwargs["port"]
    with behind_tls(port, context) as secured:
        yield secured


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return str(tmp_path / "ca.pem")


def test_tls_with_the_right_authority(server: RedisServer, tls_port: int, ca_file: str, prefix: str) -> None:
    url = re.sub(r"redis://(.*@)?[^/]*", lambda found: f"rediss://{found[1] or ''}localhost:{tls_port}", server.url)
    queue = RedisTaskQueue(url, prefix=prefix, ssl_ca_certs=ca_file)
    assert is_served(queue)
    with listening(queue) as bell:
        enqueue(queue)
        assert bell.answers(5)


@pytest.mark.parametrize(
    ("host", "knows_authority", "says"),
    [("localhost", False, "CERTIFICATE_VERIFY_FAILED"), ("127.0.0.1", True, "CERTIFICATE_VERIFY_FAILED")],
    ids=["another authority", "another name"],
)
def test_tls_with_a_certificate_that_proves_nothing(
    tls_port: int, ca_file: str, host: str, knows_authority: bool, says: str
) -> None:
    queue = RedisTaskQueue(f"rediss://{host}:{tls_port}", ssl_ca_certs=ca_file if knows_authority else None)
    with pytest.raises(QueueUnavailable, match=rf"{says}.*Name its CA"):
        enqueue(queue)


def test_name_of_the_host_need_not_be_checked(server: RedisServer, tls_port: int, ca_file: str, prefix: str) -> None:
    url = re.sub(r"redis://(.*@)?[^/]*", lambda found: f"rediss://{found[1] or ''}127.0.0.1:{tls_port}", server.url)
    assert is_served(RedisTaskQueue(url, prefix=prefix, ssl_ca_certs=ca_file, ssl_check_hostname=False))


def test_missing_file_of_the_authority_is_told(tls_port: int) -> None:
    queue = RedisTaskQueue(f"rediss://localhost:{tls_port}", ssl_ca_certs="/nowhere/ca.pem")
    with pytest.raises(QueueUnavailable, match="No such file"):
        enqueue(queue)


def test_server_without_tls_is_told(own: PrivateServer) -> None:
    queue = RedisTaskQueue(own.url.replace("redis:", "rediss:"), socket_timeout=0.2)
    with pytest.raises(QueueUnavailable, match="Timeout connecting"):
        enqueue(queue)


# Roles


def test_replica_is_refused_with_a_hint(own: PrivateServer) -> None:
    with own.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", 1)
        queue = RedisTaskQueue(own.url)
        with pytest.raises(QueueUnavailable, match="name the primary"):
            enqueue(queue)
        assert "Redis role" in {found.subject for found in queue.diagnose() if found.level is Level.PROBLEM}


def test_cluster_that_is_not_called_one_is_told() -> None:
    with private_cluster("valkey") as nodes:
        refused = []
        for node in nodes:
            try:
                enqueue(RedisTaskQueue(node.url))
            except QueueUnavailable as error:
                refused.append(str(error))
        assert len(refused) == 1
        assert "set cluster=True" in refused[0]
        queue = RedisTaskQueue(nodes[0].url, cluster=True)
        assert Level.PROBLEM not in {finding.level for finding in queue.diagnose()}
        with listening(queue) as bell:
            enqueue(queue)
            assert bell.answers(5)


def test_server_that_is_no_cluster_is_told(own: PrivateServer) -> None:
    with pytest.raises(QueueUnavailable, match="set cluster=False"):
        enqueue(RedisTaskQueue(own.url, cluster=True))
