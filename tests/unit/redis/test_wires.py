"""How many connections there are, whoever is closed while he makes one."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from octoqueue.redis.wires import Wires
from tests.running import until


class Slow:
    """A connection of redis-py that is neither made nor left before it is let."""

    def __init__(self) -> None:
        self.began, self.let_leave = asyncio.Event(), asyncio.Event()

    async def connect(self) -> None:
        self.began.set()
        await asyncio.Event().wait()

    async def disconnect(self, *, nowait: bool) -> None:
        assert nowait
        await self.let_leave.wait()


async def test_who_comes_while_others_are_closed_shares_one_attempt_with_all_after_him() -> None:
    made: list[Slow] = []

    def connection() -> Slow:
        made.append(Slow())
        return made[-1]

    wires = Wires(connection, 60)
    first = asyncio.create_task(wires.ready())
    await until(lambda: bool(made))
    await made[0].began.wait()
    closing = asyncio.create_task(wires.aclose())
    await asyncio.sleep(0)
    second = asyncio.create_task(wires.ready())
    await until(lambda: len(made) == 2)
    made[0].let_leave.set()
    await closing
    with pytest.raises(RedisConnectionError):
        await first

    third = asyncio.create_task(wires.ready())
    await asyncio.wait([third], timeout=0.01)
    assert len(made) == 2
    made[1].let_leave.set()
    await wires.aclose()
    ends = await asyncio.gather(second, third, return_exceptions=True)
    assert all(isinstance(end, RedisConnectionError) for end in ends)
