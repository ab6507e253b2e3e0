"""Messages cancelled, snoozed and held up by gates, in workers that are stopped or killed."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

import octoqueue
from octoqueue.errors import ActorFailed
from octoqueue.lanes.answers import CancelOutcome
from tests.running import SHORTLY, until
from tests.worker_processes import QUEUE, Crashes

if TYPE_CHECKING:
    from pathlib import Path

    from octoqueue.broker.actors import Actor
    from octoqueue.broker.lane_broker import LaneBroker

APP = "tests.options_app"


@pytest.fixture
def crashes(redis_url: str, tmp_path: Path) -> Crashes:
    return Crashes(redis_url, f"t{uuid4().hex[:8]}", tmp_path / "ran")


def declare(broker: LaneBroker, name: str, **options: Any) -> Actor[..., Any]:  # noqa: ANN401 - whatever the actor declares elsewhere
    """Declare an actor that runs elsewhere."""

    async def elsewhere(argument: float | None = None) -> None: ...

    declared: Any = octoqueue.actor
    actor: Actor[..., Any] = declared(
        broker=broker, queue=QUEUE, name=name, results=True, **options
    )(elsewhere)
    return actor


async def counted(broker: LaneBroker, counter: str, count: int = 1) -> None:
    async def counts() -> bool:
        return (await broker.store().stats(QUEUE)).counters.get(counter, 0) >= count

    await until(counts)


@pytest.mark.parametrize(("name", "kind"), [("wait_on_loop", "loop"), ("wait_in_thread", "thread")])
async def test_an_actor_in_another_process_is_cancelled(
    crashes: Crashes, name: str, kind: str
) -> None:
    broker = crashes.broker()
    async with broker.connected():
        with crashes.worker(module=APP):
            handle = await declare(broker, name).asend()
            await until(lambda: f"{kind} begins" in crashes.lines())
            began = time.monotonic()
            assert await handle.acancel("the user has left") is CancelOutcome.STOPPING
            with pytest.raises(ActorFailed, match="the user has left") as failed:
                await handle.result(timeout=SHORTLY)
            took = time.monotonic() - began
        stats = await broker.store().stats(QUEUE)
    assert failed.value.error == "Cancelled"
    assert took < 5
    assert crashes.lines() == [f"{kind} begins", f"{kind} cleans up"]
    assert (stats.counters["cancelled"], stats.in_flight, stats.waiting) == (1, 0, 0)


async def test_what_an_actor_returns_although_it_was_cancelled_counts(crashes: Crashes) -> None:
    broker = crashes.broker()
    async with broker.connected():
        with crashes.worker(module=APP):
            handle = await declare(broker, "stubborn").asend()
            await until(lambda: "stubborn begins" in crashes.lines())
            await handle.acancel()
            assert await handle.result(timeout=SHORTLY) == "done"
        stats = await broker.store().stats(QUEUE)
    assert crashes.lines() == ["stubborn begins", "stubborn goes on"]
    assert (stats.counters["acked"], stats.counters.get("cancelled", 0)) == (1, 0)


async def test_a_message_cancelled_after_its_worker_was_killed_never_runs_again(
    crashes: Crashes,
) -> None:
    broker = crashes.broker()
    async with broker.connected():
        with crashes.worker(module=APP) as process:
            handle = await declare(broker, "wait_on_loop").asend()
            await until(lambda: "loop begins" in crashes.lines())
            process.kill()
            process.wait()
            assert await handle.acancel("too late for it") is CancelOutcome.STOPPING
        with crashes.worker(module=APP):
            with pytest.raises(ActorFailed, match="too late for it"):
                await handle.result(timeout=SHORTLY)
            await counted(broker, "cancelled")
        stats = await broker.store().stats(QUEUE)
    assert crashes.lines() == ["loop begins"]
    assert (stats.in_flight, stats.waiting, stats.dead) == (0, 0, 0)


async def test_a_deploy_keeps_a_snoozed_message_its_attempt_and_its_key(crashes: Crashes) -> None:
    broker = crashes.broker()
    poll = declare(broker, "poll", unique=octoqueue.Unique())
    async with broker.connected():
        with crashes.worker(module=APP) as first:
            handle = await poll.asend(2)
            await counted(broker, "snoozed")
            first.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(first.wait, 20) == 0
        assert (await poll.asend(2)).duplicate
        with crashes.worker(module=APP):
            assert await handle.result(timeout=SHORTLY) == 0
        assert not (await poll.asend(2)).duplicate
    assert crashes.lines() == [handle.message_id] * 2


async def test_a_key_outlives_the_worker_that_held_it_until_the_message_is_done(
    crashes: Crashes,
) -> None:
    broker = crashes.broker()
    hold = declare(broker, "stubborn", unique=octoqueue.Unique())
    async with broker.connected():
        with crashes.worker(module=APP) as first:
            handle = await hold.asend()
            await until(lambda: "stubborn begins" in crashes.lines())
            first.kill()
            first.wait()
        assert (await hold.asend()).message_id == handle.message_id
        with crashes.worker(module=APP):
            await until(lambda: crashes.lines().count("stubborn begins") == 2)
            assert (await hold.asend()).duplicate
            await handle.acancel()
            assert await handle.result(timeout=SHORTLY) == "done"
        assert not (await hold.asend()).duplicate


async def test_killed_workers_neither_exceed_a_cap_nor_keep_its_places(crashes: Crashes) -> None:
    broker, count = crashes.broker(), 120
    slow = octoqueue.RateLimit("slow", rate=1000, burst=10)
    gated = declare(broker, "gated", concurrency=2, limits=[slow])
    async with broker.connected():
        with crashes.worker(module=APP), crashes.worker(module=APP) as second:
            await octoqueue.asend_many([gated.message(n) for n in range(count)], broker=broker)
            await until(lambda: len(crashes.lines()) > 40)
            second.kill()
            second.wait()
            await counted(broker, "acked", count)
        stats = await broker.store().stats(QUEUE)
    inside, most = set[str](), 0
    for line in crashes.lines():
        if line[0] == "+":
            inside.add(line[1:])
            most = max(most, len(inside))
        else:
            inside.discard(line[1:])
    # What the killed worker ran is still noted as inside until somebody has run it again.
    assert most <= 2 + stats.counters.get("reclaimed", 0)
    assert {line[1:] for line in crashes.lines()} == {str(number) for number in range(count)}
    assert (stats.in_flight, stats.waiting) == (0, 0)
