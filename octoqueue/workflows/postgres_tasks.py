"""`PostgresTaskStore`: tasks as rows, the calls of one tick as one statement each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from octoqueue.postgres.grouping import Grouped
from octoqueue.postgres.statements import load_statements
from octoqueue.primitives.lane import Lane, lane_from
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
    from datetime import timedelta

    from octoqueue.postgres.pool import PooledConnection, PostgresPool, Record
    from octoqueue.primitives.messages import Enqueue


@dataclass(frozen=True, slots=True)
class _Start:
    task_id: TaskId
    arm: str


@dataclass(frozen=True, slots=True)
class _Finish:
    task_id: TaskId
    status: TaskStatus
    result: str | None
    error: str | None
    attempts: int


class PostgresTaskStore:
    """The `TaskStore` protocol on `sql/tasks.sql`; for one event loop."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._sql = load_statements("tasks")
        self._add = Grouped(self._add_many, key=_id_of)
        self._get = Grouped(self._get_many)
        self._start = Grouped(self._start_many, key=_id_of)
        self._finish = Grouped(self._finish_many, key=_id_of)
        self._withdraw = Grouped(self._withdraw_many)

    async def aclose(self) -> None:
        """Answer what is under way; the pool belongs to whoever made it."""
        for grouped in (self._add, self._get, self._start, self._finish, self._withdraw):
            await grouped.aclose()

    async def add(self, task: NewTask) -> None:
        """Keep a new task, queued."""
        await self._add(task)

    async def get(self, task_id: TaskId) -> Task | None:
        """Return the task, None when there is none."""
        return await self._get(task_id)

    async def queued(self) -> dict[Lane, int]:
        """Return how many tasks wait for their plan, by lane."""
        rows = await self._pool.fetch(self._sql["count_queued_tasks"])
        return dict.fromkeys(Lane, 0) | {lane_from(row["lane"]): row["queued"] for row in rows}

    async def start(self, task_id: TaskId, *, arm: str) -> Verdict:
        """Move it to running."""
        return await self._start(_Start(task_id, arm))

    async def complete(self, task_id: TaskId, *, result: JsonObject, attempts: int) -> Verdict:
        """Move it to completed."""
        row = _Finish(task_id, TaskStatus.COMPLETED, _stored(result), None, attempts)
        return await self._finish(row)

    async def fail(self, task_id: TaskId, *, error: TaskError, attempts: int) -> Verdict:
        """Move it to failed."""
        row = _Finish(task_id, TaskStatus.FAILED, None, _stored(error.as_json()), attempts)
        return await self._finish(row)

    async def withdraw(self, task_id: TaskId) -> None:
        """Forget a queued task."""
        await self._withdraw(task_id)

    # ── tasks that name their arm ────────────────────────────────────────────────────────────────

    async def accept(
        self,
        tasks: Sequence[NewTask],
        messages: Sequence[Enqueue],
        *,
        actors: Sequence[str],
        head_start: timedelta,
    ) -> None:
        """Keep new tasks and, in the outbox, the message of each: both or neither.

        A message has the id of its task. For `head_start` the relays leave it to the caller.
        """
        await self._pool.fetch(
            self._sql["accept_direct_tasks"],
            *_columns(tasks),
            actors,
            [message.queue for message in messages],
            [message.payload for message in messages],
            head_start,
        )

    async def look_after(self, *, unseen_for: timedelta, limit: int) -> Sequence[NewTask]:
        """Return unfinished tasks whose message was last sent or looked for that long ago.

        They are stamped as looked after, so that no task is given to two callers.
        """
        rows = await self._pool.fetch(self._sql["look_after_direct_tasks"], unseen_for, limit)
        return [
            NewTask(
                task_id=TaskId(str(row["task_id"])),
                goal=row["goal"],
                lane=lane_from(row["lane"]),
                arm=row["asked_arm"],
            )
            for row in rows
        ]

    # ── in somebody's transaction ────────────────────────────────────────────────────────────────

    async def add_in(self, connection: PooledConnection, tasks: Sequence[NewTask]) -> None:
        """Keep new tasks if the transaction commits."""
        await connection.execute(self._sql["add_tasks"].text, *_columns(tasks))

    async def withdraw_in(self, connection: PooledConnection, task_ids: Sequence[TaskId]) -> None:
        """Forget queued tasks if the transaction commits."""
        await connection.execute(self._sql["withdraw_tasks"].text, task_ids)

    async def check(self) -> None:
        """Return when the database answers."""
        await self._pool.check()

    async def _add_many(self, tasks: Sequence[NewTask]) -> Sequence[None]:
        await self._pool.fetch(self._sql["add_tasks"], *_columns(tasks))
        return [None] * len(tasks)

    async def _get_many(self, task_ids: Sequence[TaskId]) -> Sequence[Task | None]:
        rows = await self._pool.fetch(self._sql["get_tasks"], task_ids)
        found = {task.task_id: task for task in map(_task_from, rows)}
        return [found.get(task_id) for task_id in task_ids]

    async def _start_many(self, starts: Sequence[_Start]) -> Sequence[Verdict]:
        rows = await self._pool.fetch(
            self._sql["start_tasks"],
            [start.task_id for start in starts],
            [start.arm for start in starts],
        )
        before = _statuses(rows)
        return [verdict_on(before.get(each.task_id), TaskStatus.RUNNING) for each in starts]

    async def _finish_many(self, finishes: Sequence[_Finish]) -> Sequence[Verdict]:
        rows = await self._pool.fetch(
            self._sql["finish_tasks"],
            [each.task_id for each in finishes],
            [each.status for each in finishes],
            [each.result for each in finishes],
            [each.error for each in finishes],
            [each.attempts for each in finishes],
        )
        before = _statuses(rows)
        return [verdict_on(before.get(each.task_id), each.status) for each in finishes]

    async def _withdraw_many(self, task_ids: Sequence[TaskId]) -> Sequence[None]:
        await self._pool.fetch(self._sql["withdraw_tasks"], task_ids)
        return [None] * len(task_ids)


def _id_of(item: NewTask | _Start | _Finish) -> TaskId:
    return item.task_id


def _columns(
    tasks: Sequence[NewTask],
) -> tuple[list[str], list[str], list[str], list[str | None]]:
    return (
        [task.task_id for task in tasks],
        [task.goal for task in tasks],
        [task.lane.label for task in tasks],
        [task.arm for task in tasks],
    )


def _statuses(rows: Sequence[Record]) -> dict[str, TaskStatus]:
    return {str(row["task_id"]): TaskStatus(row["status"]) for row in rows}


def _stored(value: JsonObject) -> str:
    """Return the JSON that jsonb keeps: it has no NUL, and orjson takes no lone surrogate."""
    written = orjson.dumps(value)
    if b"\\u0000" in written:
        written = orjson.dumps(without_nul(value))
    return written.decode()


def _task_from(row: Record) -> Task:
    result, error = row["result"], row["error"]
    return Task(
        task_id=TaskId(str(row["task_id"])),
        goal=row["goal"],
        lane=lane_from(row["lane"]),
        status=TaskStatus(row["status"]),
        arm=row["arm"],
        result=None if result is None else orjson.loads(result),
        error=None if error is None else orjson.loads(error),
        attempts=row["attempts"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        asked_arm=row["asked_arm"],
    )
