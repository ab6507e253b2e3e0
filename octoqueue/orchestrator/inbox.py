"""What a claim of letters tells: which executions, and what happened to them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from octoqueue.errors import EnvelopeError
from octoqueue.workflows.letters import QUEUE_PREFIX, Completion, letter_from
from octoqueue.workflows.states import StepStatus

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from octoqueue.primitives.messages import Lease
    from octoqueue.workflows.executions import ExecutionId
    from octoqueue.workflows.journal import Turn
    from octoqueue.workflows.machine import Machine

_PREFIX_LENGTH = len(QUEUE_PREFIX)


class Input(NamedTuple):
    """Something that happened to an execution, and the letter that told it, if one did."""

    execution_id: ExecutionId
    partition: int
    told: Completion | None = None
    """How a step ended; None: what happened stands in the store."""
    lease: Lease | None = None
    timer: str | None = None
    """The key of the step whose time has come, empty for the execution's deadline."""

    @property
    def needs_read(self) -> bool:
        """Whether it is about something that stands in the store."""
        return self.told is None and self.timer is None


class Post(NamedTuple):
    """The letters of one claim, sorted."""

    inputs: list[Input]
    """In the order in which they were claimed."""
    foreign: list[Lease]
    """Letters of partitions that are not held: for whoever holds them."""
    unreadable: list[tuple[Lease, EnvelopeError]]


def sorted_post(leases: Iterable[Lease], held: Container[int]) -> Post:
    """Return what letters tell; `held` are the partitions whose letters are opened."""
    post = Post([], [], [])
    for lease in leases:
        partition = partition_of(lease.queue)
        if partition not in held:
            post.foreign.append(lease)
            continue
        try:
            letter = letter_from(lease.payload)
        except EnvelopeError as error:
            post.unreadable.append((lease, error))
            continue
        told = letter if isinstance(letter, Completion) else None
        post.inputs.append(Input(letter.execution_id, partition, told, lease))
    return post


def partition_of(queue: str) -> int:
    """Return the partition whose letters a queue holds."""
    return int(queue[_PREFIX_LENGTH:])


def tell_completion(machine: Machine, told: Completion, *, now_ms: int) -> Turn | None:
    """Tell a machine how the message of a step ended; return the turn that follows, if one does."""
    if told.outcome == "completed":
        return machine.step_ended(
            told.step,
            status=StepStatus.COMPLETED,
            output=orjson.dumps(told.value),
            error=None,
            attempts=told.attempts,
            now_ms=now_ms,
        )
    error = told.error or {"error": told.outcome.capitalize(), "message": "", "types": []}
    return machine.step_ended(
        told.step,
        status=StepStatus.FAILED,
        output=None,
        error=orjson.dumps(error),
        attempts=told.attempts,
        now_ms=now_ms,
    )
