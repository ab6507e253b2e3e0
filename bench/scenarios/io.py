"""How many messages a second one worker runs that only wait, as for an answer from a model.

500 slots and 20 ms of waiting: 25,000 a second would be ideal. Beside it the same waiting by
asyncio alone, without any queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.draining import drained, kept
from bench.harness import Bench, Figure, Ratio, Scenario, Side
from bench.load import NAP_SECONDS, fill, producer

if TYPE_CHECKING:
    from collections.abc import Mapping

_SLOTS = 500
_IDEAL = _SLOTS / NAP_SECONDS
_MESSAGES = 12_500
_PER_SECOND = "messages/s"
_OF_IDEAL = "of ideal"
_CPU = "worker CPU µs"


async def ours(bench: Bench) -> Mapping[str, float]:
    """Run them with a worker."""
    workers = await kept(bench, "bench.worker", what="drain", concurrency=_SLOTS)
    async with producer(bench.server.url) as actors:
        await fill(actors.nap, _MESSAGES)
        figures = await drained(bench, workers, _MESSAGES)
    return figures | {_OF_IDEAL: figures[_PER_SECOND] / _IDEAL}


async def asyncio_alone(bench: Bench) -> Mapping[str, float]:
    """Only wait, so many at a time."""
    loops = await kept(bench, "bench.bare_loop", what="nap", concurrency=_SLOTS)
    figures = await drained(bench, loops, _MESSAGES)
    return {
        _PER_SECOND: figures[_PER_SECOND],
        _OF_IDEAL: figures[_PER_SECOND] / _IDEAL,
        _CPU: figures[_CPU],
    }


SCENARIO = Scenario(
    name="io",
    question=f"messages that wait {NAP_SECONDS * 1e3:.0f} ms, {_SLOTS} at a time",
    figures=(
        Figure(_PER_SECOND, better="more"),
        Figure(_OF_IDEAL, 2, better="more"),
        Figure(_CPU, 1, better="less"),
        Figure("Redis CPU µs", 1, better="less"),
        Figure("script calls", 3, better="less"),
    ),
    sides=(Side("octoqueue", ours), Side("asyncio alone", asyncio_alone)),
    ratios=(Ratio("octoqueue", "asyncio alone", _PER_SECOND),),
)
