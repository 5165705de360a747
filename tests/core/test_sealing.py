"""Texts are sealed for a row, and opened for that row alone."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode, urlsafe_b64encode
from dataclasses import fields
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_core import events as e
from durable_core.codec import MARK, Payload, Unopened, decode, encode, is_sealed, opened
from durable_core.errors import ConfigurationError, PayloadSealed, StoreUnavailable
from durable_core.sealing import AesGcmCodec, FilePayloadStore, PayloadCodec, PayloadStore, Sealer, ZlibCodec
from durable_core.sealing.rows import PLAIN
from tests.core.sealing import Cellar, Mirror, a_sealer

if TYPE_CHECKING:
    from pathlib import Path

HERE, THERE = b"here", b"there"
SECRET = '{"password":"S3CR3T"}'


def key(letter: str) -> str:
    return b64encode(letter.encode() * 32).decode()


def aes(*ids: str, use: str | None = "") -> AesGcmCodec:
    """With the keys of these ids, of which the last seals."""
    return AesGcmCodec(keys={i: key(i) for i in ids}, key=ids[-1] if use == "" else use)


def why(text: str) -> str:
    assert isinstance(text, Unopened), text
    with pytest.raises(PayloadSealed) as raised:
        decode(text)
    return str(raised.value)


CODECS: list[PayloadCodec] = [Mirror(), ZlibCodec(at_least=0), aes("a")]


@pytest.mark.parametrize("codecs", [[], *([codec] for codec in CODECS), CODECS, CODECS[::-1]])
@pytest.mark.parametrize("text", ["null", SECRET, json.dumps("\ud800\0é$" * 1000), '"\ud800 as it stands"'])
def test_what_is_sealed_can_be_opened(codecs: list[PayloadCodec], text: str) -> None:
    for sealer in (Sealer(codecs), Sealer(codecs, Cellar(), threshold=0)):
        assert sealer.open(sealer.seal(text, HERE), HERE) == text


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_nothing_that_is_encoded_looks_sealed(value: Any) -> None:
    assert MARK not in encode(value, limit=10**6)


@pytest.mark.parametrize(
    "text", ["$", '"$', '"\\u0024', '"\\u0024aesgcm:AAAA"', ['"\\u0024'], {'"\\u0024': '"\\u0024'}]
)
def test_texts_about_marks_are_plain(text: Any) -> None:
    payload = encode(text)
    assert (a_sealer().open(payload, HERE), decode(payload)) == (payload, text)
    assert decode(a_sealer().open(a_sealer().seal(payload, HERE), HERE)) == text


def test_sealed_text_is_json_in_ascii() -> None:
    sealed = Sealer([aes("a")]).seal(SECRET, HERE)
    assert is_sealed(sealed)
    assert sealed.isascii()
    assert json.loads(sealed).startswith("$aesgcm:")
    assert "S3CR3T" not in sealed


def test_plain_texts_stay_readable() -> None:
    assert Sealer([aes("a")]).open(SECRET, HERE) == SECRET


@pytest.mark.parametrize("codec", [Mirror(), aes("a")])
def test_text_is_not_opened_for_another_row(codec: PayloadCodec) -> None:
    sealer = Sealer([codec])
    assert "row" in why(sealer.open(sealer.seal(SECRET, HERE), THERE))


def test_same_text_is_sealed_differently_each_time() -> None:
    sealer = Sealer([aes("a")])
    assert sealer.seal(SECRET, HERE) != sealer.seal(SECRET, HERE)


def test_old_keys_open_and_the_new_one_seals() -> None:
    before = Sealer([aes("a")]).seal(SECRET, HERE)
    both = Sealer([aes("a", "b")])
    after = both.seal(SECRET, HERE)
    assert (both.open(before, HERE), both.open(after, HERE)) == (SECRET, SECRET)
    assert Sealer([aes("b")]).open(after, HERE) == SECRET
    assert "the key 'a', which is not here: 'b' is" in why(Sealer([aes("b")]).open(before, HERE))


def test_without_a_key_to_seal_with_all_is_plain_and_the_old_can_be_read() -> None:
    sealed, only_opens = Sealer([aes("a")]).seal(SECRET, HERE), Sealer([aes("a", use=None)])
    assert only_opens.seal(SECRET, HERE) == SECRET
    assert only_opens.open(sealed, HERE) == SECRET


def test_another_key_of_the_same_id_opens_nothing() -> None:
    sealed = Sealer([aes("a")]).seal(SECRET, HERE)
    other = AesGcmCodec(keys={"a": key("b")}, key="a")
    assert "does not fit the key 'a'" in why(Sealer([other]).open(sealed, HERE))


def test_every_change_is_noticed() -> None:
    sealer = Sealer([ZlibCodec(at_least=0), aes("a")])
    text = encode("long enough to be worth it " * 9)
    sealed = sealer.seal(text, HERE)
    assert "zlib+aesgcm" in sealed
    for place in range(len(MARK), len(sealed) - 1):
        other = "A" if sealed[place] != "A" else "B"
        found = sealer.open(sealed[:place] + other + sealed[place + 1 :], HERE)
        # The last letter of base64 may have bits that stand for nothing.
        assert isinstance(found, Unopened) or found == text, place
        assert isinstance(found, Unopened) or sealed[place + 1] in '="', place
    for cut in range(len(MARK), len(sealed)):
        assert isinstance(sealer.open(sealed[:cut] + '"', HERE), Unopened) or cut == len(sealed) - 1


def test_what_was_done_before_is_bound_too() -> None:
    """Who takes the name of a codec away does not get what the next one makes of it."""
    sealer = Sealer([ZlibCodec(at_least=0), aes("a")])
    sealed = sealer.seal(encode("x" * 500), HERE)
    assert "does not fit" in why(sealer.open(sealed.replace("zlib+aesgcm", "aesgcm"), HERE))


def test_a_codec_that_is_not_there_is_named() -> None:
    sealed = Sealer([Mirror()]).seal(SECRET, HERE)
    assert "a codec 'mirror', which DURABLE['CODECS'] does not have" in why(Sealer([]).open(sealed, HERE))


def test_without_any_codec_what_is_sealed_is_no_payload() -> None:
    sealed = a_sealer().seal(Payload(SECRET), HERE)
    for read in (decode, opened):
        with pytest.raises(PayloadSealed, match="CODECS"):
            read(sealed)
    event = e.EventRecord(3, "workflow_completed", None, sealed, None)  # type: ignore[arg-type] # no time is read
    with pytest.raises(PayloadSealed, match="workflow_completed at seq 3"):
        e.event_of(event)


def test_what_could_not_be_opened_is_not_sealed_into_something_else() -> None:
    sealer = Sealer([aes("a")])
    lost = Sealer([aes("b")]).seal(Payload("7"), HERE)
    with pytest.raises(PayloadSealed, match="cannot be written to another row"):
        sealer.seal(e.details_of(e.WorkflowCompleted(result=lost)), THERE)


def test_short_texts_are_not_made_longer() -> None:
    sealer = Sealer([ZlibCodec()])
    noise = b64encode(sha256(b"").digest() * 1).decode()
    assert sealer.seal(SECRET, HERE) == SECRET
    assert Sealer([ZlibCodec(at_least=0)]).seal(noise, HERE) == noise
    assert len(sealer.seal(encode("x" * 10_000), HERE)) < 200


def test_half_of_it_is_no_zlib() -> None:
    body = b64encode(zlib.compress(b"1")[:-2]).decode()
    assert "damaged" in why(Sealer([ZlibCodec()]).open(f'{MARK}zlib:{body}"', HERE))


@pytest.mark.parametrize("body", ["", "zlib", "zlib:", "zlib:%%%", "mirror+:AAAA", ":AAAA", "ref:../../etc/passwd"])
def test_forged_texts_are_damaged(body: str) -> None:
    sealer = Sealer([ZlibCodec(), Mirror()], Cellar())
    assert why(sealer.open(f'{MARK}{body}"', HERE))


def test_errors_and_records_of_failures_tell_why_they_are_shut() -> None:
    sealer, other, record = Sealer([aes("a")]), Sealer([aes("b")]), {"type": "ValueError", "message": "S3CR3T"}
    words = sealer.seal("ValueError: S3CR3T", HERE)
    assert sealer.open_words(words, HERE) == "ValueError: S3CR3T"
    assert other.open_words(words, HERE).startswith("PayloadSealed: it was sealed with the key 'a'")
    failure = sealer.seal_failure(record, HERE)
    assert "S3CR3T" not in json.dumps(failure)
    assert sealer.open_failure(failure, HERE) == record
    assert (other.open_failure(failure, HERE) or {})["type"] == "PayloadSealed"
    assert (sealer.seal_failure(None, HERE), sealer.open_failure(record, HERE)) == (None, record)


# Codecs that fail


class Failing(Mirror):
    def encode(self, data: bytes, place: bytes) -> bytes:
        raise ConnectionError("S3CR3T")

    def decode(self, data: bytes, place: bytes) -> bytes:
        raise ConnectionError("S3CR3T")


def test_a_codec_that_fails_is_an_outage_and_quotes_nothing() -> None:
    with pytest.raises(StoreUnavailable, match=r"codec 'mirror' could not encode: ConnectionError$") as raised:
        Sealer([Failing()]).seal(SECRET, HERE)
    assert not raised.value.ambiguous
    told = why(Sealer([Failing()]).open(a_sealer().seal(SECRET, HERE), HERE))
    assert told == "codec 'mirror' could not decode it: ConnectionError"


@pytest.mark.parametrize("name", ["", "ref", "A", "a+b", "a:b", "a" * 33])
def test_names_that_cannot_be_stored_are_refused(name: str) -> None:
    codec = Mirror()
    codec.name = name
    with pytest.raises(ConfigurationError, match="a codec named"):
        Sealer([codec])


def test_two_codecs_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="each once"):
        Sealer([Mirror(), Mirror()])


@pytest.mark.parametrize(
    ("keys", "use", "problem"),
    [
        ({}, "a", "key='a', which its keys do not have"),
        ({"a": key("a")}, "b", "key='b', which its keys do not have"),
        ({"a": "S3CR3T" * 9}, "a", "no base64|bytes: expected 32"),
        ({"a": "S3CR3T!!"}, "a", "no base64"),
        ({"a": b"S3CR3T"}, "a", "has 6 bytes: expected 32"),
        ({"a b": key("a")}, "a b", "the id 'a b'"),
    ],
)
def test_keys_that_are_none_are_refused_unquoted(keys: Any, use: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as raised:
        AesGcmCodec(keys=keys, key=use)
    assert "S3CR3T" not in str(raised.value)


def test_keys_may_be_bytes_or_base64_of_either_kind() -> None:
    raw = bytes(range(224, 256))
    sealed = Sealer([AesGcmCodec(keys={"a": raw}, key="a")]).seal(SECRET, HERE)
    for form in (b64encode(raw).decode(), urlsafe_b64encode(raw).decode()):
        codec = AesGcmCodec(keys={"a": form}, key="a")
        assert Sealer([codec]).open(sealed, HERE) == SECRET
        assert form not in repr(codec)


def test_zlib_with_senseless_options_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="level=12"):
        ZlibCodec(level=12)


# Long texts


def test_long_texts_go_elsewhere_and_short_ones_do_not() -> None:
    cellar = Cellar()
    sealer = Sealer([], cellar, threshold=100)
    text = encode("x" * 98)
    assert (sealer.seal(text, HERE), len(cellar)) == (text, 0)
    sealed = sealer.seal(encode("x" * 99), HERE)
    assert (len(sealed) < 100, list(cellar)) == (True, [sha256(encode("x" * 99).encode()).hexdigest()])
    assert sealer.open(sealed, HERE) == encode("x" * 99)


def test_what_is_elsewhere_is_sealed_too() -> None:
    cellar = Cellar()
    sealer = Sealer([aes("a")], cellar, threshold=100)
    sealed = sealer.seal(encode("S3CR3T" * 99), HERE)
    assert b"S3CR3T" not in b"".join(cellar.values())
    assert "row" in why(sealer.open(sealed, THERE))


def test_what_is_gone_or_was_changed_elsewhere_says_so() -> None:
    cellar = Cellar()
    sealer = a_sealer(cellar, threshold=0)
    sealed = sealer.seal(SECRET, HERE)
    [name] = cellar
    kept = cellar.pop(name)
    assert f"the payload store has no {name}" in why(sealer.open(sealed, HERE))
    cellar[name] = kept + b" "
    assert "is something else" in why(sealer.open(sealed, HERE))
    cellar[name] = kept
    assert sealer.open(sealed, HERE) == SECRET
    assert "PAYLOAD_STORE'] is not set" in why(a_sealer().open(sealed, HERE))


class Broken(Cellar):
    def put(self, key: str, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    def get(self, key: str) -> bytes:  # type: ignore[override] # of a dict
        raise TimeoutError


def test_a_payload_store_that_fails_is_an_outage() -> None:
    with pytest.raises(StoreUnavailable, match="No space left on device"):
        a_sealer(Broken(), threshold=0).seal(SECRET, HERE)
    sealed = a_sealer(Cellar(), threshold=0).seal(SECRET, HERE)
    assert why(a_sealer(Broken()).open(sealed, HERE)) == "the payload store does not answer: TimeoutError"


# What is sealed


def test_facts_that_stay_plain_have_nothing_to_hide() -> None:
    for cls in e.HistoryEvent.__args__:
        hides = {f.name for f in fields(cls) if f.type == "Payload" or f.name in ("failure", "arguments")}
        assert not (hides and cls.type in PLAIN), cls
    assert {"signal_received", "workflow_failed", "activity_canceled"}.isdisjoint(PLAIN)


def test_ours_are_what_the_protocols_say(tmp_path: Path) -> None:
    assert all(isinstance(codec, PayloadCodec) for codec in CODECS)
    assert isinstance(FilePayloadStore(directory=tmp_path), PayloadStore)
