"""Payloads: what goes in comes out the same on every backend, and what cannot is refused by name."""

from __future__ import annotations

import json
from collections import OrderedDict, namedtuple
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum, StrEnum
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_core.codec import MAX_NESTING, MAX_PAYLOAD_BYTES, _make_encoder, convert_with, decode, encode, excerpt
from durable_core.errors import PayloadError

ODD_TEXT = ["\x00", "\ud800", "\udfff\ud800", "\U0001f600", "é", "e\u0301", "\u2028", "'; DROP TABLE --", "%s"]

text = st.one_of(st.sampled_from(ODD_TEXT), st.text(st.characters(exclude_categories=())))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**53 + 1, -(2**63) - 1, 10**300, -0.0, 1e308, 5e-324, 0.1]),
    st.floats(allow_nan=False, allow_infinity=False),
    text,
)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=30)


@given(values)
def test_what_json_holds_comes_back_the_same(value):
    payload = encode(value)
    assert payload.isascii()
    assert "\x00" not in payload
    back = decode(payload)
    assert repr(back) == repr(value)  # repr tells -0.0 from 0.0, and 1 from True
    assert encode(back) == payload


@given(st.recursive(scalars, lambda inner: st.tuples(inner, inner) | st.dictionaries(st.integers(), inner)))
def test_what_comes_back_stays_the_same_from_then_on(value):
    once = decode(encode(value))
    assert repr(decode(encode(once))) == repr(once)


def test_tuples_become_lists_and_other_keys_strings():
    class Colour(StrEnum):
        RED = "red"

    class Level(IntEnum):
        HIGH = 3

    Point = namedtuple("Point", "x y")
    value = {1: (1, 2), False: Point(3, 4), None: Colour.RED, 1.5: Level.HIGH, "o": OrderedDict(b=1, a=2)}
    assert decode(encode(value)) == {
        "1": [1, 2],
        "false": [3, 4],
        "null": "red",
        "1.5": 3,
        "o": {"b": 1, "a": 2},
    }
    assert list(decode(encode({"b": 1, "a": 2}))) == ["b", "a"]


@pytest.mark.parametrize(
    ("value", "path", "hint"),
    [
        (float("nan"), "$", "NaN"),
        ({"a": [1, float("inf")]}, "$.a[1]", "infinities"),
        ([b"x"], "$[0]", "base64"),
        (bytearray(b"x"), "$", "base64"),
        ({"at": datetime.now(UTC)}, "$.at", "datetime"),
        ((uuid4(),), "$[0]", "UUID"),
        ({"n": Decimal(1)}, "$.n", "Decimal"),
        ({1, 2}, "$", "set"),
        ({("a", 1): 2}, "$", "tuple (keys are strings)"),
        ({"x": {b"k": 1}}, "$.x", "bytes (keys are strings)"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_name_and_place(value, path, hint):
    with pytest.raises(PayloadError) as caught:
        encode(value, what="the result of activity 'a'")
    assert caught.value.path == path
    assert str(caught.value).startswith("the result of activity 'a' cannot be stored as JSON")
    assert hint in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", [{float("nan"): 1}, {"a": 10**5000}])
def test_what_has_no_place_is_refused_with_the_reason(value):
    with pytest.raises(PayloadError, match="cannot be stored as JSON"):
        encode(value)


def _nested(levels, make):
    value = 0
    for _ in range(levels):
        value = make(value)
    return value


class Thing: ...


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (float("-inf"), "value cannot be stored as JSON: -inf (NaN and infinities have no JSON form) at $."),
        ([{"a": b"x"}], "value cannot be stored as JSON: bytes (encode it, for instance as base64 text) at $[0].a."),
        ([bytearray()], "value cannot be stored as JSON: bytearray (encode it, for instance as base64 text) at $[0]."),
        (
            (1, Thing()),
            "value cannot be stored as JSON: an object of type Thing (convert it to plain data first) at $[1].",
        ),
        ({"a": {(1,): 2}}, "value cannot be stored as JSON: a key of type tuple (keys are strings) at $.a."),
        (_nested(MAX_NESTING + 1, lambda v: [v]), "value is nested over 100 levels deep; flatten it."),
        (
            _nested(150, lambda v: [v or float("nan")]),
            f"value cannot be stored as JSON: nesting over 100 levels at ${'[0]' * 101}.",
        ),
    ],
)
def test_a_refusal_says_what_is_where_and_what_to_do(value, says):
    with pytest.raises(PayloadError) as caught:
        encode(value)
    assert str(caught.value) == says


def test_a_thing_may_stand_in_several_places_if_it_does_not_hold_itself():
    twice: list[object] = [1]
    with pytest.raises(PayloadError) as caught:
        encode({"one": twice, "two": [twice], "three": Thing()})
    assert caught.value.path == "$.three"


@pytest.mark.parametrize(("length", "text"), [(80, "x" * 80), (81, "x" * 77 + "...")])
def test_an_excerpt_is_of_80_characters_at_most(length, text):
    assert excerpt("x" * length) == text


def test_a_model_is_refused_with_the_hint_to_pass_its_key():
    class Model:
        _meta = None

    with pytest.raises(PayloadError, match="pass its primary key"):
        encode([Model()])


def test_a_cycle_is_refused():
    around: list = [1]
    around.append({"again": around})
    with pytest.raises(PayloadError, match="cycle") as caught:
        encode(around)
    assert caught.value.path == "$[1].again"


@pytest.mark.parametrize("make", [lambda v: [v], lambda v: {"k": v}, lambda v: (v, 1)])
def test_nesting_has_a_limit(make):
    assert decode(encode(_nested(MAX_NESTING, make))) is not None
    for levels in (MAX_NESTING + 1, 900, 3000, 100_000):
        with pytest.raises(PayloadError, match=r"nested|nesting"):
            encode(_nested(levels, make))


def test_many_containers_are_not_deep_ones():
    assert len(decode(encode([[] for _ in range(1000)]))) == 1000
    assert encode("[" * 1000)
    deepest = [_nested(MAX_NESTING - 1, lambda v: [v]), *[[] for _ in range(MAX_NESTING)]]
    assert decode(encode(deepest)) == deepest
    with pytest.raises(PayloadError, match="nested over 100 levels deep"):
        encode([deepest])


def test_the_limit_is_in_encoded_bytes():
    assert encode("x" * 8, limit=10)
    with pytest.raises(PayloadError, match=r"^it takes 14 bytes as JSON; the limit is 10\b.*MAX_PAYLOAD"):
        encode("\U0001f600", what="it", limit=10)
    assert encode("x" * (MAX_PAYLOAD_BYTES - 2))
    with pytest.raises(PayloadError, match=r"^value takes 1,000,001 bytes as JSON; the limit is 1,000,000\."):
        encode("x" * (MAX_PAYLOAD_BYTES - 1))


def test_decoding_gives_a_fresh_copy():
    payload = encode({"a": []})
    assert decode(payload)["a"] is not decode(payload)["a"]


@pytest.mark.parametrize("stored", ["", "{", "nul", "NaN", "[Infinity]", "-Infinity", "[" * 100_000, "9" * 5000, "1 2"])
def test_text_that_is_not_json_is_refused(stored):
    with pytest.raises(PayloadError, match=r"stored payload is not valid JSON: ."):
        decode(stored)


def test_a_number_that_json_has_not_is_named():
    with pytest.raises(PayloadError, match="-Infinity has no JSON form"):
        decode("[-Infinity]")


@pytest.mark.parametrize(
    "value", [{"a": [1, (2.5, None)], "é\x00": {3: True}}, [], "x", {"a": object()}, [float("nan")]]
)
def test_text_is_the_same_where_json_has_no_part_in_c(value, monkeypatch):
    def encoded(by):
        try:
            return by(value)
        except (TypeError, ValueError) as error:
            return type(error)

    in_c = _make_encoder()
    monkeypatch.setattr("json.encoder.c_make_encoder", None)
    plain = _make_encoder()
    assert encoded(plain) == encoded(in_c)
    assert encoded(in_c) == encoded(lambda given: json.dumps(given, separators=(",", ":"), allow_nan=False))


def test_things_are_asked_about_where_json_has_no_part_in_c_too(monkeypatch):
    monkeypatch.setattr("json.encoder.c_make_encoder", None)
    convert_with(lambda value: "a thing" if isinstance(value, Thing) else None)
    try:
        assert _make_encoder()([Thing()]) == '["a thing"]'
    finally:
        convert_with(None)


def test_the_text_is_plain_json():
    value = {"é": [1, 2.5, "\U0001f600", None]}
    assert json.loads(encode(value)) == value
