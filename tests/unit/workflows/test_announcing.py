"""What turns announce: events by the places of their steps, and how executions ended."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from octoqueue.primitives.events import Event, EventKind, Kept, Position, event_from
from octoqueue.workflows.announcing import (
    announcement_of,
    ended_from,
    event_from_announced,
    events_in,
)
from octoqueue.workflows.executions import message_id_of
from octoqueue.workflows.journal import Step, Turn
from octoqueue.workflows.states import ExecutionStatus, StepKind, StepStatus
from tests.steps import an_execution

NOW = 1_000


def told(order: int, value: object) -> Step:
    return Step(
        str(order),
        StepKind.EVENT,
        "event",
        b"",
        StepStatus.COMPLETED,
        order=order,
        output=orjson.dumps(value),
        began_at_ms=NOW,
        ended_at_ms=NOW,
    )


def as_read(number: int, body: bytes) -> Event:
    return event_from(Kept(Position(1, number), body))


def test_a_turn_that_tells_nothing_announces_nothing() -> None:
    execution = an_execution()
    slept = told(1, None)._replace(kind=StepKind.SLEEP)
    turn = Turn(execution_id=execution.execution_id, partition=3, steps=(slept,))
    assert announcement_of(execution, turn, now_ms=NOW) is None


def test_events_are_announced_by_the_places_of_their_steps() -> None:
    execution = an_execution()
    turn = Turn(
        execution_id=execution.execution_id, partition=3, steps=(told(7, "b"), told(2, {"a": 1}))
    )
    announced = announcement_of(execution, turn, now_ms=NOW)
    assert announced is not None
    assert announced.message_id == message_id_of(execution.execution_id)
    assert announced.result is None
    events = [event_from_announced(as_read(*each)) for each in announced.events]
    assert events == events_in(execution, turn.steps)
    assert [(event.number, event.value) for event in events if event] == [(2, {"a": 1}), (7, "b")]


@pytest.mark.parametrize(
    ("status", "output", "error"),
    [
        (ExecutionStatus.COMPLETED, b'{"n":1}', None),
        (ExecutionStatus.FAILED, None, b'{"error":"E","message":"m","types":[]}'),
        (ExecutionStatus.CANCELLED, None, None),
        (ExecutionStatus.CONTINUED, None, None),
    ],
)
def test_an_end_is_announced_with_all_that_is_known_of_it(
    status: ExecutionStatus, output: bytes | None, error: bytes | None
) -> None:
    execution = an_execution()
    turn = Turn(
        execution_id=execution.execution_id,
        partition=3,
        steps=(told(9, 1),),
        status=status,
        output=output,
        error=error,
    )
    announced = announcement_of(execution, turn, now_ms=NOW)
    assert announced is not None
    assert announced.result is not None
    ended = ended_from(announced.result.body)
    assert (ended.status, ended.output, ended.error) == (
        status,
        output or b"null",
        error or b"null",
    )
    last = event_from_announced(as_read(*announced.events[-1]))
    assert last is not None
    assert (last.is_end, last.value) == (True, status.value)
    finished = an_execution(status=status, finished_at=datetime.fromtimestamp(NOW / 1000, tz=UTC))
    assert events_in(finished, turn.steps)[-1] == last


def test_what_is_no_news_of_a_workflow_is_left_out() -> None:
    gap = Event(id="1-1", kind=EventKind.GAP, attempt=0, at=datetime.now(UTC), data={"missed": 1})
    assert event_from_announced(gap) is None
