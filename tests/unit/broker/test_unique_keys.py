"""Unique keys: what they are made of, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import pytest

import octoqueue
from octoqueue.broker.unique import KeyOf
from octoqueue.errors import DeclarationError, InvalidMessage, PayloadNotSerializable
from octoqueue.primitives.extension import UniqueKey, UniqueMode


def work(number: int, *, name: str = "none") -> None:
    """Stands for an actor."""


async def _later(number: int) -> str:
    return str(number)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("until", {"until": "finished"}),
        ("until", {"until": None}),
        ("until", {"until": timedelta(0)}),
        ("until", {"until": timedelta(days=400)}),
        ("until", {"until": 60}),
        ("key", {"key": "user"}),
        ("key", {"key": _later}),
        ("on_duplicate", {"on_duplicate": "ignore"}),
    ],
)
def test_an_impossible_value_is_refused_where_it_is_written(
    field: str, values: dict[str, Any]
) -> None:
    with pytest.raises(DeclarationError, match=f"Unique: {field}"):
        octoqueue.Unique(**values)


@pytest.mark.parametrize(
    ("until", "mode", "window_ms"),
    [
        ("done", UniqueMode.DONE, 0),
        ("started", UniqueMode.STARTED, 0),
        (timedelta(minutes=1), UniqueMode.WINDOW, 60_000),
    ],
)
def test_a_key_is_taken_until_a_moment(
    until: Literal["done", "started"] | timedelta, mode: UniqueMode, window_ms: int
) -> None:
    key = KeyOf("work", octoqueue.Unique(until=until), work).of((1,), {})
    assert (key.mode, key.window_ms) == (mode, window_ms)


def key(
    *args: object, unique: octoqueue.Unique | None = None, own: str | None = None, **kwargs: object
) -> UniqueKey:
    return KeyOf("work", unique or octoqueue.Unique(), work).of(args, kwargs, own=own)


def test_without_a_function_all_arguments_are_the_key_however_they_are_written() -> None:
    assert key(1) == key(number=1) == key(1, name="none")
    assert len({key(1).digest, key(2).digest, key(1, name="x").digest}) == 3


def test_arguments_that_do_not_fit_are_taken_as_they_are_written() -> None:
    assert key(1, 2, 3) == key(1, 2, 3)
    assert key(1, 2, 3) != key(1, 2)
    assert key(other=1).digest != key().digest


def test_a_function_makes_the_key_of_the_arguments() -> None:
    by_name = octoqueue.Unique(key=lambda number, name: name)
    assert key(1, name="a", unique=by_name) == key(2, name="a", unique=by_name)
    assert key(1, name="a", unique=by_name) != key(1, name="b", unique=by_name)


def test_keys_of_different_actors_never_meet() -> None:
    one, other = KeyOf("one", octoqueue.Unique(), work), KeyOf("other", octoqueue.Unique(), work)
    assert one.of((1,), {}) != other.of((1,), {})
    assert one.of((), {}, own="k") != other.of((), {}, own="k")


def test_the_sender_may_give_a_key_of_its_own() -> None:
    found: UniqueKey = key(1, own="mine")
    assert found == key(2, own="mine")
    assert found.mode is UniqueMode.DONE


def test_a_function_that_fails_or_gives_no_text_makes_the_message_invalid() -> None:
    def fail(number: int) -> str:
        raise KeyError("user")

    with pytest.raises(InvalidMessage, match="unique: the key cannot be told"):
        key(1, unique=octoqueue.Unique(key=fail))
    wrong: Any = lambda number: number  # noqa: E731 - a function of the wrong type
    with pytest.raises(InvalidMessage, match="unique: the key is 1, not a text"):
        key(1, unique=octoqueue.Unique(key=wrong))


def test_arguments_without_a_json_form_have_no_key() -> None:
    with pytest.raises(PayloadNotSerializable):
        key(object())
