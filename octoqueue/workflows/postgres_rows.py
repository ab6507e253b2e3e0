"""Rows of the workflow tables as values, and new executions as columns. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from octoqueue.primitives.ids import MessageId
from octoqueue.primitives.lane import lane_from
from octoqueue.workflows.executions import Execution, ExecutionId, Parent, WorkflowId
from octoqueue.workflows.journal import Signal, SignalId, Step
from octoqueue.workflows.starts import start_digest
from octoqueue.workflows.states import (
    Complexity,
    ExecutionStatus,
    SignalKind,
    StepKind,
    StepStatus,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from octoqueue.workflows.executions import NewExecution

    Columns = tuple[Sequence[Any], ...]

# Looking a member up by its value costs a third of calling the enumeration.
_KINDS = {each.value: each for each in StepKind}
_STATUSES = {each.value: each for each in StepStatus}
EXECUTION_COLUMNS = 20
STEP_COLUMNS = 15


def execution_from(row: Sequence[Any]) -> Execution:
    """Return an execution from its 20 columns, in the order in which all statements have them."""
    parent_id = row[15]
    signals = row[13]
    return Execution(
        execution_id=row[0],
        workflow_id=WorkflowId(row[1]),
        partition=row[2],
        name=row[3],
        version=row[4],
        run=row[5],
        status=ExecutionStatus(row[6]),
        input=row[7].encode(),
        output=_bytes(row[8]),
        error=_bytes(row[9]),
        lane=lane_from(row[10]),
        tenant=row[11],
        complexity=Complexity(row[12]),
        signals=None if signals is None else tuple(orjson.loads(signals)),
        deadline_at_ms=row[14],
        parent=None if parent_id is None else Parent(execution_id=parent_id, step=row[16]),
        created_at=row[17],
        started_at=row[18],
        finished_at=row[19],
    )


def step_from(row: Sequence[Any]) -> Step:
    """Return a step from its 15 columns."""
    key, kind, name, digest, status, order, given, output, error, message_id, child_id = row[:11]
    due_at_ms, began_at_ms, ended_at_ms, attempts = row[11:]
    return Step(
        key,
        _KINDS[kind],
        name,
        digest,
        _STATUSES[status],
        order,
        None if given is None else given.encode(),
        None if output is None else output.encode(),
        None if error is None else error.encode(),
        None if message_id is None else MessageId(message_id.bytes),
        None if child_id is None else ExecutionId(child_id),
        due_at_ms,
        began_at_ms,
        ended_at_ms,
        attempts,
    )


def signal_from(row: Sequence[Any]) -> Signal:
    """Return a signal from its 5 columns."""
    signal_id, kind, name, value, sent_at_ms = row
    return Signal(SignalId(signal_id), SignalKind(kind), name, value.encode(), sent_at_ms)


def start_columns(news: Sequence[NewExecution]) -> Columns:
    """Return the arguments of `start_workflows`."""
    return (
        [new.workflow_id for new in news],
        [new.execution_id for new in news],
        [new.partition for new in news],
        [new.name for new in news],
        [new.version for new in news],
        [new.input.decode() for new in news],
        [start_digest(new) for new in news],
        [new.lane.label for new in news],
        [new.tenant for new in news],
        [new.complexity for new in news],
        [declared(new) for new in news],
        [new.deadline_at_ms for new in news],
    )


def declared(new: NewExecution) -> str | None:
    """Return the signals an execution declares as they are kept."""
    return None if new.signals is None else orjson.dumps(new.signals).decode()


def step_columns(steps: Sequence[Step]) -> Columns:
    """Return the columns of steps, in the order in which `write_turns` has them."""
    if not steps:
        return ((),) * STEP_COLUMNS
    key, kind, name, digest, status, order, given, output, error, message, *rest = zip(
        *steps, strict=True
    )
    return (
        *(key, kind, name, digest, status, order),
        texts(given),
        texts(output),
        texts(error),
        [None if each is None else each.hex() for each in message],
        *rest,
    )


def texts(values: Sequence[bytes | None]) -> list[str | None]:
    """Return JSON as the driver takes it."""
    return [None if each is None else each.decode() for each in values]


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def steps_from(rows: Iterable[Iterable[Any]]) -> dict[str, list[Step]]:
    """Return steps by the execution that stands in front of their columns."""
    found: dict[str, list[Step]] = {}
    for row in rows:
        values = tuple(row)
        found.setdefault(values[0], []).append(step_from(values[1:]))
    return found


def signals_from(rows: Iterable[Iterable[Any]]) -> dict[str, list[Signal]]:
    """Return signals by the execution that stands in front of their columns."""
    found: dict[str, list[Signal]] = {}
    for row in rows:
        values = tuple(row)
        found.setdefault(values[0], []).append(signal_from(values[1:]))
    return found
