"""Batches in workers that are killed or stopped, as real processes."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

import octoqueue
from octoqueue.primitives.ids import id_from_text
from tests.running import until
from tests.worker_processes import QUEUE, Crashes, held_by

if TYPE_CHECKING:
    from pathlib import Path

    from octoqueue.broker.actors import Actor
    from octoqueue.broker.lane_broker import LaneBroker

MESSAGES = 600


@pytest.fixture
def crashes(redis_url: str, tmp_path: Path) -> Crashes:
    return Crashes(redis_url, f"t{uuid4().hex[:8]}", tmp_path / "ran")


def declare(broker: LaneBroker, name: str) -> Actor[[int], Any]:
    """Declare a batch actor that runs elsewhere."""

    @octoqueue.actor(broker=broker, queue=QUEUE, name=name, batch=octoqueue.Batch())
    async def elsewhere(numbers: list[int]) -> None: ...

    return elsewhere


async def send(broker: LaneBroker, actor: Actor[[int], Any], count: int) -> dict[bytes, int]:
    """Send one message a number; return the number of each message id."""
    handles = await octoqueue.asend_many([actor.message(n) for n in range(count)], broker=broker)
    ids = [id_from_text(handle.message_id) for handle in handles]
    return {ident: number for number, ident in enumerate(ids) if ident is not None}


async def until_acked(broker: LaneBroker, count: int) -> None:
    async def acked() -> bool:
        return (await broker.store().stats(QUEUE)).counters.get("acked", 0) >= count

    await until(acked)


def batches(crashes: Crashes, word: str) -> list[list[int]]:
    """The batches that began with a word, in the order they ran."""
    lines = [line.split() for line in crashes.lines()]
    return [[int(number) for number in numbers] for told, *numbers in lines if told == word]


async def test_a_batch_whose_worker_is_killed_runs_again_as_a_whole(crashes: Crashes) -> None:
    broker = crashes.broker()
    async with broker.connected():
        with crashes.worker() as first:
            await send(broker, declare(broker, "hold_batch"), 5)
            await until(lambda: bool(crashes.lines()))
            assert len(await held_by(broker, first.pid)) == 5
            first.kill()
            first.wait()
        with crashes.worker():
            await until_acked(broker, 5)
        stats = await broker.store().stats(QUEUE)
    (begun,), again = batches(crashes, "first"), batches(crashes, "again")
    assert sorted(begun) == [0, 1, 2, 3, 4]
    assert sorted(number for numbers in again for number in numbers) == sorted(begun)
    assert (stats.waiting, stats.in_flight, stats.dead) == (0, 0, 0)
    assert (stats.counters["acked"], stats.counters["reclaimed"]) == (5, 5)


async def test_messages_that_waited_for_others_are_not_lost_with_their_worker(
    crashes: Crashes,
) -> None:
    broker = crashes.broker()
    async with broker.connected():
        with crashes.worker() as first:
            await send(broker, declare(broker, "hold_batch"), 3)

            async def all_leased() -> bool:
                return (await broker.store().stats(QUEUE)).in_flight == 3

            await until(all_leased)
            first.kill()
            first.wait()
            assert crashes.lines() == []
        with crashes.worker() as second:

            async def leased_again() -> bool:
                stats = await broker.store().stats(QUEUE)
                return stats.counters.get("reclaimed", 0) == 3 and stats.in_flight == 3

            await until(leased_again)
            second.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(second.wait, 20) == 0
        stats = await broker.store().stats(QUEUE)
    (again,) = batches(crashes, "again")
    assert sorted(again) == [0, 1, 2]
    assert (stats.waiting, stats.in_flight, stats.counters["acked"]) == (0, 0, 3)


async def test_a_stopped_worker_runs_what_it_collected_at_once(crashes: Crashes) -> None:
    broker = crashes.broker()
    async with broker.connected():
        with crashes.worker() as process:
            await send(broker, declare(broker, "hold_batch"), 2)

            async def both_leased() -> bool:
                return (await broker.store().stats(QUEUE)).in_flight == 2

            await until(both_leased)
            assert crashes.lines() == []
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 20) == 0
        stats = await broker.store().stats(QUEUE)
    (ran,) = batches(crashes, "first")
    assert sorted(ran) == [0, 1]
    assert (stats.counters["acked"], stats.counters.get("released", 0)) == (2, 0)


async def test_batches_of_a_killed_worker_lose_nothing_and_repeat_only_what_it_held(
    crashes: Crashes,
) -> None:
    broker = crashes.broker()
    async with broker.connected():
        numbers = await send(broker, declare(broker, "work_in_batches"), MESSAGES)
        with crashes.worker() as first:
            await until(lambda: len(crashes.lines()) >= 20)
            first.kill()
            first.wait()
            held = {numbers[token[:16]] for token in await held_by(broker, first.pid)}
        with crashes.worker():
            await until_acked(broker, MESSAGES)
        stats = await broker.store().stats(QUEUE)
    ran = Counter(number for batch in batches(crashes, "batch") for number in batch)
    assert held
    assert all(len(batch) <= 5 for batch in batches(crashes, "batch"))
    assert set(ran) == set(range(MESSAGES))
    assert {number for number, times in ran.items() if times > 1} <= held
    assert (stats.waiting, stats.in_flight, stats.dead) == (0, 0, 0)
    assert (stats.counters["acked"], stats.counters["reclaimed"]) == (MESSAGES, len(held))
