"""What is wrong with CODECS and PAYLOAD_STORE is said by `check`, and no key is quoted."""

from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_durable import start_workflow
from django_durable.checks import check_queue, check_settings
from django_durable.conf import conf
from django_durable.engine import engine
from durable_core.sealing import SealedStore, Sealer, ZlibCodec
from tests.sealing.conftest import FIRST, ZLIB

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"keys": {"a": "S3CR3T"}, "key": "a"}
AES = "durable_core.sealing.AesGcmCodec"


def explodes(**options: Any) -> None:
    raise RuntimeError(f"these are {options}")


class Nameless:
    def encode(self, data: bytes, place: bytes) -> None: ...


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"CODECS": "zlib"}, "DURABLE['CODECS'] is a str"),
    ({"CODECS": ["zlib"]}, "DURABLE['CODECS'][0] names no CLASS"),
    ({"CODECS": [ZLIB, {"CLASS": 7}]}, "DURABLE['CODECS'][1] names no CLASS"),
    ({"CODECS": [{**ZLIB, "KEY": 1}]}, "unknown key 'KEY'"),
    ({"CODECS": [{**ZLIB, "OPTIONS": [1]}]}, "['OPTIONS'] is no dict of keywords"),
    ({"CODECS": [{"CLASS": "no.such.Codec"}]}, "'no.such.Codec' cannot be imported"),
    ({"CODECS": [{**ZLIB, "OPTIONS": {"levels": 9}}]}, "do not fit durable_core.sealing.ZlibCodec"),
    ({"CODECS": [{**ZLIB, "OPTIONS": {"level": 99}}]}, "level=99"),
    ({"CODECS": [{"CLASS": AES, "OPTIONS": KEYS}]}, "the key 'a' of AesGcmCodec"),
    ({"CODECS": [{"CLASS": AES, "OPTIONS": {**KEYS, "key": "b"}}]}, "key='b', which its keys do not have"),
    ({"CODECS": [{"CLASS": f"{__name__}.explodes", "OPTIONS": KEYS}]}, "cannot be made with these OPTIONS: Runtime"),
    ({"CODECS": [{"CLASS": f"{__name__}.Nameless"}]}, "has no name, or does not encode and decode"),
    ({"CODECS": [ZLIB, ZLIB]}, "a codec named 'zlib'"),
    ({"PAYLOAD_STORE": "/srv"}, "DURABLE['PAYLOAD_STORE'] is a str"),
    ({"PAYLOAD_STORE": {"OPTIONS": {"directory": "here"}}}, "an absolute path"),
    ({"PAYLOAD_STORE": {"OPTIONS": {}}}, "do not fit durable_core.sealing.FilePayloadStore"),
    ({"PAYLOAD_STORE": {"CLASS": "durable_core.sealing.ZlibCodec"}}, "does not put, get, discard"),
    ({"PAYLOAD_STORE": {"OPTIONS": {"directory": "/srv"}, "THRESHOLD": "1"}}, "['THRESHOLD'] is '1'"),
]


@pytest.mark.parametrize(("durable", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_mistakes_are_system_checks(durable: dict[str, Any], problem: str) -> None:
    with override_settings(DURABLE=durable):
        [found] = check_settings()
        with pytest.raises(ImproperlyConfigured, match=r"\[durable.E008\]"):
            conf()
        with pytest.raises(ImproperlyConfigured):
            start_workflow("anything")
    assert (found.id, problem in found.msg) == ("durable.E008", True), found.msg
    assert "S3CR3T" not in f"{found.msg} {found.hint}"


def test_good_settings_are_no_problem_and_show_no_key(tmp_path: Path) -> None:
    durable = {"CODECS": [ZLIB, FIRST], "PAYLOAD_STORE": {"OPTIONS": {"directory": str(tmp_path)}, "THRESHOLD": 9}}
    with override_settings(DURABLE=durable):
        assert (check_settings(), check_queue()) == ([], [])
        assert FIRST["OPTIONS"]["keys"]["k1"] not in repr(conf())
        assert isinstance(engine().store, SealedStore)
    with override_settings(DURABLE={}):
        assert not isinstance(engine().store, SealedStore)


def test_there_is_nothing_to_prune_without_a_payload_store() -> None:
    with override_settings(DURABLE={"CODECS": [ZLIB]}), pytest.raises(CommandError, match="PAYLOAD_STORE"):
        call_command("durable_prune_payloads")
    with pytest.raises(CommandError, match="1 or more"):
        call_command("durable_prune_payloads", "--hours", "0.5")


def test_settings_and_codec_of_the_guide_work(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/howto/encrypt-payloads.md").read_text(encoding="utf-8")
    settings, codec = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    monkeypatch.setenv("PAYLOAD_KEY_2026_01", b64encode(b"k" * 32).decode())
    known: dict[str, Any] = {}
    exec(settings, known)
    with override_settings(DURABLE=known["DURABLE"]):
        assert check_settings() == []
    exec(codec, known)
    sealer = Sealer([ZlibCodec(), known["SigningCodec"](secret="s")])
    sealed = sealer.seal('{"user_id":7}', b"here")
    assert sealer.open(sealed, b"here") == '{"user_id":7}'
    assert sealer.open(sealed, b"there") != '{"user_id":7}'
