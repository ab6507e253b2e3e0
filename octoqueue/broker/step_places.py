"""Whose step of a workflow a message is, as an option of the message says it. Pure.

Options are copied with messages, and whoever sends a message may write any. So an option is
believed only of a message that holds the step's unique key, which none but the step's own is given.

Weakness: who writes into Redis himself can write that key, too, or the letter right away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from octoqueue.errors import EnvelopeError
from octoqueue.primitives.envelope import extension_of
from octoqueue.primitives.extension import UniqueKey, UniqueMode, unique_digest
from octoqueue.workflows.executions import ExecutionId
from octoqueue.workflows.letters import OPTION, QUEUE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping


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
    option: dict[str, str] = {"execution": place.execution_id, "step": place.step, "to": place.to}
    if place.workflow_id is not None:
        option["id"] = place.workflow_id
    if place.complexity is not None:
        option["complexity"] = place.complexity
    if place.model_tier is not None:
        option["model"] = place.model_tier
    if place.resource_class is not None:
        option["resources"] = place.resource_class
    return option


def step_place(options: Mapping[str, Any]) -> StepPlace | None:
    """Return whose step a message with these options is; None when it is none."""
    told: object = options.get(OPTION)
    if type(told) is not dict:
        return None
    get = cast("dict[str, Any]", told).get
    execution, step, to = get("execution"), get("step"), get("to")
    if type(execution) is not str or type(step) is not str or type(to) is not str:
        return None
    if not to.startswith(QUEUE_PREFIX):
        return None
    return StepPlace(
        ExecutionId(execution),
        step,
        to,
        get("id"),
        get("complexity"),
        get("model"),
        get("resources"),
    )


def unique_key_of_step(execution_id: ExecutionId, step: str) -> UniqueKey:
    """Return the key that a step's message holds until it is done."""
    return UniqueKey(UniqueMode.DONE, unique_digest(f"step\0{execution_id}\0{step}"))


def proven_place(options: Mapping[str, Any], payload: bytes) -> StepPlace | None:
    """Return whose step a message is; None when it is none, or only says so."""
    place = step_place(options)
    if place is None:
        return None
    try:
        held = extension_of(payload).unique
    except EnvelopeError:
        return None
    is_proven = held == unique_key_of_step(place.execution_id, place.step)
    return place if is_proven else None
