from __future__ import annotations

import asyncio

from octoqueue.testing.fake_clock import FakeClock


async def test_time_stands_still_until_it_is_moved() -> None:
    clock = FakeClock(now_ms=5_000)
    assert (clock.now_ms(), clock.monotonic()) == (5_000, 5.0)
    clock.advance(250)
    assert (clock.now_ms(), clock.monotonic()) == (5_250, 5.25)


async def test_sleepers_wake_when_their_time_has_come_and_in_that_order() -> None:
    clock, woken = FakeClock(), list[str]()

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    tasks = [
        asyncio.create_task(sleep(name, seconds))
        for name, seconds in (("late", 3), ("early", 1), ("also early", 1))
    ]
    await asyncio.sleep(0)
    clock.advance(999)
    await asyncio.sleep(0)
    assert woken == []
    clock.advance(1)
    await asyncio.wait(tasks[1:])
    assert woken == ["early", "also early"]
    clock.advance(2_000)
    await tasks[0]
    assert woken[-1] == "late"


async def test_a_sleeper_that_was_cancelled_disturbs_nobody() -> None:
    clock = FakeClock()
    given_up = asyncio.create_task(clock.sleep(1))
    patient = asyncio.create_task(clock.sleep(1))
    await asyncio.sleep(0)
    given_up.cancel()
    clock.advance(1_000)
    await patient
    assert given_up.cancelled()
