"""Caps and rate limits while workers are killed, as real processes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import pytest

import octoqueue
from octoqueue.lanes.redis_store import RedisLaneStore
from tests.running import until
from tests.worker_processes import QUEUE, Crashes, held_by, until_working

if TYPE_CHECKING:
    from pathlib import Path

    from octoqueue.broker.actors import Actor
    from octoqueue.broker.lane_broker import LaneBroker

SLOTS = 3
RATE, BURST, UNITS, USED = 100, 20, 10, 4
"""As in `tests/gate_app.py`."""
MESSAGES = 60
LATE_SECONDS = 0.5
"""How much later than it was claimed a message may begin on a busy machine."""


class Line(NamedTuple):
    """What an execution told."""

    word: str
    number: int
    pid: int
    at_ns: int


@pytest.fixture
def crashes(redis_url: str, tmp_path: Path) -> Crashes:
    return Crashes(redis_url, f"t{uuid4().hex[:8]}", tmp_path / "ran")


def lines(crashes: Crashes) -> list[Line]:
    words = [line.split() for line in crashes.lines()]
    return [Line(word, int(number), int(pid), int(at)) for word, number, pid, at in words]


def ended(crashes: Crashes) -> set[int]:
    return {line.number for line in lines(crashes) if line.word == "end"}


def narrow(broker: LaneBroker) -> Actor[[int], Any]:
    @octoqueue.actor(broker=broker, queue=QUEUE, name="narrow", concurrency=SLOTS)
    async def elsewhere(number: int) -> None: ...

    return elsewhere


def spend(broker: LaneBroker) -> Actor[[int], Any]:
    limit = octoqueue.RateLimit("tokens", rate=RATE, per=timedelta(seconds=1), burst=BURST)

    @octoqueue.actor(broker=broker, queue=QUEUE, name="spend", limits=[limit.uses(units=UNITS)])
    async def elsewhere(number: int) -> None: ...

    return elsewhere


async def left_of_gates(broker: LaneBroker) -> list[object]:
    """What leases still hold of caps and limits."""
    store = broker.store()
    assert isinstance(store, RedisLaneStore)
    *_, held = store._keys.lines(0, QUEUE)
    _, _, shifts, reserved = store._scopes[0].gate_keys()
    return [await store._client.command("HLEN", name) for name in (held, shifts, reserved)]


async def run_with_a_kill(crashes: Crashes, broker: LaneBroker, actor: Actor[[int], Any]) -> int:
    """Send messages, kill one of two workers in the middle, and wait for the other to do all."""

    async def is_done() -> bool:
        stats = await broker.store().stats(QUEUE)
        return stats.counters.get("acked", 0) >= MESSAGES

    module = "tests.gate_app"
    with crashes.worker(module=module) as first, crashes.worker(module=module):
        await until_working(broker, 2)
        await octoqueue.asend_many([actor.message(n) for n in range(MESSAGES)], broker=broker)
        await until(lambda: begun_and_not_ended(crashes, first.pid))
        first.kill()
        first.wait()
        assert await held_by(broker, first.pid)
        await until(is_done)
    return first.pid


def begun_and_not_ended(crashes: Crashes, pid: int) -> bool:
    told = [line.word for line in lines(crashes) if line.pid == pid]
    return told.count("begin") > told.count("end")


async def test_a_cap_holds_over_workers_and_a_killed_one_frees_its_slots(
    crashes: Crashes,
) -> None:
    broker = crashes.broker()
    async with broker.connected():
        killed = await run_with_a_kill(crashes, broker, narrow(broker))
        assert await left_of_gates(broker) == [0, 0, 0]
    assert ended(crashes) == set(range(MESSAGES))
    running: set[tuple[int, int]] = set()
    last = max(line.at_ns for line in lines(crashes) if line.pid == killed)
    for line in sorted(lines(crashes), key=lambda line: line.at_ns):
        if line.at_ns > last:
            running = {one for one in running if one[0] != killed}
        if line.word == "begin":
            running.add((line.pid, line.number))
        else:
            running.discard((line.pid, line.number))
        assert len(running) <= SLOTS


async def test_a_limit_holds_over_workers_and_a_killed_one_gives_back_what_it_reserved(
    crashes: Crashes,
) -> None:
    broker = crashes.broker()
    async with broker.connected():
        await run_with_a_kill(crashes, broker, spend(broker))
        assert await left_of_gates(broker) == [0, 0, 0]
    assert ended(crashes) == set(range(MESSAGES))
    begun = {(line.pid, line.number): line.at_ns for line in lines(crashes) if line.word == "begin"}
    finished = {(line.pid, line.number) for line in lines(crashes) if line.word == "end"}
    moments = sorted(begun[one] / 1e9 for one in finished)
    for first, began in enumerate(moments):
        for count, at in enumerate(moments[first:], 1):
            assert count * USED <= BURST + RATE * (at - began + LATE_SECONDS)
