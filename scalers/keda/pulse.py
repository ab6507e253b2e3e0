"""`Pulse`: tells streams when an idle fleet becomes active. One look a fleet, however many streams.

KEDA uses a pushed `true` to start a fleet of none at once; each further one would keep the fleet
from shrinking, so only edges are told. Whether a fleet has become idle again KEDA polls.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from octoqueue.errors import OctoqueueError
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import timedelta

    from octoqueue.fleet.decider import FleetDecider

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    """A fleet that somebody listens for."""

    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    is_active: bool | None = None
    """None until it could be read for the first time."""
    rises: int = 0
    """How often it has become active."""
    listeners: int = 0
    looking: asyncio.Task[None] | None = None


class Pulse:
    """Looks at the fleets that streams listen for."""

    def __init__(
        self, decider: FleetDecider, *, every: timedelta, clock: Clock | None = None
    ) -> None:
        self._decider = decider
        self._every_seconds = every.total_seconds()
        self._clock = clock or SystemClock()
        self._watched: dict[str, _Watched] = {}
        self._has_ended = False

    async def listen(self, fleet: str) -> AsyncGenerator[bool]:
        """Yield whether a fleet is active, then True each time it becomes so, until `aclose`.

        While nothing can be read, nothing is told: what is not known is no edge.
        """
        watched = self._watched.setdefault(fleet, _Watched())
        watched.listeners += 1
        if watched.listeners == 1:
            watched.looking = asyncio.create_task(self._look(fleet, watched), name=f"pulse {fleet}")
        try:
            async with watched.changed:
                await watched.changed.wait_for(
                    lambda: self._has_ended or watched.is_active is not None
                )
                is_active, rises = watched.is_active, watched.rises
            if is_active is None:
                return
            yield is_active
            while True:
                async with watched.changed:
                    await watched.changed.wait_for(
                        lambda: self._has_ended or watched.rises > rises  # noqa: B023 - now
                    )
                    rises = watched.rises
                if self._has_ended:
                    return
                yield True
        finally:
            watched.listeners -= 1
            if not watched.listeners and watched.looking is not None:
                watched.looking.cancel()
                self._watched.pop(fleet, None)

    async def aclose(self) -> None:
        """End all streams, without an error. Idempotent."""
        self._has_ended = True
        for watched in list(self._watched.values()):
            async with watched.changed:
                watched.changed.notify_all()
            if watched.looking is not None:
                watched.looking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watched.looking

    async def _look(self, fleet: str, watched: _Watched) -> None:
        while True:
            try:
                is_active = (await self._decider.decide(fleet)).is_active
            except OctoqueueError as error:
                log.debug("pulse_unreadable", extra={"fleet": fleet, "reason": str(error)})
            except Exception:  # a defect must not leave streams open that nobody feeds any more
                log.exception("pulse_failed", extra={"fleet": fleet})
            else:
                await self._tell(watched, is_active=is_active)
            await self._clock.sleep(self._every_seconds)

    async def _tell(self, watched: _Watched, *, is_active: bool) -> None:
        before, watched.is_active = watched.is_active, is_active
        if before == is_active:
            return
        if is_active and before is not None:
            watched.rises += 1
        async with watched.changed:
            watched.changed.notify_all()
