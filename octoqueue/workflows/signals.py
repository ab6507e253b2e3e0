"""Signals made from JSON, as people and HTTP callers send them. Pure.

What a signal's value must be only the workflow's code knows. Where it is imported a wrong value is
refused here; elsewhere the orchestrator refuses it when the workflow asks for the signal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from octoqueue.errors import InputTooLarge, SignalInvalid, WorkflowNotDeclared
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.workflows.definitions import DEFINITIONS
from octoqueue.workflows.finding import printable
from octoqueue.workflows.journal import Signal, SignalId
from octoqueue.workflows.states import SignalKind
from octoqueue.workflows.values import decode, plain_json

if TYPE_CHECKING:
    from octoqueue.workflows.definitions import Definition, Registry
    from octoqueue.workflows.executions import Execution

DEFAULT_MAX_BYTES: Final = 2**20


def signal_from_json(
    execution: Execution,
    name: str,
    text: bytes,
    *,
    now_ms: int,
    limit_bytes: int = DEFAULT_MAX_BYTES,
    definitions: Registry = DEFINITIONS,
) -> Signal:
    """Return a signal whose value is a JSON text.

    Raises:
        InvalidMessage: the name cannot be one.
        InputTooLarge: the value is over the limit.
        SignalUnknown: the workflow declares its signals, and this is none of them.
        SignalInvalid: it is no JSON, or not of the declared type.
    """
    printable("name", name)
    if len(text) > limit_bytes:
        raise InputTooLarge(
            execution.name,
            f"the value of signal {name!r}",
            value_bytes=len(text),
            limit_bytes=limit_bytes,
            workflow_id=execution.workflow_id,
        )
    definition = _definition_of(execution, definitions)
    declared = None if definition is None else definition.signals
    try:
        value: object = decode(text, Any if declared is None else declared.get(name, Any))
        kept = plain_json(value) if definition is None else b""
    except ValueError as error:
        raise SignalInvalid(execution.workflow_id, name, reason=str(error)) from None
    if definition is not None:
        kept = definition.signal_from(name, value, workflow_id=execution.workflow_id)
    return Signal(_new_id(), SignalKind.SENT, name, kept, now_ms)


def signal_of(
    definition: Definition, name: str, value: object, *, workflow_id: str, now_ms: int
) -> Signal:
    """Return a signal with a Python value.

    Raises:
        InvalidMessage: the name cannot be one.
        SignalUnknown: the workflow declares its signals, and this is none of them.
        SignalInvalid: the value is not of the declared type.
    """
    printable("name", name)
    text = definition.signal_from(name, value, workflow_id=workflow_id)
    return Signal(_new_id(), SignalKind.SENT, name, text, now_ms)


def cancel_for(reason: str, *, now_ms: int) -> Signal:
    """Return the wish that an execution ends."""
    # A reason from a command line may hold bytes that are no characters.
    kept = plain_json(reason.encode(errors="replace").decode())
    return Signal(_new_id(), SignalKind.CANCEL, "", kept, now_ms)


def _definition_of(execution: Execution, definitions: Registry) -> Definition | None:
    try:
        return definitions.get(execution.name, execution.version)
    except WorkflowNotDeclared:
        return None


def _new_id() -> SignalId:
    return SignalId(text_from_id(new_message_id()))
