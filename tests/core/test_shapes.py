"""Values that JSON has no form for: what is written, what comes back, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_core.codec import decode, encode
from durable_core.shapes import Misfit, plain, shape_of

T = TypeVar("T")


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class Way(Enum):
    """Its values are no JSON."""

    UP = (0, 1)
    DOWN = (0, -1)


class Size(StrEnum):
    BIG = "big"


class Right(Flag):
    READ = 1
    WRITE = 2


@dataclass
class Item:
    price: Decimal
    color: Color = Color.RED
    parts: list[Item] = field(default_factory=list)


@dataclass
class SoldItem(Item):
    to: str = ""


@dataclass
class Line:
    price: Decimal
    count: int


@dataclass
class Page(Generic[T]):
    items: list[T]
    until: date = None  # type: ignore[assignment]  # as people write it


class Point(NamedTuple):
    at: datetime
    x: int = 0


class Order(TypedDict):
    id: UUID
    note: NotRequired[str]


class Struct(msgspec.Struct):
    when: datetime
    amount: Decimal = Decimal(0)


class Model(pydantic.BaseModel):
    when: datetime
    tags: set[str] = set()


UserId = NewType("UserId", int)
MOMENT = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
AN_ID = UUID(int=7)


def through(annotation: Any, value: Any) -> Any:
    """What comes back of a value."""
    shape = shape_of(annotation)
    assert shape is not None, f"{annotation} is taken for plain"
    return shape.load(decode(encode(shape.dump(value))))


FORMS = [
    (datetime, MOMENT, '"2026-01-31T12:30:00+00:00"'),
    (datetime, MOMENT.replace(tzinfo=None), '"2026-01-31T12:30:00"'),
    (date, date(2026, 1, 31), '"2026-01-31"'),
    (time, time(12, 30), '"12:30:00"'),
    (timedelta, timedelta(days=1, seconds=5, milliseconds=20), '"P1DT5.02S"'),
    (timedelta, -timedelta(seconds=1), '"-P0DT1S"'),
    (Decimal, Decimal("9.50"), '"9.50"'),
    (UUID, AN_ID, '"00000000-0000-0000-0000-000000000007"'),
    (Color, Color.BLUE, '"blue"'),
    (Level, Level.LOW, "1"),
    (Way, Way.DOWN, '"DOWN"'),
    (Size, Size.BIG, '"big"'),
    (Right, Right.READ | Right.WRITE, "3"),
    (tuple, (1, "a"), '[1,"a"]'),
    (tuple[int, date], (1, date(2026, 1, 31)), '[1,"2026-01-31"]'),
    (tuple[()], (), "[]"),
    (tuple[Decimal, ...], (Decimal(1), Decimal("2.5")), '["1","2.5"]'),
    (set[str], {"b", "a", "c"}, '["a","b","c"]'),
    (frozenset[UUID], frozenset([AN_ID]), '["00000000-0000-0000-0000-000000000007"]'),
    (dict[int, Decimal], {7: Decimal(1)}, '{"7":"1"}'),
    (dict[UUID, str], {AN_ID: "a"}, '{"00000000-0000-0000-0000-000000000007":"a"}'),
    (Mapping[Color, int], {Color.RED: 1}, '{"red":1}'),
    (dict[Level, int], {Level.LOW: 2}, '{"1":2}'),
    (Sequence[date], [date(2026, 1, 31)], '["2026-01-31"]'),
    (Item, Item(Decimal(1), parts=[Item(Decimal(2), Color.BLUE)]), None),
    (Page[Decimal], Page([Decimal(1)]), '{"items":["1"],"until":null}'),
    (Point, Point(MOMENT), '["2026-01-31T12:30:00+00:00",0]'),
    (Order, {"id": AN_ID}, '{"id":"00000000-0000-0000-0000-000000000007"}'),
    (datetime | None, None, "null"),
    (datetime | None, MOMENT, '"2026-01-31T12:30:00+00:00"'),
    (Decimal | Color | None, Color.RED, '"red"'),
    (list[int | datetime], [1, MOMENT], '[1,"2026-01-31T12:30:00+00:00"]'),
    (str | datetime, MOMENT, '"2026-01-31T12:30:00+00:00"'),
    (str | datetime, "hello", '"hello"'),
    (Decimal | int, 1, "1"),
    (Decimal | int, Decimal(1), '"1"'),
    (Level | int, Level.LOW, "1"),
    (Item | Line, Line(Decimal(1), 2), '{"price":"1","count":2}'),
    (Item | Line | None, Item(Decimal(1)), None),
    (Annotated[Decimal, "net"], Decimal(1), '"1"'),
    (Struct, Struct(MOMENT, Decimal("1.5")), '{"when":"2026-01-31T12:30:00Z","amount":"1.5"}'),
    (Model, Model(when=MOMENT, tags={"a"}), '{"when":"2026-01-31T12:30:00Z","tags":["a"]}'),
    (list[Struct | None], [None, Struct(MOMENT)], None),
]


@pytest.mark.parametrize(("annotation", "value", "form"), FORMS)
def test_a_value_comes_back_as_what_it_was(annotation, value, form):
    shape = shape_of(annotation)
    assert shape is not None
    text = encode(shape.dump(value))
    back = shape.load(decode(text))
    assert (back, type(back)) == (value, type(value))
    if form is not None:
        assert text == form
    if annotation not in (str | datetime, Level | int):  # there, a JSON form might be meant as it is
        assert encode(shape.dump(decode(text))) == text  # as a command line has it


@pytest.mark.parametrize(
    "annotation",
    [
        *(int, str, Any, object, None, list, dict, list[int], dict[str, list[float]], int | None, Literal["a", 1]),
        *(UserId, Sequence[str], object(), type("Unknown", (), {}), "never resolved"),
    ],
)
def test_what_json_has_itself_is_not_touched(annotation):
    assert shape_of(annotation) is None


@pytest.mark.parametrize(
    ("annotation", "value", "path", "problem"),
    [
        (datetime, "tomorrow", "$", r"found 'tomorrow' \(str\), expected datetime \(2026-01-31T"),
        (datetime, "2026-01-31", "$", "expected datetime"),
        (date, MOMENT, "$", "found a value of type datetime, expected date"),
        (timedelta, "P", "$", "expected timedelta"),
        (timedelta, 5, "$", r"found 5 \(int\), expected timedelta"),
        (Decimal, "a lot", "$", "expected Decimal"),
        (Decimal, True, "$", "expected Decimal"),
        (UUID, "7", "$", "expected UUID"),
        (Color, "green", "$", r"found 'green' \(str\), expected Color"),
        (Way, (0, 1), "$", "expected Way"),
        (list[date], ["2026-01-31", "x"], "$[1]", "expected date"),
        (dict[str, Decimal], {"net": "x"}, "$.net", "expected Decimal"),
        (dict[UUID, int], {"x": 1}, "$.x", "expected UUID"),
        (tuple[int, date], [1], "$", "expected tuple, 2 values"),
        (Point, [], "$", "expected Point"),
        (Item, {"price": "1", "parts": [{"price": "x"}]}, "$.parts[0].price", "expected Decimal"),
        (Item, {"price": "1", "prise": 1}, "$", "found an object with 'prise', expected Item: price, color, parts"),
        (Item, {}, "$", "that Item refuses"),
        (Item, Item(price=9.5), "$.price", None),  # type: ignore[arg-type]
        (Item, SoldItem(Decimal(1)), "$", "found a SoldItem, which would come back as Item and no more"),
        (Page[int], {"items": ["1"]}, "$.items[0]", "expected int"),
        (Order, {"note": "x"}, "$", "without 'id', expected Order"),
        (datetime | None, 5, "$", "expected datetime"),
        (tuple[int, ...] | list[int], (1,), "$", "found a tuple that would come back as list"),
        (Level | int, 1, "$", "found a int that would come back as Level"),
        (str | datetime, MOMENT.isoformat(), "$", "found a str that would come back as datetime"),
        (Struct, {"when": "x"}, "$", "which Struct refuses"),
        (Model, {"when": "x"}, "$", "which Model refuses"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_is_handed_over(annotation, value, path, problem):
    shape = shape_of(annotation)
    assert shape is not None
    if problem is None:
        assert shape.dump(value) == {"price": 9.5, "color": "red", "parts": []}  # a number is a decimal's JSON, too
        return
    with pytest.raises(Misfit, match=problem) as caught:
        shape.dump(value)
    assert caught.value.path == path


def test_fields_that_newer_code_wrote_are_passed_over_and_missing_ones_take_their_default():
    shape = shape_of(Item)
    assert shape is not None
    assert shape.load({"price": "1", "weight": 5}) == Item(Decimal(1))


MOMENTS = st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=5, minutes=30))))


@given(st.lists(MOMENTS), st.dictionaries(st.dates(), st.timedeltas() | st.none()), st.sets(st.uuids()), st.times())
def test_any_value_comes_back(moments, spans, ids, moment):
    assert through(list[datetime], moments) == moments
    assert through(dict[date, timedelta | None], spans) == spans
    assert through(set[UUID], ids) == ids
    assert through(time, moment) == moment


@given(st.decimals(allow_nan=False), st.integers())
def test_numbers_are_exact(number, whole):
    assert through(Decimal, number).as_tuple() == number.as_tuple()
    assert through(tuple[int, ...], (whole,)) == (whole,)


def test_a_set_is_written_alike_in_every_process():
    program = "from durable_core.shapes import shape_of; print(shape_of(set[str]).dump({*'abcdefgh'}))"
    seeds = ("1", "2")
    said = {
        subprocess.check_output([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed, **PATHS})
        for seed in seeds
    }
    assert len(said) == 1


PATHS = {"PYTHONPATH": ":".join(sys.path)}


def test_values_without_an_annotation_are_written_by_what_they_are():
    value = {"at": MOMENT, "items": [Item(Decimal(1))], AN_ID: [Color.RED], "s": Struct(MOMENT)}
    assert json.loads(encode(plain(value))) == {
        "at": "2026-01-31T12:30:00+00:00",
        "items": [{"price": "1", "color": "red", "parts": []}],
        str(AN_ID): ["red"],
        "s": {"when": "2026-01-31T12:30:00Z", "amount": "0"},
    }
    for unknown in (object(), {1}):
        assert plain(unknown) is unknown
