"""Steps of workflows as messages. Pure.

In the message stands an option that says whose step it is and which queue is to be told how it
ended (`step_places`); `completions` makes what is told.

Weakness: a message has one unique key, and that of a step is the step's. What an actor declares as
`unique=` does not hold for its messages that are steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from octoqueue.broker.admission import tenant_of
from octoqueue.broker.expiring import MOMENTS, moment_in
from octoqueue.broker.handles import new_handle
from octoqueue.broker.step_places import StepPlace, option_of, unique_key_of_step
from octoqueue.errors import InvalidMessage
from octoqueue.primitives.body_json import value_from
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.lane import lane_from
from octoqueue.workflows.letters import OPTION, queue_of
from octoqueue.workflows.states import Complexity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.primitives.messages import Enqueue
    from octoqueue.settings.workflows import ComplexityTable
    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.journal import Step

_DEADLINE = MOMENTS["deadline"]
_TENANT = "tenant"
_COMPLEXITY = "complexity"
_PER_STEP = ("lane", _TENANT, "unique", "delay", _COMPLEXITY)
"""Options of a step that become something else than an option of its message."""


def step_message(
    broker: LaneBroker,
    execution: Execution,
    step: Step,
    *,
    now_ms: int,
    complexity_rules: ComplexityTable,
) -> Enqueue:
    """Return the message of a pending CALL step; the same whenever it is asked for.

    It has the step's message id and a unique key of its own, so that sending it again changes
    nothing while it waits or runs. What the step's options do not say the execution says: lane,
    tenant, deadline, complexity, and by that the time limit.

    A message that somebody cancels while it waits is removed and tells nobody. Unless its execution
    was cancelled, too, the reconciler finds the step without a message and sends it again: what is
    to be stopped is the execution.

    Raises:
        EnqueueError: it cannot be sent; names what is wrong.
    """
    wanted: Any = value_from(step.input or b"null")
    own: dict[str, Any] = wanted.get("options") or {}
    options = {name: value for name, value in own.items() if name not in _PER_STEP}
    complexity = _complexity_of(own, execution)
    rules = getattr(complexity_rules, complexity)
    place = StepPlace(
        execution.execution_id,
        step.key,
        queue_of(execution.partition),
        workflow_id=execution.workflow_id,
        complexity=complexity.value,
        model_tier=rules.model_tier,
        resource_class=rules.resource_class,
    )
    options[OPTION] = option_of(place)
    if rules.time_limit is not None and "time_limit" not in own:
        options["time_limit"] = round(rules.time_limit.total_seconds() * 1000)
    if execution.deadline_at_ms is not None:
        earlier = moment_in(own, _DEADLINE)
        ends_ms = execution.deadline_at_ms
        options[_DEADLINE] = ends_ms if earlier is None else min(earlier, ends_ms)
    if step.message_id is None:
        raise InvalidMessage("message_id", f"step {step.key} has none")
    began_ms = step.began_at_ms or now_ms
    message = new_handle(
        wanted["queue"],
        step.name,
        tuple(wanted["args"]),
        wanted["kwargs"],
        options,
        text_from_id(step.message_id),
        step.message_id,
        began_ms,
        broker,
    )
    lane = own.get("lane")
    return broker.enveloped_step(
        message,
        lane=execution.lane if lane is None else lane_from(lane),
        tenant=tenant_of(own) or execution.tenant or "",
        unique=unique_key_of_step(execution.execution_id, step.key),
        delay_ms=max(0, began_ms + _delay_ms(own) - now_ms),
    )


def _complexity_of(options: Mapping[str, Any], execution: Execution) -> Complexity:
    """Return how demanding a step is: what it says itself, else what its execution is."""
    told = options.get(_COMPLEXITY, execution.complexity)
    try:
        return Complexity(told)
    except ValueError:
        known = ", ".join(Complexity)
        raise InvalidMessage(_COMPLEXITY, f"{told!r} is none of {known}") from None


def _delay_ms(options: Mapping[str, Any]) -> int:
    delay: object = options.get("delay", 0)
    if not isinstance(delay, int) or isinstance(delay, bool) or delay < 0:
        raise InvalidMessage("delay", f"{delay!r} is no number of milliseconds")
    return delay
