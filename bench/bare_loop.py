"""The reference: the least that a loop on Redis and asyncio must do, with the same libraries.

At least once, like ours: a script moves up to a hundred messages from one list into a hash of
leased ones; each is decoded with orjson and run as a task of its own; their acks leave together, in
one round trip with the next claim. redis-py with hiredis, uvloop, the same bytes a message.

What it does not do is the difference: no lanes, no partitions, no fencing, no time limits, no
retries, no counters, no heartbeat, no way to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import orjson
import uvloop
from redis.asyncio import Redis

from bench.child import order, say, told
from octoqueue.primitives.envelope import HEADER_BYTES, ID_SLICE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

LIST = "bare:list"
WARM_LIST = "bare:warm"
NAP_SECONDS = 0.02
_LEASED = "bare:leased"
_BATCH = 100

_CLAIM = """
local found = redis.call('LPOP', KEYS[1], ARGV[1])
if not found then return {} end
local fields = {}
for i, payload in ipairs(found) do
  fields[2 * i - 1] = payload:sub(17, 32)
  fields[2 * i] = payload
end
redis.call('HSET', KEYS[2], unpack(fields))
return found
"""


async def noop() -> None:
    """Do nothing."""


ACTORS: dict[str, Callable[..., Awaitable[None]]] = {"noop": noop, "warm": noop}


class Batch:
    """Messages that run, each as a task."""

    def __init__(self, claimed: list[bytes]) -> None:
        loop = asyncio.get_running_loop()
        self.acks: list[bytes] = []
        self._left = len(claimed)
        self.ended = loop.create_future()
        self._tasks = [loop.create_task(self._run(payload)) for payload in claimed]

    async def _run(self, payload: bytes) -> None:
        call = orjson.loads(memoryview(payload)[HEADER_BYTES:])
        await ACTORS[call["actor_name"]](*call["args"], **call["kwargs"])
        self.acks.append(payload[ID_SLICE])
        self._left -= 1
        if not self._left:
            self.ended.set_result(None)


async def drain_list(redis: Redis, name: str, count: int) -> tuple[float, float, float]:
    """Run `count` messages of a list; return when it began and ended, and CPU seconds."""
    sha = await redis.script_load(_CLAIM)
    began, cpu_began = time.monotonic(), time.process_time()
    left, acks = count, list[bytes]()
    while left or acks:
        async with redis.pipeline(transaction=False) as pipeline:
            if acks:
                pipeline.execute_command("HDEL", _LEASED, *acks)
            pipeline.execute_command("EVALSHA", sha, 2, name, _LEASED, _BATCH)
            claimed: list[bytes] = (await pipeline.execute())[-1]
        acks = []
        if claimed:
            batch = Batch(claimed)
            await batch.ended
            acks = batch.acks
            left -= len(acks)
    return began, time.monotonic(), time.process_time() - cpu_began


async def drain(ordered: dict[str, Any]) -> None:
    """Whenever told, drain the list and say how long it took."""
    async with Redis.from_url(ordered["url"]) as redis:
        await drain_list(redis, WARM_LIST, await redis.llen(WARM_LIST))
        while True:
            say("ready")
            count = (await told())["messages"]
            began, ended, cpu_seconds = await drain_list(redis, LIST, count)
            say("done", acked=count, began=began, ended=ended, cpu_seconds=cpu_seconds)


async def serve(ordered: dict[str, Any]) -> None:
    """Whenever told, wait for messages one by one, and say how long after due each began."""
    async with Redis.from_url(ordered["url"]) as redis:
        while True:
            say("ready")
            await told()
            say("serving")
            while wanted := (await told()).get("stamps"):
                say("expecting")
                late_ns: list[int] = []
                cpu_began = time.process_time()
                while len(late_ns) < wanted:
                    popped = await redis.blpop([LIST], timeout=0)
                    assert popped is not None
                    _, payload = popped
                    late_ns.append(time.monotonic_ns() - orjson.loads(payload)["args"][0])
                cpu_seconds = time.process_time() - cpu_began
                say("stamped", late_ns=late_ns, at_ns=time.monotonic_ns(), cpu_seconds=cpu_seconds)
            say("stopped")


async def nap(ordered: dict[str, Any]) -> None:
    """Whenever told, wait as often as told, so many at a time; no Redis."""
    while True:
        say("ready")
        count = (await told())["messages"]
        began, cpu_began = time.monotonic(), time.process_time()
        left = iter(range(count))

        async def keep_napping(left: Iterator[int] = left) -> None:
            for _ in left:
                await asyncio.sleep(NAP_SECONDS)

        await asyncio.gather(*(keep_napping() for _ in range(ordered["concurrency"])))
        cpu_seconds = time.process_time() - cpu_began
        say("done", acked=count, began=began, ended=time.monotonic(), cpu_seconds=cpu_seconds)


def main() -> None:
    """Do what was ordered, until the parent goes away."""
    ordered = order()
    work = {"drain": drain, "serve": serve, "nap": nap}[ordered["what"]]
    with contextlib.suppress(EOFError):
        uvloop.run(work(ordered))


if __name__ == "__main__":
    main()
