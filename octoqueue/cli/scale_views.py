"""A decision as a machine and as a person reads it: every step, and what it stands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from octoqueue.cli.moments import local, moment
from octoqueue.cli.output import answers, print_table
from octoqueue.cli.reading import age_from
from octoqueue.fleet.decider import Look
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.signals import ArrivalForecast, FleetSnapshot, QueueSignals
from octoqueue.scaling.decision import Decision
from octoqueue.scaling.policy import ScalingPolicy

if TYPE_CHECKING:
    from rich.table import Table

_MINUTE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What is decided for one fleet, and why."""

    look: Look
    policy: ScalingPolicy
    recent: tuple[Decision, ...]
    """The last decisions that differed from the one before, the last one first."""


def document(explained: Explained) -> dict[str, Any]:
    """Return what a machine is told."""
    look, policy = explained.look, explained.policy
    decision, remembered, snapshot = look.decision, look.remembered, look.snapshot
    told: dict[str, Any] = {
        "fleet": decision.fleet,
        "at": moment(decision.at_ms),
        "workers": decision.workers,
        "is_active": decision.is_active,
        "reason": decision.reason,
        "steps": [
            {
                "rule": step.rule,
                "workers": step.workers,
                "reason": step.reason,
                "is_decisive": step.is_decisive,
            }
            for step in decision.steps
        ],
        "warnings": list(decision.warnings),
        "min_workers": policy.min_workers,
        "max_workers": policy.max_workers,
    }
    if snapshot is not None:
        told["signals"] = [_signals(queue, snapshot) for queue in snapshot.queues]
        told["workers_ready"] = snapshot.ready_workers
        told["workers_alive"] = len(snapshot.workers)
        told["signals_age_seconds"] = snapshot.age_seconds(decision.at_ms)
    if remembered is not None:
        override = remembered.override
        told["override"] = override and {
            "workers": override.workers,
            "until": moment(override.until_ms),
            "said_by": override.said_by,
            "beyond_max": override.beyond_max,
        }
        told["lead_seconds"] = remembered.lead_seconds
        told["waiting_for_workers_seconds"] = remembered.waiting_seconds
        told["last_activity_seconds_ago"] = remembered.active_seconds_ago()
        told["forecast"] = remembered.forecast and _forecast(remembered.forecast, decision.at_ms)
    told["recent"] = [
        {"at": moment(past.at_ms), "workers": past.workers, "reason": past.reason}
        for past in explained.recent
    ]
    return told


def _signals(queue: QueueSignals, snapshot: FleetSnapshot) -> dict[str, Any]:
    return {
        "queue": queue.queue,
        "waiting": {lane.label: queue.lanes[lane].waiting for lane in Lane},
        "oldest_age_seconds": _oldest(queue),
        "in_flight": queue.in_flight,
        "due_soon": queue.due_soon,
        "arrivals_per_second": _arrivals(queue),
        "completions_per_second": queue.completions.per_second(_MINUTE),
        "wait_p95_seconds": _wait(queue),
        "service_seconds": queue.service.mean_seconds if queue.service.count else None,
        "paused": queue.paused,
        "age_seconds": max(0, snapshot.taken_at_ms - queue.taken_at_ms) / 1000,
    }


def _forecast(forecast: ArrivalForecast, now_ms: int) -> dict[str, Any]:
    return {
        "age_seconds": max(0, now_ms - forecast.made_at_ms) / 1000,
        "skill_against_now": forecast.skill_against_now,
        "skill_against_last_week": forecast.skill_against_last_week,
        "scored_minutes": forecast.scored_minutes,
        "per_second": [minute.per_second for minute in forecast.minutes],
    }


def show(explained: Sequence[Explained]) -> None:
    """Write what a person is told, a fleet after the other."""
    for number, one in enumerate(explained):
        if number:
            answers().print()
        _show(one)


def _show(explained: Explained) -> None:
    look, policy = explained.look, explained.policy
    decision = look.decision
    idle = "" if decision.is_active else " It has nothing to do and may have none."
    _say(decision.reason)
    _say(f"It may have {policy.min_workers} to {policy.max_workers} workers.{idle}")
    print_table(_steps(decision))
    if look.snapshot is not None:
        if look.snapshot.queues:
            print_table(_queues(look.snapshot))
        _say(_crew(look.snapshot, decision.at_ms))
    for line in _memory(look):
        _say(line)
    for warning in decision.warnings:
        _say(f"Warning: {warning}")
    if explained.recent:
        print_table(_past(explained.recent))


def _say(sentence: str) -> None:
    answers().print(sentence, markup=False, soft_wrap=True)


def _table(*headers: str, numbers: Sequence[str] = ()) -> Table:
    from rich.table import Table  # noqa: PLC0415 - not for JSON

    table = Table(box=None, header_style="bold", pad_edge=False)
    for header in headers:
        is_number = header in numbers
        table.add_column(header, justify="right" if is_number else "left", no_wrap=is_number)
    return table


def _steps(decision: Decision) -> Table:
    from rich.markup import escape  # noqa: PLC0415 - as above

    table = _table("", "step", "workers", "why", numbers=("workers",))
    for step in decision.steps:
        mark = ">" if step.is_decisive else ""
        style = "bold" if step.is_decisive else None
        table.add_row(mark, step.rule, str(step.workers), escape(step.reason), style=style)
    return table


def _queues(snapshot: FleetSnapshot) -> Table:
    from rich.markup import escape  # noqa: PLC0415 - as above

    columns = ("waiting", "running", "due soon", "oldest", "in/s", "P95 wait", "mean run")
    table = _table("queue", *columns, numbers=columns)
    for queue in snapshot.queues:
        wait = _wait(queue)
        table.add_row(
            escape(queue.queue) + (" [yellow]paused[/]" if queue.paused else ""),
            str(queue.waiting),
            str(queue.in_flight),
            str(queue.due_soon),
            age_from(_oldest(queue)) if queue.waiting else "-",
            f"{_arrivals(queue):.2f}",
            "-" if wait is None else age_from(wait),
            age_from(queue.service.mean_seconds) if queue.service.count else "-",
        )
    return table


def _crew(snapshot: FleetSnapshot, now_ms: int) -> str:
    age, alive = age_from(snapshot.age_seconds(now_ms)), len(snapshot.workers)
    if not alive:
        return f"No worker is alive. Read {age} ago."
    return (
        f"{snapshot.ready_workers} of {alive} live workers claim, with {snapshot.ready_slots} "
        f"slots. Read {age} ago."
    )


def _memory(look: Look) -> list[str]:
    remembered = look.remembered
    if remembered is None:
        return []
    lines: list[str] = []
    if remembered.override is not None:
        said = remembered.override
        by = f" by {said.said_by}" if said.said_by else ""
        lines.append(f"Said{by}: {said.workers} until {local(moment(said.until_ms))}.")
    if remembered.lead_seconds is not None:
        lead = age_from(remembered.lead_seconds)
        lines.append(f"A worker is ready {lead} after it is wanted (median of the last).")
    if remembered.wishes:
        waiting = age_from(remembered.waiting_seconds)
        lines.append(f"More workers have been wanted for {waiting}.")
    if remembered.forecast is not None:
        forecast = remembered.forecast
        age = age_from(max(0, remembered.now_ms - forecast.made_at_ms) / 1000)
        lines.append(
            f'A forecast was made {age} ago; its skill against "same as now" is '
            f"{forecast.skill_against_now:.2f}."
        )
    return lines


def _past(recent: Sequence[Decision]) -> Table:
    from rich.markup import escape  # noqa: PLC0415 - as above

    table = _table("decided", "workers", "why", numbers=("workers",))
    for past in recent:
        table.add_row(local(moment(past.at_ms)), str(past.workers), escape(past.reason))
    return table


def _oldest(queue: QueueSignals) -> float:
    return max((lane.oldest_age_seconds for lane in queue.lanes.values()), default=0.0)


def _arrivals(queue: QueueSignals) -> float:
    return sum(lane.arrivals.per_second(_MINUTE) for lane in queue.lanes.values())


def _wait(queue: QueueSignals) -> float | None:
    """Return the largest 95th percentile of its lanes; None when nothing was started lately."""
    waits = [lane.waits.percentile_seconds(0.95) for lane in queue.lanes.values()]
    return max((wait for wait in waits if wait is not None), default=None)
