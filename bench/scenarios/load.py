"""How soon after it was due a message begins, on a worker that is half or nearly full of work.

Capacity is what sender, Redis and worker get through together on this machine, taken in the same
round, just before: a hundred coroutines that send as fast as they can. Then messages are due at
random moments (a Poisson process) at a share of that, in an open loop (`bench.open_loop`), sent
about once a millisecond.

With 0.2 ms of work a message it is the worker that is nearly full. With none it is the sender: on
two cores it needs more CPU a message than the worker does, and its lateness is in the figures.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from bench.figures import randomly_ns
from bench.harness import Bench, Figure, Scenario, Side
from bench.load import SHORT_SPIN_NS, producer
from bench.open_loop import FIGURES, send_by_ticks, serving, stamped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.child import Child
    from bench.load import Actors
    from octoqueue.broker.actors import Actor

_SECONDS = 0.7
_COROUTINES = 100
_SATURATING_SECONDS = 0.3


async def capacity(worker: Child, actor: Actor[[int], None], *, guess: float) -> float:
    """Return how many messages a second get through when they are sent as fast as can be."""
    each = round(guess * _SATURATING_SECONDS / _COROUTINES)
    count = _COROUTINES * each
    worker.go_on(stamps=count)
    await worker.expect("expecting")
    began_ns = time.monotonic_ns()

    async def send() -> None:
        for _ in range(each):
            await actor.asend(began_ns)

    await asyncio.gather(*(send() for _ in range(_COROUTINES)))
    ended_ns: int = (await worker.expect("stamped"))["at_ns"]
    return count / (ended_ns - began_ns) * 1e9


def _at(
    share: float, choose: Callable[[Actors], Actor[[int], None]], *, what: str, guess: float
) -> Side:
    async def run(bench: Bench) -> Mapping[str, float]:
        async with serving(bench, "bench.worker") as worker, producer(bench.server.url) as actors:
            actor = choose(actors)
            per_second = share * await capacity(worker, actor, guess=guess)
            count = round(_SECONDS * per_second)
            moments_ns = randomly_ns(per_second=per_second, count=count, seed=count)
            figures = await stamped(worker, actor.asend, moments_ns=moments_ns, how=send_by_ticks)
        return figures | {"messages/s": per_second}

    return Side(f"{what}, at {share:.0%} of capacity", run)


def _working(actors: Actors) -> Actor[[int], None]:
    return actors.stamp_and_spin


def _idle(actors: Actors) -> Actor[[int], None]:
    return actors.stamp


_WORK = f"{SHORT_SPIN_NS / 1e6} ms of CPU"

SCENARIO = Scenario(
    name="load",
    question="from due to begun on a busy worker, open loop, random arrivals",
    figures=(Figure("messages/s"), *FIGURES),
    sides=(
        _at(0.5, _working, what=_WORK, guess=4_000),
        _at(0.8, _working, what=_WORK, guess=4_000),
        _at(0.5, _idle, what="no-op", guess=20_000),
        _at(0.8, _idle, what="no-op", guess=20_000),
    ),
    most_rounds=3,
)
