"""What a journal is made of: steps, signals, and the turns that write them. Pure values.

An execution moves in *turns*. A turn begins with one thing that happened (it began, a step ended, a
signal came), runs the workflow's function until it waits again, and ends with what must be
written: steps that ended, steps that began, the execution's own end. All of a turn is committed in
one transaction or not at all, so a journal is always that of an execution which waits.

`Step.order` numbers the steps that ended, in the order in which the function was told. Replaying
them in this order, one after the other, brings any deterministic function to the same place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, NewType

if TYPE_CHECKING:
    from octoqueue.primitives.ids import MessageId
    from octoqueue.workflows.executions import ExecutionId, NewExecution
    from octoqueue.workflows.states import ExecutionStatus, SignalKind, StepKind, StepStatus

SignalId = NewType("SignalId", str)
"""A signal's uuid7 in its canonical 36 characters."""


class Step(NamedTuple):
    """One journaled action of an execution, as it stands."""

    key: str
    """Its place in the program: `3`, or `3.0.1` for the first step of the first branch of a
    gather that is the third thing the function did. Equal in every replay."""
    kind: StepKind
    name: str
    """The actor, function, workflow, signal, event or patch."""
    digest: bytes
    """Of what it was begun with; a replay that begins it with something else is refused."""
    status: StepStatus
    order: int = 0
    """Its place among those that ended, from 1; 0 while it is pending."""
    input: bytes | None = None
    """JSON. CALL: `{"queue", "args", "kwargs", "options"}`, all that is needed to send it again."""
    output: bytes | None = None
    """JSON of what it gave. EVENT: what is told."""
    error: bytes | None = None
    """JSON of why it failed: `{"error": class, "message": …, "types": […]}`."""
    message_id: MessageId | None = None
    """CALL: of its message."""
    child_id: ExecutionId | None = None
    """CHILD: the first execution of it."""
    due_at_ms: int | None = None
    """SLEEP: when it ends; SIGNAL: when the wait is given up. By the clock of orchestrators."""
    began_at_ms: int = 0
    ended_at_ms: int | None = None
    attempts: int = 0
    """CALL: how often the actor was tried, once it has ended."""


class Signal(NamedTuple):
    """Something sent to an execution that no turn has taken yet."""

    signal_id: SignalId
    kind: SignalKind
    name: str
    value: bytes
    """JSON."""
    sent_at_ms: int = 0


@dataclass(slots=True, kw_only=True)
class Turn:
    """What one turn of one execution writes, all or nothing."""

    execution_id: ExecutionId
    partition: int
    steps: tuple[Step, ...] = ()
    """Steps that began or ended, as they stand now; each key once."""
    status: ExecutionStatus | None = None
    """The execution's new status, when it changes."""
    output: bytes | None = None
    """JSON; with COMPLETED."""
    error: bytes | None = None
    """JSON like that of a step; with FAILED, CANCELLED and BLOCKED."""
    taken: tuple[SignalId, ...] = ()
    """Signals this turn has taken."""
    refused: dict[SignalId, bytes] = field(default_factory=dict["SignalId", bytes])
    """Signals that do not fit, with the JSON of the error; they are kept for whoever looks."""
    children: tuple[NewExecution, ...] = ()
    """Executions that begin with this turn; they have its partition."""
    continued: NewExecution | None = None
    """The next execution of the same workflow; with CONTINUED. Signals not taken go to it."""
