"""Executions, steps and turns for the tests of workflow stores, with as little said as possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.routing.partitions import PartitionMap
from octoqueue.workflows.executions import (
    Execution,
    ExecutionId,
    NewExecution,
    WorkflowId,
    new_execution_id,
    partition_of,
)
from octoqueue.workflows.journal import Signal, SignalId, Step, Turn
from octoqueue.workflows.protocol import Agent, AgentId
from octoqueue.workflows.states import ExecutionStatus, SignalKind, StepKind, StepStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from octoqueue.workflows.protocol import Loaded, WorkflowStore

MAP = PartitionMap(10)
ALL = tuple(range(10))
ODD = b'{"n":1.50,"s":"\\u0000 \\ud83d\\ude00 \xe2\x98\x83"}'
"""JSON that comes back as it was only from who keeps its text."""


def a_workflow(workflow_id: str | None = None, **fields: Any) -> NewExecution:  # noqa: ANN401
    """Return a new execution; of a workflow id of its own, unless one is given."""
    ident = WorkflowId(workflow_id or f"w-{uuid4()}")
    given: dict[str, Any] = {
        "workflow_id": ident,
        "execution_id": new_execution_id(ident),
        "partition": partition_of(ident, MAP),
        "name": "order",
        "input": b'{"n":1}',
    }
    return NewExecution(**(given | fields))


def a_step(key: str, kind: StepKind = StepKind.CALL, **fields: Any) -> Step:  # noqa: ANN401
    """Return a pending step."""
    given: dict[str, Any] = {
        "key": key,
        "kind": kind,
        "name": f"actor {key}",
        "digest": b"\0digest",
        "status": StepStatus.PENDING,
        "input": b'{"queue":"q","args":[],"kwargs":{},"options":{}}',
        "began_at_ms": 1_000,
    }
    return Step(**(given | fields))


def ended(step: Step, order: int, output: bytes = b"1") -> Step:
    """Return a step that has completed."""
    return step._replace(
        status=StepStatus.COMPLETED, order=order, output=output, ended_at_ms=2_000, attempts=1
    )


def turn(of: NewExecution | Execution, *steps: Step, **fields: Any) -> Turn:  # noqa: ANN401
    """Return a turn of an execution."""
    return Turn(execution_id=of.execution_id, partition=of.partition, steps=steps, **fields)


def begins(of: NewExecution | Execution, *steps: Step, **fields: Any) -> Turn:  # noqa: ANN401
    """Return a turn with which an execution runs."""
    return turn(of, *steps, status=ExecutionStatus.RUNNING, **fields)


def completes(of: NewExecution | Execution, *steps: Step, **fields: Any) -> Turn:  # noqa: ANN401
    """Return a turn with which an execution completes."""
    given: dict[str, Any] = {"status": ExecutionStatus.COMPLETED, "output": b'"done"'}
    return turn(of, *steps, **(given | fields))


def fails(of: NewExecution | Execution, *steps: Step, **fields: Any) -> Turn:  # noqa: ANN401
    """Return a turn with which an execution fails."""
    given: dict[str, Any] = {"status": ExecutionStatus.FAILED, "error": b'{"error":"Oops"}'}
    return turn(of, *steps, **(given | fields))


def a_signal(name: str = "go", **fields: Any) -> Signal:  # noqa: ANN401
    """Return a signal."""
    given: dict[str, Any] = {
        "signal_id": SignalId(text_from_id(new_message_id())),
        "kind": SignalKind.SENT,
        "name": name,
        "value": b"{}",
        "sent_at_ms": 5_000,
    }
    return Signal(**(given | fields))


def an_agent() -> AgentId:
    """Return the id of an orchestrator that nobody has heard of."""
    return AgentId(text_from_id(new_message_id()))


class Holder:
    """An orchestrator that holds partitions and writes."""

    def __init__(self, store: WorkflowStore, agent_id: AgentId, epochs: dict[int, int]) -> None:
        self.store = store
        self.agent_id = agent_id
        self.epochs = epochs

    @classmethod
    async def of(
        cls,
        store: WorkflowStore,
        *,
        lease: timedelta,
        partitions: Sequence[int] = ALL,
        agent_id: AgentId | None = None,
    ) -> Holder:
        """Return one that holds what nobody else does."""
        agent_id = agent_id or an_agent()
        await store.attend(Agent(agent_id=agent_id, host="here"), lease=lease)
        return cls(store, agent_id, await store.take(agent_id, partitions))

    async def write(self, *turns: Turn) -> frozenset[int]:
        """Write turns, and expect nothing."""
        return await self.store.write(self.agent_id, turns, self.epochs)

    async def wrote(self, *turns: Turn) -> None:
        """Write turns into partitions that are held."""
        assert await self.write(*turns) == frozenset()


async def started(store: WorkflowStore, **fields: Any) -> NewExecution:  # noqa: ANN401
    """Return an execution that was started."""
    new = a_workflow(**fields)
    assert (await store.start(new)).is_new
    return new


async def read(store: WorkflowStore, of: NewExecution | Execution | ExecutionId) -> Execution:
    """Return an execution that is there."""
    found = await store.execution(of if isinstance(of, str) else of.execution_id)
    assert found is not None
    return found


async def loaded(store: WorkflowStore, of: NewExecution | Execution) -> Loaded:
    """Return an execution with its journal."""
    (found,) = await store.load([of.execution_id])
    return found
