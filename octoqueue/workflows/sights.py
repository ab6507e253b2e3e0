"""One execution as a machine is told of it: its state, what it waits for, who holds it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from octoqueue.workflows.exports import execution_document
from octoqueue.workflows.finding import find_history
from octoqueue.workflows.states import StepStatus
from octoqueue.workflows.timeline import Wait, failure_text, waits_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.journal import Signal
    from octoqueue.workflows.protocol import Agent, Loaded, WorkflowStore

_COUNTED: Final = (
    StepStatus.COMPLETED,
    StepStatus.FAILED,
    StepStatus.CANCELLED,
    StepStatus.PENDING,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One execution and what is around it."""

    loaded: Loaded
    holder: Agent | None
    """Who holds its partition."""
    newest: Execution
    """The newest execution of its workflow, often itself."""
    refused: Sequence[tuple[Signal, bytes]] = ()
    """Signals that did not fit, with why."""


def sight_document(sight: Sight) -> dict[str, Any]:
    """Return an execution and what is around it as JSON values."""
    holder = sight.holder
    return execution_document(sight.loaded.execution) | {
        "held_by": None if holder is None else {"agent_id": holder.agent_id, "host": holder.host},
        "newest_execution_id": sight.newest.execution_id,
        "waits": [_wait_document(wait) for wait in waits_of(sight.loaded)],
        "steps": {status.value: count for status, count in step_counts(sight.loaded).items()},
        "refused_signals": [
            {"name": signal.name, "sent_at_ms": signal.sent_at_ms, "why": failure_text(error)}
            for signal, error in sight.refused
        ],
        "untaken_signals": [signal.name for signal in sight.loaded.signals if signal.name],
    }


def step_counts(loaded: Loaded) -> dict[StepStatus, int]:
    """Return how many steps are in each state."""
    statuses = [step.status for step in loaded.steps]
    return {status: statuses.count(status) for status in _COUNTED}


def _wait_document(wait: Wait) -> dict[str, Any]:
    return {
        "step": wait.step or None,
        "for": wait.why,
        "since": _moment(wait.since_ms),
        "until": None if wait.until_ms is None else _moment(wait.until_ms),
    }


def _moment(milliseconds: int) -> str:
    at = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return at.isoformat(timespec="milliseconds")


async def sight_of(store: WorkflowStore, ident: str) -> Sight:
    """Return what is to be seen of an execution, or of the newest of a workflow.

    Raises:
        WorkflowUnknown: there is none of that id.
    """
    loaded = await find_history(store, ident)
    execution = loaded.execution
    return Sight(
        loaded=loaded,
        holder=await store.holder(execution.partition),
        newest=await store.newest(execution.workflow_id) or execution,
        refused=await store.refused_signals(execution.execution_id),
    )
