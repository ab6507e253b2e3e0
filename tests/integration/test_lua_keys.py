"""Every key a script touches is one of its KEYS: watched on a real server, command by command."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import redis

from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Emission
from octoqueue.redis.scripts import SCRIPT_NAMES, script
from tests.contract.events import teller, told
from tests.contract.redis_worlds import redis_worlds
from tests.contract.schedules import NIGHTLY, tick, tick_message
from tests.contract.world import (
    AT_ONCE,
    ONE_PARTITION,
    A,
    World,
    ack,
    bury,
    message,
    messages,
    release,
    retry,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYLESS = {"TIME", "PUBLISH"}
LINE = re.compile(r"^[\d.]+ \[\d+ ([^\]]+)\] (.*)$", re.DOTALL)
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
END = "the end of what is watched"


@pytest.mark.parametrize("per_partition", [False, True])
async def test_scripts_touch_the_keys_they_are_given_and_no_other(
    redis_url: str,
    per_partition: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    used: defaultdict[str, set[str]] = defaultdict(set)
    with watched(redis_url) as lines:
        async with redis_worlds(redis_url, per_partition=per_partition) as make:
            await use_everything(await make())
            await use_everything(await make(ONE_PARTITION))
    names = {script(name).sha: name for name in SCRIPT_NAMES}
    keys, running = set[str](), ""
    for line in lines:
        found = LINE.match(line)
        assert found, line
        command, *words = WORD.findall(found[2])
        if found[1] != "lua":
            if command in {"EVALSHA", "EVAL"}:
                running = names.get(words[0], running)
                keys = set(words[2 : 2 + int(words[1])])
        elif command.upper() not in KEYLESS:
            assert words[0] in keys, (running, command, words[0])
            used[running].add(command.upper())
    if per_partition:
        assert used == {
            name: commands - FOR_BELLS.get(name, set()) for name, commands in ALL.items()
        }
    else:
        assert used == ALL


ALL = {
    "begin": {"HGET", "HSET"},
    "claim": {"ZSCORE", "LPOP", "HSET", "HINCRBY", "ZADD", "LLEN", "RPUSH"},
    "commit": {
        "HDEL", "HGET", "HINCRBY", "RPUSH", "LPUSH", "ZADD", "ZRANGE", "HSET", "SET", "LLEN",
        "XREVRANGE", "XADD", "PEXPIRE",
    },
    "emit": {"HEXISTS", "XREVRANGE", "XADD", "PEXPIRE"},
    "enqueue": {"LLEN", "ZCARD", "RPUSH", "HINCRBY", "ZADD", "ZRANGE"},
    "expired": {"ZRANGEBYSCORE"},
    "expiry": {"ZRANGE"},
    "extend": {"ZSCORE", "ZADD"},
    "fire": {"HGET", "HSET", "LLEN", "ZCARD", "RPUSH", "HINCRBY"},
    "promote": {"ZRANGEBYSCORE", "ZREM", "RPUSH", "ZRANGE", "HINCRBY", "LLEN"},
    "purge": {"ZREM", "HDEL", "ZRANGEBYSCORE", "HINCRBY"},
    "reclaim": {"ZSCORE", "HVALS", "LPUSH", "DEL", "HINCRBY", "LLEN", "RPUSH"},
    "replay": {"HGET", "LLEN", "ZREM", "HDEL", "DEL", "RPUSH", "HINCRBY"},
    "retire": {"ZSCORE", "ZADD", "ZREM"},
    "stats": {"LLEN", "LINDEX", "ZCARD", "HGETALL"},
}  # fmt: skip
"""All the commands there are: the workload leaves out none."""

FOR_BELLS = {
    "claim": {"LLEN"},
    "commit": {"LLEN"},
    "promote": {"LLEN"},
    "reclaim": {"LLEN", "RPUSH"},
}
"""A bell stands in another slot than a partition, so scripts for one partition ring none."""


@contextlib.contextmanager
def watched(url: str) -> Iterator[list[str]]:
    """The commands a server runs in the block, in the words of MONITOR; complete after it."""
    lines: list[str] = []
    with redis.Redis.from_url(url) as client, client.monitor() as monitor:
        yield lines
        client.echo(END)
        while END not in (line := monitor.connection.read_response().decode("utf-8", "replace")):
            lines.append(line)


async def use_everything(world: World) -> None:
    for queue in ("coder", "narrow"):
        for lane in Lane:
            await world.store.enqueue([[message(queue=queue, lane=lane)] for _ in range(5)])
            await world.store.enqueue([[message(queue=queue, lane=lane, delay_ms=5)]])
    twin = message()
    await world.store.enqueue([[twin], [twin], messages(3)])
    await world.inject("coder", Lane.HIGH, b"garbage")
    await world.inject_delayed("coder", 1, b"garbage")
    await world.store.wait_for_bell(["coder", "narrow"], timeout=AT_ONCE)
    one, two, three, four, five, *rest = await world.claim(20, queues=["coder", "narrow"])
    later = message(queue="judge", delay_ms=9, beside=one.message_id)
    await world.settle(
        ack(one, message(queue="judge", beside=one.message_id), later, result=b"1"),
        retry(two),
        retry(three, delay_ms=9),
        bury(four),
        release(five),
    )
    await world.put(teller())
    (talking,) = await world.claim(1)
    await world.store.emit(A, [Emission(lease=talking, told=told("a"))])
    await world.settle(ack(talking))
    stands = await world.store.last_tick("nightly", NIGHTLY.ticks.digest)
    await world.store.fire(tick(stands.now_ms, stands.now_ms - 1), tick_message())
    await world.store.next_expiry()
    await world.store.replay("coder", [four.message_id])
    await world.store.replay("narrow", [four.message_id])
    garbage = [letter.message_id for letter in await world.store.dead_letters("coder")]
    await world.store.purge("coder", garbage, older_than=timedelta(0))
    await world.store.commit(A, acks=rest[:2])
    await world.store.extend(A)
    world.clock.advance(20_000)
    for queue in ("coder", "narrow", "judge"):
        await world.store.promote(queue)
        await world.store.stats(queue)
    await world.store.wait_for_bell(["coder", "narrow"], timeout=AT_ONCE)
    await world.store.wait_for_bell(["coder", "narrow"], timeout=AT_ONCE)
    await world.store.reclaim()
    await world.store.extend(A)
    await world.store.retire(A)
