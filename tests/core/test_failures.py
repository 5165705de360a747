"""Exceptions as records: whatever an exception does, its record is text of bounded size."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given

from durable_core.codec import decode, encode
from durable_core.failures import MAX_CAUSES, MAX_MESSAGE, MAX_TRACEBACK, describe, invented, summary, type_names
from tests.core.test_codec import text


def _raised(error):
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001 - any of them
        return raised


def _links(record):
    return [] if record is None else [record, *_links(record["cause"])]


def test_a_record_has_type_bases_message_traceback_and_attempt():
    record = describe(_raised(KeyError("k")), attempt=3)
    assert record["type"] == "KeyError"
    assert record["bases"] == ["LookupError", "Exception", "BaseException"]
    assert (record["message"], record["attempt"], record["cause"]) == ("'k'", 3, None)
    assert "in _raised" in record["traceback"]
    assert summary(record) == "KeyError: 'k'"
    assert type_names(KeyError) == ["KeyError", "LookupError", "Exception", "BaseException"]


@given(text)
def test_a_record_can_always_be_stored(message):
    record = describe(_raised(ValueError(message)))
    assert decode(encode(record)) == record
    assert record["message"] == message


def test_causes_and_contexts_are_chained_and_suppressed_ones_are_not():
    def chain(suppress):
        try:
            try:
                raise OSError("disk")
            except OSError as error:
                if suppress:
                    raise ValueError("value") from None
                raise ValueError("value") from error
        except ValueError:
            raise KeyError("key")  # noqa: B904 - the context is what is tested

    for suppress, expected in ((False, ["KeyError", "ValueError", "OSError"]), (True, ["KeyError", "ValueError"])):
        with pytest.raises(KeyError) as caught:
            chain(suppress)
        links = _links(describe(caught.value, attempt=2))
        assert [record["type"] for record in links] == expected
        assert [record["attempt"] for record in links] == [2] + [0] * (len(expected) - 1)


def test_a_cycle_of_causes_ends():
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    record = describe(one)
    assert record["cause"]["message"] == "two"
    assert record["cause"]["cause"] is None


def test_a_long_chain_is_cut():
    error = ValueError("0")
    for n in range(50):
        link = ValueError(str(n))
        link.__cause__ = error
        error = link
    assert len(_links(describe(error))) == MAX_CAUSES


@pytest.mark.parametrize("problem", [ValueError("inner"), SystemExit(1), KeyboardInterrupt(), RecursionError()])
def test_a_broken_str_is_survived(problem):
    class Broken(Exception):
        def __str__(self):
            raise problem

        __repr__ = __str__

    record = describe(_raised(Broken()))
    assert record["message"] == f"<Broken whose __str__ raised {type(problem).__name__}>"


def test_broken_comparisons_and_truth_values_are_survived():
    class Broken(Exception):
        def __eq__(self, other):
            raise ValueError

        def __bool__(self):
            raise ValueError

        __hash__ = None  # type: ignore[assignment]

    error = Broken("a")
    error.__cause__ = Broken("b")
    error.__cause__.__cause__ = Broken("c")
    assert describe(error)["cause"]["cause"]["message"] == "c"


def test_a_message_and_a_traceback_of_any_size_are_cut():
    def deep(n):
        if n:
            deep(n - 1)
        raise ValueError("x" * 5_000_000)

    with pytest.raises(ValueError, match="x") as caught:
        deep(700)
    record = describe(caught.value)
    assert record["message"].startswith("x" * MAX_MESSAGE + "...")
    assert "5,000,000 characters" in record["message"]
    assert len(record["traceback"]) <= MAX_TRACEBACK
    assert record["traceback"].endswith('raise ValueError("x" * 5_000_000)\n')
    assert len(encode(record)) < 100_000


@pytest.mark.parametrize(("length", "tail"), [(MAX_MESSAGE, "x"), (MAX_MESSAGE + 1, "x... (10,001 characters)")])
def test_a_message_is_cut_only_when_it_is_too_long(length, tail):
    assert describe(ValueError("x" * length))["message"] == "x" * (MAX_MESSAGE - 1) + tail


def test_a_traceback_that_cannot_be_read_is_left_out(monkeypatch):
    def fail(tb):
        raise OSError("the file system is away")

    error = _raised(ValueError("no"))
    monkeypatch.setattr(traceback, "format_tb", fail)
    assert (describe(error)["traceback"], describe(error)["message"]) == ("", "no")


def test_what_was_never_raised_has_no_traceback_and_no_attempt():
    assert describe(LookupError("no")) == {
        "type": "LookupError",
        "bases": ["Exception", "BaseException"],
        "message": "no",
        "traceback": "",
        "attempt": 0,
        "cause": None,
    }


def test_what_no_exception_stands_for_has_the_same_form():
    assert invented("WorkerDied", "gone", attempt=1).keys() == describe(ValueError()).keys()
    assert summary({"type": "E", "message": ""}) == "E"
    assert summary({"message": "no"}) == "no"
    cause = invented("E", "no")
    assert cause == {"type": "E", "bases": [], "message": "no", "traceback": "", "attempt": 0, "cause": None}
    assert invented("WorkerDied", "gone", attempt=2, cause=cause) == {
        "type": "WorkerDied",
        "bases": [],
        "message": "gone",
        "traceback": "",
        "attempt": 2,
        "cause": cause,
    }
