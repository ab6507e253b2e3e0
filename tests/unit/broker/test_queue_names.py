"""A queue that cannot be is refused wherever somebody names one without declaring an actor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from dramatiq.message import Message

from octoqueue.errors import InvalidMessage
from tests.running import WatchedStore, broker_on

if TYPE_CHECKING:
    from octoqueue.broker.lane_broker import LaneBroker

NAMES = ["", "a b", "mail:dead", "{mail}", "9lives"]


@pytest.fixture
def store() -> WatchedStore:
    return WatchedStore()


@pytest.fixture
def broker(store: WatchedStore) -> LaneBroker:
    return broker_on(store)


@pytest.mark.parametrize("name", NAMES)
async def test_a_message_for_an_actor_that_is_not_declared_needs_a_possible_queue(
    broker: LaneBroker, store: WatchedStore, name: str
) -> None:
    message = Message[None](queue_name=name, actor_name="elsewhere", args=(), kwargs={}, options={})
    with pytest.raises(InvalidMessage) as refused:
        await broker.aenqueue(message)
    assert refused.value.field == "queue"
    assert await store.queues() == []


@pytest.mark.parametrize("name", NAMES)
async def test_a_queue_that_cannot_be_is_not_paused(
    broker: LaneBroker, store: WatchedStore, name: str
) -> None:
    with pytest.raises(InvalidMessage, match="queue"):
        await broker.apause(name)
    assert await store.queues() == []


async def test_a_queue_may_be_paused_before_it_is_used(
    broker: LaneBroker, store: WatchedStore
) -> None:
    await broker.apause("to.come-1")
    assert (await store.stats("to.come-1")).paused
