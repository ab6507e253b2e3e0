"""What both type checkers must refuse: every line that ends in `# refused`, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import octoqueue

if TYPE_CHECKING:
    from octoqueue.workflows.context import Context


@octoqueue.actor
async def plan(goal: str, *, urgent: bool = False) -> list[str]:
    """An async actor."""
    return [goal] * urgent


@octoqueue.actor
def count(words: list[str]) -> int:
    """A sync actor."""
    return len(words)


async def steps(ctx: Context, goal: str) -> None:
    """All of it."""
    await ctx.call(plan)  # refused
    await ctx.call(plan, 1)  # refused
    await ctx.call(plan, goal, urgnt=True)  # refused
    await ctx.call(count, goal)  # refused
    await ctx.call(count.using(lane="low"), goal)  # refused
    await ctx.call(goal)  # refused
    ctx.on_failure(count, 5)  # refused
    number: int = await ctx.signal("approve", str)  # refused
    text: str = await ctx.call(count, [])  # refused
    await ctx.sleep(5)  # refused
    print(number, text)
