"""`Acceptance`: a task's row and its workflow, both or neither; those of one tick together.

    room in the lane? ─► row + execution, one transaction ─► nudge at once ─► accepted
      429, 503: nothing    503: nothing is known              │ full: both taken back, 429
      is written           to be accepted                     └ Redis gone: the orchestrator looks

A lane has room while fewer tasks than its bound wait to be started. That is asked of PostgreSQL
(`room.py` says when), and Redis is asked whether it answers, because without it nothing would run;
a Redis that goes in between is noticed by the first nudge that cannot be sent.

Once the transaction has committed the task is accepted, whatever happens to Redis or to this
process, with one exception: when the orchestrator's lane is full, row and execution are taken back
in one transaction, and only a caller whose execution was not begun yet is told no. So a caller who
is told no, or 503 because Redis is gone, has no task that runs later.

The weakness: whether a commit that got no answer took effect is unknown. Its caller is told 503,
which means "not known to be accepted", and a task that was committed runs.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

from octoqueue.errors import LaneFull, StoreError
from octoqueue.postgres.grouping import Grouped
from octoqueue.primitives.clock import SystemClock
from octoqueue.workflows.executions import (
    ExecutionId,
    NewExecution,
    WorkflowId,
    message_id_of,
    new_execution_id,
    partition_of,
)
from octoqueue.workflows.letters import nudge_message, queue_of
from octoqueue.workflows.states import Complexity
from octoqueue.workflows.tasks import TaskId
from workers.intake import QUEUE, WORKFLOW
from workers.room import Room

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.postgres.pool import PostgresPool
    from octoqueue.primitives.lane import Lane
    from octoqueue.primitives.messages import Enqueue
    from octoqueue.routing.partitions import PartitionMap
    from octoqueue.workflows.postgres_tasks import PostgresTaskStore
    from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
    from octoqueue.workflows.tasks import NewTask

log = logging.getLogger(__name__)

_NUDGE_SECONDS: Final = 1.0
"""How long a caller waits for a nudge to be sent, without which its task begins a little later."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    task: NewTask
    complexity: Complexity | None


class Acceptance:
    """Accepts tasks; for one event loop."""

    def __init__(
        self,
        pool: PostgresPool,
        tasks: PostgresTaskStore,
        workflows: PostgresWorkflowStore,
        broker: LaneBroker,
        *,
        partitions: PartitionMap,
    ) -> None:
        self._pool = pool
        self._tasks = tasks
        self._workflows = workflows
        self._broker = broker
        self._partitions = partitions
        self._accept = Grouped(self._accept_many, key=_id_of, max_under_way=4)
        self._clock = SystemClock()
        self._room = Room(
            QUEUE,
            look=self._depths,
            bound=lambda lane: broker.store().options.bound(QUEUE, lane),
        )

    async def aclose(self) -> None:
        """Answer what is under way. Idempotent."""
        await self._accept.aclose()

    async def __call__(self, task: NewTask, *, complexity: Complexity | None = None) -> None:
        """Return when the task and its workflow are there to stay.

        Raises:
            LaneFull: neither is.
            StoreUnavailable: nothing is known to be accepted.
        """
        refusal = await self._accept(_Wanted(task, complexity))
        if refusal is not None:
            raise refusal

    async def _accept_many(self, wanted: Sequence[_Wanted]) -> Sequence[LaneFull | None]:
        tasks = [each.task for each in wanted]
        refusals = await self._room.refusals(tasks)
        fitting = [each for each in wanted if each.task.task_id not in refusals]
        if fitting:
            news = [self._execution(each) for each in fitting]
            async with self._pool.transaction(purpose="accept_tasks") as connection:
                await self._tasks.add_in(connection, [each.task for each in fitting])
                await self._workflows.start_in(connection, news)
            # They are committed, and so accepted unless they are taken back.
            refusals |= await self._nudge(news)
        return [refusals.get(task.task_id) for task in tasks]

    async def _depths(self) -> Mapping[Lane, int]:
        """Return how many tasks wait, when Redis answers."""
        depths, _ = await asyncio.gather(self._tasks.queued(), self._broker.store().now_ms())
        return depths

    def _execution(self, wanted: _Wanted) -> NewExecution:
        task, complexity = wanted.task, wanted.complexity
        workflow_id = WorkflowId(task.task_id)
        return NewExecution(
            workflow_id=workflow_id,
            execution_id=new_execution_id(workflow_id),
            partition=partition_of(workflow_id, self._partitions),
            name=WORKFLOW,
            input=orjson.dumps({"goal": task.goal, "complexity": complexity}),
            lane=task.lane,
            complexity=complexity or Complexity.MEDIUM,
        )

    async def _nudge(self, news: Sequence[NewExecution]) -> dict[TaskId, LaneFull]:
        """Tell the orchestrators of committed executions; return those that were taken back."""
        now_ms = self._clock.now_ms()
        letters = [[_nudge_for(new, now_ms)] for new in news]
        try:
            async with asyncio.timeout(_NUDGE_SECONDS):
                answers = await self._broker.store().enqueue(letters)
        except (StoreError, TimeoutError) as exc:
            self._room.forget()
            log.info("left_to_the_orchestrator", extra={"tasks": len(news), "reason": repr(exc)})
            return {}
        full = {
            new.execution_id: (new, answer)
            for new, answer in zip(news, answers, strict=True)
            if isinstance(answer, LaneFull)
        }
        return await self._taken_back(full) if full else {}

    async def _taken_back(
        self, full: dict[ExecutionId, tuple[NewExecution, LaneFull]]
    ) -> dict[TaskId, LaneFull]:
        """Take back tasks whose execution nobody has begun yet."""
        self._room.forget()
        ids = list(full)
        try:
            async with self._pool.transaction(purpose="withdraw_tasks") as connection:
                gone = await self._workflows.withdraw_in(connection, ids)
                taken = [full[ident] for ident, is_gone in zip(ids, gone, strict=True) if is_gone]
                await self._tasks.withdraw_in(connection, [_task_of(new) for new, _ in taken])
        except StoreError as exc:
            # They could not be taken back, so they are accepted: the orchestrator looks by itself.
            log.warning("tasks_not_withdrawn", extra={"tasks": len(full), "reason": str(exc)})
            return {}
        return {_task_of(new): refusal for new, refusal in taken}


def _nudge_for(new: NewExecution, now_ms: int) -> Enqueue:
    return nudge_message(
        new.execution_id,
        to=queue_of(new.partition),
        lane=new.lane,
        beside=message_id_of(new.execution_id),
        now_ms=now_ms,
    )


def _id_of(wanted: _Wanted) -> TaskId:
    return wanted.task.task_id


def _task_of(new: NewExecution) -> TaskId:
    return TaskId(new.workflow_id)
