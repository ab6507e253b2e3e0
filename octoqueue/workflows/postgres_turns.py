"""Entries as the arguments of `write_turns`: one array a column. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from octoqueue.workflows.postgres_rows import declared, step_columns, texts
from octoqueue.workflows.starts import start_digest
from octoqueue.workflows.states import StepStatus
from octoqueue.workflows.turns import stops_timer, told_of_taken_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from octoqueue.workflows.executions import NewExecution
    from octoqueue.workflows.journal import Step
    from octoqueue.workflows.protocol import AgentId
    from octoqueue.workflows.turns import Entry

_NO_EPOCH = -1


def turn_columns(
    agent_id: AgentId, entries: Sequence[Entry], epochs: Mapping[int, int]
) -> tuple[Any, ...]:
    """Return the arguments of `write_turns` for one round."""
    legal = [each for each in entries if each.is_legal]
    moves = sorted((each for each in legal if each.status is not None), key=_id_of)
    stays = sorted((each for each in legal if each.status is None), key=_id_of)
    placed = [*moves, *stays]
    partitions = sorted({each.partition for each in entries})
    return (
        agent_id,
        partitions,
        [epochs.get(each, _NO_EPOCH) for each in partitions],
        [each.execution_id for each in placed],
        [each.partition for each in placed],
        [each.status for each in moves],
        [each.runs for each in moves],
        [each.needs_begun for each in moves],
        texts([each.output for each in moves]),
        texts([each.error for each in moves]),
        *_steps(placed),
        *_signals(placed),
        *_news(placed),
    )


def _steps(placed: Sequence[Entry]) -> tuple[Sequence[Any], ...]:
    turns: list[int] = []
    steps: list[Step] = []
    begun: list[tuple[int, str, int]] = []
    gone: list[tuple[int, str]] = []
    for turn, entry in enumerate(placed, 1):
        if entry.steps:
            turns.extend([turn] * len(entry.steps))
            steps.extend(entry.steps.values())
    for turn, step in zip(turns, steps, strict=True):
        if step.status is StepStatus.PENDING:
            if step.due_at_ms is not None:
                begun.append((turn, step.key, step.due_at_ms))
        elif stops_timer(step):
            gone.append((turn, step.key))
    return (
        turns,
        *step_columns(steps),
        [turn for turn, _, _ in begun],
        [key for _, key, _ in begun],
        [due for _, _, due in begun],
        [turn for turn, _ in gone],
        [key for _, key in gone],
    )


def _signals(placed: Sequence[Entry]) -> tuple[Sequence[Any], ...]:
    rows: list[tuple[int, str, str | None]] = []
    for turn, entry in enumerate(placed, 1):
        rows.extend((turn, each, None) for each in entry.taken if each not in entry.refused)
        rows.extend((turn, each, error.decode()) for each, error in entry.refused.items())
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]


def _news(placed: Sequence[Entry]) -> tuple[Sequence[Any], ...]:
    rows: list[tuple[int, bool, NewExecution]] = []
    for turn, entry in enumerate(placed, 1):
        if entry.children:
            rows.extend((turn, False, child) for child in entry.children)
        if entry.continued is not None:
            rows.append((turn, True, entry.continued))
    news = [new for _, _, new in rows]
    parents = [new.parent for new in news]
    return (
        [turn for turn, _, _ in rows],
        [continues for _, continues, _ in rows],
        [new.workflow_id for new in news],
        [new.execution_id for new in news],
        [new.name for new in news],
        [new.version for new in news],
        [new.run for new in news],
        [new.input.decode() for new in news],
        [start_digest(new) for new in news],
        [new.lane.label for new in news],
        [new.tenant for new in news],
        [new.complexity for new in news],
        [declared(new) for new in news],
        [new.deadline_at_ms for new in news],
        [None if parent is None else parent.execution_id for parent in parents],
        [None if parent is None else parent.step for parent in parents],
        [None if continues else told_of_taken_id(new).decode() for _, continues, new in rows],
    )


def _id_of(entry: Entry) -> str:
    return entry.execution_id
