"""What goes into a simulation: the trace, the service time, the rules; each refusal says why."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import typer

from octoqueue.cli.simulate_choices import Choices
from octoqueue.cli.simulate_policies import policy_of
from octoqueue.errors import TraceInvalid
from octoqueue.scaling.forecast.forecaster import ArrivalForecaster
from octoqueue.scaling.policy import ScalingPolicy
from octoqueue.scaling.simulator.fleets import Durations, Outage
from octoqueue.scaling.simulator.policy_rule import PolicyRule
from octoqueue.scaling.simulator.reading import read_trace
from octoqueue.scaling.simulator.rules import (
    Clairvoyant,
    CpuUtilization,
    QueueDepth,
    Static,
    TrailingMaximum,
)
from octoqueue.scaling.simulator.tokens import TokenTimes
from octoqueue.scaling.simulator.traces import (
    RequestTrace,
    StepTrace,
    Trace,
    messages_in,
    service_for,
)
from octoqueue.scaling.simulator.views import Rule
from octoqueue.settings.quantities import parse_duration

_WORD: Final = re.compile(r"(static|depth|cpu|max)=(.*)|(clairvoyant)")
_RULES: Final = "rules are static=15, depth=10, cpu=70%, max=3,1.1,1 and clairvoyant"
_DEFAULT_VARIATION: Final = 1.0
MOST_MESSAGES: Final = 20_000_000
"""One by one: some minutes of work, and some gigabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A rule to be simulated, before anything is known of the trace."""

    rule: Callable[[Trace, Durations, Choices], Rule]
    """Makes the rule for one run."""
    policy: ScalingPolicy | None = None
    initial_workers: int | None = None
    is_undamped: bool = False
    """It does at once what it says."""


def refused(option: str, reason: str) -> typer.BadParameter:
    """Return the refusal of an option."""
    return typer.BadParameter(f"{option}: {reason}")


def trace_from(choices: Choices) -> Trace:
    """Return the trace of a file.

    Raises:
        TraceInvalid: it holds none, or cannot be read.
    """
    path = choices.trace
    tokens = TokenTimes()
    if choices.context_token_seconds is not None:
        tokens = replace(tokens, seconds_per_context_token=choices.context_token_seconds)
    if choices.generated_token_seconds is not None:
        tokens = replace(tokens, seconds_per_generated_token=choices.generated_token_seconds)
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return read_trace(lines, source=str(path), tokens=tokens)
    except OSError as error:
        raise TraceInvalid(str(path), f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise TraceInvalid(str(path), "it is not UTF-8 text; is it packed?") from None


def service_of(trace: Trace, first: Candidate, choices: Choices) -> tuple[Trace, Durations]:
    """Return the trace, scaled, and how long its messages run.

    The service time is the one that was given, else what the trace tells, else the policy's
    assumption, else what makes the mean load. With a service time, a mean load scales the trace.

    Raises:
        typer.BadParameter: nothing tells how long a message runs.
        TraceInvalid: nothing arrives.
    """
    if messages_in(trace) <= 0:
        raise TraceInvalid(trace.name, "nothing arrives in it")
    slots = choices.slots or (first.policy.slots_per_worker if first.policy else 1)
    load = None if choices.mean_load is None else choices.mean_load * slots
    told = isinstance(trace, RequestTrace) and trace.service_seconds is not None
    if isinstance(trace, RequestTrace) and told and choices.service_seconds is not None:
        trace, told = replace(trace, service_seconds=None), False
    mean = choices.service_seconds
    if isinstance(trace, RequestTrace) and mean is None:
        mean = trace.mean_service_seconds
    if mean is None and load is None and first.policy is not None:
        mean = first.policy.service_seconds
    if mean is None and isinstance(trace, RequestTrace) and trace.service_seconds is not None:
        mean = float(trace.service_seconds.mean())
    if mean is None and load is not None:
        mean = service_for(trace, load=load)
    if mean is None or mean <= 0:
        raise refused(
            "--service", "nothing tells how long a message runs; give this, or --mean-load"
        )
    if load is not None:
        trace = _scaled(trace, load, mean_seconds=mean)
    if told and isinstance(trace, RequestTrace) and trace.service_seconds is not None:
        mean = float(trace.service_seconds.mean())
    return trace, Durations(mean_seconds=mean, squared_variation=_variation(trace, choices))


def _scaled(trace: Trace, load: float, *, mean_seconds: float) -> Trace:
    if isinstance(trace, RequestTrace) and trace.service_seconds is None:
        require_countable(load * trace.duration_seconds / mean_seconds)
    return trace.scaled_to(load, service_seconds=mean_seconds)


def require_countable(messages: float) -> None:
    """Refuse more messages than can be simulated one by one.

    Raises:
        typer.BadParameter: there are.
    """
    if messages > MOST_MESSAGES:
        raise refused(
            "--model",
            f"{messages:.0f} messages are too many one by one; give --mean-load and --service, or "
            "--model fluid with counts a minute",
        )


def _variation(trace: Trace, choices: Choices) -> float:
    if choices.service_cv2 is not None:
        return choices.service_cv2
    if isinstance(trace, RequestTrace) and trace.squared_variation is not None:
        return trace.squared_variation
    return _DEFAULT_VARIATION


def candidate_from(text: str, choices: Choices) -> Candidate:
    """Return the rule that a word or a file writes.

    Raises:
        ConfigError: the file is wrong.
        typer.BadParameter: it is neither.
    """
    match = _WORD.fullmatch(text.strip())
    if match is None:
        if "=" in text and not Path(text).exists():
            raise refused("--policy", f"{text!r} is neither a file nor a rule; {_RULES}")
        return _policy(Path(text), choices)
    if match[3]:
        return Candidate(rule=_clairvoyant, is_undamped=True)
    try:
        return _plain(match[1], [_amount(part) for part in match[2].split(",")])
    except ValueError as error:
        raise refused("--policy", f"{text!r} is no rule: {error}") from None


def outage_from(text: str) -> Outage:
    """Return the outage that `AT/DURATION` writes.

    Raises:
        typer.BadParameter: it writes none.
    """
    at, _, seconds = text.partition("/")
    try:
        return Outage(
            starts_at_seconds=parse_duration(at).total_seconds(),
            seconds=parse_duration(seconds).total_seconds(),
        )
    except ValueError:
        raise refused("--outage", f"{text!r} is none; write e.g. 2h/5m") from None


def _policy(path: Path, choices: Choices) -> Candidate:
    policy = policy_of(path, fleet=choices.fleet, slots=choices.slots)
    if choices.slots is not None:
        policy = replace(policy, slots_per_worker=choices.slots)
    if not choices.forecasts:
        policy = replace(policy, forecast=None)
    if not policy.queues:
        raise refused("--policy", f"{path}: {policy.fleet} has no queues, so nothing arrives")

    def rule(trace: Trace, service: Durations, choices: Choices) -> Rule:
        del trace, service, choices
        forecaster = ArrivalForecaster() if policy.forecast is not None else None
        return PolicyRule(policy, forecaster=forecaster, name=str(path))

    return Candidate(rule=rule, policy=policy)


def _plain(word: str, amounts: list[float]) -> Candidate:
    wanted = {"static": 1, "depth": 1, "cpu": 1, "max": 3}[word]
    if len(amounts) != wanted:
        raise ValueError(f"{word} takes {wanted} number{'s' if wanted > 1 else ''}")
    if amounts[0] <= 0 or any(amount < 0 for amount in amounts):
        raise ValueError("numbers must be above 0")
    if word in {"static", "max"} and amounts[0] != round(amounts[0]):
        raise ValueError(f"{amounts[0]:g} {'workers' if word == 'static' else 'minutes'}: whole")
    if word == "cpu" and amounts[0] > 1:
        raise ValueError("a share is at most 1, or 100%")
    if word == "static":
        workers = round(amounts[0])
        return Candidate(
            rule=_always(Static(workers=workers)), initial_workers=workers, is_undamped=True
        )
    if word == "depth":
        return Candidate(rule=_always(QueueDepth(messages_per_worker=amounts[0])))
    if word == "cpu":
        return Candidate(rule=_always(CpuUtilization(target=amounts[0])))
    minutes, headroom, spare = amounts
    return Candidate(
        rule=_always(
            TrailingMaximum(minutes=round(minutes), headroom=headroom, spare_workers=spare)
        ),
        is_undamped=True,
    )


def _always(rule: Rule) -> Callable[[Trace, Durations, Choices], Rule]:
    def made(trace: Trace, service: Durations, choices: Choices) -> Rule:
        del trace, service, choices
        return rule

    return made


def _clairvoyant(trace: Trace, service: Durations, choices: Choices) -> Rule:
    return Clairvoyant(
        trace if isinstance(trace, StepTrace) else trace.in_steps(),
        service_seconds=service.mean_seconds,
        slots=choices.slots or 1,
        lead_seconds=(choices.start_up_seconds or 0.0) + choices.sync_seconds,
    )


def _amount(text: str) -> float:
    text = text.strip()
    try:
        amount = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if not math.isfinite(amount):
        raise ValueError(f"{text} is no number to count with")
    return amount
