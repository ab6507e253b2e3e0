"""Tasks and what became of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from octoqueue.cli.demo.goals import Goal


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A task that came to its end."""

    goal: Goal
    task_id: str
    completed: bool
    arm: str | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    accepted_at: datetime
    finished_at: datetime
    queued_seconds: float | None
    """From accepted to started; None for one that never started."""
    total_seconds: float
    """From accepted to finished."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """How far it is; read by the display while it changes."""

    wanted: int
    accepted: int = 0
    refused: int = 0
    """How often a full lane said no (429)."""
    done: list[Done] = field(default_factory=list["Done"])

    @property
    def completed(self) -> int:
        """Tasks that came to a good end."""
        return sum(each.completed for each in self.done)

    @property
    def failed(self) -> int:
        """Tasks that came to a bad end."""
        return len(self.done) - self.completed


def done_from(state: dict[str, Any], goal: Goal) -> Done:
    """Return what the application says of a task that came to its end."""
    timings = state["timings"]
    return Done(
        goal=goal,
        task_id=state["task_id"],
        completed=state["status"] == "completed",
        arm=state["arm"],
        result=state["result"],
        error=state["error"],
        accepted_at=datetime.fromisoformat(timings["created_at"]),
        finished_at=datetime.fromisoformat(timings["finished_at"]),
        queued_seconds=timings["queued_seconds"],
        total_seconds=timings["total_seconds"],
    )
