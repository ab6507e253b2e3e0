"""What becomes of a message: tried again, acknowledged, or dead; and who is told."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import dramatiq
import pytest

import octoqueue
from octoqueue.broker.options import Defaults
from octoqueue.errors import ActorFailed
from octoqueue.primitives.envelope import decode_body
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Outcome, SessionId
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.running import (
    SHORTLY,
    WatchedStore,
    broker_on,
    reason_of_death,
    running,
    until,
    until_done,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.broker.actors import Actor
    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.primitives.messages import Lease, Settlement

SECOND = timedelta(seconds=1)
AT_ONCE = timedelta(0)


def settlements(store: WatchedStore) -> list[Settlement]:
    return [s for _, kwargs in store.called("commit") for s in kwargs["settlements"]]


def acks(store: WatchedStore) -> list[Lease]:
    return [lease for _, kwargs in store.called("commit") for lease in kwargs["acks"]]


async def ended(broker: LaneBroker, actor: Actor[[], Any], count: int = 1) -> dict[str, int]:
    """Send one message and return the counters when `count` of its attempts have been settled."""
    store: Any = await broker.opened_store()
    async with running(broker):
        await actor.asend()
        await until(lambda: len(settlements(store)) >= count)
    return dict((await store.stats("default")).counters)


async def test_a_failed_message_waits_for_its_backoff_and_then_counts_as_one_attempt_more() -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, min_backoff=10 * SECOND, max_backoff=10 * SECOND)
    async def fail() -> None:
        raise ValueError

    counters = await ended(broker, fail)
    (settlement,) = settlements(store)
    assert settlement.outcome is Outcome.RETRY
    assert 5_000 <= settlement.delay_ms <= 10_000
    assert counters["retried"] == 1
    assert (await store.stats("default")).delayed == 1


async def test_how_each_attempt_ended_is_remembered_until_the_message_succeeds() -> None:
    store, tries = WatchedStore(), list[str]()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker, min_backoff=AT_ONCE, throws=KeyError)
    async def fail() -> None:
        current = octoqueue.current_message()
        assert current is not None
        known = await broker.ahistory(current.message_id)
        told = [f"{one.attempt} {one.error}: {one.message}" for one in known]
        tries.append(" | ".join(told))
        if len(tries) == 1:
            raise ValueError("no")
        if len(tries) == 2:
            raise octoqueue.Retry("a bit more", delay=AT_ONCE)

    async with running(broker):
        sent = await fail.asend()
        await until(lambda: len(settlements(store)) + len(acks(store)) >= 3)
    assert tries == ["", "0 ValueError: no", "0 ValueError: no | 1 Retry: a bit more"]
    assert await broker.ahistory(sent.message_id) == []


async def test_a_message_is_tried_as_often_as_its_actor_says_and_then_it_is_dead() -> None:
    broker, tries = broker_on(WatchedStore()), list[int]()

    @octoqueue.actor(broker=broker, max_retries=3, min_backoff=AT_ONCE)
    async def fail() -> None:
        tries.append(1)
        raise ValueError("no")

    counters = await ended(broker, fail, 4)
    assert (len(tries), counters["retried"], counters["dead"]) == (4, 3, 1)


async def test_expected_errors_are_not_tried_again() -> None:
    broker = broker_on(WatchedStore())

    @octoqueue.actor(broker=broker, throws=(LookupError,))
    async def fail() -> None:
        raise KeyError("gone")

    assert (await ended(broker, fail))["dead"] == 1


@pytest.mark.parametrize("again", [True, False])
async def test_retry_when_decides_alone(again: bool) -> None:  # noqa: FBT001
    asked: list[tuple[int, str]] = []
    broker = broker_on(WatchedStore())

    def decide(attempt: int, error: BaseException) -> bool:
        asked.append((attempt, type(error).__name__))
        return again

    @octoqueue.actor(broker=broker, max_retries=0, retry_when=decide)
    async def fail() -> None:
        raise ValueError

    counters = await ended(broker, fail)
    assert counters.get("retried", 0) == int(again)
    assert asked == [(0, "ValueError")]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(octoqueue.Retry(delay=7 * SECOND), id="ours"),
        pytest.param(dramatiq.Retry("later", delay=7_000), id="dramatiqs"),
    ],
)
async def test_an_actor_may_ask_to_be_run_again_after_a_while(error: Exception) -> None:
    store = WatchedStore()
    broker = broker_on(store)

    @octoqueue.actor(broker=broker)
    async def later() -> None:
        raise error

    await ended(broker, later)
    (settlement,) = settlements(store)
    assert (settlement.outcome, settlement.delay_ms) == (Outcome.RETRY, 7_000)


async def test_asking_again_does_not_outlive_the_retries_of_the_actor() -> None:
    broker = broker_on(WatchedStore())

    @octoqueue.actor(broker=broker, max_retries=1)
    async def later() -> None:
        raise octoqueue.Retry(delay=AT_ONCE)

    counters = await ended(broker, later, 2)
    assert (counters["retried"], counters["dead"]) == (1, 1)


async def test_a_discarded_message_is_acknowledged_and_its_caller_gets_nothing() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, results=True)
    async def drop() -> None:
        raise octoqueue.Discard

    async with running(broker):
        handle: Any = await drop.asend()
        assert await handle.result(timeout=SHORTLY) is None
        stats = await until_done(broker.store(), "default", 1)
    assert (stats.counters["acked"], stats.dead) == (1, 0)


async def test_options_a_message_carries_hold_instead_of_its_actors() -> None:
    broker = broker_on(WatchedStore())

    @octoqueue.actor(broker=broker, max_retries=9)
    async def fail() -> None:
        raise ValueError

    store: Any = await broker.opened_store()
    async with running(broker):
        await broker.aenqueue(fail.message_with_options(max_retries=0))
        await until_done(store, "default", 1)
    assert (await store.stats("default")).dead == 1


IMPOSSIBLE: list[dict[str, Any]] = [
    {"time_limit": "soon"},
    {"time_limit": -1},
    {"time_limit": float("nan")},
    {"max_age": "1000"},
    {"max_age": -1},
    {"max_retries": "3"},
    {"max_retries": -1},
    {"min_backoff": [1]},
    {"max_backoff": 1e300},
    {"result_ttl": -5},
    {"result_ttl": 0.2},
    {"notify_shutdown": "yes"},
    {"on_dead_letter": 5},
    {"deadline_at": "tomorrow"},
    {"deadline_at": 10**400},
    {"expires_at": 1.5},
]


@pytest.mark.parametrize("options", IMPOSSIBLE, ids=str)
async def test_impossible_options_of_a_message_kill_only_that_message(
    options: dict[str, Any],
) -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, results=True)
    async def work() -> None: ...

    async with running(broker, concurrency=1) as worker:
        await broker.aenqueue(work.message_with_options(**options))
        reason = await reason_of_death(broker.store(), "default")
        assert reason["error"] in {"DeclarationError", "InvalidMessage"}
        assert next(iter(options)) in reason["message"]
        handle = await work.asend()
        await handle.result(timeout=SHORTLY)
        await until(lambda: worker._claimer.free == 1)


async def test_a_message_that_cannot_be_started_for_whatever_reason_kills_no_worker() -> None:
    broker = broker_on(defaults=Defaults(max_event_bytes=8))

    @octoqueue.actor(broker=broker, events=True, max_retries=0)
    async def tell() -> None: ...

    async with running(broker, concurrency=1) as worker:
        await tell.asend()
        assert (await reason_of_death(broker.store(), "default"))["error"] == "EventTooLarge"
        await until(lambda: worker._claimer.free == 1)


# ── who is told ──────────────────────────────────────────────────────────────────────────────────


async def test_the_actor_for_dead_letters_is_told_in_the_same_commit_and_lane() -> None:
    store = WatchedStore()
    broker, told = broker_on(store), list[dict[str, Any]]()

    @octoqueue.actor(broker=broker, queue="admin")
    async def bury(**facts: Any) -> None:  # noqa: ANN401
        told.append(facts)

    @octoqueue.actor(broker=broker, lane="high", max_retries=0, on_dead_letter="bury")
    async def fail(number: int, *, name: str) -> None:
        raise ValueError("no")

    async with running(broker, "default", "admin"):
        handle = await fail.asend(1, name="x")
        await until_done(store, "admin", 1)
    (settlement,) = settlements(store)
    assert [m.lane for m in settlement.follow_ups] == [Lane.HIGH]
    assert told == [
        {
            "message_id": handle.message_id,
            "actor": "fail",
            "args": [1],
            "kwargs": {"name": "x"},
            "error": {"error": "ValueError", "message": "no", "attempt": 0},
        }
    ]


async def test_dramatiqs_on_retry_exhausted_is_told_with_dramatiqs_arguments() -> None:
    broker, told = broker_on(), list[tuple[Any, ...]]()

    @dramatiq.actor(broker=broker)
    def exhausted(message: dict[str, Any], counts: dict[str, Any]) -> None:
        told.append((message["actor_name"], message["args"], counts))

    @dramatiq.actor(
        broker=broker, max_retries=1, min_backoff=0, on_retry_exhausted="exhausted", throws=KeyError
    )
    def fail(error: str) -> None:
        raise KeyError if error == "KeyError" else ValueError

    async with running(broker):
        await broker.aenqueue(fail.message("KeyError"))
        await broker.aenqueue(fail.message("ValueError"))
        await until_done(broker.store(), "default", 3)
    assert told == [("fail", ["ValueError"], {"retries": 1, "max_retries": 1})]


async def test_an_unknown_actor_for_dead_letters_is_logged_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, max_retries=0, on_dead_letter="nobody")
    async def fail() -> None:
        raise ValueError

    async with running(broker):
        await fail.asend()
        await reason_of_death(broker.store(), "default")
    assert "dead_letter_actor_failed" in caplog.messages


# ── messages that do not run ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda payload: payload[:32] + b"{", id="no_json"),
        pytest.param(lambda payload: payload[:32] + b"[]", id="no_object"),
        pytest.param(lambda payload: payload[:32] + b"{}", id="no_fields"),
        pytest.param(lambda payload: payload.replace(b'"args":[]', b'"args":{}'), id="bad_args"),
        pytest.param(
            lambda payload: payload.replace(
                b'"message_timestamp":', b'"message_timestamp":"x","y":'
            ),
            id="bad_timestamp",
        ),
        pytest.param(lambda payload: b"\x09" + payload[1:], id="other_version"),
        pytest.param(lambda payload: b"short", id="no_header"),
    ],
)
async def test_an_undecodable_message_goes_to_the_dead_letters_and_the_worker_goes_on(
    spoil: Callable[[bytes], bytes],
) -> None:
    store = MemoryLaneStore()
    broker, ran = broker_on(store), list[int]()

    @octoqueue.actor(broker=broker, max_age=timedelta(days=1))
    async def work() -> None:
        ran.append(1)

    await work.asend()
    waiting = store._queue("default").ready[Lane.NORMAL]
    waiting.append(spoil(waiting.pop()))
    await work.asend()
    async with running(broker) as worker:
        assert (await reason_of_death(store, "default"))["error"] == "EnvelopeError"
        await until(lambda: ran)
        await until(lambda: worker._claimer.free == worker.options.concurrency)


async def test_a_message_of_an_unknown_actor_is_dead_and_its_caller_is_told() -> None:
    sender, broker = broker_on(), broker_on()
    store = await _shared_store(sender, broker)

    @octoqueue.actor(broker=sender, results=True)
    async def elsewhere() -> None: ...

    @octoqueue.actor(broker=broker)
    async def here() -> None: ...

    async with running(broker):
        handle: Any = await elsewhere.asend()
        with pytest.raises(ActorFailed) as caught:
            await handle.result(timeout=SHORTLY)
        assert caught.value.error == "ActorUnknown"
        reason = await reason_of_death(store, "default")
    assert "elsewhere" in reason["message"]
    assert "here" in reason["message"]


async def _shared_store(*brokers: LaneBroker) -> MemoryLaneStore:
    from octoqueue.broker.sources import FactorySource

    store = MemoryLaneStore()
    for broker in brokers:
        broker._source = FactorySource(lambda: store)
    return store


async def test_a_message_that_keeps_killing_its_workers_is_stopped() -> None:
    clock = FakeClock()
    store = MemoryLaneStore(clock=clock)
    broker, told = broker_on(store), list[str]()

    @octoqueue.actor(broker=broker, queue="admin")
    async def bury(message_id: str, error: dict[str, str], **_: object) -> None:
        told.append(error["error"])

    @octoqueue.actor(broker=broker, results=True, on_dead_letter="bury")
    async def kill() -> None:
        raise AssertionError("must not run any more")

    handle: Any = await kill.asend()
    for number in range(3):
        assert await store.claim(SessionId(f"w{number}"), ["default"], limit=1)
        clock.advance(60_000)
        assert await store.reclaim() == 1
    async with running(broker, "default", "admin", max_deliveries=3):
        with pytest.raises(ActorFailed, match="3 workers died") as caught:
            await handle.result(timeout=SHORTLY)
        assert caught.value.error == "PoisonMessage"
        await until_done(store, "admin", 1)
    assert told == ["PoisonMessage"]
    (letter,) = await store.dead_letters("default")
    assert decode_body(letter.payload).actor == "kill"


async def test_a_message_older_than_its_actor_allows_is_dead_without_running() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, max_age=timedelta(milliseconds=1))
    async def old() -> None:
        raise AssertionError

    await old.asend()
    await asyncio.sleep(0.005)
    async with running(broker):
        assert (await reason_of_death(broker.store(), "default"))["error"] == "MessageExpired"
