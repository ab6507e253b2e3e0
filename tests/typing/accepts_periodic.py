"""What both type checkers must accept of periodic actors: an actor keeps its type."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, assert_type

import octoqueue

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from octoqueue.broker.actors import Actor, AsyncActor


@octoqueue.periodic(cron="0 3 * * *", tz="Europe/Berlin", missed="catch_up", catch_up_limit=50)
@octoqueue.periodic(every=timedelta(minutes=5), name="often", args=[3], kwargs={"full": True})
@octoqueue.actor(results=True)
async def report(days: int = 1, *, full: bool = False) -> str:
    """An async actor with two schedules."""
    return str(days if full else 0)


@octoqueue.periodic(cron="* * * * *", lane=octoqueue.Lane.LOW, tenant="acme")
@octoqueue.actor
def clean() -> None:
    """A sync actor."""


async def use() -> None:
    """Call and send them."""
    assert_type(await report(2), str)
    assert_type(await (await report.asend(2, full=True)).result(), str)
    clean.send()
    message = octoqueue.current_message()
    if message is not None:
        assert_type(message.scheduled_for, datetime | None)


def kinds() -> tuple[AsyncActor[[], None], Actor[[], None], Awaitable[str]]:
    """Name the types."""

    @octoqueue.periodic(cron="* * * * *")
    @octoqueue.actor
    async def nothing() -> None: ...

    return nothing, clean, report(1)
