from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.extension import Extension, LimitUse
from octoqueue.primitives.gates import Aging, Gates, RateLimit, TenantShare
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import LeaseToken
from octoqueue.redis.client import RedisClient
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_gates import MemoryGates
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.contract.gated import gated, tenants
from tests.contract.world import fresh_namespace, message
from tests.property.gate_machine import (
    OPTIONS,
    QUEUE,
    SESSIONS,
    SHAPES,
    GateMachine,
    Subject,
    subject,
)

if TYPE_CHECKING:
    from octoqueue.lanes.options import LaneOptions
    from octoqueue.lanes.protocol import LaneStore


def in_memory(options: LaneOptions, clock: FakeClock) -> LaneStore:
    return MemoryLaneStore(options, clock=clock)


class OnRedis:
    """Makes stores on one connection, each in a namespace of its own."""

    def __init__(self, url: str) -> None:
        self.client = RedisClient(url)

    def __call__(self, options: LaneOptions, clock: FakeClock) -> LaneStore:
        named = replace(options, namespace=fresh_namespace())
        return RedisLaneStore(self.client, named, now_ms=clock.now_ms)


def run(
    machine: type[GateMachine],
    *,
    examples: int,
    steps: int = 40,
    on_redis: OnRedis | None = None,
) -> None:
    with asyncio.Runner() as runner:
        machine.runner = runner
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(max_examples=examples, stateful_step_count=steps, deadline=None),
            )
        finally:
            if on_redis is not None:
                runner.run(on_redis.client.aclose())


def test_the_memory_store_keeps_its_gates() -> None:
    class Machine(GateMachine):
        def make(self) -> list[Subject]:
            return [subject(in_memory)]

    run(Machine, examples=60)


def test_redis_keeps_its_gates_over_ten_partitions(redis_url: str) -> None:
    on_redis = OnRedis(redis_url)

    class Machine(GateMachine):
        def make(self) -> list[Subject]:
            return [subject(on_redis, replace(OPTIONS, partitions=10))]

    run(Machine, examples=60, on_redis=on_redis)


def test_memory_and_redis_serve_the_same_messages_in_the_same_order(redis_url: str) -> None:
    on_redis = OnRedis(redis_url)

    class Machine(GateMachine):
        shapes = SHAPES

        def make(self) -> list[Subject]:
            return [subject(in_memory), subject(on_redis)]

    run(Machine, examples=60, on_redis=on_redis)


# ── turns ────────────────────────────────────────────────────────────────────────────────────────

weights = st.sampled_from((0.01, 0.3, 1.0, 1.0, 2.0, 5.0, 100.0))


async def turns(store: LaneStore, shares: list[float], claims: list[int]) -> list[str]:
    """Whose messages are claimed while all tenants have more."""
    await store.define(
        Gates(tenants={str(n): TenantShare(weight=weight) for n, weight in enumerate(shares)})
    )
    backlog = [[gated(str(n))] for n in range(len(shares)) for _ in range(sum(claims))]
    assert not any(await store.enqueue(backlog))
    found: list[str] = []
    for limit in claims:
        found += tenants(await store.claim(SESSIONS[0], [QUEUE], limit=limit))
    return found


def differ_by_one_turn_at_most(order: list[str], shares: list[float]) -> None:
    """Over any stretch, service by weight of two tenants differs by one unit of each at most."""
    for first, second in itertools.combinations(range(len(shares)), 2):
        one, two = 1 / shares[first], 1 / shares[second]
        ahead, lowest, highest = 0.0, 0.0, 0.0
        for name in order:
            ahead += one * (name == str(first)) - two * (name == str(second))
            lowest, highest = min(lowest, ahead), max(highest, ahead)
        assert highest - lowest <= one + two + 1e-6


@given(st.lists(weights, min_size=2, max_size=5), st.lists(st.integers(1, 9), max_size=12))
def test_tenants_are_served_by_their_weights(shares: list[float], claims: list[int]) -> None:
    store = MemoryLaneStore(OPTIONS, clock=FakeClock())
    differ_by_one_turn_at_most(asyncio.run(turns(store, shares, claims)), shares)


def test_tenants_are_served_by_their_weights_from_redis(redis_url: str) -> None:
    on_redis = OnRedis(redis_url)
    with asyncio.Runner() as runner:

        @given(st.lists(weights, min_size=2, max_size=4), st.lists(st.integers(1, 9), max_size=8))
        @settings(max_examples=25, deadline=None)
        def check(shares: list[float], claims: list[int]) -> None:
            store = on_redis(replace(OPTIONS, partitions=10), FakeClock())
            differ_by_one_turn_at_most(runner.run(turns(store, shares, claims)), shares)

        check()
        runner.run(on_redis.client.aclose())


# ── limits ───────────────────────────────────────────────────────────────────────────────────────

moves = st.lists(
    st.tuples(
        st.sampled_from(("begin", "begin", "end", "wait")),
        st.integers(0, 12),
        st.integers(0, 12),
    ),
    max_size=60,
)


@given(moves, st.integers(1, 10), st.sampled_from((0.5, 3.0, 10.0, 997.0)))
def test_no_window_begins_more_than_a_burst_and_the_rate(
    history: list[tuple[str, int, int]], burst: int, rate: float
) -> None:
    """Whatever is given back, early or late and in any order."""
    gates, now = MemoryGates(), 1_000_000.0
    limit = RateLimit(rate=rate, per=timedelta(seconds=1), burst=burst)
    gates.define(Gates(limits={"l": limit}))
    running: list[tuple[LeaseToken, Extension]] = []
    begun: list[list[float]] = []
    of_token: dict[LeaseToken, list[float]] = {}
    for number, (move, first, second) in enumerate(history):
        if move == "wait":
            now += first * limit.unit_ms / 2
        elif move == "begin":
            use = Extension(limits=(LimitUse("l", "", min(first, burst)),))
            if gates.closed_limit(use, now) is None:
                token = LeaseToken(number.to_bytes(20))
                gates.take(QUEUE, use, token, now)
                running.append((token, use))
                of_token[token] = [now, use.limits[0].units]
                begun.append(of_token[token])
        elif running:
            token, use = running.pop(first % len(running))
            kept = min(second, use.limits[0].units)
            gates.give_back(QUEUE, use, token, used={("l", ""): kept}, keeps_all=True, now_ms=now)
            of_token[token][1] = kept
    for start, (begin_ms, _) in enumerate(begun):
        total = 0.0
        for at_ms, units in begun[start:]:
            total += units
            assert total <= burst + (at_ms - begin_ms) / limit.unit_ms + 1e-6


# ── growing old ──────────────────────────────────────────────────────────────────────────────────


@given(
    st.lists(st.sampled_from(Lane), min_size=1, max_size=30),
    st.integers(1, 3),
    st.sampled_from(("", "acme")),
)
def test_nobody_starves_while_messages_grow_old(lanes: list[Lane], each: int, tenant: str) -> None:
    """A stream of messages that takes every slot keeps a low one waiting for its two ages only."""
    aging = Aging(normal=timedelta(seconds=20), low=timedelta(seconds=10))

    async def history() -> None:
        clock = FakeClock()
        store = MemoryLaneStore(replace(OPTIONS, aging=aging), clock=clock)
        low = gated(tenant, lane=Lane.LOW) if tenant else message(lane=Lane.LOW)
        await store.enqueue([[low]])
        for step in itertools.count():
            stream = [lanes[step % len(lanes)]] + [Lane.HIGH] * each
            await store.enqueue([[gated("stream", lane=lane)] for lane in stream])
            clock.advance(1_000)
            await store.promote(QUEUE)
            leases = await store.claim(SESSIONS[0], [QUEUE], limit=each)
            if low.message_id in {lease.message_id for lease in leases}:
                return
            assert step < 20 + 45 * (each + 1)

    asyncio.run(history())
