"""Many messages in one call: to which broker they go."""

from __future__ import annotations

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker

import octoqueue
from octoqueue.broker import default
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.errors import DeclarationError
from tests.running import WatchedStore, broker_on


async def test_messages_go_to_the_broker_of_their_actors() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work(number: int) -> None: ...

    handles = await octoqueue.asend_many([work.message(1), work.using(lane="low").message(2)])
    assert len(handles) == 2
    assert (await store.stats("default")).waiting == 2


def test_the_blocking_twin_does_the_same() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    def work(number: int) -> None: ...

    octoqueue.send_many([work.message(1)])
    broker.close()
    assert len(store.called("enqueue")) == 1


async def test_messages_of_two_brokers_are_refused_together() -> None:
    first, second = broker_on(), broker_on()

    @octoqueue.actor(broker=first)
    async def one() -> None: ...

    @octoqueue.actor(broker=second)
    async def two() -> None: ...

    with pytest.raises(DeclarationError, match="different brokers"):
        await octoqueue.asend_many([one.message(), two.message()])
    await octoqueue.asend_many([one.message(), one.message()])


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has not chosen a broker yet."""
    monkeypatch.setattr(dramatiq.broker, "global_broker", None)
    monkeypatch.setattr(default, "_chosen", [])


@pytest.mark.usefixtures("no_broker")
async def test_without_any_broker_named_the_process_wide_one_is_used() -> None:
    store = WatchedStore()
    octoqueue.set_broker(broker_on(store))

    @octoqueue.actor
    async def work() -> None: ...

    await octoqueue.asend_many([work.message()])
    await octoqueue.asend_many([])
    assert len(store.called("enqueue")) == 1
    assert octoqueue.get_broker() is dramatiq.get_broker() is work.broker


@pytest.mark.usefixtures("no_broker")
def test_the_process_wide_broker_is_made_once_and_is_dramatiqs_too() -> None:
    broker = octoqueue.get_broker()
    assert octoqueue.get_broker() is broker
    assert dramatiq.get_broker() is broker


@pytest.mark.usefixtures("no_broker")
def test_a_lane_broker_that_is_dramatiqs_is_ours_too_and_another_stays_dramatiqs() -> None:
    ours = broker_on()
    dramatiq.set_broker(ours)
    assert octoqueue.get_broker() is ours
    theirs = StubBroker()
    dramatiq.set_broker(theirs)
    assert isinstance(octoqueue.get_broker(), LaneBroker)
    assert dramatiq.get_broker() is theirs
