"""A history as a JSON file and back: what is shown to machines, kept, and replayed in tests. Pure.

    {"format": "octoqueue-history", "version": 1, "execution": {…}, "steps": […], "signals": […]}

Values (inputs, outputs, errors) stand in it as the JSON they are, so that `jq .steps[0].output`
works; a field that is not there has no value, one that is null has the value null. A value that
JSON readers do not agree on, such as a number of more than 64 bits, stands as text under the name
with `_text` behind it. Reading a file back gives what was written, to the byte.

The weakness: what a claim check stands for is not in the file, only the reference to it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import orjson

from octoqueue.errors import HistoryUnreadable
from octoqueue.primitives.body_json import MARK, json_from, value_from
from octoqueue.primitives.ids import text_from_id
from octoqueue.workflows.executions import (
    Execution,
    ExecutionId,
    Parent,
    WorkflowId,
)
from octoqueue.workflows.export_fields import Fields
from octoqueue.workflows.journal import Signal, SignalId, Step
from octoqueue.workflows.protocol import Loaded
from octoqueue.workflows.states import (
    Complexity,
    ExecutionStatus,
    SignalKind,
    StepKind,
    StepStatus,
)

if TYPE_CHECKING:
    from datetime import datetime

FORMAT: Final = "octoqueue-history"
VERSION: Final = 1


def history_json(loaded: Loaded) -> bytes:
    """Return a history as the text of a file, indented."""
    document = history_document(loaded)
    try:
        return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"
    except TypeError:  # a value as deep as orjson goes is deeper in the file
        return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"


def history_document(loaded: Loaded) -> dict[str, Any]:
    """Return a history as JSON values."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "execution": execution_document(loaded.execution),
        "steps": [_step_document(step) for step in loaded.steps],
        "signals": [_signal_document(signal) for signal in loaded.signals],
    }


def execution_document(execution: Execution) -> dict[str, Any]:
    """Return an execution as JSON values."""
    parent = execution.parent
    return {
        "workflow_id": execution.workflow_id,
        "execution_id": execution.execution_id,
        "partition": execution.partition,
        "name": execution.name,
        "version": execution.version,
        "run": execution.run,
        "status": execution.status.value,
        **value_member("input", execution.input),
        **value_member("output", execution.output),
        **value_member("error", execution.error),
        "lane": execution.lane.label,
        "tenant": execution.tenant,
        "complexity": execution.complexity.value,
        "signals": None if execution.signals is None else list(execution.signals),
        "deadline_at_ms": execution.deadline_at_ms,
        "parent": None
        if parent is None
        else {"execution_id": parent.execution_id, "step": parent.step},
        "created_at": execution.created_at.isoformat(),
        "started_at": _moment(execution.started_at),
        "finished_at": _moment(execution.finished_at),
    }


def value_member(name: str, text: bytes | None) -> dict[str, Any]:
    """Return a journaled value as a member of an object; none when there is no value."""
    if text is None:
        return {}
    if text[:1] != MARK:
        try:
            value = value_from(text)
            if json_from(value) == text:
                return {name: value}
        except (TypeError, ValueError):
            pass
    return {f"{name}_text": text.decode(errors="replace")}


def history_from(text: bytes | str) -> Loaded:
    """Return the history that a file holds.

    Raises:
        HistoryUnreadable: it holds none; names the field.
    """
    try:
        document: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise HistoryUnreadable("history", f"is no JSON: {error}") from None
    whole = Fields.of(document, "history")
    told = whole.text("format")
    if told != FORMAT:
        raise HistoryUnreadable("format", f"is {told!r}, not {FORMAT!r}")
    version = whole.number("version")
    if version != VERSION:
        raise HistoryUnreadable("version", f"is {version}, this octoqueue reads {VERSION}")
    steps = tuple(_step_from(fields) for fields in whole.objects("steps"))
    _refuse_doubles(steps)
    return Loaded(
        execution=_execution_from(whole.object("execution")),
        steps=steps,
        signals=tuple(_signal_from(fields) for fields in whole.objects("signals")),
    )


def _step_document(step: Step) -> dict[str, Any]:
    return {
        "key": step.key,
        "kind": step.kind.value,
        "name": step.name,
        "digest": step.digest.hex(),
        "status": step.status.value,
        "order": step.order,
        **value_member("input", step.input),
        **value_member("output", step.output),
        **value_member("error", step.error),
        "message_id": None if step.message_id is None else text_from_id(step.message_id),
        "child_id": step.child_id,
        "due_at_ms": step.due_at_ms,
        "began_at_ms": step.began_at_ms,
        "ended_at_ms": step.ended_at_ms,
        "attempts": step.attempts,
    }


def _signal_document(signal: Signal) -> dict[str, Any]:
    return {
        "signal_id": signal.signal_id,
        "kind": signal.kind.value,
        "name": signal.name,
        **value_member("value", signal.value),
        "sent_at_ms": signal.sent_at_ms,
    }


def _execution_from(fields: Fields) -> Execution:
    return Execution(
        workflow_id=WorkflowId(fields.text("workflow_id")),
        execution_id=ExecutionId(fields.uuid("execution_id")),
        partition=fields.number("partition"),
        name=fields.text("name"),
        version=fields.number("version"),
        run=fields.number("run"),
        status=fields.choice("status", ExecutionStatus),
        input=fields.required_value("input"),
        output=fields.value("output"),
        error=fields.value("error"),
        lane=fields.lane("lane"),
        tenant=fields.text_or_none("tenant"),
        complexity=fields.choice("complexity", Complexity),
        signals=fields.texts_or_none("signals"),
        deadline_at_ms=fields.number_or_none("deadline_at_ms"),
        parent=_parent_from(fields.object_or_none("parent")),
        created_at=fields.moment("created_at"),
        started_at=fields.moment_or_none("started_at"),
        finished_at=fields.moment_or_none("finished_at"),
    )


def _parent_from(fields: Fields | None) -> Parent | None:
    if fields is None:
        return None
    return Parent(execution_id=ExecutionId(fields.uuid("execution_id")), step=fields.text("step"))


def _step_from(fields: Fields) -> Step:
    child_id = fields.uuid_or_none("child_id")
    return Step(
        key=fields.text("key"),
        kind=fields.choice("kind", StepKind),
        name=fields.text("name"),
        digest=fields.hexadecimal("digest"),
        status=fields.choice("status", StepStatus),
        order=fields.number("order"),
        input=fields.value("input"),
        output=fields.value("output"),
        error=fields.value("error"),
        message_id=fields.message_id_or_none("message_id"),
        child_id=None if child_id is None else ExecutionId(child_id),
        due_at_ms=fields.number_or_none("due_at_ms"),
        began_at_ms=fields.number("began_at_ms"),
        ended_at_ms=fields.number_or_none("ended_at_ms"),
        attempts=fields.number("attempts"),
    )


def _signal_from(fields: Fields) -> Signal:
    return Signal(
        signal_id=SignalId(fields.uuid("signal_id")),
        kind=fields.choice("kind", SignalKind),
        name=fields.text("name"),
        value=fields.required_value("value"),
        sent_at_ms=fields.number("sent_at_ms"),
    )


def _refuse_doubles(steps: tuple[Step, ...]) -> None:
    keys: dict[str, int] = {}
    orders: dict[int, int] = {}
    for index, step in enumerate(steps):
        if keys.setdefault(step.key, index) != index:
            raise HistoryUnreadable(
                f"steps[{index}].key", f"is {step.key!r}, as that of steps[{keys[step.key]}]"
            )
        if step.order and orders.setdefault(step.order, index) != index:
            raise HistoryUnreadable(
                f"steps[{index}].order", f"is {step.order}, as that of steps[{orders[step.order]}]"
            )


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
