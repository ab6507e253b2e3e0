"""The test kit, with the types that both type checkers must see."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_type

import dramatiq

import octoqueue
from octoqueue.testing import DrainReport, Enqueued, FakeClock, LaneQueue, Ran, in_memory


@octoqueue.actor(queue="mail", results=True)
async def welcome(user_id: int, *, greeting: str = "hello") -> float:
    """An async actor."""
    return user_id / len(greeting)


@octoqueue.actor
def count(user_id: int) -> int:
    """A sync actor."""
    return user_id


@octoqueue.actor(batch=octoqueue.Batch())
async def many(user_ids: list[int]) -> None:
    """An actor of batches."""


@dramatiq.actor
def plain(user_id: int) -> None:
    """An actor of dramatiq's."""


def in_a_plain_test(lane_queue: LaneQueue) -> None:
    """Use the kit without an event loop."""
    handle = welcome.send(1)
    report = lane_queue.drain(queues=["mail"], concurrency=2, timeout=timedelta(seconds=5))
    assert_type(report, DrainReport)
    assert_type(report.acked, list[Ran])
    assert_type(report.errors, list[BaseException])
    assert_type(report.ran, tuple[Ran, ...])
    assert_type(report.ran[0].error, BaseException | None)
    assert_type(lane_queue.result(handle), float)
    assert_type(lane_queue.enqueued(), list[Enqueued])
    assert_type(lane_queue.enqueued(count)[0].due_in, timedelta)
    assert_type(lane_queue.now, datetime)
    lane_queue.advance(timedelta(hours=1))
    found = lane_queue.require_enqueued(
        welcome, args=(1,), kwargs={"greeting": "hi"}, lane=octoqueue.Lane.HIGH, count=1
    )
    assert_type(found, list[Enqueued])
    lane_queue.require_enqueued(many, args=[1], tenant="acme", due_in=timedelta(0))
    lane_queue.require_enqueued(plain, queue="default")
    lane_queue.refute_enqueued(plain, kwargs={"user_id": 1})
    lane_queue.reset()


async def in_an_async_test(lane_queue: LaneQueue) -> None:
    """Use the kit on an event loop."""
    await welcome.asend(1)
    assert_type(await lane_queue.adrain(raising=False, limit=5), DrainReport)
    assert_type(await lane_queue.store.queues(), list[str])


def outside_pytest() -> None:
    """Use the kit without its plugin."""
    with in_memory(octoqueue.get_broker(), clock=FakeClock(7)) as lane_queue:
        assert_type(lane_queue, LaneQueue)
        assert_type(lane_queue.clock, FakeClock)
        lane_queue.clock.advance(timedelta(seconds=1))
