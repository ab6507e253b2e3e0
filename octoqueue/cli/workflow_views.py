"""Executions as a machine and as a person reads them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from octoqueue.cli.moments import local, moment
from octoqueue.cli.output import answers, print_table
from octoqueue.cli.queue_views import console_of_answers
from octoqueue.cli.reading import age_from
from octoqueue.primitives.body_json import value_from
from octoqueue.workflows.executions import Execution
from octoqueue.workflows.exports import execution_document
from octoqueue.workflows.protocol import Loaded
from octoqueue.workflows.sights import Sight, step_counts
from octoqueue.workflows.states import ExecutionStatus, StepKind, StepStatus
from octoqueue.workflows.timeline import Wait, failure_text, waits_of

# ── many ─────────────────────────────────────────────────────────────────────────────────────────


def list_document(executions: Sequence[Execution]) -> dict[str, Any]:
    """Return what a machine is told of a page of executions."""
    return {"executions": [execution_document(each) for each in executions]}


def print_executions(executions: Sequence[Execution], *, now_ms: int) -> None:
    """Show executions, a line each."""
    from rich.table import Table  # noqa: PLC0415 - not for JSON
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in ("workflow", "run", "function", "status", "lane", "tenant", "age", "took"):
        table.add_column(header, no_wrap=True, justify="right" if header == "run" else "left")
    table.add_column("error")
    for each in executions:
        table.add_row(
            Text(each.workflow_id),
            str(each.run),
            Text(each.name),
            each.status.value,
            each.lane.label,
            Text(each.tenant or "-"),
            _age(each.created_at, now_ms),
            _took(each),
            Text(failure_text(each.error)),
        )
    print_table(table)


def _took(execution: Execution) -> str:
    """Return how long it ran, once it has ended."""
    if execution.finished_at is None:
        return "-"
    return age_from((execution.finished_at - execution.created_at).total_seconds())


# ── one ──────────────────────────────────────────────────────────────────────────────────────────


def print_sight(sight: Sight, *, now_ms: int) -> None:
    """Show an execution, a line a field, its input and output as they are."""
    from rich.table import Table  # noqa: PLC0415 - not for JSON
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table.grid(padding=(0, 2))
    for name, value in _lines(sight, now_ms):
        table.add_row(Text(name, style="bold"), Text(value))
    console = console_of_answers()
    console.print(table)
    execution = sight.loaded.execution
    for name, text in (("input", execution.input), ("output", execution.output)):
        if text is not None:
            console.print(Text(f"\n{name}", style="bold"))
            console.print(Text(_indented(text)))


def _lines(sight: Sight, now_ms: int) -> list[tuple[str, str]]:
    execution = sight.loaded.execution
    lines = [
        ("workflow", execution.workflow_id),
        ("execution", f"{execution.execution_id}, run {execution.run}"),
        ("function", f"{execution.name}, version {execution.version}"),
        ("status", _status(execution, now_ms)),
    ]
    if execution.error is not None and execution.status is not ExecutionStatus.BLOCKED:
        lines.append(("error", failure_text(execution.error)))
    lines += [("waits for", _waiting(wait, now_ms)) for wait in waits_of(sight.loaded)]
    lines += [
        (
            "refused",
            f"signal {signal.name}, {_span(now_ms - signal.sent_at_ms)} ago: {failure_text(error)}",
        )
        for signal, error in sight.refused
    ]
    untaken = ", ".join(signal.name for signal in sight.loaded.signals if signal.name)
    if untaken:
        lines.append(("not taken", f"signals {untaken}: the workflow has not asked for them yet"))
    if sight.newest.execution_id != execution.execution_id:
        newest = sight.newest
        told = f"execution {newest.execution_id}, run {newest.run}, {newest.status.value}"
        lines.append(("newest", told))
    if execution.parent is not None:
        parent = execution.parent
        lines.append(("parent", f"execution {parent.execution_id}, step {parent.step}"))
    lines += [
        ("steps", _sum_of_steps(sight.loaded)),
        ("partition", f"{execution.partition}, {_held(sight)}"),
        ("lane", execution.lane.label),
        ("complexity", execution.complexity.value),
    ]
    if execution.tenant is not None:
        lines.append(("tenant", execution.tenant))
    if execution.deadline_at_ms is not None:
        lines.append(("deadline", local(moment(execution.deadline_at_ms))))
    lines.append(("started at", local(execution.created_at.isoformat())))
    if execution.finished_at is not None:
        lines.append(("ended at", local(execution.finished_at.isoformat())))
    return lines


def _status(execution: Execution, now_ms: int) -> str:
    if execution.is_final:
        return f"{execution.status.value}, after {_took(execution)}"
    return f"{execution.status.value}, for {_age(execution.created_at, now_ms)} since its start"


def _waiting(wait: Wait, now_ms: int) -> str:
    told = wait.why
    if wait.step:
        told += f" (step {wait.step})"
    told += f", for {_span(now_ms - wait.since_ms)}"
    if wait.until_ms is not None:
        left_ms = wait.until_ms - now_ms
        told += f", {_span(left_ms)} more" if left_ms > 0 else ", which is over"
    return told


def _held(sight: Sight) -> str:
    if sight.holder is not None:
        host = f" on {sight.holder.host}" if sight.holder.host else ""
        return f"held by orchestrator {sight.holder.agent_id}{host}"
    if sight.loaded.execution.is_final:
        return "held by nobody now"
    return "held by nobody: 'octoqueue orchestrator' runs workflows"


def _sum_of_steps(loaded: Loaded) -> str:
    counts = {status: count for status, count in step_counts(loaded).items() if count}
    told = ", ".join(f"{count:,} {status.value}" for status, count in counts.items())
    return told or "none"


def signals_waited_for(loaded: Loaded) -> list[str]:
    """Return the names of the signals an execution waits for, each once."""
    pending = (
        step.name
        for step in loaded.steps
        if step.kind is StepKind.SIGNAL and step.status is StepStatus.PENDING
    )
    return list(dict.fromkeys(pending))


def say(sentence: str) -> None:
    """Write one sentence as an answer."""
    answers().print(sentence, markup=False, soft_wrap=True)


def _age(at: datetime, now_ms: int) -> str:
    return _span(now_ms - round(at.timestamp() * 1000))


def _span(milliseconds: int) -> str:
    return age_from(max(0, milliseconds) / 1000)


def _indented(text: bytes) -> str:
    try:
        return orjson.dumps(value_from(text), option=orjson.OPT_INDENT_2).decode()
    except (TypeError, ValueError):  # what orjson cannot write
        return text.decode(errors="backslashreplace").strip()
