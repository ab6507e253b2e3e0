"""Two processes on one namespace: what one does, the other sees."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import LaneFull
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.redis.client import RedisClient
from octoqueue.testing.fake_clock import FakeClock
from tests.contract.world import SOON, A, B, ack, fresh_namespace, ids, message, messages

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Pair = tuple[RedisLaneStore, RedisLaneStore, FakeClock]


@pytest.fixture
async def pair(redis_url: str) -> AsyncGenerator[Pair]:
    clock = FakeClock()
    options = LaneOptions(
        namespace=fresh_namespace(),
        lease=timedelta(seconds=10),
        default_bounds=LaneBounds(high=20, normal=20, low=20),
    )
    one, other = (
        RedisLaneStore(RedisClient(redis_url), options, now_ms=clock.now_ms) for _ in range(2)
    )
    yield one, other, clock
    await one.aclose()
    await other.aclose()


async def test_a_process_reclaims_in_queues_it_never_used(pair: Pair) -> None:
    one, other, clock = pair
    await one.enqueue([messages(5)])
    await one.claim(A, ["coder"], limit=5)
    clock.advance(10_000)
    assert await other.reclaim() == 5
    assert len(await other.claim(B, ["coder"], limit=9)) == 5


async def test_claims_of_two_processes_never_overlap(pair: Pair) -> None:
    """Both count their claims from one; the leases stand under the names of their sessions."""
    one, other, _ = pair
    await one.enqueue([messages(20)])
    claims = (
        store.claim(session, ["coder"], limit=2)
        for _ in range(5)
        for store, session in ((one, A), (other, B))
    )
    leases = [lease for found in await asyncio.gather(*claims) for lease in found]
    assert len(set(ids(leases))) == 20


async def test_a_bell_is_heard_and_a_bound_is_kept_in_every_process(pair: Pair) -> None:
    one, other, _ = pair
    waiter = asyncio.create_task(other.wait_for_bell(["coder"], timeout=SOON))
    assert await one.enqueue([messages(15)]) == [None]
    assert await waiter is True
    (refusal,) = await other.enqueue([messages(6)])
    assert isinstance(refusal, LaneFull)
    assert refusal.depth == 15


async def test_a_result_is_heard_in_another_process(pair: Pair) -> None:
    one, other, _ = pair
    sent = message()
    await one.enqueue([[sent]])
    waiter = asyncio.create_task(one.wait_for_result(sent.message_id, timeout=SOON))
    (lease,) = await other.claim(B, ["coder"], limit=1)
    await other.commit(B, settlements=[ack(lease, result=b"42")])
    assert await waiter == b"42"


async def test_a_session_of_one_process_is_renewed_by_another_connection(pair: Pair) -> None:
    """The heartbeat has a store of its own, in a thread of its own."""
    one, heartbeat, clock = pair
    await one.enqueue([[message()]])
    leases = await one.claim(A, ["coder"], limit=1)
    for _ in range(3):
        clock.advance(9_999)
        assert await heartbeat.extend(A) is True
    assert await heartbeat.reclaim() == 0
    assert (await one.commit(A, acks=leases)).acks == 0
