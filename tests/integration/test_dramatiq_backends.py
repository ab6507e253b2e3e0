"""dramatiq's backends in Redis (results, rate limits, groups), beside our broker in our worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dramatiq
import pytest
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits import ConcurrentRateLimiter
from dramatiq.rate_limits.backends import RedisBackend as RateLimits
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend as ResultsInRedis
from dramatiq.results.errors import ResultFailure

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.lanes.options import LaneOptions
from tests.running import running, until, until_done

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dramatiq import Message


@pytest.fixture
def broker(redis_url: str) -> Iterator[LaneBroker]:
    broker = LaneBroker(redis_url, options=LaneOptions(namespace=f"t{uuid4().hex[:8]}"))
    yield broker
    broker.close()


async def test_results_and_failures_are_found_in_dramatiqs_redis_backend(
    broker: LaneBroker, redis_url: str
) -> None:
    backend = ResultsInRedis(url=redis_url, namespace=f"r{uuid4().hex[:8]}")
    broker.add_middleware(Results(backend=backend))  # type: ignore[no-untyped-call] # dramatiq's

    @dramatiq.actor(broker=broker, store_results=True)
    async def add(a: int, b: int) -> int:
        return a + b

    @dramatiq.actor(broker=broker, store_results=True, max_retries=0)
    def fail() -> None:
        raise LookupError("nothing there")

    async with broker.connected(), running(broker):
        good: Message[Any] = await broker.aenqueue(add.message(1, 2))
        bad: Message[Any] = await broker.aenqueue(fail.message())
        found = await asyncio.to_thread(
            good.get_result, backend=backend, block=True, timeout=15_000
        )
        assert found == 3
        with pytest.raises(ResultFailure, match="nothing there"):
            await asyncio.to_thread(bad.get_result, backend=backend, block=True, timeout=15_000)


async def test_a_group_is_complete_and_its_results_are_in_order(
    broker: LaneBroker, redis_url: str
) -> None:
    namespace = f"r{uuid4().hex[:8]}"
    backend = ResultsInRedis(url=redis_url, namespace=namespace)
    broker.add_middleware(Results(backend=backend))  # type: ignore[no-untyped-call] # dramatiq's
    broker.add_middleware(GroupCallbacks(RateLimits(url=redis_url)))
    done: list[str] = []

    @dramatiq.actor(broker=broker, store_results=True)
    def square(number: int) -> int:
        return number * number

    @dramatiq.actor(broker=broker)
    async def finish() -> None:
        done.append("all")

    make_group: Any = dramatiq.group
    group = make_group([square.message(n) for n in range(5)], broker=broker)
    group.add_completion_callback(finish.message())
    async with broker.connected(), running(broker):
        await asyncio.to_thread(group.run)
        found = await asyncio.to_thread(lambda: list(group.get_results(block=True, timeout=15_000)))
        assert found == [0, 1, 4, 9, 16]
        await until(lambda: done == ["all"])


async def test_a_limiter_in_redis_holds_an_actor_back_until_it_is_free(
    broker: LaneBroker, redis_url: str
) -> None:
    limiter: Any = ConcurrentRateLimiter
    mutex = limiter(RateLimits(url=redis_url), f"mutex-{uuid4().hex}", limit=1)
    tried: list[str] = []

    @octoqueue.actor(broker=broker, max_retries=0)
    def work() -> None:
        with mutex.acquire(raise_on_failure=False) as acquired:
            tried.append("ran" if acquired else "held back")

    async with broker.connected(), running(broker):
        with mutex.acquire():
            await work.asend()
            await until_done(broker.store(), "default", 1)
        await work.asend()
        await until_done(broker.store(), "default", 2)
    assert tried == ["held back", "ran"]
