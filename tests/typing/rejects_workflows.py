"""What both type checkers must refuse: every line that ends in `# refused`, and no other."""

from __future__ import annotations

from datetime import timedelta

import octoqueue

MINUTE = timedelta(minutes=1)


@octoqueue.actor
async def pack(number: int) -> str:
    """Pack an order."""
    return str(number)


@octoqueue.workflow
async def order(ctx: octoqueue.WorkflowContext, number: int) -> str:
    """Call with wrong types."""
    await ctx.call(pack, "seventeen")  # refused
    await ctx.call(pack, 17, gift=True)  # refused
    number = await ctx.call(pack, 17)  # refused
    return str(number)


@octoqueue.workflow(version="2")  # refused
async def text_for_version(ctx: octoqueue.WorkflowContext) -> None:
    """Declare with a wrong type."""


@octoqueue.workflow(deadline=60)  # refused
async def number_for_deadline(ctx: octoqueue.WorkflowContext) -> None:
    """Declare without a unit."""


@octoqueue.workflow  # refused
def not_async(ctx: octoqueue.WorkflowContext) -> int:
    """Declare what cannot wait."""
    return 1


async def caller() -> None:
    """Start with wrong types."""
    await order.start("seventeen")  # refused
    await order.start()  # refused
    await order.start(17, deadline=60)  # refused
    await order.start(17, retries=3)  # refused
    started = await order.start(17)
    number: int = await started.result()  # refused
    await started.result(timeout=60)  # refused
    pack.using(max_retries="3")  # refused
    pack.using(time_limit=60)  # refused
    del number
