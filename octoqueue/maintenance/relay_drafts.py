"""Rows of the outbox to what a store takes. Pure but for the registry of actors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from octoqueue.broker.handles import MessageHandle
from octoqueue.errors import ActorUnknown, EnvelopeError, InvalidMessage
from octoqueue.primitives.envelope import unpack_header
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.lane import lane_from
from octoqueue.primitives.messages import Enqueue

if TYPE_CHECKING:
    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.postgres.outbox import OutboxRow
    from octoqueue.primitives.body_json import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCall:
    """What `octoqueue_enqueue` was given."""

    args: list[Json]
    kwargs: dict[str, Json]
    options: dict[str, Json]


def draft_from(row: OutboxRow, broker: LaneBroker) -> Enqueue:
    """Return the message of a row; the same id again however often it is asked.

    Raises:
        ActorUnknown: the row names no queue, and its actor is not declared here.
        EnqueueError: the message cannot be enqueued.
        EnvelopeError: the row's envelope is none, or another message's.
    """
    if row.call is not None:
        return _draft_of_call(row, _call_from(row.call), broker)
    payload, queue = row.envelope or b"", row.queue or ""
    if unpack_header(payload).message_id != row.message_id:
        raise EnvelopeError("the envelope belongs to another message")
    lane = lane_from(row.lane or "")
    return Enqueue(queue=queue, lane=lane, payload=payload, delay_ms=row.delay_ms)


def _call_from(written: str) -> WrittenCall:
    try:
        return WrittenCall(**orjson.loads(written))
    except orjson.JSONDecodeError as error:
        raise InvalidMessage("args, kwargs or options", f"cannot be read: {error}") from None


def _draft_of_call(row: OutboxRow, call: WrittenCall, broker: LaneBroker) -> Enqueue:
    """As if a program that has declared the actor had sent it."""
    queue = row.queue
    if queue is None:
        if row.actor not in broker.actors:
            raise ActorUnknown(row.actor, known=tuple(sorted(broker.actors)))
        queue = broker.actors[row.actor].queue_name
    lane = {} if row.lane is None else {"lane": row.lane}
    message: MessageHandle[object] = MessageHandle(
        queue_name=queue,
        actor_name=row.actor,
        args=tuple(call.args),
        kwargs=call.kwargs,
        options=call.options | lane,
        message_id=text_from_id(row.message_id),
        message_timestamp=row.created_ms,
    )
    return broker.enveloped(message, delay_ms=row.delay_ms)
