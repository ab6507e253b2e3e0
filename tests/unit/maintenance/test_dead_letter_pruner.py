"""Dead letters nobody wanted for long: what is pruned, how often, and what cannot stop it."""

from __future__ import annotations

import random
from datetime import timedelta

import orjson
import pytest

from octoqueue.maintenance.dead_letter_pruner import DeadLetterPruner
from octoqueue.primitives.ids import MessageId
from octoqueue.primitives.messages import DeadLetter
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.running import WatchedStore, gone, until

DAY = timedelta(days=1)
MINUTE_MS = 60_000


class World:
    """A store with dead letters, and a pruner of two queues on the same clock."""

    def __init__(self, older_than: timedelta | None = 30 * DAY) -> None:
        self.clock = FakeClock()
        self.inner = MemoryLaneStore(clock=self.clock)
        self.store = WatchedStore(self.inner)
        self.pruner = DeadLetterPruner(
            self.store.lanes,
            ["coder", "judge"],
            older_than=older_than,
            clock=self.clock,
            rng=random.Random(1),
        )

    def bury(self, queue: str, number: int, age: timedelta) -> None:
        ident = MessageId(number.to_bytes(16))
        died_at_ms = self.clock.now_ms() - age // timedelta(milliseconds=1)
        self.inner._queue(queue).dead[ident] = DeadLetter(
            message_id=ident,
            queue=queue,
            payload=b"",
            reason=orjson.dumps({"error": "ValueError"}),
            died_at_ms=died_at_ms,
        )

    def dead(self, queue: str) -> set[int]:
        return {int.from_bytes(ident) for ident in self.inner._queue(queue).dead}

    async def passes(self, count: int) -> None:
        """Let time pass until the pruner has gone through its queues so often."""

        async def gone_through() -> bool:
            self.clock.advance(MINUTE_MS // 2)
            return len(self.store.called("purge")) >= 2 * count

        await until(gone_through)


async def test_what_is_older_than_the_limit_is_pruned_in_all_its_queues() -> None:
    world = World()
    for queue in ("coder", "judge", "elsewhere"):
        world.bury(queue, 1, 31 * DAY)
        world.bury(queue, 2, 29 * DAY)
    await world.pruner.start()
    await world.passes(1)
    await world.pruner.stop()
    await world.pruner.stop()
    assert (world.dead("coder"), world.dead("judge")) == ({2}, {2})
    assert world.dead("elsewhere") == {1, 2}


async def test_it_looks_about_once_a_minute() -> None:
    world = World()
    begun_ms = world.clock.now_ms()
    await world.pruner.start()
    await world.passes(10)
    await world.pruner.stop()
    passed_ms = world.clock.now_ms() - begun_ms
    assert 5 * MINUTE_MS <= passed_ms <= 16 * MINUTE_MS


async def test_without_a_limit_nothing_is_ever_pruned() -> None:
    world = World(older_than=None)
    world.bury("coder", 1, 4000 * DAY)
    await world.pruner.start()
    world.clock.advance(100 * MINUTE_MS)
    await world.pruner.stop()
    assert not world.store.calls


@pytest.mark.parametrize("error", [gone(), RuntimeError("nobody foresaw it")])
async def test_no_error_ends_it(error: Exception) -> None:
    world = World()
    world.bury("coder", 1, 31 * DAY)
    world.store.fail("purge", error)
    await world.pruner.start()
    await world.passes(2)
    await world.pruner.stop()
    assert world.dead("coder") == set()
