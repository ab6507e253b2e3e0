"""Workers that are killed or stopped in the middle of their work, as real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

import octoqueue
from octoqueue.primitives.ids import id_from_text
from tests.running import SHORTLY, until
from tests.worker_processes import MAX_DELIVERIES, QUEUE, Crashes, held_by, sessions

if TYPE_CHECKING:
    from pathlib import Path

    from octoqueue.broker.actors import Actor
    from octoqueue.broker.lane_broker import LaneBroker

MESSAGES = 2_000


@pytest.fixture
def crashes(redis_url: str, tmp_path: Path) -> Crashes:
    return Crashes(redis_url, f"t{uuid4().hex[:8]}", tmp_path / "ran")


def declare(broker: LaneBroker, name: str, *, results: bool = False) -> Actor[..., Any]:
    """Declare an actor that runs elsewhere."""

    @octoqueue.actor(broker=broker, queue=QUEUE, name=name, results=results)
    async def elsewhere(argument: float | None = None) -> None: ...

    return elsewhere


async def send_numbers(broker: LaneBroker, actor: Actor[..., Any]) -> dict[bytes, str]:
    """Send one message a number; return the number of each message id."""
    handles = await octoqueue.asend_many([actor.message(n) for n in range(MESSAGES)], broker=broker)
    ids = [id_from_text(handle.message_id) for handle in handles]
    return {ident: str(number) for number, ident in enumerate(ids) if ident is not None}


async def until_acked(broker: LaneBroker, count: int) -> None:
    async def acked() -> bool:
        return (await broker.store().stats(QUEUE)).counters.get("acked", 0) >= count

    await until(acked)


async def test_a_killed_worker_loses_nothing_and_repeats_only_what_it_was_running(
    crashes: Crashes,
) -> None:
    broker = crashes.broker()
    async with broker.connected():
        numbers = await send_numbers(broker, declare(broker, "work"))
        with crashes.worker() as first:
            await until(lambda: len(crashes.lines()) >= 500)
            first.kill()
            first.wait()
            held = {numbers[token[:16]] for token in await held_by(broker, first.pid)}
            before = Counter(crashes.lines())
        with crashes.worker():
            await until_acked(broker, MESSAGES)
        stats = await broker.store().stats(QUEUE)
    ran = Counter(crashes.lines())
    assert held
    assert len(held) <= 20
    assert sum(before.values()) < MESSAGES
    assert set(ran) == set(numbers.values())
    assert {number for number, times in ran.items() if times > 1} <= held
    assert (stats.waiting, stats.in_flight, stats.dead) == (0, 0, 0)
    assert stats.counters["reclaimed"] == len(held)
    assert stats.counters["acked"] == MESSAGES


async def test_of_two_workers_the_one_that_lives_takes_over(crashes: Crashes) -> None:
    broker = crashes.broker()

    async def both_work() -> bool:
        return len(await sessions(broker)) == 2

    async with broker.connected():
        with crashes.worker(concurrency=10) as first, crashes.worker(concurrency=10):
            await until(both_work)
            numbers = await send_numbers(broker, declare(broker, "work_in_thread"))
            await until(lambda: len(crashes.lines()) >= 300)
            first.kill()
            first.wait()
            held = {numbers[token[:16]] for token in await held_by(broker, first.pid)}
            await until_acked(broker, MESSAGES)
        stats = await broker.store().stats(QUEUE)
    ran = Counter(crashes.lines())
    assert set(ran) == set(numbers.values())
    assert {number for number, times in ran.items() if times > 1} <= held
    assert (stats.waiting, stats.in_flight, stats.dead) == (0, 0, 0)


async def test_a_worker_stopped_for_longer_than_its_lease_forgets_what_it_ran(
    crashes: Crashes,
) -> None:
    broker = crashes.broker()
    hold = declare(broker, "hold", results=True)
    async with broker.connected():
        with crashes.worker() as first:
            handle = await hold.asend(30)
            await until(lambda: "begin 0" in crashes.lines())
            os.kill(first.pid, signal.SIGSTOP)
            with crashes.worker():
                assert await handle.result(timeout=SHORTLY) == 1
            os.kill(first.pid, signal.SIGCONT)
            await until(lambda: "stopped" in crashes.lines())
            await declare(broker, "work").asend(7)
            await until(lambda: "7" in crashes.lines())
        stats = await broker.store().stats(QUEUE)
    assert crashes.lines() == ["begin 0", "begin 1", "stopped", "7"]
    assert (stats.counters["reclaimed"], stats.counters.get("retried", 0)) == (1, 0)


async def test_a_deploy_costs_a_running_message_no_attempt(crashes: Crashes) -> None:
    broker = crashes.broker()
    hold = declare(broker, "hold")
    async with broker.connected():
        with crashes.worker() as process:
            await hold.asend(60)
            await until(lambda: "begin 0" in crashes.lines())
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(process.wait, 20) == 0
        stats = await broker.store().stats(QUEUE)
    assert crashes.lines() == ["begin 0", "stopped"]
    assert (stats.waiting, stats.in_flight, stats.delayed) == (1, 0, 0)
    assert stats.counters["released"] == 1


async def test_a_message_that_takes_its_worker_down_each_time_is_stopped(
    crashes: Crashes,
) -> None:
    broker = crashes.broker()
    async with broker.connected():
        await declare(broker, "die").asend()
        for _ in range(MAX_DELIVERIES):
            with crashes.worker() as process:
                assert await asyncio.to_thread(process.wait, 30) == -signal.SIGKILL
        with crashes.worker():
            await declare(broker, "work").asend(1)
            await until(lambda: "1" in crashes.lines())

            async def is_buried() -> bool:
                return (await broker.store().stats(QUEUE)).dead == 1

            await until(is_buried)
    assert crashes.lines().count("die") == MAX_DELIVERIES
