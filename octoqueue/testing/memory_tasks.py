"""`MemoryTaskStore`: a `TaskStore` in one process, with the promises of the PostgreSQL store.

It is for tests: nothing is durable and nothing is shared between processes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson

from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.tasks import (
    JsonObject,
    NewTask,
    Task,
    TaskError,
    TaskId,
    TaskStatus,
    Verdict,
    verdict_on,
    without_nul,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class MemoryTaskStore:
    """Implements `TaskStore` with a dictionary."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Start empty."""
        self._clock = clock or SystemClock()
        self._rows: dict[TaskId, Task] = {}
        self._looked_after: dict[TaskId, datetime] = {}

    async def add(self, task: NewTask) -> None:
        """Keep a new task, queued."""
        queued = Task(
            task_id=task.task_id,
            goal=task.goal,
            lane=task.lane,
            status=TaskStatus.QUEUED,
            arm=None,
            result=None,
            error=None,
            attempts=0,
            created_at=self._now(),
            started_at=None,
            finished_at=None,
            asked_arm=task.arm,
        )
        self._rows.setdefault(task.task_id, queued)

    async def get(self, task_id: TaskId) -> Task | None:
        """Return the task, None when there is none."""
        return self._rows.get(task_id)

    async def queued(self) -> dict[Lane, int]:
        """Return how many tasks wait for their plan, by lane."""
        waiting = [
            task
            for task in self._rows.values()
            if task.status is TaskStatus.QUEUED and task.asked_arm is None
        ]
        return {lane: sum(task.lane is lane for task in waiting) for lane in Lane}

    async def start(self, task_id: TaskId, *, arm: str) -> Verdict:
        """Move it to running."""
        return self._move(task_id, TaskStatus.RUNNING, arm=arm, started_at=self._now())

    async def complete(self, task_id: TaskId, *, result: JsonObject, attempts: int) -> Verdict:
        """Move it to completed."""
        return self._move(
            task_id,
            TaskStatus.COMPLETED,
            result=_kept(result),
            attempts=attempts,
            finished_at=self._now(),
        )

    async def fail(self, task_id: TaskId, *, error: TaskError, attempts: int) -> Verdict:
        """Move it to failed."""
        return self._move(
            task_id,
            TaskStatus.FAILED,
            error=_kept(error.as_json()),
            attempts=attempts,
            finished_at=self._now(),
        )

    async def withdraw(self, task_id: TaskId) -> None:
        """Forget a queued task."""
        task = self._rows.get(task_id)
        if task is not None and task.status is TaskStatus.QUEUED:
            del self._rows[task_id]

    async def look_after(self, *, unseen_for: timedelta, limit: int) -> Sequence[NewTask]:
        """Return unfinished tasks that name their arm and were not looked after for that long."""
        now = self._now()
        due = [
            task
            for task in self._rows.values()
            if task.asked_arm is not None
            and task.finished_at is None
            and self._looked_after.get(task.task_id, task.created_at) < now - unseen_for
        ][:limit]
        self._looked_after |= {task.task_id: now for task in due}
        return [
            NewTask(task_id=task.task_id, goal=task.goal, lane=task.lane, arm=task.asked_arm)
            for task in due
        ]

    async def check(self) -> None:
        """Return at once."""

    def _move(self, task_id: TaskId, wanted: TaskStatus, **changes: object) -> Verdict:
        task = self._rows.get(task_id)
        verdict = verdict_on(None if task is None else task.status, wanted)
        if task is not None and verdict is Verdict.MOVED:
            self._rows[task_id] = replace(task, status=wanted, **changes)  # type: ignore[arg-type]
        return verdict

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() / 1000, tz=UTC)


def _kept(value: JsonObject) -> JsonObject:
    """Return a copy by way of JSON, as a server would give it back."""
    kept: JsonObject = orjson.loads(orjson.dumps(without_nul(value)))
    return kept
