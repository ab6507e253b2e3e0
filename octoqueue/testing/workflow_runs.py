"""`WorkflowRun`: what a workflow did in a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from octoqueue.errors import WorkflowFailed
from octoqueue.primitives.body_json import value_from
from octoqueue.testing.enqueued import called
from octoqueue.workflows.states import ExecutionStatus, StepKind, StepStatus
from octoqueue.workflows.timeline import failure_text, timeline_of

if TYPE_CHECKING:
    from datetime import timedelta

    from octoqueue.workflows.definitions import Definition
    from octoqueue.workflows.protocol import Loaded

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """One call of an actor by a workflow."""

    actor: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    """Those given with `using`."""
    step: str
    """The key of the step."""

    def __str__(self) -> str:
        """Return it as a call."""
        return called(self.actor, self.args, self.kwargs)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun(Generic[T]):
    """What a workflow did, until it ended or waited for what never comes."""

    histories: tuple[Loaded, ...]
    """Of its executions, oldest first; more than one when it has continued as new."""
    definition: Definition
    calls: tuple[Called, ...]
    """In the order in which they were made, those of children, too."""
    elapsed: timedelta
    """How much time has passed in it; none of it was real."""

    @property
    def history(self) -> Loaded:
        """Of the newest execution; `octoqueue.testing.replay` takes it."""
        return self.histories[-1]

    @property
    def status(self) -> ExecutionStatus:
        """How it ended; `running` when it waits."""
        return self.history.execution.status

    @property
    def output(self) -> T:
        """What it returned.

        Raises:
            WorkflowFailed: it returned nothing; says why, or what it waits for.
        """
        execution = self.history.execution
        if execution.status is ExecutionStatus.COMPLETED and execution.output is not None:
            value: T = self.definition.output_of(execution.output)
            return value
        told: Any = None if execution.error is None else value_from(execution.error)
        error = told or {"error": "it waits", "message": "; ".join(self.waits)}
        raise WorkflowFailed(
            execution.workflow_id,
            execution_id=execution.execution_id,
            status=execution.status.value,
            error=str(error.get("error", "")),
            detail=str(error.get("message", "")),
        )

    @property
    def error(self) -> str:
        """Why it failed or was cancelled, as `class: message`; empty when it was not."""
        return failure_text(self.history.execution.error)

    @property
    def waits(self) -> list[str]:
        """What it waits for, in words; nothing when it has ended."""
        return [wait.why for wait in timeline_of(self.history).waits]

    @property
    def events(self) -> list[Any]:
        """What it told with `ctx.emit`, in that order."""
        return [
            value_from(step.output)
            for loaded in self.histories
            for step in loaded.steps
            if step.kind is StepKind.EVENT and step.output is not None
        ]

    def calls_of(self, actor: object) -> list[Called]:
        """Return the calls of an actor, or of the one of that name."""
        name = getattr(actor, "actor_name", actor)
        return [call for call in self.calls if call.actor == name]

    def __str__(self) -> str:
        """Return a line for each step."""
        lines = [f"{self.definition.name}: {self.status.value}"]
        if self.error:
            lines[0] += f": {self.error}"
        for line in timeline_of(self.history).lines:
            note = f"  {line.note}" if line.note else ""
            told = "" if line.status is StepStatus.COMPLETED else f" {line.status.value}"
            lines.append(f"{'  ' * (line.depth + 1)}{line.key} {line.kind} {line.name}{told}{note}")
        return "\n".join(lines)
