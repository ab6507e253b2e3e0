"""The store of a test: whoever waits for a message holds up nobody who sends one."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from octoqueue.broker.session_keeper import new_session
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.kit_store import KitStore
from tests.running import SHORTLY


async def test_other_threads_may_call_while_somebody_waits_for_the_bell() -> None:
    store = KitStore(None, clock=FakeClock())
    waiting = asyncio.create_task(
        store.claim_when_rung(new_session(), ["default"], limit=1, timeout=timedelta(hours=1))
    )
    await asyncio.sleep(0)  # it waits
    async with asyncio.timeout(SHORTLY.total_seconds()):
        await asyncio.to_thread(lambda: asyncio.run(store.lanes.queues()))
    waiting.cancel()
    await asyncio.wait([waiting])
