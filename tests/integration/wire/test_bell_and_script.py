"""A script sent right behind a bell runs when it rings, and leaves nothing when nobody waits."""

from __future__ import annotations

import asyncio
import gc
from datetime import timedelta
from hashlib import sha1
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import StoreProtocolError, StoreUnavailable
from octoqueue.redis.client import RedisClient
from octoqueue.redis.scripts import Script, ScriptCall
from tests.contract.world import SOON, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.contract.redis_processes import RedisProcess

SOURCE = "return redis.call('INCR', KEYS[1])"
COUNT = ScriptCall(
    Script("count", SOURCE, sha1(SOURCE.encode(), usedforsecurity=False).hexdigest()),
    ["count"],
    [],
)
BRIEF = timedelta(milliseconds=20)


@pytest.fixture(params=[True, False], ids=["pipelined", "through redis-py"])
async def either(
    server: RedisProcess, request: pytest.FixtureRequest
) -> AsyncGenerator[RedisClient]:
    client = RedisClient(server.url, pipelining=request.param)
    yield client
    await client.aclose()


async def test_it_tells_which_bell_rang_and_what_the_script_said(either: RedisClient) -> None:
    await either.command("RPUSH", "second", 1)
    assert await either.call_after_push(["first", "second"], COUNT, timeout=SOON) == ("second", 1)


async def test_when_no_bell_rings_the_script_runs_at_the_end_of_the_time(
    either: RedisClient,
) -> None:
    assert await either.call_after_push(["bell"], COUNT, timeout=BRIEF) == (None, 1)
    assert await either.wait_for_push(["bell"], timeout=BRIEF) is None


async def test_a_script_the_server_forgot_runs_all_the_same_and_once(either: RedisClient) -> None:
    for turn in range(3):
        await either.command("SCRIPT", "FLUSH")
        await either.command("RPUSH", "bell", 1)
        found = await either.call_after_push(["bell"], COUNT, timeout=SOON)
        assert found == ("bell", turn + 1)


async def test_the_script_runs_when_the_bell_rings_and_not_before(
    either: RedisClient, server: RedisProcess
) -> None:
    waiter = asyncio.create_task(either.call_after_push(["bell"], COUNT, timeout=SOON))
    await until(lambda: blocked(server) == 1)
    assert await either.command("GET", "count") is None
    await either.command("RPUSH", "bell", 1)
    assert await waiter == ("bell", 1)


@pytest.mark.parametrize("fails", ["bell", "script", "both"])
async def test_what_the_server_refuses_is_said_and_the_next_wait_is_as_good(
    either: RedisClient, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    await either.call(COUNT)
    await either.command("DEL", "count")
    broken = {"bell": ["bell"], "script": ["count"], "both": ["bell", "count"]}[fails]
    for key in broken:
        await either.command("HSET", key, "a", "hash")
    if fails == "script":
        await either.command("RPUSH", "bell", 1)
    with pytest.raises(StoreProtocolError, match="WRONGTYPE"):
        await either.call_after_push(["bell"], COUNT, timeout=SOON)
    gc.collect()
    assert not caplog.records, "asyncio complains of errors nobody heard"
    await either.command("UNLINK", "bell", "count")
    await either.command("RPUSH", "bell", 1)
    assert await either.call_after_push(["bell"], COUNT, timeout=SOON) == ("bell", 1)


async def test_who_is_cancelled_takes_no_token_and_runs_no_script(
    either: RedisClient, server: RedisProcess
) -> None:
    await either.call(COUNT)
    waiter = asyncio.create_task(either.call_after_push(["bell"], COUNT, timeout=SOON))
    await until(lambda: blocked(server) == 1)
    waiter.cancel()
    await asyncio.wait([waiter])
    assert waiter.cancelled()
    await until(lambda: blocked(server) == 0)
    assert await either.command("RPUSH", "bell", 1) == 1
    assert await either.command("LLEN", "bell") == 1
    assert await either.command("GET", "count") == b"1"


async def test_many_wait_at_the_same_time_and_each_token_wakes_one(
    either: RedisClient, server: RedisProcess
) -> None:
    await either.call(COUNT)
    waiters = [
        asyncio.create_task(either.call_after_push(["bell"], COUNT, timeout=SOON))
        for _ in range(20)
    ]
    await until(lambda: blocked(server) == 20)
    await either.command("RPUSH", "bell", *range(20))
    found = await asyncio.gather(*waiters)
    assert sorted(found) == [("bell", number) for number in range(2, 22)]


async def test_who_waits_is_told_when_his_connection_is_lost(
    either: RedisClient, server: RedisProcess
) -> None:
    waiter = asyncio.create_task(either.call_after_push(["bell"], COUNT, timeout=SOON))
    await until(lambda: blocked(server) == 1)
    server.drop(server.clients())
    with pytest.raises(StoreUnavailable):
        await waiter
    await either.command("RPUSH", "bell", 1)
    assert await either.call_after_push(["bell"], COUNT, timeout=SOON) == ("bell", 1)


async def test_cancelled_in_any_instant_it_leaves_no_connection_behind(
    client: RedisClient, server: RedisProcess
) -> None:
    for turns in range(30):
        waiter = asyncio.create_task(client.call_after_push(["bell"], COUNT, timeout=SOON))
        for _ in range(turns):
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait([waiter])
        assert waiter.cancelled()
    await until(lambda: sum(one["name"] == "octoqueue" for one in server.clients()) <= 1)
    assert blocked(server) == 0


def blocked(server: RedisProcess) -> int:
    return sum("b" in client["flags"] for client in server.clients())
