"""Messages are cancelled and moved while workers claim, retry and acknowledge them all the time."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import NotWaiting
from octoqueue.lanes.answers import CancelOutcome
from octoqueue.lanes.options import LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Outcome, SessionId, Settlement
from octoqueue.redis.client import RedisClient
from tests.contract.cancelling import of_tenant
from tests.contract.world import ack, fresh_namespace, message, retry

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.primitives.ids import MessageId

MESSAGES, WORKERS, DECIDERS = 200, 4, 4
UNDONE = (CancelOutcome.REMOVED, CancelOutcome.STOPPING)


@dataclass
class Seen:
    """What happened, in the order in which the test learned of it."""

    steps: itertools.count[int] = field(default_factory=itertools.count)
    cancelled: dict[MessageId, int] = field(default_factory=dict)
    """When a cancel that promised something had returned."""
    acked: list[MessageId] = field(default_factory=list)
    broken: list[MessageId] = field(default_factory=list)
    """Started by a claim that began after its cancel had returned."""


@pytest.fixture
async def store(redis_url: str) -> AsyncGenerator[RedisLaneStore]:
    options = LaneOptions(namespace=fresh_namespace(), partitions=3, lease=timedelta(minutes=1))
    store = RedisLaneStore(RedisClient(redis_url), options)
    yield store
    await store.flush("coder")
    await store.aclose()


async def work(store: RedisLaneStore, number: int, seen: Seen, over: asyncio.Event) -> None:
    """Claim and end messages until there are none and nobody decides any more."""
    session, dice = SessionId(f"w{number}"), random.Random(number)
    while True:
        was_over, began = over.is_set(), next(seen.steps)
        leases = await store.claim(session, ["coder"], limit=dice.randint(1, 4))
        for lease in leases:
            if seen.cancelled.get(lease.message_id, began) < began:
                seen.broken.append(lease.message_id)
            await asyncio.sleep(0)
            again = dice.random() < 0.7 and not was_over
            end: Settlement = retry(lease) if again else ack(lease)
            refusals = await store.commit(session, settlements=[end])
            assert not refusals.tokens
            if end.outcome is Outcome.ACK:
                seen.acked.append(lease.message_id)
        if was_over and not leases:
            return


async def decide(store: RedisLaneStore, number: int, sent: list[MessageId], seen: Seen) -> None:
    """Cancel every other of these messages, and move the others about."""
    dice = random.Random(100 + number)
    for each in sent:
        if dice.random() < 0.5:
            if await store.cancel(each, "enough", queue="coder") in UNDONE:
                seen.cancelled[each] = next(seen.steps)
        else:
            try:
                await store.move(each, dice.choice(list(Lane)), queue="coder")
            except NotWaiting:
                continue


async def test_what_is_cancelled_never_starts_again_and_nothing_is_lost_or_doubled(
    store: RedisLaneStore,
) -> None:
    dice, seen, over = random.Random(7), Seen(), asyncio.Event()
    messages = [
        of_tenant(f"t{n % 5}", lane=dice.choice(list(Lane)))
        if n % 3 == 0
        else message(lane=dice.choice(list(Lane)))
        for n in range(MESSAGES)
    ]
    assert await store.enqueue([[each] for each in messages]) == [None] * MESSAGES
    sent = [each.message_id for each in messages]
    dice.shuffle(sent)
    async with asyncio.TaskGroup() as workers:
        for number in range(WORKERS):
            workers.create_task(work(store, number, seen, over))
        async with asyncio.TaskGroup() as deciders:
            for number in range(DECIDERS):
                deciders.create_task(decide(store, number, sent[number::DECIDERS], seen))
        over.set()
    stats = await store.stats("coder")
    ended = stats.counters.get("cancelled", 0) + stats.counters.get("withdrawn", 0)
    assert not seen.broken
    assert stats.counters["withdrawn"]
    assert len(seen.acked) == len(set(seen.acked))
    assert len(seen.acked) + ended == MESSAGES
    # Who was told to stop may have ended well in that instant; who was removed has not run.
    assert {*sent} - {*seen.acked} <= {*seen.cancelled}
    assert (stats.waiting, stats.delayed, stats.in_flight) == (0, 0, 0)
    assert await store.cancelled(sent) == {}
