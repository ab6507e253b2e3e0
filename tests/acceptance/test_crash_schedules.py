"""A schedule of a second, five processes with wrong clocks, some of them killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections import defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import orjson
import pytest

from octoqueue.primitives.cron import every_from
from tests.running import until
from tests.worker_processes import ROOT, Crashes, until_working

if TYPE_CHECKING:
    from pathlib import Path

SKEWS_MS = (-2_000, -900, 0, 1_300, 2_000)
MORE_TICKS = 4
DIGEST = every_from(timedelta(seconds=1)).digest


@pytest.fixture
def crashes(redis_url: str, tmp_path: Path) -> Crashes:
    return Crashes(redis_url, f"t{uuid4().hex[:8]}", tmp_path / "ran")


def messages_of_ticks(crashes: Crashes) -> dict[int, set[str]]:
    """The messages that ran, by tick; one that was given back by the dead runs twice."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for line in crashes.lines():
        tick, message_id, _ = line.split()
        found[int(tick)].add(message_id)
    return dict(found)


def told_by_the_command_line(crashes: Crashes) -> list[dict[str, Any]]:
    """What `octoqueue schedule --json` tells of the app's schedules."""
    command = [sys.executable, "-m", "octoqueue", "schedule", "--module", "tests.schedule_app"]
    done = subprocess.run(
        [*command, "--next", "2", "--json"],
        cwd=ROOT,
        env=os.environ
        | {
            "OCTOQUEUE_REDIS_URL": crashes.redis_url,
            "OCTOQUEUE_NAMESPACE": crashes.namespace,
            "RAN": str(crashes.ran),
        },
        capture_output=True,
        check=True,
    )
    return cast("list[dict[str, Any]]", orjson.loads(done.stdout))


def fired_early(crashes: Crashes) -> list[str]:
    """Lines of messages that became claimable before their tick, by the store's clock."""
    return [line for line in crashes.lines() if float(line.split()[2]) < int(line.split()[0])]


async def test_each_tick_is_fired_once_whatever_the_clocks_say_and_whoever_dies(
    crashes: Crashes,
) -> None:
    broker = crashes.broker()

    async def more_ticks() -> None:
        goal = len(messages_of_ticks(crashes)) + MORE_TICKS
        await until(lambda: len(messages_of_ticks(crashes)) >= goal)

    async with broker.connected():
        with contextlib.ExitStack() as stack:

            def worker(skew_ms: int) -> subprocess.Popen[bytes]:
                return stack.enter_context(
                    crashes.worker(module="tests.schedule_app", SKEW_MS=str(skew_ms))
                )

            fleet = [worker(skew) for skew in SKEWS_MS]
            await until_working(broker, len(SKEWS_MS))
            for victims in (fleet[0:1], fleet[3:5]):
                await more_ticks()
                for victim in victims:
                    victim.kill()
                    victim.wait()
            worker(-1_700)
            await more_ticks()
        # Everybody is dead now; what was fired but did not run is run by the last.
        stands = await broker.store().last_tick("beat", DIGEST, begins=False)
        assert stands.fired_ms is not None
        last = stands.fired_ms // 1000
        with crashes.worker(module="tests.schedule_app"):
            await until_working(broker, 1)
            await until(lambda: all(t in messages_of_ticks(crashes) for t in range(last, last + 2)))
    found = messages_of_ticks(crashes)
    first, latest = min(found), max(found)
    assert sorted(found) == list(range(first, latest + 1))
    assert [tick for tick, ids in found.items() if len(ids) != 1] == []
    assert fired_early(crashes) == []


async def test_ticks_that_were_missed_while_no_process_ran_are_caught_up_with(
    crashes: Crashes,
) -> None:
    async with (broker := crashes.broker()).connected():
        with crashes.worker(module="tests.schedule_app"):
            await until(lambda: len(messages_of_ticks(crashes)) >= 2)
        before = max(messages_of_ticks(crashes))

        async def time_has_passed() -> bool:
            return await broker.store().now_ms() >= (before + 4) * 1000

        await until(time_has_passed)
        with crashes.worker(module="tests.schedule_app", SKEW_MS="-2000"):
            await until(lambda: max(messages_of_ticks(crashes)) >= before + 5)
    found = messages_of_ticks(crashes)
    assert sorted(found) == list(range(min(found), max(found) + 1))
    assert {len(ids) for ids in found.values()} == {1}
    beat, nightly = await asyncio.to_thread(told_by_the_command_line, crashes)
    assert (beat["schedule"], beat["when"]) == ("beat", "every 0:00:01")
    assert datetime.fromisoformat(beat["last_fired"]).timestamp() >= max(found)
    assert (nightly["schedule"], nightly["last_fired"]) == ("nightly", None)
    assert [datetime.fromisoformat(run).hour for run in nightly["next"]] == [3, 3]
