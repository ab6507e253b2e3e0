"""Replaying a history against the code there is now: does it still do what it did? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors import WorkflowNotDeclared
from octoqueue.workflows.definitions import DEFINITIONS
from octoqueue.workflows.limits import DEFAULT_LIMITS
from octoqueue.workflows.machine import Machine
from octoqueue.workflows.states import ExecutionStatus

if TYPE_CHECKING:
    from octoqueue.workflows.definitions import Definition, Registry
    from octoqueue.workflows.limits import Limits
    from octoqueue.workflows.protocol import Loaded


def replay_history(
    loaded: Loaded,
    definition: Definition | None = None,
    *,
    registry: Registry = DEFINITIONS,
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Return when the code does what a history says it did, to where it waits or has ended.

    Args:
        loaded: the history.
        definition: the workflow function; by default the one that is declared under its name.
        registry: where functions are declared.
        limits: what executions may need.

    Raises:
        WorkflowChanged: the code does something else; names the step.
        WorkflowNotDeclared: there is no code of that name and version.
    """
    execution = loaded.execution
    if definition is None:
        definition = registry.get(execution.name, execution.version)
    if (definition.name, definition.version) != (execution.name, execution.version):
        raise WorkflowNotDeclared(
            f"{execution.name} version {execution.version}",
            known=[f"{definition.name} version {definition.version}"],
        )
    if _has_not_begun(loaded):
        return
    machine = Machine(definition, execution, limits=limits, registry=registry)
    try:
        machine.replay(loaded)
    finally:
        machine.close()


def _has_not_begun(loaded: Loaded) -> bool:
    """Whether there is nothing to compare with: no orchestrator that has the code began it."""
    execution = loaded.execution
    if execution.status is ExecutionStatus.QUEUED or execution.started_at is None:
        return True
    # Stopped before its first step: by a cancel, or because of an input that does not fit.
    return execution.status is ExecutionStatus.BLOCKED and not loaded.steps
