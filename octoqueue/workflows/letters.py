"""Letters: what the queues of orchestrators carry. Pure.

A *completion* tells how a step's message ended; a worker commits it with the ack of that message. A
*nudge* only says that looking at an execution is worth while: what there is to see stands in
PostgreSQL, so a nudge may be lost.

Both are envelopes like all messages, so that they are seen where messages are; no actor takes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from octoqueue.errors import EnvelopeError
from octoqueue.primitives.envelope import Flag, decode_body, encode_fields, fresh_header
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.messages import Enqueue
from octoqueue.primitives.queue_names import LETTERS_PREFIX
from octoqueue.workflows.executions import ExecutionId

if TYPE_CHECKING:
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.lane import Lane

QUEUE_PREFIX = LETTERS_PREFIX
COMPLETION = "octoqueue.completion"
NUDGE = "octoqueue.nudge"
OPTION = "workflow"
"""The option of a step's message that says whom to tell: `{"execution", "step", "to"}`."""

Outcome = Literal["completed", "failed", "cancelled", "expired"]


def queue_of(partition: int) -> str:
    """Return the queue in which a partition's letters wait."""
    return f"{QUEUE_PREFIX}{partition}"


class Completion(NamedTuple):
    """How the message of a step ended."""

    execution_id: ExecutionId
    step: str
    outcome: Outcome
    value: Any = None
    """What the actor returned; with `completed`."""
    error: dict[str, Any] | None = None
    """`{"error": class, "message": …, "types": […]}`; with all else."""
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Nudge:
    """Something has been written for an execution."""

    execution_id: ExecutionId


def completion_message(
    told: Completion, *, to: str, lane: Lane, beside: MessageId, now_ms: int, limit_bytes: int
) -> Enqueue:
    """Return the message that tells an orchestrator how a step ended.

    Raises:
        PayloadNotSerializable: the value has no JSON form.
        EnvelopeTooLarge: it is over the limit.
    """
    kwargs: dict[str, Any] = {}
    if told.value is not None:
        kwargs["value"] = told.value
    if told.error is not None:
        kwargs["error"] = told.error
    if told.attempts != 1:
        kwargs["attempts"] = told.attempts
    args = (told.execution_id, told.step, told.outcome)
    body = encode_fields(to, COMPLETION, args, kwargs, {}, now_ms, limit_bytes=limit_bytes)
    ident = new_message_id(beside=beside)
    return Enqueue(to, lane, fresh_header(lane, Flag.NONE, ident) + body)


def nudge_message(
    execution_id: ExecutionId, *, to: str, lane: Lane, beside: MessageId, now_ms: int
) -> Enqueue:
    """Return the message that makes an orchestrator look at an execution."""
    body = encode_fields(to, NUDGE, (execution_id,), {}, {}, now_ms, limit_bytes=2**20)
    return Enqueue(to, lane, fresh_header(lane, Flag.NONE, new_message_id(beside=beside)) + body)


def letter_from(payload: bytes) -> Completion | Nudge:
    """Return what an envelope tells.

    Raises:
        EnvelopeError: it is no letter.
    """
    call = decode_body(payload)
    try:
        if call.actor == COMPLETION:
            execution_id, step, outcome = call.args
            return Completion(ExecutionId(execution_id), step, outcome, **call.kwargs)
        if call.actor == NUDGE:
            (execution_id,) = call.args
            return Nudge(ExecutionId(execution_id))
    except (TypeError, ValueError) as error:
        raise EnvelopeError(f"a letter to an orchestrator cannot be read: {error}") from None
    raise EnvelopeError(f"{call.actor!r} is no letter to an orchestrator")
