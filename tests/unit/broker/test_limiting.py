"""Rate limits and what actors use of them: refused where it is written, or when it is sent."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

import octoqueue
from octoqueue.broker.limiting import LimitedUse, uses_from
from octoqueue.errors import DeclarationError, InvalidMessage, UnitsOverBurst
from octoqueue.primitives.extension import MOST_UNITS, LimitUse

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "x" * 121}),
        ("name", {"name": 5}),
        ("rate", {"rate": 0}),
        ("rate", {"rate": -1}),
        ("rate", {"rate": math.inf}),
        ("rate", {"rate": math.nan}),
        ("rate", {"rate": "10"}),
        ("rate", {"rate": True}),
        ("per", {"per": timedelta(0)}),
        ("per", {"per": timedelta(microseconds=10)}),
        ("per", {"per": 60}),
        ("burst", {"burst": 0}),
        ("burst", {"burst": 1.5}),
        ("burst", {"burst": MOST_UNITS + 1}),
    ],
)
def test_an_impossible_limit_is_refused_where_it_is_written(
    field: str, values: dict[str, Any]
) -> None:
    fitting: dict[str, Any] = {"name": "openai", "rate": 10, "per": MINUTE}
    with pytest.raises(DeclarationError, match=field):
        octoqueue.RateLimit(**(fitting | values))


@pytest.mark.parametrize(
    ("rate", "burst", "most"), [(90_000, None, 90_000), (0.5, None, 1), (2.9, None, 2), (10, 3, 3)]
)
def test_a_limit_gives_its_rate_at_once_unless_it_says_otherwise(
    rate: float, burst: int | None, most: int
) -> None:
    assert octoqueue.RateLimit("openai", rate=rate, per=MINUTE, burst=burst).most == most


@pytest.fixture
def limit() -> octoqueue.RateLimit:
    return octoqueue.RateLimit("openai", rate=100, per=MINUTE)


async def _later(text: str) -> int:
    return len(text)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("units", {"units": -1}),
        ("units", {"units": 1.5}),
        ("units", {"units": True}),
        ("units", {"units": "many"}),
        ("units", {"units": MOST_UNITS + 1}),
        ("units", {"units": _later}),
        ("key", {"key": ""}),
        ("key", {"key": 7}),
        ("key", {"key": _later}),
    ],
)
def test_an_impossible_use_is_refused_where_it_is_written(
    limit: octoqueue.RateLimit, field: str, values: dict[str, Any]
) -> None:
    with pytest.raises(DeclarationError, match=field):
        limit.uses(**values)


def of(use: LimitedUse, *args: Any, most: int = 100, **kwargs: Any) -> LimitUse:  # noqa: ANN401
    return use.of(args, kwargs, most=most)


def test_units_and_keys_may_be_functions_of_the_calls_arguments(limit: octoqueue.RateLimit) -> None:
    use = limit.uses(
        units=lambda prompt, *, model: len(prompt + model), key=lambda prompt, *, model: str(model)
    )
    assert of(use, "one", model="m") == LimitUse("openai", "m", 4)
    assert of(limit.uses(units=7, key="eu")) == LimitUse("openai", "eu", 7)
    assert of(limit.uses()) == LimitUse("openai", "", 1)


@pytest.mark.parametrize("wrong", [-1, 1.5, "3", None, True])
def test_what_a_function_gives_is_checked_when_the_message_is_sent(
    limit: octoqueue.RateLimit,
    wrong: Any,  # noqa: ANN401 - wrong on purpose
) -> None:
    with pytest.raises(InvalidMessage, match=r"limits: the units of 'openai' are") as refused:
        of(limit.uses(units=lambda: wrong))
    assert refused.value.field == "limits"


def test_a_key_that_is_no_text_is_refused(limit: octoqueue.RateLimit) -> None:
    wrong: Any = lambda: 5  # noqa: E731 - a function of the wrong type
    with pytest.raises(InvalidMessage, match="the key of 'openai' is 5, not a text"):
        of(limit.uses(key=wrong))


def test_what_a_function_raises_names_the_field(limit: octoqueue.RateLimit) -> None:
    def count(prompt: str) -> int:
        raise LookupError("no such model")

    with pytest.raises(InvalidMessage, match=r"limits: the units .*no such model") as refused:
        of(limit.uses(units=count), "x")
    assert isinstance(refused.value.__cause__, LookupError)


def test_more_units_than_the_burst_could_never_run(limit: octoqueue.RateLimit) -> None:
    assert of(limit.uses(units=100)).units == 100
    with pytest.raises(UnitsOverBurst, match="over its burst of 100") as refused:
        of(limit.uses(units=101))
    assert (refused.value.limit, refused.value.units, refused.value.burst) == ("openai", 101, 100)


@pytest.mark.parametrize(
    "wrong",
    [
        "openai",
        [1],
        octoqueue.RateLimit("a", rate=1),
        [octoqueue.RateLimit("a", rate=1), octoqueue.RateLimit("a", rate=2)],
        [octoqueue.RateLimit("a", rate=1), octoqueue.RateLimit("a", rate=1).uses(units=5)],
    ],
    ids=["a name", "a number", "a bare limit", "one name, two rates", "one limit twice"],
)
def test_limits_that_are_no_list_of_different_uses_are_refused(wrong: object) -> None:
    with pytest.raises(DeclarationError, match="actor 'ask': limits"):
        uses_from("actor 'ask'", wrong)


def test_a_limit_by_itself_is_used_by_one_unit_and_twice_under_two_keys(
    limit: octoqueue.RateLimit,
) -> None:
    assert uses_from("an actor", [limit]) == (limit.uses(),)
    assert len(uses_from("an actor", (limit.uses(key="a"), limit.uses(key="b")))) == 2
