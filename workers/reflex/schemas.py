"""What is said over HTTP: requests, answers, refusals."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from octoqueue.errors import InvalidMessage
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.states import Complexity
from octoqueue.workflows.tasks import GOAL_LIMIT_BYTES, Task, TaskStatus
from workers.direct import Arm


class Priority(StrEnum):
    """How urgent a task is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def lane(self) -> Lane:
        """The lane its messages wait in."""
        return _LANES[self]


_LANES: Final = {
    Priority.LOW: Lane.LOW,
    Priority.MEDIUM: Lane.NORMAL,
    Priority.HIGH: Lane.HIGH,
}
_PRIORITIES: Final = {lane: priority for priority, lane in _LANES.items()}


_REASONS: Final = {
    "missing": "is required",
    "extra_forbidden": "is no field of a task",
    "string_too_short": "is empty",
    "model_type": "must be a JSON object",
}


def _storable(goal: str) -> str:
    size = len(goal.encode())
    if size > GOAL_LIMIT_BYTES:
        raise ValueError(f"has {size} bytes, the limit is {GOAL_LIMIT_BYTES}")
    if not goal.strip():
        raise ValueError("is empty")
    if "\0" in goal:
        raise ValueError("holds a NUL character")
    return goal


class TaskRequest(BaseModel):
    """A task to be done."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    goal: Annotated[str, AfterValidator(_storable)] = Field(
        min_length=1, examples=["List files in /tmp directory"]
    )
    """What is to be done, at most 32 KiB of UTF-8."""
    priority: Annotated[Priority, Field(strict=False)] = Priority.MEDIUM
    """How urgent it is."""
    complexity: Annotated[Complexity | None, Field(strict=False)] = None
    """How demanding it is: which models, time limits and resources its steps are given. The planner
    says so when it is left out."""
    arm: Annotated[Arm | None, Field(strict=False)] = None
    """Who is to do it, by itself: no plan, no review, no repair, no steps that outlive a crash.
    Left out, the task is a workflow. Not together with `complexity`."""

    @field_validator("arm")
    @classmethod
    def _is_alone(cls, arm: Arm | None, info: ValidationInfo) -> Arm | None:
        if arm is not None and info.data.get("complexity") is not None:
            raise ValueError("cannot be given together with complexity, which is for planned tasks")
        return arm


def task_request_from(body: bytes) -> TaskRequest:
    """Return the task in a request's body.

    Raises:
        InvalidMessage: it is no JSON, or a field is wrong; names the field, `body` for the whole.
    """
    try:
        return TaskRequest.model_validate_json(body)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        field = str(first["loc"][0]) if first["loc"] else "body"
        reason = _REASONS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        raise InvalidMessage(field, reason) from None


class TaskAccepted(BaseModel):
    """The task will be done."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    task_id: str
    """Ask for it at `/api/v1/tasks/{task_id}`."""


class Timings(BaseModel):
    """When what happened, by the database's clock."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    queued_seconds: float | None
    """From accepted to started."""
    run_seconds: float | None
    """From started to finished."""
    total_seconds: float | None
    """From accepted to finished."""


class TaskState(BaseModel):
    """How a task is."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    task_id: str
    status: TaskStatus
    priority: Priority
    goal: str
    arm: str | None
    """Whose result is the task's, from running on."""
    result: dict[str, Any] | None
    """When completed: `summary`, `output`, `checks`, `screening`; of a workflow also `review`,
    `plan`, `repairs`."""
    error: dict[str, Any] | None
    """When failed: `code` and `message`."""
    attempts: int
    """How many plans were tried, or how often the arm that was named, when finished."""
    timings: Timings


def state_json(task: Task) -> bytes:
    """Return a `TaskState` as JSON; written by hand, because callers ask all the time."""
    created, started, finished = task.created_at, task.started_at, task.finished_at
    return orjson.dumps(
        {
            "task_id": task.task_id,
            "status": task.status,
            "priority": _PRIORITIES[task.lane],
            "goal": task.goal,
            "arm": task.arm,
            "result": task.result,
            "error": task.error,
            "attempts": task.attempts,
            "timings": {
                "created_at": created,
                "started_at": started,
                "finished_at": finished,
                "queued_seconds": _between(created, started),
                "run_seconds": _between(started, finished),
                "total_seconds": _between(created, finished),
            },
        },
        option=orjson.OPT_UTC_Z,
    )


class PartHealth(BaseModel):
    """One server behind the edge."""

    status: str
    latency_seconds: float | None = None


class Health(BaseModel):
    """Whether tasks can be taken in."""

    status: str
    parts: dict[str, PartHealth]


class ErrorBody(BaseModel):
    """Why something was refused."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    code: str
    """A short constant for programs."""
    message: str
    """A sentence for people."""
    field: str | None = None
    """The field at fault, when it is one."""


class Refused(BaseModel):
    """Every refusal."""

    error: ErrorBody


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()
