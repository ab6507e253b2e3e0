"""Batches on a Redis Cluster: their messages and follow-ups lie in different slots."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.sources import UrlSource
from octoqueue.lanes.options import LaneOptions
from tests.contract.redis_processes import cluster_of
from tests.running import running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.redis_processes import RedisProcess

MESSAGES = 20


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisProcess]]:
    with cluster_of(3, tmp_path_factory.mktemp("c")) as servers:
        yield servers


@pytest.mark.parametrize("failing", [0, 1, MESSAGES - 1])
async def test_follow_ups_run_once_whichever_messages_of_the_batch_fail(
    nodes: list[RedisProcess], failing: int
) -> None:
    options = LaneOptions(namespace=f"t{uuid4().hex[:8]}")
    broker = LaneBroker(source=UrlSource(nodes[0].url, options, cluster=True))
    noted: list[int] = []
    wait = timedelta(minutes=10)

    @octoqueue.actor(broker=broker, queue="other")
    async def note(number: int) -> None:
        noted.append(number)

    @octoqueue.actor(
        broker=broker, max_retries=0, batch=octoqueue.Batch(max_size=MESSAGES, max_wait=wait)
    )
    async def work(numbers: list[int]) -> list[ValueError | None]:
        for number in numbers:
            await note.asend(number)
        return [ValueError(n) if place < failing else None for place, n in enumerate(numbers)]

    async def all_is_over() -> bool:
        default, other = await broker.store().stats("default"), await broker.store().stats("other")
        ended = default.counters.get("acked", 0) + default.counters.get("dead", 0)
        return ended == MESSAGES and other.counters.get("acked", 0) == MESSAGES

    async with broker.connected(), running(broker, "default", "other"):
        await octoqueue.asend_many([work.message(n) for n in range(MESSAGES)], broker=broker)
        await until(all_is_over)
        stats = await broker.store().stats("default")
    assert sorted(noted) == list(range(MESSAGES))
    assert (stats.dead, stats.counters["acked"]) == (failing, MESSAGES - failing)
