"""What a turn tells callers, as lane stores announce it, and back. Pure.

The journal is the truth about events and results; what is announced is only faster, and is gone
after a while. Under the id of the execution stand its result and a stream of its events; each says
its number, the place of its step among those that ended, so that whoever reads both counts it once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from octoqueue.primitives.events import EventKind, encoded
from octoqueue.primitives.messages import Announcement, ResultRecord
from octoqueue.workflows.executions import message_id_of
from octoqueue.workflows.states import FINAL_STATUSES, ExecutionStatus, StepKind
from octoqueue.workflows.turns import NULL, told_of_end

if TYPE_CHECKING:
    from collections.abc import Iterable

    from octoqueue.primitives.events import Event
    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.journal import Step, Turn

RESULT_TTL_MS: Final = 60_000
_THE_END: Final = 1_000_000_000
"""The number of the last event: greater than that of any step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowEvent:
    """Something that an execution told with `ctx.emit`, or that it has ended."""

    number: int
    """Grows within an execution."""
    value: Any
    """What was emitted; of the end its status."""
    at: datetime
    """When, by the clock of the orchestrator."""
    is_end: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an execution ended."""

    status: ExecutionStatus
    output: bytes | None = None
    """JSON; when it completed."""
    error: bytes | None = None
    """JSON; when it did not."""


def announcement_of(execution: Execution, turn: Turn, *, now_ms: int) -> Announcement | None:
    """Return what is announced of a turn once it is committed; None when it tells nothing."""
    events = [
        (step.order, _emitted(step.order, step.output or NULL, step.ended_at_ms or now_ms))
        for step in turn.steps
        if step.kind is StepKind.EVENT and step.order
    ]
    result: ResultRecord | None = None
    if turn.status is not None and turn.status in FINAL_STATUSES:
        events.append((_THE_END, _ended(turn.status, now_ms)))
        told = told_of_end(turn.status, output=turn.output, error=turn.error)
        result = ResultRecord(body=told, ttl_ms=RESULT_TTL_MS)
    if not events:
        return None
    ident = message_id_of(execution.execution_id)
    return Announcement(message_id=ident, events=tuple(sorted(events)), result=result)


def ended_from(body: bytes) -> Ended:
    """Return how an execution ended, from an announced result."""
    told: dict[str, Any] = orjson.loads(body)
    return Ended(
        status=ExecutionStatus(told["status"]),
        output=orjson.dumps(told["output"]),
        error=orjson.dumps(told["error"]),
    )


def event_from_announced(event: Event) -> WorkflowEvent | None:
    """Return what an announced event says; None when it is of another kind."""
    if event.kind is EventKind.ENDED:
        return WorkflowEvent(number=_THE_END, value=event.outcome, at=event.at, is_end=True)
    if event.kind is not EventKind.EMITTED:
        return None
    return WorkflowEvent(number=event.data["number"], value=event.data["value"], at=event.at)


def events_in(execution: Execution, steps: Iterable[Step]) -> list[WorkflowEvent]:
    """Return the events that stand in a journal, in their order."""
    events = [
        WorkflowEvent(
            number=step.order,
            value=orjson.loads(step.output or NULL),
            at=datetime.fromtimestamp((step.ended_at_ms or step.began_at_ms) / 1000, tz=UTC),
        )
        for step in steps
        if step.kind is StepKind.EVENT and step.order
    ]
    events.sort(key=lambda event: event.number)
    if execution.is_final:
        at = execution.finished_at or execution.created_at
        end = WorkflowEvent(number=_THE_END, value=execution.status.value, at=at, is_end=True)
        events.append(end)
    return events


def _emitted(number: int, text: bytes, at_ms: int) -> bytes:
    data = {"number": number, "value": orjson.Fragment(text)}
    return encoded(EventKind.EMITTED, attempt=0, at_ms=at_ms, data=data, actor="")


def _ended(status: ExecutionStatus, at_ms: int) -> bytes:
    data = {"outcome": status.value}
    return encoded(EventKind.ENDED, attempt=0, at_ms=at_ms, data=data, actor="")
