"""`Ringer`: rings timers when they are due, also those that come to be known while it waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.orchestrator.timers import Timers
    from octoqueue.primitives.clock import Clock
    from octoqueue.workflows.executions import ExecutionId

_LONGEST_SECONDS = 1.0
"""How long it waits at most: the clock on the wall may be set."""
_SHORTEST_SECONDS = 0.001


class Ringer:
    """Waits for the soonest timer of one orchestrator."""

    def __init__(
        self,
        timers: Timers,
        *,
        rung: Callable[[list[tuple[ExecutionId, str, int]]], None],
        clock: Clock,
    ) -> None:
        """Prepare; `rung` is told what is due: execution, step and partition."""
        self._timers = timers
        self._rung = rung
        self._clock = clock
        self._sooner = asyncio.Event()
        timers.sooner = self._sooner.set

    async def run(self) -> None:
        """Ring until cancelled."""
        while True:
            self._sooner.clear()
            now_ms = self._clock.now_ms()
            if due := self._timers.due(now_ms=now_ms):
                self._rung(due)
            next_ms = self._timers.next_at_ms()
            wait = _LONGEST_SECONDS if next_ms is None else (next_ms - now_ms) / 1_000
            await self._pause(min(max(wait, _SHORTEST_SECONDS), _LONGEST_SECONDS))

    async def _pause(self, seconds: float) -> None:
        """Return after that time, or when there is a sooner timer."""
        if self._sooner.is_set():
            return
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        hearing = asyncio.ensure_future(self._sooner.wait())
        try:
            await asyncio.wait((sleeping, hearing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            hearing.cancel()
