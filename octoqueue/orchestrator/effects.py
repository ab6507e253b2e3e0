"""What follows from turns that are committed. Pure, but for building the messages of steps.

A message goes with the ack of the letter whose turn it is part of: then the one is gone if and only
if the other is there. A turn that no letter caused sends its messages by themselves. What an
execution does not wait for any more, because a later turn has ended it, is not sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from octoqueue.primitives.messages import Outcome, Settlement
from octoqueue.workflows.protocol import Timer
from octoqueue.workflows.states import FINAL_STATUSES, StepKind, StepStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from octoqueue.orchestrator.loaded import Resident
    from octoqueue.orchestrator.writing import Entry
    from octoqueue.primitives.messages import Enqueue, Lease
    from octoqueue.workflows.executions import Execution, ExecutionId
    from octoqueue.workflows.journal import Step, Turn

    StepMessage = Callable[[Execution, Step], Enqueue]

_ACK = Outcome.ACK
_PENDING = StepStatus.PENDING


@dataclass(slots=True)
class Effects:
    """What is to be done for a group of turns."""

    acks: list[Lease] = field(default_factory=list["Lease"])
    settlements: list[Settlement] = field(default_factory=list[Settlement])
    """Letters that are done, with the messages that follow from them."""
    messages: list[Enqueue] = field(default_factory=list["Enqueue"])
    """Messages that no letter caused."""
    cancels: list[Step] = field(default_factory=list["Step"])
    """Steps whose messages nobody waits for any more."""
    stops: list[tuple[ExecutionId, str]] = field(default_factory=list[tuple["ExecutionId", str]])
    """Functions nobody waits for any more."""
    runs: list[tuple[Resident, Step]] = field(default_factory=list[tuple["Resident", "Step"]])
    """Functions that are to be run."""
    timers: list[Timer] = field(default_factory=list[Timer])
    over: list[tuple[ExecutionId, str]] = field(default_factory=list[tuple["ExecutionId", str]])
    """Timers that need not ring."""
    orphans: list[Step] = field(default_factory=list["Step"])
    """Children nobody waits for any more."""
    told: list[tuple[Resident, Turn]] = field(default_factory=list[tuple["Resident", "Turn"]])
    """Turns that tell somebody something: with events, or that end their executions."""
    impossible: list[tuple[Resident, Step, Exception]] = field(
        default_factory=list[tuple["Resident", "Step", Exception]]
    )
    """Steps whose message cannot be made: they have failed."""
    sent: int = 0
    """Messages in all."""


def effects_of(entries: Sequence[Entry], *, step_message: StepMessage) -> Effects:
    """Return what follows from turns that are committed."""
    effects = Effects()
    settlements, acks = effects.settlements, effects.acks
    for resident, turn, lease in entries:
        messages = _of_steps(effects, resident, turn, step_message) if turn.steps else []
        if turn.status in FINAL_STATUSES:
            effects.told.append((resident, turn))
            if resident.execution.deadline_at_ms is not None:
                effects.over.append((turn.execution_id, ""))
        if messages:
            effects.sent += len(messages)
            if lease is None:
                effects.messages += messages
            else:
                settlements.append(
                    Settlement(lease=lease, outcome=_ACK, follow_ups=tuple(messages))
                )
        elif lease is not None:
            acks.append(lease)
    return effects


def _of_steps(
    effects: Effects, resident: Resident, turn: Turn, step_message: StepMessage
) -> list[Enqueue]:
    """Add what follows from the steps of a turn; return the messages to send."""
    messages: list[Enqueue] = []
    machine = resident.machine
    pending: Mapping[str, Step] = machine.pending if machine is not None else {}
    has_events = False
    for step in turn.steps:
        if step.status is not _PENDING:
            if step.kind is not StepKind.CALL or step.status is StepStatus.CANCELLED:
                has_events = _of_ended(effects, turn, step) or has_events
        elif step.key in pending:
            if step.kind is not StepKind.CALL:
                _of_begun(effects, resident, turn, step)
                continue
            try:
                messages.append(step_message(resident.execution, step))
            except Exception as error:  # noqa: BLE001 - whatever it is, the step has failed
                effects.impossible.append((resident, step, error))
    if has_events and turn.status not in FINAL_STATUSES:
        effects.told.append((resident, turn))
    return messages


def _of_begun(effects: Effects, resident: Resident, turn: Turn, step: Step) -> None:
    """Add what follows from a step that has begun and is no message."""
    if step.kind is StepKind.RUN:
        effects.runs.append((resident, step))
    elif step.due_at_ms is not None:
        effects.timers.append(_timer(turn, step, step.due_at_ms))


def _of_ended(effects: Effects, turn: Turn, step: Step) -> bool:
    """Add what follows from a step that has ended; return whether it tells the caller something."""
    if step.due_at_ms is not None:
        effects.over.append((turn.execution_id, step.key))
    elif step.status is StepStatus.CANCELLED:
        if step.kind is StepKind.CALL:
            effects.cancels.append(step)
        elif step.kind is StepKind.RUN:
            effects.stops.append((turn.execution_id, step.key))
        elif step.kind is StepKind.CHILD:
            effects.orphans.append(step)
    return step.kind is StepKind.EVENT


def _timer(turn: Turn, step: Step, due_at_ms: int) -> Timer:
    return Timer(
        partition=turn.partition, execution_id=turn.execution_id, step=step.key, due_at_ms=due_at_ms
    )
