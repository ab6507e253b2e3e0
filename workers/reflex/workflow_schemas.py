"""What is said over HTTP about workflows; the library writes the answers, this describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from octoqueue.errors import InvalidMessage
from octoqueue.workflows.states import (
    Complexity,
    ExecutionStatus,
    SignalKind,
    StepKind,
    StepStatus,
)

_DESCRIBED = ConfigDict(use_attribute_docstrings=True)


class ParentState(BaseModel):
    """Who waits for a child."""

    execution_id: str
    step: str


class ExecutionState(BaseModel):
    """One execution of a workflow."""

    model_config = _DESCRIBED

    workflow_id: str
    """Names what was started, over all its executions."""
    execution_id: str
    partition: int
    name: str
    """The workflow function's."""
    version: int
    run: int
    """Which execution of its workflow, from 1."""
    status: ExecutionStatus
    input: Any = None
    output: Any = None
    """When completed."""
    error: dict[str, Any] | None = None
    """When failed, cancelled or blocked: `error`, the class, and `message`."""
    lane: Literal["high", "normal", "low"]
    tenant: str | None
    complexity: Complexity
    signals: list[str] | None
    """The signals it declares; null when it takes any."""
    deadline_at_ms: int | None
    parent: ParentState | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class ExecutionPage(BaseModel):
    """Executions, newest first."""

    model_config = _DESCRIBED

    executions: list[ExecutionState]
    next: str | None
    """Give it as `before` to see older ones; null when there are none."""


class HolderState(BaseModel):
    """An orchestrator."""

    agent_id: str
    host: str


class WaitState(BaseModel):
    """Something an execution waits for."""

    model_config = _DESCRIBED

    step: str | None
    """The key of the step; null when it waits as a whole."""
    for_: str = Field(alias="for")
    """What for, in words."""
    since: datetime
    until: datetime | None
    """When it ends by itself."""


class RefusedSignal(BaseModel):
    """A signal that did not fit."""

    name: str
    sent_at_ms: int
    why: str


class WorkflowState(ExecutionState):
    """An execution, what it waits for and who holds it."""

    model_config = _DESCRIBED

    held_by: HolderState | None
    """The orchestrator that holds its partition."""
    newest_execution_id: str
    """Of its workflow; often its own."""
    waits: list[WaitState]
    steps: dict[StepStatus, int]
    """How many steps are in each state."""
    refused_signals: list[RefusedSignal]
    """Signals whose values were not of the declared type."""
    untaken_signals: list[str]
    """Signals that it has not asked for."""


class StepState(BaseModel):
    """One journaled action."""

    model_config = _DESCRIBED

    key: str
    """Its place in the program."""
    kind: StepKind
    name: str
    digest: str
    status: StepStatus
    order: int
    """Its place among those that ended, from 1; 0 while it is pending."""
    input: Any = None
    output: Any = None
    error: dict[str, Any] | None = None
    message_id: str | None
    child_id: str | None
    due_at_ms: int | None
    began_at_ms: int
    ended_at_ms: int | None
    attempts: int


class SignalState(BaseModel):
    """A signal that no step has taken."""

    signal_id: str
    kind: SignalKind
    name: str
    value: Any = None
    sent_at_ms: int


class WorkflowHistory(BaseModel):
    """All that an execution did; `octoqueue workflows replay` and tests take it as a file."""

    format: Literal["octoqueue-history"]
    version: int
    execution: ExecutionState
    steps: list[StepState]
    signals: list[SignalState]


class SignalAccepted(BaseModel):
    """It is kept for the execution, which takes it when it asks for it."""

    workflow_id: str
    execution_id: str
    signal_id: str


class CancelRequest(BaseModel):
    """The wish that a workflow ends."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    reason: str = Field(default="", max_length=2000)
    """Kept, and told to whoever waits for its result."""


def cancel_request_from(body: bytes) -> CancelRequest:
    """Return the wish in a request's body; an empty body is one without a reason.

    Raises:
        InvalidMessage: it is no JSON, or a field is wrong; names the field, `body` for the whole.
    """
    if not body:
        return CancelRequest()
    try:
        return CancelRequest.model_validate_json(body)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        field = str(first["loc"][0]) if first["loc"] else "body"
        raise InvalidMessage(field, first["msg"]) from None
