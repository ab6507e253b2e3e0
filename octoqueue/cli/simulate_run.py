"""`octoqueue simulate` at work: from options to reports. Loaded late, as it stands on numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from octoqueue.cli.output import complain, print_json
from octoqueue.cli.pace import progress
from octoqueue.cli.simulate_choices import Choices
from octoqueue.cli.simulate_inputs import (
    Candidate,
    candidate_from,
    outage_from,
    refused,
    require_countable,
    service_of,
    trace_from,
)
from octoqueue.cli.simulate_views import document, print_reports
from octoqueue.scaling.simulator.fleets import Durations, FleetModel, Workload
from octoqueue.scaling.simulator.plots import SUFFIXES, draw
from octoqueue.scaling.simulator.report import Report
from octoqueue.scaling.simulator.simulating import DEFAULT_OBJECTIVE_SECONDS, simulate
from octoqueue.scaling.simulator.thresholds import Threshold, threshold_from
from octoqueue.scaling.simulator.traces import StepTrace, Trace, messages_in

UNMET: Final = 3
"""Exit code: a bound of --require was not kept."""

_DEFAULT_START_UP_SECONDS: Final = 60.0
_DEFAULT_MOST_WORKERS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a simulation came to."""

    reports: tuple[Report, ...]
    failed: tuple[str, ...]
    """A sentence for each bound that was not kept."""


def run(choices: Choices) -> int:
    """Simulate, print, draw; return the exit code.

    Raises:
        TraceInvalid: the trace is wrong.
        ConfigError: a policy file is wrong.
        typer.BadParameter: an option is.
    """
    thresholds = _thresholds(choices.requirements)
    if choices.plot is not None:
        _require_drawable(choices.plot)
    trace = trace_from(choices)
    candidates = [candidate_from(text, choices) for text in choices.rules]
    trace, service = service_of(trace, candidates[0], choices)
    if is_by_message(trace, choices):
        require_countable(messages_in(trace))
    reports = tuple(
        _simulated(trace, service, candidate, candidates[0], choices) for candidate in candidates
    )
    outcome = Outcome(
        reports=reports,
        failed=tuple(
            sentence
            for threshold in thresholds
            if (sentence := threshold.failure(reports[0])) is not None
        ),
    )
    _tell(outcome, trace, service, choices)
    return UNMET if outcome.failed else 0


def _simulated(
    trace: Trace, service: Durations, candidate: Candidate, first: Candidate, choices: Choices
) -> Report:
    fleet = _fleet_of(candidate, first, choices)
    known = replace(choices, slots=fleet.slots, start_up_seconds=fleet.start_up.mean_seconds)
    rule = candidate.rule(trace, service, known)
    workload = Workload(
        kind="messages" if is_by_message(trace, choices) else "fluid",
        service=service,
        seed=choices.seed,
    )
    with progress(
        rule.name, math.ceil(trace.duration_seconds), shown=not choices.as_json
    ) as advance:
        return simulate(
            trace,
            workload,
            fleet,
            rule,
            objective_seconds=_objective_seconds(first, choices),
            progress=lambda seconds: advance(int(seconds)),
        )


def is_by_message(trace: Trace, choices: Choices) -> bool:
    """Return whether messages are simulated one by one."""
    if choices.model is None:
        return not isinstance(trace, StepTrace)
    if choices.model not in {"fluid", "messages"}:
        raise refused("--model", f"{choices.model!r} is neither fluid nor messages")
    return choices.model == "messages"


def _fleet_of(candidate: Candidate, first: Candidate, choices: Choices) -> FleetModel:
    """Return the fleet: what the candidate's policy does not say is as in the first one's."""
    policy = candidate.policy or first.policy
    start_up = choices.start_up_seconds
    if start_up is None:
        start_up = policy.start_up_seconds if policy else _DEFAULT_START_UP_SECONDS
    cost = choices.cost
    if cost is None:
        cost = (policy.caps.cost_per_worker_hour if policy else None) or 0.0
    model = FleetModel(
        start_up=Durations(mean_seconds=start_up, squared_variation=choices.start_up_cv2),
        slots=choices.slots or (policy.slots_per_worker if policy else 1),
        max_workers=_DEFAULT_MOST_WORKERS,
        initial_workers=candidate.initial_workers,
        loop="direct" if candidate.is_undamped else ("hpa" if choices.is_kubernetes else "agent"),
        sync_seconds=_positive("--sync", choices.sync_seconds),
        polling_seconds=max(30.0, choices.sync_seconds),
        failures_per_worker_hour=choices.failures_an_hour,
        lease_seconds=choices.lease_seconds,
        outages=tuple(outage_from(text) for text in choices.outages),
        cost_per_worker_hour=cost,
    )
    if policy is None:
        return model
    return replace(
        model,
        # A rule to compare with is not held by the bounds of a policy.
        min_workers=policy.min_workers if candidate.policy else 1,
        max_workers=policy.max_workers if candidate.policy else _DEFAULT_MOST_WORKERS,
        behavior=policy.behavior,
        cooldown_seconds=policy.active_for_seconds,
    )


def _objective_seconds(first: Candidate, choices: Choices) -> float:
    if choices.objective_seconds is not None:
        return choices.objective_seconds
    objectives = first.policy.objectives if first.policy else ()
    return min((each.seconds for each in objectives), default=DEFAULT_OBJECTIVE_SECONDS)


def _positive(option: str, seconds: float) -> float:
    if seconds <= 0:
        raise refused(option, "must be above 0")
    return seconds


def _thresholds(texts: tuple[str, ...]) -> list[Threshold]:
    try:
        return [threshold_from(text) for text in texts]
    except ValueError as error:
        raise refused("--require", str(error)) from None


def _tell(outcome: Outcome, trace: Trace, service: Durations, choices: Choices) -> None:
    if choices.as_json:
        print_json(
            document(
                outcome.reports,
                failed=outcome.failed,
                service=service,
                shown=choices.shown_decisions,
            )
        )
    else:
        print_reports(outcome.reports, service=service, shown=choices.shown_decisions)
    for sentence in outcome.failed:
        complain(sentence)
    if choices.plot is not None:  # last: what was simulated is told even if it cannot be drawn
        _draw(outcome.reports, choices.plot, starts_at_ms=trace.starts_at_ms)


def _require_drawable(path: Path) -> None:
    """Refuse before anything is simulated what could not be drawn after it."""
    if path.suffix not in SUFFIXES:
        raise refused("--plot", f"{path} must end in {' or '.join(SUFFIXES)}")
    if find_spec("matplotlib") is None:
        raise refused("--plot", "drawing needs matplotlib: pip install 'octoqueue[plots]'")
    if not path.parent.is_dir():
        raise refused("--plot", f"{path} cannot be written: there is no {path.parent}")


def _draw(reports: tuple[Report, ...], path: Path, *, starts_at_ms: int) -> None:
    try:
        draw(reports, path, starts_at_ms=starts_at_ms)
    except OSError as error:
        raise refused("--plot", f"{path} cannot be written: {error.strerror or error}") from None
