"""What both type checkers must refuse of periodic actors."""

from __future__ import annotations

from datetime import timedelta

import octoqueue


@octoqueue.periodic(every=timedelta(minutes=1))
@octoqueue.actor
async def report(days: int = 1) -> str:
    """An async actor."""
    return str(days)


async def misuse() -> None:
    """Call it wrongly."""
    await report.asend("one")  # refused
    total: int = await report(1)  # refused
    print(total)


def declare_wrongly() -> None:
    """Declare schedules that cannot be."""
    octoqueue.periodic()  # refused
    octoqueue.periodic(cron="* * * * *", every=timedelta(minutes=1))  # refused
    octoqueue.periodic(every=60)  # refused
    octoqueue.periodic(every=timedelta(minutes=1), tz="Europe/Berlin")  # refused
    octoqueue.periodic(cron="* * * * *", missed="forget")  # refused


async def plain() -> None:
    """No actor."""


octoqueue.periodic(cron="* * * * *")(plain)  # refused
