"""Every key a script touches is one of its KEYS: watched on a real server, command by command."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import redis

from octoqueue.primitives.envelope import extension_of
from octoqueue.primitives.gates import Aging, Gates, RateLimit, TenantShare
from octoqueue.primitives.ids import MessageId, new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Announcement, Emission, ResultRecord
from octoqueue.redis.scripts import SCRIPT_NAMES, script
from tests.contract.events import teller, told
from tests.contract.gated import gated, used, uses
from tests.contract.redis_worlds import redis_worlds
from tests.contract.schedules import NIGHTLY, tick, tick_message
from tests.contract.signals import presence
from tests.contract.world import (
    AT_ONCE,
    ONE_PARTITION,
    OPTIONS,
    A,
    B,
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
    from collections.abc import Iterator

    from octoqueue.primitives.messages import Enqueue

AGING = Aging(normal=timedelta(seconds=15), low=timedelta(seconds=15))
ANCHOR = MessageId(bytes(16))
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
            await use_gates(await make(replace(OPTIONS, aging=AGING)))
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
            name: commands - FOR_BELLS.get(name, set())
            for name, commands in ALL.items()
            if name not in FOR_ALL_PARTITIONS
        }
    else:
        assert used == ALL


ALL = {
    "announce": {"PEXPIRE", "SET", "XADD", "XREVRANGE"},
    "begin": {"HGET", "HSET"},
    "claim": {
        "DEL", "EXISTS", "HEXISTS", "HGET", "HINCRBY", "HLEN", "HMGET", "HSET", "LLEN", "LPOP",
        "RPUSH", "SADD", "SETRANGE", "SREM", "ZADD", "ZCOUNT", "ZRANGE", "ZRANGEBYLEX",
        "ZRANGEBYSCORE", "ZREM", "ZREMRANGEBYRANK", "ZREMRANGEBYSCORE", "ZSCORE",
    },
    "commit": {
        "DEL", "EXISTS", "GETRANGE", "HDEL", "HEXISTS", "HGET", "HINCRBY", "HMGET", "HSET", "LLEN",
        "LPUSH", "LTRIM", "PEXPIRE", "RPUSH", "SADD", "SET", "SETRANGE", "XADD", "XREVRANGE",
        "ZADD", "ZRANGE", "ZRANGEBYLEX", "ZREM", "ZSCORE",
    },
    "define": {
        "DEL", "EXISTS", "HDEL", "HGET", "HGETALL", "HSET", "LLEN", "RPUSH", "ZADD", "ZRANGE",
        "ZRANGEBYLEX", "ZREM",
    },
    "emit": {"HEXISTS", "PEXPIRE", "XADD", "XREVRANGE"},
    "enqueue": {
        "EXISTS", "GETRANGE", "HINCRBY", "HMGET", "LLEN", "RPUSH", "SADD", "SETRANGE", "ZADD",
        "ZCARD", "ZRANGE", "ZRANGEBYLEX", "ZSCORE",
    },
    "enqueue_plain": {
        "EXISTS", "GETRANGE", "HINCRBY", "LLEN", "RPUSH", "SADD", "SETRANGE", "ZCARD",
    },
    "expired": {"ZRANGEBYSCORE"},
    "expiry": {"ZRANGE"},
    "extend": {"HSET", "ZADD", "ZSCORE"},
    "fire": {"HGET"},
    "promote": {
        "EXISTS", "HGET", "HINCRBY", "HMGET", "LINDEX", "LLEN", "RPUSH", "ZADD", "ZCOUNT", "ZRANGE",
        "ZRANGEBYLEX", "ZRANGEBYSCORE", "ZREM", "ZREMRANGEBYRANK", "ZSCORE",
    },
    "purge": {"DEL", "HDEL", "HINCRBY", "ZRANGEBYSCORE", "ZREM"},
    "reclaim": {
        "DEL", "EXISTS", "HDEL", "HGETALL", "HINCRBY", "HMGET", "LLEN", "LPUSH", "RPUSH", "ZADD",
        "ZRANGEBYLEX", "ZSCORE",
    },
    "replay": {
        "DEL", "GETRANGE", "HDEL", "HGET", "HINCRBY", "LLEN", "RPUSH", "ZADD", "ZCARD",
        "ZRANGEBYLEX", "ZREM",
    },
    "retire": {"HDEL", "ZADD", "ZREM", "ZSCORE"},
    "minutes": {"GET", "HGETALL"},
    "signals": {
        "GET", "HEXISTS", "HGET", "HGETALL", "HMGET", "LINDEX", "LLEN", "ZCARD", "ZCOUNT",
        "ZLEXCOUNT", "ZRANGEBYLEX", "ZSCORE",
    },
    "stats": {"EXISTS", "HGETALL", "LINDEX", "LLEN", "ZCARD", "ZCOUNT", "ZRANGEBYLEX"},
}  # fmt: skip
"""All the commands there are: the workload leaves out none."""

FOR_BELLS = {
    "claim": {"LLEN", "SADD", "SREM"},
    "commit": {"LLEN", "HEXISTS", "SADD"},
    "enqueue": {"SADD"},
    "promote": {"LLEN"},
    "define": {"LLEN", "RPUSH"},
    "reclaim": {"LLEN", "RPUSH"},
}
"""A bell stands in another slot than a partition, so scripts for one partition ring none, and
set no marks: who calls them asks each partition."""

FOR_ALL_PARTITIONS = {"enqueue_plain"}
"""Scripts that are called when one call covers all partitions."""


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
    sent = teller()
    await world.put(sent)
    leases = await world.claim(queues=["coder", "narrow"])
    claimed = {lease.message_id: lease for lease in leases}
    talking, tried = claimed[sent.message_id], claimed[two.message_id]
    await world.store.emit(A, [Emission(lease=talking, told=told("a"))])
    kept = ResultRecord(body=b"1", ttl_ms=1_000)
    event = told("a").events[0]
    await world.store.announce(
        [Announcement(message_id=new_message_id(), events=((1, event), (2, event)), result=kept)]
    )
    await world.settle(ack(talking), ack(tried))
    stands = await world.store.last_tick("nightly", NIGHTLY.ticks.digest)
    await world.store.fire(tick(stands.now_ms, stands.now_ms - 1), tick_message())
    await world.store.next_expiry()
    await world.store.replay("coder", [four.message_id])
    await world.store.replay("narrow", [four.message_id])
    garbage = [letter.message_id for letter in await world.store.dead_letters("coder")]
    await world.store.purge("coder", garbage, older_than=timedelta(0))
    await world.store.commit(A, acks=rest[:2])
    await world.store.extend(A, presence("arm", "coder"))
    await world.store.read_signals(["coder", "judge"], due_within=timedelta(seconds=1))
    await world.store.arrival_minutes(["coder", "judge"])
    many = [f"queue-{number}" for number in range(9)]
    await world.put(message(queue=many[0]), message(queue=many[0]))
    await world.claim(1, queues=many)
    world.clock.advance(20_000)
    for queue in ("coder", "narrow", "judge"):
        await world.store.promote(queue)
        await world.store.stats(queue)
    await world.store.wait_for_bell(["coder", "narrow"], timeout=AT_ONCE)
    await world.store.wait_for_bell(["coder", "narrow"], timeout=AT_ONCE)
    await world.store.reclaim()
    await world.store.extend(A)
    await world.store.retire(A)


async def use_gates(world: World) -> None:
    """Turns, caps, a limit with its refund, growing old; leases of a lost worker."""
    limit = RateLimit(rate=1, per=timedelta(seconds=1), burst=2)
    gates = Gates(
        tenants={"acme": TenantShare(weight=2, concurrency=2)},
        caps={"one": 1},
        limits={"openai": limit},
        queue_caps={"judge": 1},
    )
    await world.store.define(gates)

    def beside(tenant: str, **options: Any) -> Enqueue:  # noqa: ANN401 - as `gated` takes them
        """All in one partition: then every run meets the same gates in the same order."""
        return gated(tenant, message_id=new_message_id(beside=ANCHOR), **options)

    for lane in Lane:
        for tenant in ("acme", "other"):
            await world.put(*(beside(tenant, caps=("one",), lane=lane) for _ in range(3)))
            await world.put(*(beside(tenant, limits=uses(), lane=lane) for _ in range(3)))
        await world.put(message(lane=lane, beside=ANCHOR), beside("plain", lane=lane, delay_ms=5))
    one, two, *rest = await world.claim(20)
    await world.settle(ack(one, beside("acme")), retry(two), *(release(lease) for lease in rest))
    leases = await world.claim(20)
    await world.store.stats("coder")
    await world.store.read_signals(["coder"], due_within=timedelta(0))
    await world.put(beside("acme", queue="judge"))
    await world.claim(queues=["judge"])
    limited = next(lease for lease in leases if extension_of(lease.payload).limits)
    capped = next(lease for lease in leases if extension_of(lease.payload).caps)
    await world.settle(used(limited, 1), bury(capped))
    await world.store.replay("coder", ids([capped]))
    await world.store.define(replace(gates, caps={"one": 2}, tenants={}))
    world.clock.advance(20_000)
    await world.claim(3, session=B)
    await world.store.promote("coder")
    await world.store.stats("coder")
    await world.store.reclaim()
    for key in ("early", "late"):
        await world.put(beside("acme", limits=uses(key=key), lane=Lane.HIGH))
        await world.claim(100, session=B)
        world.clock.advance(20_000)
    await world.store.promote("coder")
