"""No number a program sends stops a script half-way, which would lose a message."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from octoqueue.primitives.gates import Gates
from octoqueue.primitives.messages import Outcome, ResultRecord, RunTime, Settlement
from tests.contract.gated import gated, per_second, uses
from tests.contract.redis_worlds import redis_worlds
from tests.contract.world import ONE_PARTITION, A, message

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.contract.world import World

NUMBERS: tuple[Any, ...] = (-1, 0, 1.5, 2**63, 10**30, math.inf, math.nan)
"""What a field of milliseconds or units may hold in the message of some program."""


@pytest.fixture
async def one(redis_url: str) -> AsyncGenerator[World]:
    async with redis_worlds(redis_url) as make:
        yield await make(ONE_PARTITION)


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_retry_is_never_lost_for_its_delay(one: World, number: Any) -> None:  # noqa: ANN401
    await one.put(message())
    lease = await one.claim_one()
    await one.settle(Settlement(lease=lease, outcome=Outcome.RETRY, delay_ms=number))
    stats = await one.store.stats("coder")
    assert (stats.waiting + stats.delayed, stats.in_flight) == (1, 0)


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_follow_up_is_never_lost_for_the_result_before_it(
    one: World,
    number: Any,  # noqa: ANN401
) -> None:
    await one.put(message())
    lease = await one.claim_one()
    result = ResultRecord(body=b"1", ttl_ms=number)
    await one.settle(
        Settlement(lease=lease, outcome=Outcome.ACK, result=result, follow_ups=(message(),))
    )
    assert (await one.store.stats("coder")).waiting == 1


@pytest.mark.parametrize("number", NUMBERS)
async def test_no_use_of_a_limit_gives_back_more_than_was_taken(
    one: World,
    number: Any,  # noqa: ANN401
) -> None:
    await one.store.define(Gates(limits={"openai": per_second(1, burst=5)}))
    await one.put(*(gated(limits=uses(units)) for units in (4, 1, 5)))
    lease, _ = await one.claim()
    used = {("openai", ""): number}
    await one.settle(Settlement(lease=lease, outcome=Outcome.ACK, used=used))
    one.clock.advance(999)
    assert await one.claim() == []  # one unit is taken whatever became of the four


async def test_no_sum_of_squares_keeps_a_message_from_being_settled(one: World) -> None:
    day_ms = 86_400_000
    run = RunTime(count=1_000, total_us=1_000 * day_ms * 1_000, squares_ms2=1_000 * day_ms**2)
    for _ in range(4):
        await one.put(message())
        lease = await one.claim_one()
        told = Settlement(
            lease=lease, outcome=Outcome.ACK, result=ResultRecord(body=b"1", ttl_ms=1_000)
        )
        refusals = await one.store.commit(A, settlements=[told], run_times={"coder": run})
        assert not refusals.tokens
        one.clock.advance(1_000)
    stats = await one.store.stats("coder")
    assert (stats.counters["acked"], stats.counters["runs"], stats.dead) == (4, 4_000, 0)
    (found,) = (await one.store.read_signals(["coder"], due_within=timedelta(0))).queues
    assert found.service.mean_seconds == pytest.approx(day_ms / 1_000)
    assert 0 <= found.service.variance_seconds2 < (day_ms / 1_000) ** 2
