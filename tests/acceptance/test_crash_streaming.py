"""Tokens streamed by a worker process that is killed in the middle, to many who follow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

import octoqueue
from octoqueue.primitives.events import EventKind
from tests.running import SHORTLY, until
from tests.worker_processes import QUEUE, Crashes

if TYPE_CHECKING:
    from pathlib import Path

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.primitives.events import Event

TOKENS, FOLLOWERS = 1_000, 50
HALF = TOKENS // 2


@pytest.fixture
def crashes(redis_url: str, tmp_path: Path) -> Crashes:
    return Crashes(redis_url, f"t{uuid4().hex[:8]}", tmp_path / "ran")


async def follow(broker: LaneBroker, message_id: str, heard: list[Event]) -> None:
    async for event in broker.events(message_id, timeout=SHORTLY):
        heard.append(event)  # noqa: PERF401 - it is watched while it grows


def shown(event: Event) -> object:
    if event.kind is EventKind.STARTED:
        return f"delivery {event.data['deliveries']}"
    return event.outcome if event.kind is EventKind.ENDED else event.data


async def test_everybody_hears_both_attempts_of_a_killed_worker_in_order_and_the_end(
    crashes: Crashes,
) -> None:
    broker = crashes.broker()

    @octoqueue.actor(broker=broker, queue=QUEUE, name="stream", events=True)
    async def stream(count: int, hold_at: int) -> None: ...

    heard: list[list[Event]] = [[] for _ in range(FOLLOWERS)]
    async with broker.connected():
        handle = await stream.asend(TOKENS, HALF)
        async with asyncio.TaskGroup() as group:
            for each in heard:
                group.create_task(follow(broker, handle.message_id, each))
            with crashes.worker() as first:
                await until(lambda: "holding" in crashes.lines())
                await until(lambda: all(len(each) == HALF + 1 for each in heard))
                first.kill()
                first.wait()
            with crashes.worker():
                await until(lambda: all(each[-1].kind is EventKind.ENDED for each in heard))
        late = [event async for event in handle.events(timeout=SHORTLY)]
    everything = ["delivery 0", *range(HALF), "delivery 1", *range(TOKENS), "succeeded"]
    assert [shown(event) for event in late] == everything
    assert all(each == late for each in heard)
