"""What both type checkers must refuse: every line that ends in `# refused`, and no other."""

from __future__ import annotations

from datetime import timedelta

import octoqueue

MINUTE = timedelta(minutes=1)
OPENAI = octoqueue.RateLimit("openai", rate=90_000, per=60)  # refused
FAST = octoqueue.RateLimit("fast", rate="10")  # refused
SLOW = octoqueue.RateLimit("slow", rate=1, brust=5)  # refused
USE = SLOW.uses(units="many")  # refused
DONE = octoqueue.Unique(until="finished")  # refused
KEY = octoqueue.Unique(key="user")  # refused
ERROR = octoqueue.Unique(on_duplicate="ignore")  # refused


@octoqueue.actor(concurrency="5")  # refused
async def text_for_number() -> None:
    """Declare with a wrong type."""


@octoqueue.actor(limits=SLOW)  # refused
async def limit_for_list() -> None:
    """Declare with a bare limit."""


@octoqueue.actor(unique="done")  # refused
async def text_for_unique() -> None:
    """Declare without a `Unique`."""


@octoqueue.actor(expires=3600)  # refused
async def number_for_duration() -> None:
    """Declare without a unit."""


@octoqueue.actor
async def plain(text: str) -> str:
    """An actor."""
    return text


async def misuse() -> None:
    """Send it wrongly."""
    await plain.using(tenant=5).asend("x")  # refused
    await plain.using(unique=octoqueue.Unique()).asend("x")  # refused
    await plain.using(expires=60).asend("x")  # refused
    await plain.using(deadline=MINUTE).asend("x")  # refused
    handle = await plain.asend("x")
    await handle.acancel(5)  # refused
    octoqueue.get_broker().cancel(handle)  # refused
    raise octoqueue.Snooze(5)  # refused
