"""Sending from wherever a program happens to be: threads, loops, children of a fork."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.lanes.options import LaneOptions
from octoqueue.primitives.envelope import decode_body
from octoqueue.primitives.messages import SessionId
from tests.running import PATIENCE_SECONDS, SHORTLY, Gate, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from octoqueue.broker.actors import AsyncActor


@pytest.fixture
def broker(redis_url: str) -> Iterator[LaneBroker]:
    broker = LaneBroker(redis_url, options=LaneOptions(namespace=f"t{uuid4().hex[:8]}"))
    yield broker
    broker.close()


@pytest.fixture
def note(broker: LaneBroker) -> AsyncActor[[str], None]:
    @octoqueue.actor(broker=broker)
    async def note(where: str) -> None: ...

    return note


async def arrived(broker: LaneBroker) -> Counter[str]:
    """Claim all there is and return what was sent from where."""
    async with broker.connected():
        leases = await broker.store().claim(SessionId("test"), ["default"], limit=10_000)
    return Counter(decode_body(lease.payload).args[0] for lease in leases)


def test_threads_and_loops_send_side_by_side(
    broker: LaneBroker, note: AsyncActor[[str], None]
) -> None:
    def from_thread() -> None:
        for _ in range(20):
            note.send("thread")

    async def from_loop() -> None:
        async with broker.connected():
            await asyncio.gather(*(note.asend("loop") for _ in range(20)))
            note.send("inside a loop")

    threads = [threading.Thread(target=from_thread) for _ in range(4)]
    threads += [threading.Thread(target=asyncio.run, args=(from_loop(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = asyncio.run(arrived(broker))
    assert found == {"thread": 80, "loop": 80, "inside a loop": 4}


def test_one_loop_after_another_gets_a_store_of_its_own(
    broker: LaneBroker, note: AsyncActor[[str], None]
) -> None:
    async def send(where: str) -> None:
        async with broker.connected():
            await note.asend(where)

    for number in range(3):
        asyncio.run(send(f"loop {number}"))
    assert len(asyncio.run(arrived(broker))) == 3


def _send_and_leave(note: AsyncActor[[str], None]) -> None:
    note.send("child")


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_can_send_after_its_parent_has(
    broker: LaneBroker, note: AsyncActor[[str], None]
) -> None:
    note.send("parent")
    child = multiprocessing.get_context("fork").Process(target=_send_and_leave, args=(note,))
    child.start()
    child.join(timeout=20)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0
    note.send("parent")
    assert asyncio.run(arrived(broker)) == {"parent": 2, "child": 1}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_what_a_forked_child_of_an_actor_sends_is_sent_at_once(broker: LaneBroker) -> None:
    gate, note = Gate(), list[str]()

    @octoqueue.actor(broker=broker, name="note")
    async def listen(where: str) -> None:
        note.append(where)
        gate.opened.set()

    @octoqueue.actor(broker=broker)
    def work() -> None:
        child = multiprocessing.get_context("fork").Process(target=_send_and_leave, args=(listen,))
        child.start()
        child.join(timeout=20)
        if child.is_alive():
            child.kill()
        if child.exitcode:
            note.append("failed")

    async with broker.connected(), running(broker):
        await work.asend()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await gate.opened.wait()
    assert note == ["child"]


async def test_results_wait_on_the_loop_that_asks(broker: LaneBroker) -> None:
    @octoqueue.actor(broker=broker, results=True)
    async def double(number: int) -> int:
        return number * 2

    def from_another_loop() -> int:
        async def ask() -> int:
            async with broker.connected():
                return await (await double.asend(21)).result(timeout=SHORTLY)

        return asyncio.run(ask())

    async with broker.connected(), running(broker):
        here = await (await double.asend(2)).result(timeout=SHORTLY)
        there = await asyncio.to_thread(from_another_loop)
        sent_by_thread = await asyncio.to_thread(double.send, 4)
        assert (here, there) == (4, 42)
        assert await sent_by_thread.result(timeout=SHORTLY) == 8


async def test_a_result_is_found_by_whoever_asks_after_it_was_kept(broker: LaneBroker) -> None:
    @octoqueue.actor(broker=broker, results=True)
    async def one() -> int:
        return 1

    async with broker.connected(), running(broker):
        handle = await one.asend()
        assert await handle.result(timeout=SHORTLY) == 1
        assert await handle.result(timeout=timedelta(seconds=1)) == 1
