"""The workflows and actors that an orchestrator, a worker and a client of ours load."""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cache

import octoqueue
from bench.peers.flows import FOLDER, Note, Steps

QUEUE = "steps"


@cache
def steps() -> Steps:
    """Return the bodies of this process, always the same ones."""
    return Steps(os.environ[FOLDER])


@octoqueue.actor(queue=QUEUE)
async def first() -> Note:
    """Begin."""
    return steps().first()


@octoqueue.actor(queue=QUEUE)
async def second() -> Note:
    """Go on."""
    return steps().second()


@octoqueue.actor(queue=QUEUE)
async def third() -> Note:
    """End."""
    return steps().third()


@octoqueue.actor(queue=QUEUE, time_limit=timedelta(hours=1))
async def held() -> Note:
    """Wait for the gate."""
    return await steps().held()


@octoqueue.workflow
async def three(ctx: octoqueue.WorkflowContext) -> list[Note]:
    """Three steps."""
    return [await ctx.call(first), await ctx.call(second), await ctx.call(third)]


@octoqueue.workflow
async def three_held(ctx: octoqueue.WorkflowContext) -> list[Note]:
    """Three steps, the second of which waits."""
    return [await ctx.call(first), await ctx.call(held), await ctx.call(third)]


@octoqueue.workflow
async def waits(ctx: octoqueue.WorkflowContext) -> str:
    """Wait for a signal."""
    return await ctx.signal("go", str)
