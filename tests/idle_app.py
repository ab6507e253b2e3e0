"""Actors that have nothing to do, for processes that are only watched."""

from __future__ import annotations

import octoqueue


@octoqueue.periodic(cron="0 3 * * *", tz="Europe/Berlin")
@octoqueue.actor(queue="crash")
async def nightly() -> None:
    """Run far from now."""


@octoqueue.actor(queue="idle-too")
def by_hand() -> None:
    """Run when somebody wants it."""
