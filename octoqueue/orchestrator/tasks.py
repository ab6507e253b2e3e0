"""`Tasks`: what an orchestrator does at the same time. The first that fails ends the orchestrator.

Servers that are gone and executions that are broken are met where they show; what arrives here is a
mistake of ours, and a process that starts anew reads everything from the journal.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Tasks:
    """Begins tasks and hears of their failures."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()

    def begin(
        self, work: Coroutine[Any, Any, None], *, name: str | None = None
    ) -> asyncio.Task[None]:
        """Do something beside everything else."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def leave(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody here asks about again."""
        self.begin(work)  # type: ignore[unused-awaitable] # it is kept in the set

    async def failed(self) -> None:
        """Return only by raising what the first of them raised."""
        await self._failed.wait()
        if self._failure is not None:
            raise self._failure

    async def abandon(self) -> None:
        """Cancel all that still run, and wait until they have ended."""
        while tasks := [task for task in self._tasks if task is not asyncio.current_task()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is not None and self._failure is None:
            self._failure = failure
            self._failed.set()
