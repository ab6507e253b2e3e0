from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest

from octoqueue.errors import StoreProtocolError, StoreUnavailable
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.envelope import unpack_header
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import RunTime
from octoqueue.redis.client import RedisClient
from octoqueue.redis.scripts import SCRIPT_NAMES, ScriptCall, script
from tests.contract.redis_processes import RedisProcess, running_redis
from tests.contract.redis_worlds import redis_world, redis_worlds
from tests.contract.world import (
    A,
    B,
    World,
    ack,
    bury,
    ids,
    message,
    messages,
    neighbours,
    release,
    retry,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

YEAR_285000_MS = 2**53 - 10_000_000
"""Far beyond 1e14, where Lua's own way of writing numbers loses digits."""

WIDE = LaneOptions(partitions=1, default_bounds=LaneBounds(high=20_000, normal=20_000, low=20_000))


@pytest.mark.parametrize("name", SCRIPT_NAMES)
async def test_a_script_is_whole_and_has_the_name_redis_gives_it(redis_url: str, name: str) -> None:
    client = RedisClient(redis_url)
    found = script(name)
    assert "--#include" not in found.source
    assert (await client.command("SCRIPT", "LOAD", found.source)).decode() == found.sha
    await client.aclose()


@pytest.mark.parametrize("name", SCRIPT_NAMES)
def test_an_include_is_pasted_once_and_before_the_code(name: str) -> None:
    own = files("octoqueue.redis").joinpath(f"lua/{name}.lua").read_text()
    includes = re.findall(r"^--#include (\w+)$", own, re.MULTILINE)
    assert len(includes) == len(set(includes))
    assert "redis.call" not in own.split("--#include")[0]
    assert script(name).sha == hashlib.sha1(script(name).source.encode()).hexdigest()


def test_a_script_that_is_not_in_the_package_is_named() -> None:
    with pytest.raises(StoreProtocolError, match=r"no-such-verb\.lua"):
        script("no-such-verb")


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisProcess]:
    with running_redis(tmp_path) as server:
        yield server


async def every_verb(world: World) -> None:
    """Let one message live every life; nothing may be lost."""
    await world.put(*messages(6), message(delay_ms=5))
    one, two, three, four, *_ = await world.claim()
    await world.settle(ack(one), retry(two), bury(three), release(four))
    world.clock.advance(20_000)
    assert (await world.store.promote("coder")).moved == 1
    assert await world.store.reclaim() == 2
    assert await world.store.extend(B) is False
    await world.store.retire(B)
    assert await world.depth() == (0, 5, 0)


async def test_every_verb_works_after_the_server_forgot_the_scripts(redis_url: str) -> None:
    async with redis_worlds(redis_url) as make:
        world = await make()
        client = RedisClient(redis_url)
        await every_verb(world)
        await world.store.flush("coder")
        await client.command("SCRIPT", "FLUSH")
        await every_verb(world)
        await client.aclose()


async def test_a_script_that_fails_says_so_and_is_not_taken_for_an_outage(redis_url: str) -> None:
    client = RedisClient(redis_url)
    await client.command("SET", "a-string", "1")
    call = ScriptCall(script("extend"), ["a-string"], [1, "session", 1])
    with pytest.raises(StoreProtocolError, match="WRONGTYPE"):
        await client.call(call)
    await client.aclose()


async def test_a_worker_goes_on_after_the_server_was_emptied(own_redis: RedisProcess) -> None:
    world = redis_world(RedisClient(own_redis.url))
    await world.put(message())
    await world.claim()
    await world.store.commit(A, acks=[])
    own_redis.ask("FLUSHALL")
    assert await world.claim() == []
    assert await world.store.extend(A) is True
    assert await world.store.queues() == ["coder"], "else nobody would reclaim what it claims now"
    await world.put(message())
    (lease,) = await world.claim()
    own_redis.ask("FLUSHALL")
    assert (await world.store.commit(A, acks=[lease])).acks == 1
    await world.store.aclose()


async def test_times_keep_every_digit(redis_url: str) -> None:
    world = redis_world(RedisClient(redis_url), WIDE)
    world.clock.advance(YEAR_285000_MS - world.clock.now_ms() + 3)
    await world.put(message(), message(delay_ms=1_001))
    now = world.clock.now_ms()
    (lease,) = await world.claim()
    assert unpack_header(lease.payload).ready_at_ms == now
    await world.settle(bury(lease))
    (letter,) = await world.store.dead_letters("coder")
    assert letter.died_at_ms == now
    promotion = await world.store.promote("coder")
    assert promotion.next_due is not None
    assert promotion.next_due.total_seconds() == 1.001
    world.clock.advance(1_000)
    assert (await world.store.promote("coder")).moved == 0
    world.clock.advance(5)
    assert (await world.store.promote("coder")).moved == 1
    (lease,) = await world.claim()
    assert unpack_header(lease.payload).ready_at_ms == now + 1_001
    world.clock.advance(8_994)
    assert await world.store.extend(A) is True
    await world.store.aclose()


async def test_counters_keep_every_digit(redis_url: str) -> None:
    """A sum of squared milliseconds passes 2**53 some day; Redis adds it up, not Lua."""
    world = redis_world(RedisClient(redis_url), WIDE)
    run = RunTime(count=1, total_us=1, squares_ms2=2**61 + 1)
    for _ in range(2):
        await world.store.commit(A, run_times={"coder": run})
    assert (await world.store.stats("coder")).counters["run_ms2"] == 2**62 + 2
    await world.store.aclose()


async def test_scripts_take_thousands_of_messages_at_once(redis_url: str) -> None:
    """`unpack` has room for some 8,000 values, a claim or a dead worker may have more."""
    world = redis_world(RedisClient(redis_url), WIDE)
    sent = neighbours(12_000, lane=Lane.HIGH)
    assert await world.store.enqueue([sent]) == [None]
    leases = await world.claim(12_000)
    assert ids(leases) == ids(sent)
    await world.settle(*(release(lease) for lease in leases[:4_000]))
    assert (await world.store.commit(A, acks=leases[4_000:6_000])).acks == 0
    world.clock.advance(20_000)
    assert await world.store.reclaim() == 6_000
    again = await world.claim(12_000)
    assert ids(again) == ids(sent[6_000:] + sent[:4_000])
    await world.settle(*(retry(lease) for lease in again))
    assert await world.depth() == (10_000, 0, 0)
    await world.store.aclose()


class Meddling(RedisClient):
    """Lets something happen right after a script has run."""

    after = ""

    async def meddle(self) -> None:
        raise NotImplementedError

    async def call(self, call: ScriptCall) -> Any:  # noqa: ANN401 - as scripts answer
        answer = await super().call(call)
        if call.script.name == self.after:
            self.after = ""
            await self.meddle()
        return answer


@pytest.mark.parametrize("after", ["expired", "reclaim"])
async def test_a_session_that_comes_back_while_it_is_reclaimed_keeps_what_it_claims_then(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    """It was found expired; before its messages are taken, or before it is forgotten, it claims."""
    client = Meddling(redis_url)
    world = redis_world(client)
    await world.put(*messages(4))
    await world.claim(2)
    world.clock.advance(20_000)

    async def come_back() -> None:
        assert len(await world.claim(2)) == 2

    monkeypatch.setattr(client, "meddle", come_back)
    client.after = after
    assert await world.store.reclaim() == {"expired": 0, "reclaim": 2}[after]
    held = await world.store.held(A, ["coder"])
    assert len(held) == {"expired": 4, "reclaim": 2}[after]
    assert await world.store.extend(A) is True, "else nobody would ever reclaim what it holds"
    assert await world.store.reclaim() == 0
    assert (await world.store.commit(A, acks=held)).acks == 0
    await world.store.aclose()


async def test_a_full_memory_refuses_what_goes_in_and_lets_out_what_is_in(
    own_redis: RedisProcess,
) -> None:
    world = redis_world(RedisClient(own_redis.url))
    await world.put(*messages(5))
    leases = await world.claim(3)
    own_redis.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreUnavailable, match="OOM"):
        await world.store.enqueue([[message()]])
    child = message(queue="judge", beside=leases[0].message_id)
    await world.settle(ack(leases[0], child, result=b"1"), retry(leases[1]), release(leases[2]))
    own_redis.ask("CONFIG", "SET", "maxmemory", "0")
    assert await world.depth() == (0, 4, 0)
    assert ids(await world.claim(queues=["judge"])) == [child.message_id]
    await world.store.aclose()


async def test_a_server_that_became_a_replica_is_unavailable(own_redis: RedisProcess) -> None:
    world = redis_world(RedisClient(own_redis.url))
    await world.put(message())
    own_redis.ask("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreUnavailable, match=r"(?i)read.?only"):
        await world.store.enqueue([[message()]])
    own_redis.ask("REPLICAOF", "NO", "ONE")
    await world.put(message())
    assert await world.depth() == (0, 2, 0)
    await world.store.aclose()
