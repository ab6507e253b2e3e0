"""No number a program sends stops a script half-way, which would lose a message."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from octoqueue.primitives.gates import Gates
from octoqueue.primitives.messages import Outcome, ResultRecord, Settlement
from tests.contract.gated import gated, per_second, uses
from tests.contract.redis_worlds import redis_worlds
from tests.contract.world import ONE_PARTITION, message

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
