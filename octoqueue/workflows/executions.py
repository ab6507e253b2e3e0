"""Workflow ids, executions as values, and which partition they belong to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType

from octoqueue.errors import InvalidMessage
from octoqueue.primitives.ids import (
    MessageId,
    affinity_of_name,
    id_from_text,
    new_message_id,
    text_from_id,
)
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.states import FINAL_STATUSES, Complexity, ExecutionStatus

if TYPE_CHECKING:
    from datetime import datetime

    from octoqueue.routing.partitions import PartitionMap

WorkflowId = NewType("WorkflowId", str)
"""Names what somebody has started, over all its executions; chosen by the caller or a uuid7."""

ExecutionId = NewType("ExecutionId", str)
"""An execution's uuid7 in its canonical 36 characters. Its affinity is that of its workflow id, so
all its messages are in one partition of Redis."""

MOST_ID_CHARACTERS = 200
CHILD_MARK = "/"
"""`order-17/3` belongs to the partition of `order-17`."""


def workflow_id_from(text: str) -> WorkflowId:
    """Return a workflow id.

    Raises:
        InvalidMessage: it is empty, too long, or holds characters that cannot be printed.
    """
    if not 1 <= len(text) <= MOST_ID_CHARACTERS:
        raise InvalidMessage(
            "workflow_id", f"has {len(text)} characters, it must have 1 to {MOST_ID_CHARACTERS}"
        )
    if not text.isprintable():
        raise InvalidMessage("workflow_id", f"{text!r} holds characters that cannot be printed")
    return WorkflowId(text)


def root_of(workflow_id: str) -> str:
    """Return what decides the partition: what stands before the first `/`."""
    return workflow_id.partition(CHILD_MARK)[0]


def partition_of(workflow_id: WorkflowId, partitions: PartitionMap) -> int:
    """Return the partition a workflow belongs to; the one of its executions' messages, too."""
    return partitions.of_key(root_of(workflow_id))


def new_execution_id(workflow_id: WorkflowId) -> ExecutionId:
    """Return a fresh id, time-ordered and with the affinity of its workflow."""
    beside = affinity_of_name(root_of(workflow_id))
    return ExecutionId(text_from_id(new_message_id(beside=beside)))


def message_id_of(execution_id: ExecutionId) -> MessageId:
    """Return an execution's id as the 16 bytes that messages know it by.

    Raises:
        InvalidMessage: it is no UUID in canonical form.
    """
    found = id_from_text(execution_id)
    if found is None:
        raise InvalidMessage("execution_id", f"{execution_id!r} is no UUID in canonical form")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """Who waits for a child."""

    execution_id: ExecutionId
    step: str
    """The key of the step that waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewExecution:
    """An execution on its way into the store."""

    workflow_id: WorkflowId
    execution_id: ExecutionId
    partition: int
    name: str
    """The workflow function's."""
    version: int = 1
    input: bytes
    """JSON."""
    lane: Lane = Lane.NORMAL
    tenant: str | None = None
    """On whose behalf; the reference's `user_id`."""
    complexity: Complexity = Complexity.MEDIUM
    signals: tuple[str, ...] | None = None
    """The signals it declares; None when it takes any."""
    deadline_at_ms: int | None = None
    parent: Parent | None = None
    run: int = 1
    """Which execution of its workflow, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One execution, as read."""

    workflow_id: WorkflowId
    execution_id: ExecutionId
    partition: int
    name: str
    version: int
    run: int
    status: ExecutionStatus
    input: bytes
    output: bytes | None
    error: bytes | None
    lane: Lane
    tenant: str | None
    complexity: Complexity
    signals: tuple[str, ...] | None
    deadline_at_ms: int | None
    parent: Parent | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self.status in FINAL_STATUSES
