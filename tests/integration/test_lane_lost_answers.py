"""Calls that ran although their answer never came: sent again, they change nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import StoreUnavailable
from octoqueue.redis.client import RedisClient
from octoqueue.redis.scripts import SCRIPT_NAMES, script
from tests.contract.redis_worlds import redis_world
from tests.contract.world import (
    A,
    World,
    ack,
    bury,
    ids,
    message,
    messages,
    release,
    retry,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path


class Deaf:
    """A socket in front of Redis that may swallow the next answers and hang up instead."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.swallows = False
        self.serving: set[asyncio.Task[None]] = set()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self.target)
        asking = asyncio.create_task(self._pass(reader, back))
        with contextlib.suppress(OSError):
            while data := await there.read(65_536):
                if self.swallows:
                    break
                writer.write(data)
                await writer.drain()
        for stream in (writer, back):
            stream.close()
            with contextlib.suppress(OSError):
                await stream.wait_closed()
        await asking

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.fixture(params=[True, False], ids=["pipelined", "through redis-py"])
async def deaf(
    redis_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncGenerator[tuple[Deaf, World]]:
    link = Deaf(redis_url.removeprefix("unix://"))
    async with await asyncio.start_unix_server(link.serve, tmp_path / "s"):
        client = RedisClient(
            f"unix://{tmp_path / 's'}", timeout=timedelta(seconds=2), pipelining=request.param
        )
        for name in SCRIPT_NAMES:  # else the answer that is lost is that nobody knows the script
            await client.command("SCRIPT", "LOAD", script(name).source)
        world = redis_world(client)
        yield link, world
        await world.store.aclose()
        await asyncio.gather(*link.serving)


@contextlib.contextmanager
def unanswered(link: Deaf) -> Generator[None]:
    link.swallows = True
    with pytest.raises(StoreUnavailable):
        yield
    link.swallows = False


async def test_a_claim_without_an_answer_is_held_and_goes_on(deaf: tuple[Deaf, World]) -> None:
    link, world = deaf
    await world.put(*messages(5))
    await world.store.extend(A)
    with unanswered(link):
        await world.claim(3)
    held = await world.store.held(A, ["coder"])
    assert len(held) == 3
    rest = await world.claim()
    assert len(set(ids(held) + ids(rest))) == 5
    assert (await world.store.commit(A, acks=[*held, *rest])).acks == 0


async def test_a_commit_without_an_answer_takes_effect_once(deaf: tuple[Deaf, World]) -> None:
    link, world = deaf
    await world.put(*messages(5))
    one, two, three, four, five = await world.claim()
    child = message(queue="judge", beside=one.message_id)
    ends = [ack(one, child, result=b"1"), retry(two), bury(three), release(four)]
    with unanswered(link):
        await world.store.commit(A, acks=[five], settlements=ends)
    again = await world.store.commit(A, acks=[five], settlements=ends)
    assert again.acks == 1
    assert sorted(again.tokens) == sorted(end.lease.token for end in ends)
    stats = await world.store.stats("coder")
    assert (stats.waiting, stats.dead, stats.in_flight) == (2, 1, 0)
    assert await world.depth("judge") == (0, 1, 0)
    assert await world.store.result(one.message_id) == b"1"


async def test_an_enqueue_without_an_answer_may_be_sent_again_and_nothing_is_lost(
    deaf: tuple[Deaf, World],
) -> None:
    """The second copy runs too: at least once is what is promised."""
    link, world = deaf
    sent = messages(3)
    await world.put(message())
    with unanswered(link):
        await world.store.enqueue([sent])
    await world.store.enqueue([sent])
    seen = list[bytes]()
    while leases := await world.claim():
        assert len(set(ids(leases))) == len(leases)
        seen += ids(leases)
        assert (await world.store.commit(A, acks=leases)).acks == 0
    assert set(ids(sent)) <= set(seen)
    stats = await world.store.stats("coder")
    assert (stats.in_flight, stats.counters["acked"]) == (0, 7)


async def test_a_reclaim_without_an_answer_gives_back_once(deaf: tuple[Deaf, World]) -> None:
    link, world = deaf
    await world.put(*messages(5))
    await world.claim()
    world.clock.advance(20_000)
    await world.store.queues()
    with unanswered(link):
        await world.store.reclaim()
    await world.store.reclaim()
    assert await world.depth() == (0, 5, 0)
    assert (await world.store.stats("coder")).counters["reclaimed"] == 5


async def test_a_promotion_without_an_answer_moves_once(deaf: tuple[Deaf, World]) -> None:
    link, world = deaf
    await world.put(*(message(delay_ms=5) for _ in range(5)))
    world.clock.advance(5)
    with unanswered(link):
        await world.store.promote("coder")
    assert (await world.store.promote("coder")).moved == 0
    assert await world.depth() == (0, 5, 0)
