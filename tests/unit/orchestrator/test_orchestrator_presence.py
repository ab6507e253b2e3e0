"""What an orchestrator says of itself with its heartbeat."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.metrics.signals import orchestrator_queues
from octoqueue.orchestrator.presence import OrchestratorPresence
from octoqueue.testing.fake_clock import FakeClock
from tests.running import until
from tests.workflow_world import memory_world

if TYPE_CHECKING:
    from octoqueue.primitives.signals import Presence


def test_it_says_nothing_before_it_is_ready_and_then_that_it_serves_every_partition() -> None:
    clock, started, stopping = FakeClock(1_000), asyncio.Event(), asyncio.Event()
    presence = OrchestratorPresence(
        name="",
        fleet="orchestrator",
        partitions=2,
        slots=32,
        running=lambda: 3,
        started=started,
        stopping=stopping,
        clock=clock,
    )
    clock.advance(500)
    assert presence("s") is None
    started.set()
    said = presence("s")
    assert said is not None
    assert (said.name, said.fleet, said.queues) == ("s", "orchestrator", orchestrator_queues(2))
    assert (said.slots, said.running) == (32, 3)
    assert (said.started_at_ms, said.ready_at_ms) == (1_000, 1_500)
    clock.advance(500)
    stopping.set()
    leaving = presence("s")
    assert leaving is not None
    assert (leaving.ready_at_ms, leaving.is_ready) == (1_500, False)


async def test_it_is_told_of_as_long_as_it_runs() -> None:
    async with memory_world() as world:

        async def there() -> list[Presence]:
            queues = orchestrator_queues(1)
            reading = await world.lanes.read_signals(queues, due_within=timedelta(0))
            return list(reading.workers)

        world.options = replace(world.options, name="o.1", fleet="orchestrators")
        async with world.orchestrating():
            await until(there)
            (one,) = await there()
            assert (one.name, one.fleet, one.is_ready) == ("o.1", "orchestrators", True)
        assert await there() == []
