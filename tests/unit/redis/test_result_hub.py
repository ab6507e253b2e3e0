"""The hub against a connection that does what a test tells it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from octoqueue.errors import StoreUnavailable
from octoqueue.redis.results import ResultHub

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.redis.client import RedisClient


class Line:
    """One connection: what was asked of it, and what it will say."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.says: asyncio.Queue[dict[str, Any] | Exception | None] = asyncio.Queue()

    async def subscribe(self, *channels: str) -> None:
        for channel in channels:
            self.asked.append(f"+{channel}")
            self.says.put_nowait({"type": "subscribe", "channel": channel.encode(), "data": 1})

    async def unsubscribe(self, *channels: str) -> None:
        self.asked += [f"-{channel}" for channel in channels]

    async def ping(self) -> None:
        self.asked.append("ping")

    async def get_message(self, *, timeout: float) -> dict[str, Any] | None:
        said = await self.says.get()
        if isinstance(said, Exception):
            raise said
        return said

    def publish(self, channel: str, data: bytes) -> None:
        self.says.put_nowait({"type": "message", "channel": channel.encode(), "data": data})


class Client:
    """A client with values, whose lines are taken in order; without a line it is gone."""

    def __init__(self, *lines: Line | Exception) -> None:
        self.lines: list[Line | Exception] = list(lines)
        self.values: dict[str, bytes] = {}
        self.looked_up = 0

    async def command(self, verb: str, key: str) -> bytes | None:
        assert verb == "GET"
        self.looked_up += 1
        return self.values.get(key)

    @contextlib.asynccontextmanager
    async def subscription(self) -> AsyncGenerator[Line]:
        line = self.lines.pop(0) if self.lines else RedisConnectionError("refused")
        if isinstance(line, Exception):
            raise line
        yield line


class Impatient:
    """A clock on which no wait takes long."""

    def now_ms(self) -> int:
        return 0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


def hub_on(client: Client) -> ResultHub:
    return ResultHub(cast("RedisClient", client), clock=Impatient())


def waiting(hub: ResultHub, name: str) -> asyncio.Task[bytes]:
    return asyncio.create_task(hub.wait(channel=name, key=f"key-of-{name}"))


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_waiters_of_one_turn_subscribe_together_and_once_a_channel() -> None:
    line = Line()
    hub = hub_on(Client(line))
    waiters = [waiting(hub, name) for name in ("a", "b", "a")]
    await settled()
    assert sorted(line.asked) == ["+a", "+b"]
    line.publish("a", b"1")
    line.publish("b", b"2")
    assert await asyncio.gather(*waiters) == [b"1", b"2", b"1"]
    await settled()
    assert sorted(line.asked[2:]) == ["-a", "-b"]
    await hub.aclose()


async def test_a_value_that_nobody_published_is_found_by_the_next_who_waits() -> None:
    line, client = Line(), Client()
    client.lines = [line]
    hub = hub_on(client)
    first = waiting(hub, "a")
    await settled()
    client.values["key-of-a"] = b"1"
    assert await waiting(hub, "a") == b"1"
    assert await first == b"1"
    await hub.aclose()


async def test_each_confirmation_reads_the_key() -> None:
    line, client = Line(), Client()
    client.lines = [line]
    client.values["key-of-a"] = b"1"
    hub = hub_on(client)
    assert await waiting(hub, "a") == b"1"
    assert client.looked_up == 1
    await hub.aclose()


async def test_a_lost_line_is_replaced_and_every_wait_goes_on() -> None:
    first, second = Line(), Line()
    hub = hub_on(Client(first, RedisConnectionError("still gone"), second))
    waiters = [waiting(hub, name) for name in ("a", "b")]
    await settled()
    first.says.put_nowait(RedisConnectionError("lost"))
    await settled()
    assert sorted(second.asked) == ["+a", "+b"]
    second.publish("a", b"1")
    second.publish("b", b"2")
    assert await asyncio.gather(*waiters) == [b"1", b"2"]
    await hub.aclose()


async def test_any_error_of_a_line_is_an_outage_and_no_end() -> None:
    """A reader that died silently let everybody wait until the end of their time."""
    first, second = Line(), Line()
    hub = hub_on(Client(first, second))
    waiter = waiting(hub, "a")
    await settled()
    first.says.put_nowait(RuntimeError("a bug"))
    await settled()
    second.publish("a", b"1")
    assert await waiter == b"1"
    await hub.aclose()


async def test_a_wait_that_was_never_heard_is_refused_when_there_is_no_line() -> None:
    hub = hub_on(Client(RedisConnectionError("Connection refused")))
    with pytest.raises(StoreUnavailable, match="Connection refused"):
        await waiting(hub, "a")
    await hub.aclose()


async def test_a_silent_line_is_asked_and_given_up_when_it_stays_silent() -> None:
    first, second = Line(), Line()
    hub = hub_on(Client(first, second))
    waiter = waiting(hub, "a")
    await settled()
    first.says.put_nowait(None)
    await settled()
    assert first.asked[-1] == "ping"
    first.says.put_nowait({"type": "pong", "channel": None, "data": b""})
    first.says.put_nowait(None)
    await settled()
    assert second.asked == [], "an answer to the question is a sign of life"
    first.says.put_nowait(None)
    await settled()
    second.publish("a", b"1")
    assert await waiter == b"1"
    await hub.aclose()


async def test_giving_up_and_waiting_again_in_one_turn_stays_subscribed() -> None:
    line = Line()
    hub = hub_on(Client(line))
    given_up = waiting(hub, "a")
    await settled()
    given_up.cancel()
    again = waiting(hub, "a")
    await settled()
    assert line.asked[-1] == "+a"
    line.publish("a", b"1")
    assert await again == b"1"
    await hub.aclose()


async def test_a_closed_hub_refuses_those_who_wait_and_those_who_come() -> None:
    line = Line()
    hub = hub_on(Client(line))
    waiter = waiting(hub, "a")
    await settled()
    await hub.aclose()
    await hub.aclose()
    for late in (waiter, waiting(hub, "b")):
        with pytest.raises(StoreUnavailable, match="closed"):
            await late
