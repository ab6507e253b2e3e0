"""What both type checkers must accept of steps, with the types they must see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, assert_type

import octoqueue

if TYPE_CHECKING:
    from octoqueue.workflows.context import Context
    from octoqueue.workflows.waits import Wait


@dataclass
class Plan:
    """Something an actor returns."""

    steps: list[str]


@octoqueue.actor
async def plan(goal: str, *, urgent: bool = False) -> Plan:
    """An async actor."""
    return Plan([goal] * urgent)


@octoqueue.actor
def count(words: list[str]) -> int:
    """A sync actor."""
    return len(words)


@octoqueue.actor(batch=octoqueue.Batch(max_size=3), results=True)
async def embed(texts: list[str]) -> list[float]:
    """A batch actor."""
    return [float(len(text)) for text in texts]


@octoqueue.workflow
async def inner(ctx: Context, number: int) -> str:
    """A child."""
    return str(number)


def read(path: str) -> bytes:
    """What `run` runs."""
    return path.encode()


async def fetch(url: str) -> str:
    """What `run` runs, too."""
    return url


async def steps(ctx: Context, goal: str) -> None:
    """All of it."""
    assert_type(await ctx.call(plan, goal, urgent=True), Plan)
    assert_type(await ctx.call(count, [goal]), int)
    assert_type(await ctx.call(plan.using(lane="high"), goal), Plan)
    assert_type(await ctx.call(count.using(tenant="a"), []), int)
    assert_type(await ctx.call(embed, goal), float)
    found, words = await ctx.gather(ctx.call(plan, goal), ctx.call(count, []))
    assert_type(found, Plan)
    assert_type(words, int)
    assert_type(await ctx.gather(*[ctx.call(count, [])]), list[int])
    assert_type(await ctx.map(lambda word: ctx.call(count, [word]), ["a"]), list[int])
    assert_type(await ctx.signal("approve", bool, timeout=timedelta(days=1)), bool)
    anything: Any = await ctx.signal("approve")
    assert_type(anything, Any)
    assert_type(await ctx.run(read, "a"), bytes)
    assert_type(await ctx.run(fetch, "a"), str)
    assert_type(await ctx.child(inner, 4, id="mine"), str)
    wait: Wait[None] = ctx.sleep(timedelta(hours=1))
    await wait
    ctx.on_failure(count, [])
    ctx.emit({"at": ctx.now()})
