"""What dramatiq's JSON encoder takes, a body takes too, and gives back the same."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from math import inf, isnan, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.primitives.body_json import json_from, value_from

keys = st.text() | st.integers() | st.booleans() | st.none() | st.floats()
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=8,
)


def as_dramatiq_has_it(value: object) -> object:
    """Write and read a value as dramatiq's JSON encoder does."""
    return json.loads(json.dumps(value, separators=(",", ":")).encode())


def shown(value: object) -> str:
    """A value as a text: NaN equals nothing, not even itself, and 1 equals True."""
    return repr(value)


@given(values)
def test_a_value_comes_back_as_it_comes_back_from_dramatiq(value: object) -> None:
    assert shown(value_from(json_from(value))) == shown(as_dramatiq_has_it(value))


@pytest.mark.parametrize("value", [None, [None, 1.5, "text"], {"a": {"b": None}}, 2**64 - 1, "ü"])
def test_what_orjson_takes_whole_orjson_writes(value: object) -> None:
    assert not json_from(value).startswith(b" ")


@pytest.mark.parametrize("value", [nan, [1, inf], {"a": [-inf]}, 2**64, -(2**63) - 1, {1: 2}])
def test_what_orjson_would_refuse_or_lose_python_writes(value: object) -> None:
    assert json_from(value).startswith(b" ")


def test_a_date_is_written_beside_what_only_python_writes() -> None:
    moment = datetime(2026, 11, 21, tzinfo=UTC)
    found: Any = value_from(json_from([moment, date(2026, 11, 21), nan]))
    assert found[:2] == ["2026-11-21T00:00:00+00:00", "2026-11-21"]
    assert isnan(found[2])


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, {(1, 2): 3}, [nan, object()]])
def test_what_neither_takes_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        json_from(value)


def test_a_value_deeper_than_either_goes_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(TypeError):
        json_from(deep)
