"""What the memory store does beyond the contract it shares with Redis."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from octoqueue.primitives.envelope import unpack_header
from octoqueue.testing.memory_lanes import MemoryLaneStore
from octoqueue.testing.memory_queue import MOST, restamped
from tests.contract.world import SOON, A, message


async def test_it_runs_on_the_machines_clock_when_given_none() -> None:
    store = MemoryLaneStore()
    await store.enqueue([[message(delay_ms=1)]])
    async with asyncio.timeout(5):
        while not (await store.promote("coder")).moved:  # noqa: ASYNC110 - time is the fact
            await asyncio.sleep(0)
    assert len(await store.claim(A, ["coder"], limit=1)) == 1


async def test_closing_it_leaves_its_messages_to_be_looked_at() -> None:
    store = MemoryLaneStore()
    await store.enqueue([[message()]])
    await store.aclose()
    assert (await store.stats("coder")).waiting == 1


async def test_waiters_that_gave_up_are_forgotten() -> None:
    store = MemoryLaneStore()
    for _ in range(3):
        await store.wait_for_result(message().message_id, timeout=timedelta(milliseconds=1))
        await store.wait_for_bell(["coder"], timeout=timedelta(milliseconds=1))
    waiting = asyncio.create_task(store.wait_for_result(message().message_id, timeout=SOON))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not store._results._waiters
    assert not store._bell_waiters


def test_deliveries_and_attempts_are_counted_up_to_what_the_header_holds() -> None:
    header = unpack_header(restamped(message().payload, deliveries=MOST + 1, attempt=MOST + 1))
    assert (header.deliveries, header.attempt) == (MOST, MOST)
