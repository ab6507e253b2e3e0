"""`Room`: whether the lanes of a queue have room for tasks, looked at no oftener than needed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from octoqueue.errors import LaneFull
from octoqueue.primitives.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from octoqueue.primitives.lane import Lane
    from octoqueue.workflows.tasks import NewTask, TaskId

LOOK_SECONDS = 0.5
"""How old a look at the lanes may be where there is plenty of room."""


class Room:
    """The lanes of one queue, as they were when somebody looked, and what was let in since.

    They are looked at when one may be half full or nobody has looked for half a second. What has
    left since is missed, and so is what others let in: several edges that look at the same time
    may together let in somewhat more than a bound allows.
    """

    def __init__(
        self,
        queue: str,
        *,
        look: Callable[[], Awaitable[Mapping[Lane, int]]],
        bound: Callable[[Lane], int],
    ) -> None:
        self._queue = queue
        self._look = look
        self._bound = bound
        self._clock = SystemClock()
        self._seen: tuple[float, dict[Lane, int]] = (-math.inf, {})

    def forget(self) -> None:
        """Look again before anything else is let in."""
        self._seen = -math.inf, {}

    async def refusals(self, tasks: Sequence[NewTask]) -> dict[TaskId, LaneFull]:
        """Return those of the tasks for which there is no room; the others are let in.

        Raises:
            StoreUnavailable: whoever knows how full the lanes are is gone.
        """
        depths = await self._depths(tasks)
        refusals = dict["TaskId", LaneFull]()
        for task in tasks:
            depth, bound = depths[task.lane], self._bound(task.lane)
            if depth < bound:
                depths[task.lane] += 1
            else:
                lane = task.lane.label
                refusals[task.task_id] = LaneFull(self._queue, lane, depth=depth, bound=bound)
        return refusals

    async def _depths(self, tasks: Sequence[NewTask]) -> dict[Lane, int]:
        seen_at, depths = self._seen
        is_known = self._clock.monotonic() - seen_at <= LOOK_SECONDS and all(
            depths[task.lane] + len(tasks) <= self._bound(task.lane) / 2 for task in tasks
        )
        if not is_known:
            seen_at = self._clock.monotonic()
            depths = dict(await self._look())
            self._seen = seen_at, depths
        return depths
