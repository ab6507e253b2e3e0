"""What the platform takes in and gives back over HTTP, load generator on the same machine included.

Everything that `octoqueue.yaml` starts: the edge, an orchestrator, six arms, admin, PostgreSQL that
syncs every commit, Redis. Tasks are offered evenly spaced in an open loop: each one POST, and one
GET of the result a second later; a result that is not there yet is asked for again. Two sides, one
after the other: a thousand tasks a second that name their arm, one message each; and two hundred a
second that do not, each a durable workflow of eight steps, six of them messages for arms (offline:
their answers are a matter of rules).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.child import Child
from bench.figures import percentile
from bench.harness import Bench, Figure, Scenario, Side
from bench.platform import platform

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = 4.0
_WARM_SECONDS = 1.0
_OF_OFFERED = "of offered"


def _offered(per_second: int, how: str, *, arm: str | None) -> Side:
    async def run(bench: Bench) -> Mapping[str, float]:
        host, port = await bench.stage.keep("platform", platform)
        async with Child(
            "bench.load_http",
            host=host,
            port=port,
            rate=per_second,
            seconds=_SECONDS,
            warm_seconds=_WARM_SECONDS,
            arm=arm,
        ) as load:
            await load.expect("ready")
            load.go_on()
            done = await load.expect("done")
        post_ms, get_ms = done["post_ms"], done["get_ms"]
        count = per_second * _SECONDS
        return {
            _OF_OFFERED: done["completed"] / count,
            "asked again": done["asked_again"] / count,
            "request P50 ms": percentile(post_ms + get_ms, 0.50),
            "request P95 ms": percentile(post_ms + get_ms, 0.95),
            "POST P95 ms": percentile(post_ms, 0.95),
            "GET P95 ms": percentile(get_ms, 0.95),
            "load CPU µs": done["cpu_seconds"] / count * 1e6,
        }

    return Side(f"{per_second:,} tasks/s, {how}", run)


SCENARIO = Scenario(
    name="http",
    question="each task one POST, run by an arm or as a workflow, one GET; all on this machine",
    figures=(
        Figure(_OF_OFFERED, 3, better="more"),
        Figure("asked again", 3, better="less"),
        Figure("request P50 ms", 1, better="less"),
        Figure("request P95 ms", 1, better="less"),
        Figure("POST P95 ms", 1, better="less"),
        Figure("GET P95 ms", 1, better="less"),
        Figure("load CPU µs"),
    ),
    sides=(
        _offered(1_000, "naming their arm", arm="guardian"),
        _offered(200, "as workflows", arm=None),
    ),
    most_rounds=2,
    clears=False,
)
