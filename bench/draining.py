"""Draining a queue with processes that are kept, and what that gives in figures."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from bench.child import Child
from bench.harness import Figure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from bench.harness import Bench

FIGURES = (
    Figure("messages/s", better="more"),
    Figure("worker CPU µs", 1, better="less"),
    Figure("Redis CPU µs", 1, better="less"),
    Figure("Redis commands", 2, better="less"),
    Figure("script calls", 3, better="less"),
)


async def kept(bench: Bench, module: str, *, processes: int = 1, **order: str | int) -> list[Child]:
    """Return the processes of a side: started when it is measured first, ready every time."""

    @asynccontextmanager
    async def started() -> AsyncIterator[list[Child]]:
        async with AsyncExitStack() as stack:
            children = [
                Child(module, python=sys.executable, url=bench.server.url, **order)
                for _ in range(processes)
            ]
            yield [await stack.enter_async_context(child) for child in children]

    children = await bench.stage.keep(f"{module} {processes} {order} {bench.server.url}", started)
    await asyncio.gather(*(child.expect("ready") for child in children))
    return children


async def drained(bench: Bench, children: Sequence[Child], count: int) -> dict[str, float]:
    """Let the processes drain a queue of `count` messages; return figures.

    The time runs from the first claim of any until the last commit of any.
    """
    before = await bench.server.usage()
    for child in children:
        child.go_on(messages=count)
    done = await asyncio.gather(*(child.expect("done") for child in children))
    spent = await bench.server.usage() - before
    worked: list[dict[str, Any]] = [one for one in done if one["acked"]]
    assert sum(one["acked"] for one in worked) == count, done
    seconds = max(one["ended"] for one in worked) - min(one["began"] for one in worked)
    return {
        "messages/s": count / seconds,
        "worker CPU µs": sum(one["cpu_seconds"] for one in worked) / count * 1e6,
        "Redis CPU µs": spent.cpu_seconds / count * 1e6,
        "Redis commands": spent.commands / count,
        "script calls": spent.script_calls / count,
    }
