"""Whose step of a workflow a message is, as an option of the message says it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from octoqueue.workflows.letters import OPTION, QUEUE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octoqueue.workflows.executions import ExecutionId

_MUST = {"execution": "execution_id", "step": "step", "to": "to"}
_MAY = {
    "id": "workflow_id",
    "complexity": "complexity",
    "model": "model_tier",
    "resources": "resource_class",
}
"""Names in the option, and fields of `StepPlace`."""


class StepPlace(NamedTuple):
    """Whose step a message is, as its option says."""

    execution_id: ExecutionId
    step: str
    to: str
    """The queue that is told how it ended."""
    workflow_id: str | None = None
    complexity: str | None = None
    model_tier: str | None = None
    resource_class: str | None = None


def option_of(place: StepPlace) -> dict[str, str]:
    """Return the option that says this."""
    fields = {name: getattr(place, field) for name, field in (_MUST | _MAY).items()}
    return {name: value for name, value in fields.items() if value is not None}


def step_place(options: Mapping[str, Any]) -> StepPlace | None:
    """Return whose step a message with these options is; None when it is none."""
    told: object = options.get(OPTION)
    if not isinstance(told, dict):
        return None
    known = cast("dict[str, Any]", told)
    if not all(isinstance(known.get(name), str) for name in _MUST):
        return None
    if not known["to"].startswith(QUEUE_PREFIX):
        return None
    fields: dict[str, Any] = {field: known.get(name) for name, field in (_MUST | _MAY).items()}
    return StepPlace(**fields)
