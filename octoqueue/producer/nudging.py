"""Making an orchestrator look at an execution now, after something was written for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors import OctoqueueError, StoreError
from octoqueue.workflows.executions import message_id_of
from octoqueue.workflows.letters import nudge_message, queue_of

if TYPE_CHECKING:
    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.messages import Enqueue
    from octoqueue.workflows.executions import Execution


async def nudge(lanes: LaneStore, execution: Execution, *, now_ms: int) -> OctoqueueError | None:
    """Send a letter about an execution; return why it could not be sent, None when it was.

    What there is to see stands in PostgreSQL, and whoever holds the partition looks by itself every
    few seconds: a letter that is not sent only delays.
    """
    try:
        (answer,) = await lanes.enqueue([[letter_about(execution, now_ms=now_ms)]])
    except StoreError as error:
        return error
    return answer if isinstance(answer, OctoqueueError) else None


def letter_about(execution: Execution, *, now_ms: int) -> Enqueue:
    """Return the letter that makes whoever holds an execution look at it."""
    return nudge_message(
        execution.execution_id,
        to=queue_of(execution.partition),
        lane=execution.lane,
        beside=message_id_of(execution.execution_id),
        now_ms=now_ms,
    )
