from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from octoqueue.workflows.values import decode, encode, plain_json


@dataclass
class Order:
    number: int
    items: list[str]


class Model(BaseModel):
    at: datetime


class Aliased(BaseModel):
    number: int = Field(alias="No")


class Renamed(BaseModel):
    model_config = {"populate_by_name": True}
    number: int = Field(validation_alias="in", serialization_alias="out")


@dataclass
class Labels:
    labels: set[str]
    number: float = 0


class Labelled(BaseModel):
    labels: frozenset[str]
    inner: list[Labels] = []


class Words(TypedDict):
    word: str


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_what_json_has_comes_back_as_it_was(value: object) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (Order(3, ["a"]), Order),
        (Model(at=datetime(2026, 1, 1, tzinfo=UTC)), Model),
        (Model(at=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))), Model),
        (Aliased(No=5), Aliased),
        (Renamed(number=5), Renamed),
        (Decimal("1.10"), Decimal),
        (Order(2**70, []), Order),
        (Labels({"a", "b"}), Labels),
        ({"word": "a"}, Words),
        ([Order(1, [])], list[Order]),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime),
        (None, int | None),
        (5, int | None),
        ({"a": 1}, dict[str, int]),
        (True, bool),
        (2, float),
        (None, None),
    ],
)
def test_a_typed_value_comes_back_as_its_type(value: object, type_: object) -> None:
    again = decode(encode(value, type_), type_)
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize(
    ("value", "type_", "why"),
    [
        ("a", int, "a str is no int"),
        (True, int, "a bool is no int"),
        ({"number": "x", "items": []}, Order, "number"),
        ([1], dict, "a list is no dict"),
        (5, None, "an? int"),
        (object(), Any, "not JSON serializable: object"),
        (float("nan"), float, "not finite"),
        ({"a": [float("inf")]}, Any, "not finite"),
        (2**70, int, "."),
        (Labels(set(), float("nan")), Labels, "number: .*valid number"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_the_reason(
    value: object, type_: object, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        encode(value, type_)


@pytest.mark.parametrize(
    ("text", "type_"), [(b'"a"', int), (b'{"number":1}', Order), (b"{", Any), (b"true", int)]
)
def test_a_text_that_does_not_fit_is_refused(text: bytes, type_: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(text, type_)


def test_models_and_dataclasses_have_a_plain_form_too() -> None:
    told = plain_json([Order(1, []), Model(at=datetime(2026, 1, 1, tzinfo=UTC)), None])
    assert orjson.loads(told)[0] == {"number": 1, "items": []}


def test_sets_are_written_in_order_whichever_order_a_process_has() -> None:
    letters = [chr(code) for code in range(ord("a"), ord("z"))]
    written = orjson.dumps(letters)
    assert encode(Labels(set(letters)), Labels) == b'{"labels":%b,"number":0.0}' % written
    labelled = Labelled(labels=frozenset(letters), inner=[Labels(set(letters))])
    assert orjson.loads(plain_json(labelled)) == orjson.loads(encode(labelled, Labelled))
    assert plain_json(labelled).count(written) == 2


def test_fields_with_aliases_are_told_by_the_names_they_are_read_by() -> None:
    assert plain_json([Aliased(No=5)]) == b'[{"No":5}]'
