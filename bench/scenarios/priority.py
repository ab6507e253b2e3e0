"""How long 100 urgent messages take that arrive behind 10,000 others.

Every message burns a millisecond of CPU, so nothing can be quicker than a hundred milliseconds.
The worker is busy with low messages when the high ones are sent; time runs from before the first is
sent until the last has ended.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from bench.draining import kept
from bench.harness import Bench, Figure, Ratio, Scenario, Side
from bench.load import Actors, burn, fill, producer
from octoqueue.primitives.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from octoqueue.broker.actors import Actor

_LOW = 10_000
_HIGH = 100
_LOW_BEFORE = 250
"""Low messages that have run before the high ones are sent: in the middle of a batch."""


def _overtaking(choose: Callable[[Actors], Actor[[], None]]) -> Side:
    """Return the side that measures one of the actors."""

    async def run(bench: Bench) -> Mapping[str, float]:
        (worker,) = await kept(bench, "bench.worker", what="serve")
        async with producer(bench.server.url) as actors:
            actor = choose(actors)
            await fill(actor, _LOW, lane=Lane.LOW)
            worker.go_on(low_spins=_LOW_BEFORE, high_spins=_HIGH)
            await worker.expect("spun")
            urgent = actor.using(lane=Lane.HIGH)
            began_ns = time.monotonic_ns()
            await asyncio.gather(*(urgent.asend() for _ in range(_HIGH)))
            spun = await worker.expect("spun")
            worker.go_on()
            await worker.expect("stopped")
        assert spun["lane"] == Lane.HIGH.label, spun
        return {"ms": (spun["at_ns"] - began_ns) / 1e6}

    return Side(choose.__name__.replace("_", " "), run)


def async_actor(actors: Actors) -> Actor[[], None]:
    """Run on the loop."""
    return actors.spin


def sync_actor(actors: Actors) -> Actor[[], None]:
    """Run in threads."""
    return actors.spin_in_thread


async def floor(bench: Bench) -> Mapping[str, float]:
    """Burn the CPU of the high messages and do nothing else."""
    del bench  # there is nothing to ask of a server
    began_ns = time.monotonic_ns()
    for _ in range(_HIGH):
        burn()
    return {"ms": (time.monotonic_ns() - began_ns) / 1e6}


SCENARIO = Scenario(
    name="priority",
    question=f"{_HIGH} high messages behind {_LOW:,} low ones, 1 ms of CPU each",
    figures=(Figure("ms", better="less"),),
    sides=(
        _overtaking(async_actor),
        _overtaking(sync_actor),
        Side("floor", floor),
    ),
    ratios=(Ratio("async actor", "floor", "ms"), Ratio("sync actor", "floor", "ms")),
)
