"""`TaskStore`: what one can do with tasks, whatever keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from octoqueue.primitives.lane import Lane
    from octoqueue.workflows.tasks import JsonObject, NewTask, Task, TaskError, TaskId, Verdict


class TaskStore(Protocol):
    """Keeps tasks.

    Every verb may raise `StoreUnavailable`; then its effect is unknown, and calling it again is
    safe. Calls made in the same tick may share one statement.
    """

    async def add(self, task: NewTask) -> None:
        """Keep a new task, queued. Adding it twice is adding it once."""
        ...

    async def get(self, task_id: TaskId) -> Task | None:
        """Return the task, None when there is none."""
        ...

    async def queued(self) -> dict[Lane, int]:
        """Return how many tasks wait for their plan, by lane; those that name their arm do not."""
        ...

    async def start(self, task_id: TaskId, *, arm: str) -> Verdict:
        """Move it to running, worked on by `arm`. One already running keeps its arm."""
        ...

    async def complete(self, task_id: TaskId, *, result: JsonObject, attempts: int) -> Verdict:
        """Move it to completed. Text in `result` may hold anything; NULs are replaced."""
        ...

    async def fail(self, task_id: TaskId, *, error: TaskError, attempts: int) -> Verdict:
        """Move it to failed."""
        ...

    async def withdraw(self, task_id: TaskId) -> None:
        """Forget a queued task whose caller is told that it was not accepted."""
        ...

    async def look_after(self, *, unseen_for: timedelta, limit: int) -> Sequence[NewTask]:
        """Return unfinished tasks that name their arm and were not looked after for that long.

        The caller owes each of them a look; no task is given to two callers.
        """
        ...

    async def check(self) -> None:
        """Return when the store answers.

        Raises:
            StoreUnavailable: it does not.
        """
        ...
