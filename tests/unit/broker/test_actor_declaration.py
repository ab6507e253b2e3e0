"""What can be declared, what is refused, and what a declared actor still is."""

from __future__ import annotations

import asyncio
import inspect
import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dramatiq
import pytest

import octoqueue
from octoqueue.broker.actors import AsyncActor
from octoqueue.errors import DeclarationError, InvalidMessage, UnknownOption
from octoqueue.primitives.lane import Lane
from tests.running import broker_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

MINUTE = timedelta(minutes=1)


def declare(**options: Any) -> Any:  # noqa: ANN401 - some of them are wrong
    options.setdefault("broker", broker_on())
    return octoqueue.actor(**options)(_work)


async def _work(number: int = 0) -> int:
    return number


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("max_retry", "max_retries"),
        ("timelimit", "time_limit"),
        ("result", "results"),
        ("on_dead_leter", "on_dead_letter"),
        ("queue_name", "queue"),
    ],
)
def test_an_unknown_option_is_refused_with_the_nearest_known_one(misspelt: str, meant: str) -> None:
    with pytest.raises(UnknownOption, match=f"did you mean '{meant}'") as caught:
        declare(**{misspelt: 1})
    assert (caught.value.option, caught.value.nearest) == (misspelt, meant)


def test_an_option_like_no_other_is_refused_without_a_guess() -> None:
    with pytest.raises(UnknownOption) as caught:
        declare(zzz=1)
    assert caught.value.nearest is None


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_retries", -1),
        ("max_retries", "3"),
        ("max_retries", 1.5),
        ("max_retries", True),
        ("min_backoff", -MINUTE),
        ("max_backoff", timedelta(0)),
        ("time_limit", timedelta(0)),
        ("time_limit", -MINUTE),
        ("time_limit", "1m"),
        ("time_limit", 30),
        ("min_backoff", 10),
        ("expires", 60),
        ("time_limit", math.nan),
        ("max_age", timedelta(0)),
        ("max_age", math.inf),
        ("result_ttl", timedelta(microseconds=100)),
        ("lane", "urgent"),
        ("lane", 0),
        ("throws", "ValueError"),
        ("throws", (ValueError, "KeyError")),
        ("throws", ValueError("an instance")),
        ("retry_when", "always"),
        ("results", "yes"),
        ("on_dead_letter", 5),
        ("queue", 5),
    ],
)
def test_an_impossible_value_is_refused_and_its_option_named(option: str, value: object) -> None:
    with pytest.raises(DeclarationError, match=option):
        declare(**{option: value})


def test_a_decorator_that_is_given_no_function_is_refused() -> None:
    decorate: Any = octoqueue.actor
    with pytest.raises(DeclarationError, match="'mail'"):
        decorate("mail")


def test_a_longest_backoff_below_the_shortest_is_refused() -> None:
    with pytest.raises(DeclarationError, match="max_backoff"):
        declare(min_backoff=MINUTE, max_backoff=MINUTE / 2)


@pytest.mark.parametrize("queue", ["", "9lives", "with space", "a:b", "{a}", "ü"])
def test_a_bad_queue_name_is_refused(queue: str) -> None:
    with pytest.raises(DeclarationError, match="_work"):
        declare(queue=queue)


def test_a_name_that_is_taken_is_refused() -> None:
    broker = broker_on()
    declare(broker=broker)
    with pytest.raises(DeclarationError, match="already"):
        declare(broker=broker)
    declare(broker=broker, name="another")


def test_a_function_that_would_only_make_a_generator_is_refused() -> None:
    broker = broker_on()

    with pytest.raises(DeclarationError, match="generator"):

        @octoqueue.actor(broker=broker)
        async def stream() -> AsyncIterator[int]:
            yield 1

    with pytest.raises(DeclarationError, match="generator"):

        @octoqueue.actor(broker=broker)
        def rows() -> Iterator[int]:
            yield 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_retries", -5),
        ("time_limit", "soon"),
        ("expires", timedelta(seconds=1)),
        ("expires", "1000"),
        ("batch", 10),
        ("results", "yes"),
        ("throws", "ValueError"),
    ],
)
def test_impossible_options_of_a_plain_dramatiq_actor_are_refused_when_it_is_declared(
    option: str, value: object
) -> None:
    broker = broker_on()
    options: dict[str, Any] = {option: value}
    with pytest.raises(DeclarationError, match=option):
        dramatiq.actor(broker=broker, **options)(lambda: None)


def test_a_time_of_zero_says_nothing_as_in_dramatiq() -> None:
    broker = broker_on()
    dramatiq.actor(broker=broker, actor_name="work", time_limit=0, max_age=0)(print)
    options = broker.executable("work").options
    assert (options.time_limit, options.max_age) == (broker.defaults.time_limit, None)


def test_what_is_declared_is_what_a_worker_reads() -> None:
    broker = broker_on()
    declare(
        broker=broker,
        queue="coder",
        lane=Lane.HIGH,
        max_retries=None,
        min_backoff=timedelta(0),
        max_backoff=MINUTE,
        time_limit=timedelta(milliseconds=1500),
        max_age=MINUTE,
        throws=(ValueError, KeyError),
        results=True,
        result_ttl=MINUTE,
        on_dead_letter="bury",
    )
    options = broker.executable("_work").options
    assert (options.lane, options.retry.max_retries) == (Lane.HIGH, None)
    assert (options.retry.min_backoff, options.retry.max_backoff) == (timedelta(0), MINUTE)
    assert (options.time_limit, options.max_age) == (timedelta(seconds=1.5), MINUTE)
    assert (options.throws, options.results) == ((ValueError, KeyError), True)
    assert (options.result_ttl_ms, options.on_dead_letter) == (60_000, "bury")
    assert set(broker.queues) == {"coder"}


@pytest.mark.parametrize("limit", [math.inf, timedelta.max])
def test_an_actor_may_have_no_time_limit(limit: object) -> None:
    broker = broker_on()
    declare(broker=broker, time_limit=limit)
    assert broker.executable("_work").options.time_limit is None


def test_priority_of_a_plain_dramatiq_actor_is_its_lane() -> None:
    broker = broker_on()
    for priority in (-1, 0, 1):
        dramatiq.actor(broker=broker, priority=priority, actor_name=f"p{priority}")(print)
    lanes = [broker.executable(f"p{priority}").options.lane for priority in (-1, 0, 1)]
    assert lanes == [Lane.HIGH, Lane.NORMAL, Lane.LOW]


def test_a_programs_own_retries_and_limits_hold_for_actors_that_say_nothing() -> None:
    from dramatiq.middleware import AgeLimit, Retries, TimeLimit

    own = [
        Retries(max_retries=7, min_backoff=20, max_backoff=30),
        TimeLimit(time_limit=4_000),
        AgeLimit(max_age=9_000),
    ]
    broker = broker_on(middleware=own)
    dramatiq.actor(broker=broker, actor_name="plain")(print)
    options = broker.executable("plain").options
    assert options.retry.max_retries == 7
    assert options.retry.max_backoff == timedelta(milliseconds=30)
    assert options.time_limit == timedelta(seconds=4)
    assert options.max_age == timedelta(seconds=9)


async def test_an_actor_can_still_be_called_like_the_function_it_is() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker)
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    @octoqueue.actor(broker=broker)
    async def double(number: int) -> int:
        return number * 2

    assert add(1, b=2) == 3
    assert await double(2) == 4
    assert isinstance(double, AsyncActor)
    assert str(inspect.signature(add.fn)) == "(a: 'int', b: 'int') -> 'int'"


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("delay", {"delay": -MINUTE}),
        ("message_id", {"message_id": "7"}),
        ("message_id", {"message_id": "01890A5D-AC96-774B-BCCE-B302099A8057"}),
        ("message_id", {"message_id": "{01890a5d-ac96-774b-bcce-b302099a8057}"}),
        ("lane", {"lane": "urgent"}),
    ],
)
def test_impossible_options_of_a_message_are_refused_and_named(
    field: str, options: dict[str, Any]
) -> None:
    actor = declare()
    with pytest.raises(InvalidMessage) as caught:
        actor.using(**options)
    assert caught.value.field == field


def test_a_store_that_is_not_open_is_named_as_such() -> None:
    async def ask() -> None:
        broker_on().store()

    with pytest.raises(DeclarationError, match="connected"):
        asyncio.run(ask())
