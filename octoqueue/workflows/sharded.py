"""`ShardedWorkflowStore`: partitions of workflows dealt to several databases.

Ids say where a workflow belongs: its partition as everywhere, the partition its shard. A workflow,
its executions and its children are in one shard, so whatever has to be one transaction is one.

The weaknesses: an orchestrator attends in every shard, so one that cannot be reached stops all who
would join or renew. A write that spans shards is a transaction in each; when one of them fails, the
others may have been written, and writing again is safe. Lists ask all shards. Changing how many
shards there are moves no rows.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from octoqueue.workflows.executions import message_id_of, partition_of
from octoqueue.workflows.protocol import Roster
from octoqueue.workflows.sharding import shards_of_partitions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from octoqueue.routing.partitions import PartitionMap
    from octoqueue.workflows.executions import Execution, ExecutionId, NewExecution, WorkflowId
    from octoqueue.workflows.journal import Signal, Step, Turn
    from octoqueue.workflows.protocol import (
        Agent,
        AgentId,
        Filter,
        Hold,
        Loaded,
        Started,
        Timer,
        WorkflowStore,
    )

AnswerT = TypeVar("AnswerT")
ItemT = TypeVar("ItemT")


class ShardedWorkflowStore:
    """The `WorkflowStore` protocol over several stores."""

    def __init__(self, shards: Sequence[WorkflowStore], partitions: PartitionMap) -> None:
        """Deal the partitions.

        Raises:
            ConfigError: there are no shards, or more than partitions.
        """
        self._shards = tuple(shards)
        self._partitions = partitions
        self._homes = shards_of_partitions(partitions.partitions, len(self._shards))

    # ── for callers ──────────────────────────────────────────────────────────────────────────────

    async def start(self, new: NewExecution) -> Started:
        """Keep a new execution, queued."""
        return await self._of(new.partition).start(new)

    async def withdraw(self, execution_id: ExecutionId) -> bool:
        """Forget a queued execution."""
        return await self._of_execution(execution_id).withdraw(execution_id)

    async def signal(self, workflow_id: WorkflowId, signal: Signal) -> Execution:
        """Keep a signal for the newest execution of a workflow."""
        return await self._of_workflow(workflow_id).signal(workflow_id, signal)

    async def execution(self, execution_id: ExecutionId) -> Execution | None:
        """Return an execution."""
        return await self._of_execution(execution_id).execution(execution_id)

    async def newest(self, workflow_id: WorkflowId) -> Execution | None:
        """Return the newest execution of a workflow."""
        return await self._of_workflow(workflow_id).newest(workflow_id)

    async def executions(self, which: Filter, *, limit: int = 100) -> list[Execution]:
        """Return executions, newest first."""
        if which.workflow_id is not None:
            return await self._of_workflow(which.workflow_id).executions(which, limit=limit)
        found = await self._all(lambda shard: shard.executions(which, limit=limit))
        return sorted(chain(*found), key=_id_of, reverse=True)[:limit]

    async def history(self, execution_id: ExecutionId) -> Loaded | None:
        """Return an execution with its whole journal."""
        return await self._of_execution(execution_id).history(execution_id)

    async def refused_signals(self, execution_id: ExecutionId) -> list[tuple[Signal, bytes]]:
        """Return the signals that did not fit."""
        return await self._of_execution(execution_id).refused_signals(execution_id)

    async def holder(self, partition: int) -> Agent | None:
        """Return the orchestrator that holds a partition."""
        return await self._of(partition).holder(partition)

    async def retry_from(self, execution_id: ExecutionId, step: str) -> Execution:
        """Begin a new execution of a failed or cancelled one."""
        return await self._of_execution(execution_id).retry_from(execution_id, step)

    # ── for orchestrators: who holds what ────────────────────────────────────────────────────────

    async def attend(self, agent: Agent, *, lease: timedelta) -> Roster:
        """Register or renew an orchestrator in every shard."""
        rosters = await self._all(lambda shard: shard.attend(agent, lease=lease))
        holds: dict[int, Hold] = {}
        for home, roster in enumerate(rosters):
            holds.update(
                (partition, hold)
                for partition, hold in roster.holds.items()
                if partition < len(self._homes) and self._homes[partition] == home
            )
        agents = {each for roster in rosters for each in roster.agents}
        return Roster(agents=tuple(sorted(agents)), holds=dict(sorted(holds.items())))

    async def take(self, agent_id: AgentId, partitions: Sequence[int]) -> dict[int, int]:
        """Hold partitions that nobody holds."""
        got = await self._each(partitions, _itself, lambda shard, mine: shard.take(agent_id, mine))
        return dict(sorted(chain(*(each.items() for each in got))))

    async def release(self, agent_id: AgentId, epochs: Mapping[int, int]) -> None:
        """Give partitions up."""
        await self._each(
            epochs,
            _itself,
            lambda shard, mine: shard.release(agent_id, {each: epochs[each] for each in mine}),
        )

    async def leave(self, agent_id: AgentId) -> None:
        """End an orchestrator."""
        await self._all(lambda shard: shard.leave(agent_id))

    # ── for orchestrators: running ───────────────────────────────────────────────────────────────

    async def load(self, execution_ids: Sequence[ExecutionId]) -> list[Loaded]:
        """Return executions with their journals."""
        found = await self._each(
            dict.fromkeys(execution_ids), self._partition_of, lambda shard, mine: shard.load(mine)
        )
        loaded = {each.execution.execution_id: each for each in chain(*found)}
        return [loaded[each] for each in dict.fromkeys(execution_ids) if each in loaded]

    async def write(
        self, agent_id: AgentId, turns: Sequence[Turn], epochs: Mapping[int, int]
    ) -> frozenset[int]:
        """Commit turns, in one transaction for each shard."""
        lost = await self._each(
            turns, _place_of, lambda shard, mine: shard.write(agent_id, mine, epochs)
        )
        return frozenset(chain(*lost))

    async def open_executions(
        self, partition: int, *, after: ExecutionId | None = None, limit: int = 500
    ) -> list[ExecutionId]:
        """Return executions that want attention."""
        return await self._of(partition).open_executions(partition, after=after, limit=limit)

    async def pending_calls(
        self,
        partition: int,
        *,
        after: tuple[ExecutionId, str] | None = None,
        limit: int = 500,
    ) -> list[tuple[Execution, Step]]:
        """Return pending CALL and RUN steps of running and blocked executions."""
        return await self._of(partition).pending_calls(partition, after=after, limit=limit)

    async def timers(
        self, partitions: Sequence[int], *, until_ms: int, limit: int = 10_000
    ) -> list[Timer]:
        """Return what is due until then."""
        found = await self._each(
            partitions,
            _itself,
            lambda shard, mine: shard.timers(mine, until_ms=until_ms, limit=limit),
        )
        return sorted(chain(*found), key=_due)[:limit]

    async def blocked(
        self,
        partition: int,
        *,
        names: Sequence[str],
        after: ExecutionId | None = None,
        limit: int = 500,
    ) -> list[ExecutionId]:
        """Return blocked executions of these workflow functions."""
        return await self._of(partition).blocked(partition, names=names, after=after, limit=limit)

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────

    async def prune(self, *, older_than: timedelta, now: datetime | None = None) -> int:
        """Forget executions that ended longer ago."""
        return sum(await self._all(lambda shard: shard.prune(older_than=older_than, now=now)))

    async def check(self) -> None:
        """Return when all shards answer."""
        await self._all(lambda shard: shard.check())

    async def aclose(self) -> None:
        """Answer what is under way, in all shards."""
        await self._all(lambda shard: shard.aclose())

    def _of(self, partition: int) -> WorkflowStore:
        return self._shards[self._homes[partition]]

    def _of_workflow(self, workflow_id: WorkflowId) -> WorkflowStore:
        return self._of(partition_of(workflow_id, self._partitions))

    def _of_execution(self, execution_id: ExecutionId) -> WorkflowStore:
        return self._of(self._partition_of(execution_id))

    def _partition_of(self, execution_id: ExecutionId) -> int:
        return self._partitions.of_id(message_id_of(execution_id))

    async def _all(self, ask: Callable[[WorkflowStore], Awaitable[AnswerT]]) -> list[AnswerT]:
        return await _settled(ask(shard) for shard in self._shards)

    async def _each(
        self,
        items: Iterable[ItemT],
        partition_of_item: Callable[[ItemT], int],
        ask: Callable[[WorkflowStore, list[ItemT]], Awaitable[AnswerT]],
    ) -> list[AnswerT]:
        """Ask every shard for those of the items that belong to it."""
        by_shard: defaultdict[int, list[ItemT]] = defaultdict(list)
        for item in items:
            by_shard[self._homes[partition_of_item(item)]].append(item)
        return await _settled(ask(self._shards[home], mine) for home, mine in by_shard.items())


async def _settled(asked: Iterable[Awaitable[AnswerT]]) -> list[AnswerT]:
    """Return all answers; raise the first error when nothing is under way any more."""
    answers: list[AnswerT] = []
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(answer, BaseException):
            raise answer
        answers.append(answer)
    return answers


def _itself(partition: int) -> int:
    return partition


def _place_of(turn: Turn) -> int:
    return turn.partition


def _id_of(execution: Execution) -> ExecutionId:
    return execution.execution_id


def _due(timer: Timer) -> tuple[int, str, str]:
    return timer.due_at_ms, timer.execution_id, timer.step
