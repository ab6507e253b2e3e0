"""The states of executions and steps, and which moves between them are legal. Pure."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType


class ExecutionStatus(StrEnum):
    """Where an execution is, in the order of its life."""

    QUEUED = "queued"
    """Accepted; no orchestrator has begun it."""
    RUNNING = "running"
    BLOCKED = "blocked"
    """No orchestrator has the code it needs, or the code does not match its journal."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CONTINUED = "continued"
    """It ended by continuing as a new execution of the same workflow."""


_ENDS = frozenset(
    {
        ExecutionStatus.COMPLETED,
        ExecutionStatus.FAILED,
        ExecutionStatus.CANCELLED,
        ExecutionStatus.CONTINUED,
    }
)
# A turn may begin an execution and end it at once; nothing is queued again, nothing leaves an end.
LEGAL_MOVES = MappingProxyType(
    {
        status: frozenset[ExecutionStatus]()
        if status in _ENDS
        else _ENDS | {ExecutionStatus.RUNNING, ExecutionStatus.BLOCKED}
        for status in ExecutionStatus
    }
)
FINAL_STATUSES = frozenset(status for status, moves in LEGAL_MOVES.items() if not moves)


class StepKind(StrEnum):
    """What a step does."""

    CALL = "call"
    """A message for an actor."""
    RUN = "run"
    """A function run by the orchestrator itself."""
    SLEEP = "sleep"
    SIGNAL = "signal"
    """A wait for a signal."""
    CHILD = "child"
    """Another execution."""
    EVENT = "event"
    """Something told to the caller; ended when it begins."""
    PATCH = "patch"
    """A change of the code this execution has; ended when it begins."""
    CANCEL = "cancel"
    """Somebody asked for the end; ended when it begins."""


class StepStatus(StrEnum):
    """Where a step is."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Nobody waits for it any more: its execution has ended or gone on without it."""


class SignalKind(StrEnum):
    """What has been sent to an execution."""

    SENT = "sent"
    """By a program or a person: `name` and a value."""
    CANCEL = "cancel"
    """The wish that it ends; the value is the reason."""
    CHILD = "child"
    """A child has ended; `name` is the key of the step that waits, the value how it ended."""


class Complexity(StrEnum):
    """How demanding an execution is; it chooses resources, time limits and models of its steps."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
