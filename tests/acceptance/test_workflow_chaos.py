"""Orchestrators, arms, PostgreSQL and Redis killed, stopped and emptied: nothing is lost.

Each test starts random programs, lets things go wrong, and then waits until every execution has
ended. Every one of them must have the result the model says, a whole journal with each step once,
and a line in the ledger for every step that ended. The seed is printed; `CHAOS_SEED` repeats it.
"""

from __future__ import annotations

import asyncio
import os
import signal
from random import SystemRandom
from typing import TYPE_CHECKING

import pytest

from tests.servers import DEADLINE
from tests.workflow_platform import LEASE, platform

if TYPE_CHECKING:
    from pathlib import Path

    from tests.workflow_platform import Platform

pytestmark = pytest.mark.timeout(300)
MINUTE_SECONDS = 60
THREE: list[object] = ["seq", [["call", 1], ["call", 2], ["run", 3], ["call", 4]]]


@pytest.fixture
def seed() -> int:
    return int(os.environ.get("CHAOS_SEED") or SystemRandom().randrange(2**32))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


async def test_when_nothing_dies_every_step_has_its_effect_exactly_once(
    state_dir: Path, notes: Path, seed: int
) -> None:
    async with (
        platform(state_dir, notes, seed=seed, orchestrators=2, workers=2) as it,
        it.signalling(),
    ):
        await it.start(80)
        await it.until_open(0)
        await it.judge(exactly_once=True)


async def test_killed_every_second_for_a_minute(state_dir: Path, notes: Path, seed: int) -> None:
    async with (
        platform(state_dir, notes, seed=seed, orchestrators=3, workers=3) as it,
        it.signalling(),
    ):
        for _ in range(MINUTE_SECONDS):
            await it.start(5)
            await it.kill_one()
            await asyncio.sleep(1)
        await it.until_open(0)
        assert it.deaths >= MINUTE_SECONDS * 2 // 3
        await it.judge()


async def test_an_orchestrator_stopped_for_longer_than_its_lease_can_write_nothing(
    state_dir: Path, notes: Path, seed: int
) -> None:
    async with (
        platform(state_dir, notes, seed=seed, orchestrators=2, workers=2) as it,
        it.signalling(),
    ):
        for stopped in it.alive("orchestrator") * 2:
            await it.start(50)
            stopped.signal(signal.SIGSTOP)
            await it.start(50)
            await asyncio.sleep(LEASE.total_seconds() * 2)
            stopped.signal(signal.SIGCONT)
            await it.start(10)
        await it.until_open(0)
        it.require_all_alive()
        for each in it.alive("orchestrator"):
            each.says("partitions_lost")
        await it.judge()


@pytest.mark.parametrize("how", ["restarted", "killed"])
async def test_postgres_is_restarted(state_dir: Path, notes: Path, seed: int, how: str) -> None:
    async with (
        platform(state_dir, notes, seed=seed, orchestrators=2, workers=2) as it,
        it.signalling(),
    ):
        for _ in range(2):
            await it.start(60)
            await restart_postgres(it, killed=how == "killed")
        await it.start(20)
        await it.until_open(0)
        it.require_all_alive()
        await it.judge()


async def restart_postgres(it: Platform, *, killed: bool) -> None:
    if killed:
        pid = it.postgres.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    else:
        await asyncio.to_thread(it.postgres.stop, timeout=DEADLINE)
    await asyncio.sleep(1)
    await asyncio.to_thread(it.postgres.start, timeout=DEADLINE)


async def test_redis_emptied_in_the_middle_of_a_thousand_executions(
    state_dir: Path, notes: Path, seed: int
) -> None:
    async with platform(state_dir, notes, seed=seed, orchestrators=2, workers=2) as it:
        await it.start(1_000, node=THREE)
        for left in (900, 500, 100):
            await it.until_open(left)
            it.redis.ask("FLUSHALL")
        await it.until_open(0)
        await it.judge()


async def test_all_at_once(state_dir: Path, notes: Path, seed: int) -> None:
    async with (
        platform(state_dir, notes, seed=seed, orchestrators=3, workers=3) as it,
        it.signalling(),
    ):
        stopped = None
        for second in range(MINUTE_SECONDS // 2):
            await it.start(5)
            match second % 10:
                case 2:
                    it.redis.ask("FLUSHALL")
                case 4:
                    stopped = it.random.choice(it.alive("orchestrator"))
                    stopped.signal(signal.SIGSTOP)
                case 6:
                    await restart_postgres(it, killed=second % 20 == 6)
                case 9 if stopped is not None:
                    if stopped.process.poll() is None:
                        stopped.signal(signal.SIGCONT)
                case _:
                    await it.kill_one()
            await asyncio.sleep(1)
        await it.until_open(0)
        await it.judge()
