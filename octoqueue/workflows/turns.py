"""What one write does to one execution: its turns, merged. Pure; every store writes by these rules.

    turns of a write    begin(A)  step(A)  begin(B)  child(C) of B  …  begin(C)  step(B)
    rounds of entries   ├──────── A, B ─────────────────────────┤  ├── C, B ───────────┤

Within a round every execution has one entry, so that a round can be written set by set. A new round
begins with the first turn that goes on with what the round has made: an execution, or a workflow.

The turns of an execution in one round are built on each other, so they stand or fall together: when
one of them makes a move that is not legal, none is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from octoqueue.errors import WorkflowIdTaken
from octoqueue.workflows.states import (
    FINAL_STATUSES,
    LEGAL_MOVES,
    ExecutionStatus,
    StepKind,
    StepStatus,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from octoqueue.workflows.executions import ExecutionId, NewExecution
    from octoqueue.workflows.journal import SignalId, Step, Turn

BEGUN = frozenset({ExecutionStatus.RUNNING, ExecutionStatus.BLOCKED})
"""Where an execution must be for a turn that does not change its status."""
NULL = b"null"
GIVEN_UP = b'"its parent has gone on without it"'
"""Why a child is asked to end by the write that gives it up: the value of its signal CANCEL."""
_TIMED = frozenset({StepKind.SLEEP, StepKind.SIGNAL})


@dataclass(slots=True)
class Entry:
    """All that one round writes for one execution."""

    execution_id: ExecutionId
    partition: int
    is_legal: bool = True
    """Whether the turns can follow each other at all."""
    needs_begun: bool = False
    """Whether the first turn leaves the status as it is."""
    runs: bool = False
    """Whether it has run in one of the turns, so that it has been started."""
    status: ExecutionStatus | None = None
    output: bytes | None = None
    error: bytes | None = None
    steps: dict[str, Step] = field(default_factory=dict["str", "Step"])
    taken: list[SignalId] = field(default_factory=list["SignalId"])
    refused: dict[SignalId, bytes] = field(default_factory=dict["SignalId", bytes])
    children: list[NewExecution] = field(default_factory=list["NewExecution"])
    continued: NewExecution | None = None

    def may_follow(self, current: ExecutionStatus) -> bool:
        """Return whether an execution that is `current` can make these moves."""
        if not self.is_legal or current in FINAL_STATUSES:
            return False
        if self.needs_begun and current not in BEGUN:
            return False
        return self.status is None or self.status in LEGAL_MOVES[current]


def rounds_of(turns: Iterable[Turn]) -> list[list[Entry]]:
    """Return the entries of a write, round after round."""
    # A turn that names another partition is astray; it must not take the others along.
    rounds: list[dict[tuple[ExecutionId, int], Entry]] = [{}]
    made: set[str] = set()
    for turn in turns:
        if made and not made.isdisjoint(_touched(turn)):
            rounds.append({})
            made = set()
        entries = rounds[-1]
        place = (turn.execution_id, turn.partition)
        entry = entries.get(place)
        if entry is None:
            entry = Entry(turn.execution_id, turn.partition)
            entry.needs_begun = turn.status is None
            entries[place] = entry
        _add(entry, turn)
        for child in turn.children:
            made.update((child.execution_id, child.workflow_id))
        if turn.continued is not None:
            made.add(turn.continued.execution_id)
    return [list(entries.values()) for entries in rounds if entries]


def _touched(turn: Turn) -> list[str]:
    return [turn.execution_id, *(child.workflow_id for child in turn.children)]


def _add(entry: Entry, turn: Turn) -> None:
    if entry.status in FINAL_STATUSES or turn.status is ExecutionStatus.QUEUED:
        entry.is_legal = False
    for step in turn.steps:
        entry.steps[step.key] = step_after(entry.steps.get(step.key), step)
    if turn.status is not None:
        _move(entry, turn)
    if turn.taken:
        entry.taken.extend(turn.taken)
    if turn.refused:
        entry.refused.update(turn.refused)
    if turn.children:
        entry.children.extend(turn.children)


def _move(entry: Entry, turn: Turn) -> None:
    entry.status, entry.output, entry.error = turn.status, None, None
    match turn.status:
        case ExecutionStatus.COMPLETED:
            entry.output = turn.output or NULL
            entry.runs = True
        case ExecutionStatus.FAILED | ExecutionStatus.CANCELLED | ExecutionStatus.BLOCKED:
            entry.error = turn.error or NULL
        case _:
            entry.runs = True
    entry.continued = turn.continued if turn.status is ExecutionStatus.CONTINUED else None


def step_after(kept: Step | None, written: Step) -> Step:
    """Return a step as it stands when `written` is written over `kept`.

    A step that has ended stays as it ended, and what a step was begun with never changes.
    """
    if kept is None:
        return written
    if kept.status is not StepStatus.PENDING:
        return kept
    return written._replace(
        kind=kept.kind,
        name=kept.name,
        digest=kept.digest,
        input=kept.input,
        began_at_ms=kept.began_at_ms,
    )


def stops_timer(step: Step) -> bool:
    """Return whether a step that has ended may have a timer."""
    return step.due_at_ms is not None or step.kind in _TIMED


def in_order(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return a journal's steps: those that ended by their order, then the pending by their key."""
    return tuple(sorted(steps, key=_place))


def _place(step: Step) -> tuple[bool, int, str]:
    return step.status is StepStatus.PENDING, step.order, step.key


def told_of_end(
    status: ExecutionStatus | str, *, output: bytes | None, error: bytes | None
) -> bytes:
    """Return the value of the signal CHILD: how an execution ended, as JSON."""
    return b'{"status":"%b","output":%b,"error":%b}' % (
        status.encode(),
        output or NULL,
        error or NULL,
    )


def told_of_taken_id(child: NewExecution) -> bytes:
    """Return the value of the signal CHILD for a child whose workflow id belongs to another."""
    exc = WorkflowIdTaken(child.workflow_id, reason="another workflow runs under it")
    types: Sequence[str] = [each.__name__ for each in type(exc).__mro__[:-1]]
    error = {"error": type(exc).__name__, "message": str(exc), "types": types}
    return told_of_end(ExecutionStatus.FAILED, output=None, error=orjson.dumps(error))
