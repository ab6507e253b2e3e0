"""Tasks as values, and which moves between their states are legal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NewType, cast

from octoqueue.errors import InvalidMessage
from octoqueue.primitives.ids import id_from_text, new_message_id, text_from_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from octoqueue.primitives.lane import Lane

TaskId = NewType("TaskId", str)
"""A task's uuid7 in its canonical 36 characters."""

# What JSON calls an object; octoqueue never looks inside.
JsonObject = dict[str, Any]

GOAL_LIMIT_BYTES = 32 * 1024


class TaskStatus(StrEnum):
    """Where a task is, in the order of its life."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


LEGAL_MOVES = MappingProxyType(
    {
        TaskStatus.QUEUED: frozenset({TaskStatus.RUNNING, TaskStatus.FAILED}),
        TaskStatus.RUNNING: frozenset({TaskStatus.COMPLETED, TaskStatus.FAILED}),
        TaskStatus.COMPLETED: frozenset[TaskStatus](),
        TaskStatus.FAILED: frozenset[TaskStatus](),
    }
)
FINAL_STATUSES = frozenset(status for status, moves in LEGAL_MOVES.items() if not moves)


class Verdict(Enum):
    """What became of a wanted move. Only MOVED changed anything."""

    MOVED = "moved"
    ALREADY = "already there"
    """It had made this very move before: a redelivery. Go on as if it had just happened."""
    REFUSED = "refused"
    """Its state does not allow the move: it is final, or was never started."""
    UNKNOWN = "unknown"
    """There is no such task: its caller was told that it was not accepted."""

    @property
    def goes_on(self) -> bool:
        """Whether the task now is where it was wanted, so that work on it makes sense."""
        return self in {Verdict.MOVED, Verdict.ALREADY}


def verdict_on(current: TaskStatus | None, wanted: TaskStatus) -> Verdict:
    """Return what becomes of a move to `wanted` of a task that is `current`, None for no task."""
    if current is None:
        return Verdict.UNKNOWN
    if current is wanted:
        return Verdict.ALREADY
    return Verdict.MOVED if wanted in LEGAL_MOVES[current] else Verdict.REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task on its way into the store."""

    task_id: TaskId
    goal: str
    lane: Lane
    arm: str | None = None
    """Who is to do it, without a plan and a review; None leaves that to a workflow."""

    def __post_init__(self) -> None:
        """Refuse what the store could not keep, naming the field."""
        try:
            size = len(self.goal.encode())
        except UnicodeEncodeError:
            raise InvalidMessage("goal", "holds half a character (a lone surrogate)") from None
        if not 1 <= size <= GOAL_LIMIT_BYTES:
            raise InvalidMessage("goal", f"has {size} bytes, it must have 1 to {GOAL_LIMIT_BYTES}")
        if "\0" in self.goal:
            raise InvalidMessage("goal", "holds a NUL character, which PostgreSQL cannot keep")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskError:
    """Why a task failed."""

    code: str
    """A short constant for programs: `command_refused`, `arm_failed`, …"""
    message: str
    """A sentence for people."""

    def as_json(self) -> JsonObject:
        """Return what is stored."""
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One row, as read."""

    task_id: TaskId
    goal: str
    lane: Lane
    status: TaskStatus
    arm: str | None
    result: JsonObject | None
    error: JsonObject | None
    attempts: int
    """How often its arm was tried; 0 until it finished."""
    created_at: datetime
    """Accepted, by the store's clock, as all three."""
    started_at: datetime | None
    finished_at: datetime | None
    asked_arm: str | None = None
    """The one its caller has named, None when its arms are planned."""


def new_task_id() -> TaskId:
    """Return a fresh, time-ordered id."""
    return TaskId(text_from_id(new_message_id()))


def task_id_from(text: str) -> TaskId | None:
    """Return the task id written by `text`, None when it is not one in canonical form."""
    return None if id_from_text(text) is None else TaskId(text)


def without_nul(value: object) -> object:
    """Return JSON as PostgreSQL can keep it: its NUL characters replaced."""
    match value:
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        case dict():
            members = cast("dict[str, object]", value)
            return {without_nul(name): without_nul(item) for name, item in members.items()}
        case list() | tuple():
            return [without_nul(item) for item in cast("Sequence[object]", value)]
        case _:
            return value
