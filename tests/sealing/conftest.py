"""Sites whose payloads are encrypted, on each database."""

from __future__ import annotations

import html
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client, override_settings
from django.urls import reverse

from tests.sites import BACKENDS, Site, entered, key, queue, site_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["key", "queue"]

ZLIB = {"CLASS": "durable_core.sealing.ZlibCodec"}


def aes(*ids: str, use: str | None = "") -> dict[str, Any]:
    """An entry of CODECS with the keys of these ids, of which the last seals."""
    keys = {key_id: b64encode(key_id.encode() * 16).decode() for key_id in ids}
    return {
        "CLASS": "durable_core.sealing.AesGcmCodec",
        "OPTIONS": {"keys": keys, "key": ids[-1] if use == "" else use},
    }


FIRST, BOTH, SECOND = aes("k1"), aes("k1", "k2"), aes("k2")


@dataclass
class SealedSite:
    site: Site
    folder: Path  # of the payload store
    threshold: int = 400

    def durable(self, *codecs: dict[str, Any]) -> dict[str, Any]:
        """What a process has in DURABLE; without codecs, nothing of all this."""
        if not codecs:
            return {"CODECS": []}
        store = {"OPTIONS": {"directory": str(self.folder)}, "THRESHOLD": self.threshold}
        return {"CODECS": list(codecs), "PAYLOAD_STORE": store}

    @contextmanager
    def with_keys(self, *codecs: dict[str, Any]) -> Iterator[None]:
        """This process is set up like that."""
        with override_settings(DURABLE={**self.site.settings, **self.durable(*codecs)}):
            yield

    @contextmanager
    def worker(self, queue: str, *codecs: dict[str, Any], cache: int = 1000, **extra: str) -> Iterator[Any]:
        durable = {**self.durable(*codecs), "WORKFLOW_CACHE_SIZE": cache}
        with self.site.project.worker("--queue-name", queue, durable=durable, **extra) as worker:
            yield worker

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def bytes_stored(self) -> bytes:
        """Of the files of the payload store and, on SQLite, of the database."""
        files = self.files()
        if self.site.on_sqlite:
            database = Path(self.site.project.url.removeprefix("sqlite:"))
            files += database.parent.glob(f"{database.name}*")
        return b"".join(path.read_bytes() for path in files)


@pytest.fixture(scope="session", params=BACKENDS)
def sealed_site_on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_on(request.param, tmp_path_factory, HEARTBEAT_INTERVAL=0.3, WORKER_TIMEOUT=1.5) as site:
        yield site


@pytest.fixture
def sealed(sealed_site_on: Site, tmp_path: Path) -> Iterator[SealedSite]:
    """A site without a worker. This process seals with zlib and the first key."""
    found = SealedSite(sealed_site_on, tmp_path / "payloads")
    with entered(sealed_site_on), found.with_keys(ZLIB, FIRST):
        yield found


@pytest.fixture
def admin() -> Iterator[Callable[[str, object], str]]:
    """The page of a row in the admin; users and sessions are in the database of this process."""
    call_command("migrate", verbosity=0)
    client = Client()
    user = User.objects.create_superuser(f"admin-{uuid4().hex}")
    client.force_login(user)

    def page(model: str, pk: object) -> str:
        answer = client.get(reverse(f"admin:django_durable_{model}_change", args=[pk]))
        assert answer.status_code == 200
        return html.unescape(answer.content.decode())

    yield page
    user.delete()


@pytest.fixture
def canary() -> str:
    return f"S3CR3T{uuid4().hex}"
