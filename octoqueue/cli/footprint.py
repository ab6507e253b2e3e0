"""What a process does once, when all that it needs is loaded and it begins to work.

What was loaded stays until the process ends, so the garbage collector need not look at it again;
and what loading took in passing goes back to the system: a fifth of the process when modules had to
be compiled.

A message that runs has dozens of objects that the collector counts, so with Python's thresholds it
looks through the same running messages again and again: a third of what 500 of them that only wait
cost. It therefore looks after ten thousand objects, and `CycleSweep` looks by the clock, so that
what an actor leaves behind in cycles goes after about a second, however large it is.

The weakness: a cycle of the program's own that was made before, and is given up later, is not found
any more. And who leaves large cycles behind thousands of times a second holds more than with
Python's thresholds.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from octoqueue.primitives.clock import SystemClock

if TYPE_CHECKING:
    from octoqueue.primitives.clock import Clock

_THRESHOLDS: Final = (10_000, 20, 50)
SWEEP_EVERY: Final = timedelta(seconds=1)
_WORTH_A_SWEEP: Final = 700
"""New objects, less those gone: Python's own threshold."""
_SHARE: Final = 100
"""Sweeps take a hundredth of the time at most, however much a program keeps."""


def settle_in() -> None:
    """Spare the collector all there is by now, and give back memory that is free."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    _trim()


def _trim() -> None:
    # glibc only: other allocators do it by themselves, or not at all.
    with contextlib.suppress(ImportError, AttributeError, OSError, TypeError):
        import ctypes  # noqa: PLC0415 - a Python may be built without it

        ctypes.CDLL(None).malloc_trim(0)


class CycleSweep:
    """Collects cycles by the clock, where enough was made for there to be some."""

    def __init__(self, *, every: timedelta = SWEEP_EVERY, clock: Clock | None = None) -> None:
        self._every_seconds = every.total_seconds()
        self._clock = clock or SystemClock()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._sweep())

    async def _sweep(self) -> None:
        took = 0.0
        while True:
            await self._clock.sleep(max(self._every_seconds, _SHARE * took))
            made, looked, _ = gc.get_count()
            if gc.isenabled() and (made > _WORTH_A_SWEEP or looked):
                began = self._clock.monotonic()
                gc.collect()
                took = self._clock.monotonic() - began

    async def stop(self) -> None:
        """End. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
