"""`ScalingSettings`: what a fleet's size is decided by, as it is written in the configuration."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from octoqueue.errors import DeclarationError
from octoqueue.primitives.cron import cron_from
from octoqueue.scaling.behavior import LONGEST_PERIOD_SECONDS, LONGEST_WINDOW_SECONDS
from octoqueue.scaling.defaults import REFERENCE, ComponentDefaults
from octoqueue.scaling.policy import FloorWindow
from octoqueue.scaling.schedule import why_ambiguous
from octoqueue.settings.names import QueueName, ShortName
from octoqueue.settings.quantities import (
    Count,
    Duration,
    Kind,
    PositiveCount,
    PositiveDuration,
    PositiveNumber,
    at_most,
)
from octoqueue.settings.section import Section, empty_if_none

_CRON_FIELDS = 5
_ANY_CRON = "0 0 * * *"


def _percentile(value: object) -> object:
    """Refuse what is meant as per cent, before 95 is only called too large."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic collects ValueError
    try:
        share = float(value) if isinstance(value, int | float | str) else None
    except ValueError:
        share = None
    if share is None:
        raise ValueError("must be a share between 0 and 1, such as 0.95")
    if not 0 < share < 1:
        hint = f"; write {share / 100:g} for {share:g} %" if 1 < share < 100 else ""  # noqa: PLR2004
        raise ValueError(f"must be above 0 and below 1{hint}")
    return share


def _timezone(name: str) -> str:
    try:
        cron_from(_ANY_CRON, name)
    except DeclarationError:
        raise ValueError("is no time zone; write one such as Europe/Berlin") from None
    return name


def _cron(expression: str) -> str:
    if len(expression.split()) != _CRON_FIELDS:
        raise ValueError("must have five fields, such as 0 8 * * 1-5")
    try:
        cron_from(expression)
    except DeclarationError as error:
        raise ValueError(f"is no cron expression: {_after_colon(str(error))}") from None
    return expression


def _after_colon(text: str) -> str:
    """Return what a refusal says, without the field it names first."""
    return text.removeprefix("cron: ")


Percentile = Annotated[float, BeforeValidator(_percentile), Kind("share")]
"""A share between 0 and 1, both excluded: 0.95 is the 95th percentile."""


class LatencySettings(Section):
    """A bound for the waiting time that was observed."""

    within: PositiveDuration
    """Messages waited no longer than this before they started."""

    percentile: Percentile = 0.95
    """For this share of the messages."""


class ObjectiveSettings(Section):
    """A promise about waiting time, from which the smallest fleet is computed that keeps it."""

    within: PositiveDuration
    """Messages start, or are finished, no later than this after they could have started."""

    percentile: Percentile = 0.95
    """This share of the messages does."""

    drain: PositiveDuration | None = None
    """In which time, once new workers are ready, what waits is to be started; without a duration,
    `within`. Longer takes fewer workers after a burst."""

    of: Literal["start", "finish"] = "start"
    """What is promised: `start`, that messages begin within the time; `finish`, that they are done,
    their own running time included."""


class ObjectiveTable(Section):
    """Objectives, a lane each."""

    high: ObjectiveSettings | None = None
    """Of the lane `high`."""

    normal: ObjectiveSettings | None = None
    """Of the lane `normal`."""

    low: ObjectiveSettings | None = None
    """Of the lane `low`."""

    all: ObjectiveSettings | None = None
    """Of all lanes together."""


class ForecastSettings(Section):
    """Whether and how cautiously a forecast of arrivals is followed."""

    use: bool = True
    """Follow it as soon as there is one that has proved itself."""

    quantile: Percentile = 0.9
    """Which arrivals to be ready for: 0.5 are those expected, more is more cautious."""

    missed_minute_costs: PositiveNumber | None = None
    """How many minutes of a worker it may cost to be ready for one more minute. Then more minutes
    are missed where that saves many workers, fewer where it saves few; without a number, `quantile`
    says it for all."""

    least_skill: Annotated[float, Field(ge=-1, lt=1), Kind("number")] = 0.0
    """Skill against "same as now", and against "same as last week", from which on it is followed; 0
    is no better, 1 is perfect."""

    least_scored: PositiveDuration = timedelta(hours=1)
    """It is followed when it has been compared with what came for this long."""

    stale_after: PositiveDuration = timedelta(minutes=10)
    """One that was made longer ago is not followed."""


class FloorSettings(Section):
    """At least so many workers from one moment to another, again and again."""

    workers: PositiveCount
    """Workers, at least."""

    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    """The time zone of both, e.g. `Europe/Berlin`."""

    start: Annotated[str, AfterValidator(_cron)]
    """When it begins: a cron expression of five fields, e.g. `0 8 * * 1-5`."""

    end: Annotated[str, AfterValidator(_cron)]
    """When it ends, likewise. Each start needs one end of its own before the next start."""

    @field_validator("end")
    @classmethod
    def _ends_what_it_starts(cls, end: str, info: ValidationInfo) -> str:
        start, timezone = info.data.get("start"), info.data.get("timezone")
        if start is not None and timezone is not None:
            window = FloorWindow(start=start, end=end, timezone=timezone, workers=1)
            reason = why_ambiguous(window)
            if reason:
                raise ValueError(f"with start {start!r} the window {reason}")
        return end


class CapSettings(Section):
    """What a fleet may cost or use at most."""

    cost_per_worker_hour: PositiveNumber | None = None
    """What one worker costs an hour."""

    budget_per_hour: PositiveNumber | None = None
    """What the fleet may cost an hour, in the same unit; needs `cost_per_worker_hour`."""

    quota_per_second: PositiveNumber | None = None
    """Messages a second that a model's quota can feed: more workers than that takes are not
    started."""

    @field_validator("budget_per_hour")
    @classmethod
    def _has_a_cost(cls, budget: float | None, info: ValidationInfo) -> float | None:
        is_wrong_itself = "cost_per_worker_hour" not in info.data
        if budget is not None and not is_wrong_itself and not info.data["cost_per_worker_hour"]:
            raise ValueError("needs cost_per_worker_hour: a budget without a cost bounds nothing")
        cost = info.data.get("cost_per_worker_hour")
        if budget is not None and cost is not None and budget < cost:
            raise ValueError(f"does not pay one worker, which costs {cost:g}")
        return budget


class ProtectionSettings(Section):
    """Which workers are let finish when the fleet shrinks."""

    at_risk: PositiveDuration | None = timedelta(minutes=5)
    """Workers with a message that would lose this much running time or more, since it began or its
    last checkpoint; `null` for none."""

    at_risk_cost: PositiveNumber | None = None
    """Workers that would lose this much cost or more with all their messages, in the unit of
    `spent`."""

    busy: bool = False
    """Every worker that runs something."""


class DirectionSettings(Section):
    """How fast a fleet may grow, or shrink."""

    window: Annotated[Duration, at_most(timedelta(seconds=LONGEST_WINDOW_SECONDS))] | None = None
    """Growing takes the lowest, shrinking the highest demand of this time; without a duration, what
    the component's defaults say."""

    workers: PositiveCount | None = None
    """At most so many workers in each `workers_period`."""

    workers_period: Annotated[
        PositiveDuration, at_most(timedelta(seconds=LONGEST_PERIOD_SECONDS))
    ] = timedelta(minutes=1)
    """The period that `workers` counts in: whole seconds."""

    percent: PositiveCount | None = None
    """At most so much of the fleet in each `percent_period`."""

    percent_period: Annotated[
        PositiveDuration, at_most(timedelta(seconds=LONGEST_PERIOD_SECONDS))
    ] = timedelta(minutes=1)
    """The period that `percent` counts in: whole seconds."""

    select: Literal["max", "min", "disabled"] | None = None
    """Of `workers` and `percent`, the one that allows most or least; `disabled` allows no change.
    Without a word, `max` where `workers` or `percent` is given, else what the component's defaults
    say."""

    tolerance: Annotated[float, Field(ge=0, lt=1), Kind("share")] = 0.1
    """Relative change of demand that is ignored."""

    @field_validator("window", "workers_period", "percent_period")
    @classmethod
    def _is_whole_seconds(cls, value: timedelta | None) -> timedelta | None:
        if value is not None and value % timedelta(seconds=1):
            raise ValueError("must be whole seconds")
        return value


class BehaviorSettings(Section):
    """How fast a fleet may grow and shrink: what Kubernetes calls behavior."""

    up: DirectionSettings | None = None
    """Growing; without a section, what the component's defaults say."""

    down: DirectionSettings | None = None
    """Shrinking; without a section, what the component's defaults say."""


class ScalingSettings(Section):
    """How many workers a fleet is to have."""

    min: Count | None = None
    """Workers, at least; 0 lets the fleet shrink to none. Without a number, the component's
    default, else 1."""

    max: PositiveCount | None = None
    """Workers, at most; without a number, the component's default, else 10."""

    @field_validator("max")
    @classmethod
    def _is_not_below_min(cls, most: int | None, info: ValidationInfo) -> int | None:
        least = info.data.get("min")
        if most is not None and least is not None and most < least:
            raise ValueError(f"must be at least min, which is {least}")
        return most

    queues: tuple[QueueName, ...] = ()
    """Queues whose work counts; none named: all that the fleet serves."""

    start_up: PositiveDuration = timedelta(seconds=60)
    """Until a new worker is ready, as long as nothing was measured."""

    service: PositiveDuration | None = None
    """How long a message runs on average, as long as nothing was measured."""

    depth: PositiveNumber | None = None
    """Messages a worker: those that wait, run or are due before a new worker is ready."""

    latency: LatencySettings | None = None
    """A bound for the waiting time that was observed."""

    rate: PositiveNumber | None = None
    """Requests or arriving messages a second and worker."""

    objectives: ObjectiveTable = ObjectiveTable()
    """Promises about waiting time."""

    forecast: ForecastSettings = ForecastSettings()
    """Whether a forecast of arrivals is followed."""

    schedule: Annotated[dict[ShortName, FloorSettings], BeforeValidator(empty_if_none)] = Field(
        default_factory=dict
    )
    """Floors by the clock, by names of your own."""

    @field_validator("schedule")
    @classmethod
    def _is_not_above_max(
        cls, schedule: dict[str, FloorSettings], info: ValidationInfo
    ) -> dict[str, FloorSettings]:
        most = info.data.get("max")
        for name, floor in schedule.items():
            if most is not None and floor.workers > most:
                raise ValueError(f"{name}.workers: {floor.workers} is above max, which is {most}")
        return schedule

    caps: CapSettings = CapSettings()
    """What the fleet may cost or use."""

    @field_validator("caps")
    @classmethod
    def _pays_min(cls, caps: CapSettings, info: ValidationInfo) -> CapSettings:
        least, cost, budget = info.data.get("min"), caps.cost_per_worker_hour, caps.budget_per_hour
        if least and cost and budget and budget < least * cost:
            raise ValueError(
                f"budget_per_hour: {budget:g} does not pay min, {least} workers at {cost:g}"
            )
        return caps

    protection: ProtectionSettings = ProtectionSettings()
    """Which workers are let finish."""

    behavior: BehaviorSettings = BehaviorSettings()
    """How fast the fleet may grow and shrink."""

    activation: Count = 0
    """A fleet of none starts when more messages than this wait."""

    active_for: Duration = timedelta(minutes=5)
    """How long a fleet that may shrink to none is kept after the last work."""

    stale_after: PositiveDuration = timedelta(seconds=15)
    """Signals older than this decide nothing."""

    def bounds_of(self, fleet: str) -> tuple[int, int]:
        """Return the least and the most workers of the fleet of a name."""
        defaults = REFERENCE.get(fleet, ComponentDefaults())
        least = defaults.min_workers if self.min is None else self.min
        most = defaults.max_workers if self.max is None else self.max
        # A bound that is given moves the default of the other one.
        if self.min is None:
            least = min(least, most)
        if self.max is None:
            most = max(least, most)
        return least, most
