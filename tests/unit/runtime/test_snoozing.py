"""Messages that ask to be run again later, and units that are settled."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import octoqueue
from octoqueue.errors import InvalidMessage, UniqueCycle
from octoqueue.primitives.messages import Outcome
from tests.running import WatchedStore, broker_on, running, until, until_done

if TYPE_CHECKING:
    from octoqueue.primitives.messages import Settlement

SECOND = timedelta(seconds=1)
AT_ONCE = timedelta(0)
OPENAI = octoqueue.RateLimit("openai", rate=1000, per=timedelta(minutes=1))


def settlements(store: WatchedStore) -> list[Settlement]:
    return [s for _, kwargs in store.called("commit") for s in kwargs["settlements"]]


def context() -> octoqueue.MessageContext:
    message = octoqueue.current_message()
    assert message is not None
    return message


async def test_a_snoozed_message_runs_again_and_counts_no_attempt() -> None:
    store, attempts = WatchedStore(), list[int]()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, max_retries=0)
    async def work() -> None:
        attempts.append(context().attempt)
        if len(attempts) < 4:
            raise octoqueue.Snooze(AT_ONCE)

    async with running(broker):
        await work.asend()
        stats = await until_done(store, "default", 1)
    assert attempts == [0, 0, 0, 0]
    assert (stats.counters["snoozed"], stats.counters["acked"]) == (3, 1)


async def test_a_snooze_waits_as_long_as_it_says_and_drops_what_was_sent() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, queue="other")
    async def other() -> None: ...

    @octoqueue.actor(broker=broker)
    def work() -> None:
        other.send()
        raise octoqueue.Snooze(90 * SECOND, "not before the batch is there")

    async with running(broker):
        await work.asend()
        await until(lambda: settlements(store))
    (settlement,) = settlements(store)
    assert (settlement.outcome, settlement.delay_ms) == (Outcome.SNOOZE, 90_000)
    assert settlement.follow_ups == ()
    assert (await store.stats("default")).delayed == 1


@pytest.mark.parametrize("delay", [-SECOND, 5, None])
def test_a_snooze_is_refused_for_what_is_no_time_from_now_on(
    delay: Any,  # noqa: ANN401 - some of them are wrong
) -> None:
    with pytest.raises(InvalidMessage, match="delay"):
        octoqueue.Snooze(delay)


@pytest.mark.parametrize("delay", [-SECOND, 5])
def test_a_retry_is_refused_for_what_is_no_time_from_now_on(
    delay: Any,  # noqa: ANN401 - some of them are wrong
) -> None:
    with pytest.raises(InvalidMessage, match="delay"):
        octoqueue.Retry(delay=delay)


@pytest.mark.parametrize("ending", ["returns", "raises", "is dead"])
async def test_units_really_used_are_committed_however_the_attempt_ends(ending: str) -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(
        broker=broker,
        limits=[OPENAI.uses(units=100, key=lambda region: region)],
        max_retries=0 if ending == "is dead" else 3,
        min_backoff=SECOND,
    )
    async def ask(region: str) -> None:
        context().settle("openai", units=50)
        context().settle("openai", units=83, key=region)
        if ending != "returns":
            raise ValueError

    async with running(broker):
        await ask.asend("eu")
        await until(lambda: settlements(store))
    assert [s.used for s in settlements(store)] == [{("openai", "eu"): 83}]


async def test_units_of_what_a_message_does_not_use_are_refused() -> None:
    store, refusals = WatchedStore(), list[InvalidMessage]()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, limits=[OPENAI.uses(key="a"), OPENAI.uses(key="b")])
    async def ask() -> None:
        for name, units, key in (
            ("gemini", 5, None),
            ("openai", 5, None),  # which of the two?
            ("openai", 5, "c"),
            ("openai", -5, "a"),
            ("openai", True, "a"),
        ):
            with pytest.raises(InvalidMessage) as refused:
                context().settle(name, units=units, key=key)
            refusals.append(refused.value)

    async with running(broker):
        await ask.asend()
        await until_done(store, "default", 1)
    assert [refusal.field for refusal in refusals] == ["limits"] * 3 + ["units"] * 2


async def test_the_tenant_of_a_message_is_known_to_its_actor() -> None:
    store, tenants = WatchedStore(), list[str | None]()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        tenants.append(context().tenant)

    async with running(broker):
        await work.using(tenant="acme").asend()
        await work.asend()
        await until_done(store, "default", 2)
    assert sorted(map(str, tenants)) == ["None", "acme"]


async def test_a_running_message_that_sends_the_key_it_holds_is_told_so() -> None:
    store, told = WatchedStore(), list[UniqueCycle]()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, unique=octoqueue.Unique())
    async def refresh(user: str) -> None:
        await refresh.asend("another")
        with pytest.raises(UniqueCycle) as refused:
            await refresh.asend(user)
        told.append(refused.value)
        if user == "a":
            raise octoqueue.Discard

    async with running(broker):
        handle = await refresh.asend("a")
        await until_done(store, "default", 1)
    assert (told[0].actor, told[0].message_id) == ("refresh", handle.message_id)


async def test_a_message_unique_until_it_is_started_may_send_its_own_key() -> None:
    store, runs = WatchedStore(), list[int]()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, unique=octoqueue.Unique(until="started"))
    async def again() -> None:
        runs.append(1)
        if len(runs) < 3:
            await again.asend()

    async with running(broker):
        await again.asend()
        await until_done(store, "default", 3)
    assert len(runs) == 3


async def test_what_a_running_message_sends_twice_is_stored_once() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, queue="users", unique=octoqueue.Unique())
    async def refresh(user: str) -> None: ...

    @octoqueue.actor(broker=broker)
    async def work() -> None:
        for _ in range(3):
            assert not (await refresh.asend("a")).duplicate

    async with running(broker):
        await work.asend()
        await until_done(store, "default", 1)
    stats = await store.stats("users")
    assert (stats.waiting, stats.counters["duplicates"]) == (1, 2)
