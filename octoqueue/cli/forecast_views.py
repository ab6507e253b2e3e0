"""Forecasts as a person and as a machine read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from octoqueue.cli.moments import local, moment
from octoqueue.cli.reading import age_from

if TYPE_CHECKING:
    from octoqueue.metrics.scaling_memory import Remembered
    from octoqueue.primitives.signals import ArrivalForecast
    from octoqueue.scaling.policy import ScalingPolicy

_NOT_FOLLOWED: Final = "not followed: "


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastView:
    """What is known of the forecast of a fleet."""

    fleet: str
    now_ms: int
    forecast: ArrivalForecast | None
    is_followed: bool
    """By the last decision."""
    reason: str
    """Why it is, or why not."""

    @classmethod
    def of(cls, remembered: Remembered, policy: ScalingPolicy) -> ForecastView:
        """Return what is remembered of a fleet."""
        is_followed, reason = _followed(remembered, policy)
        return cls(
            fleet=remembered.fleet,
            now_ms=remembered.now_ms,
            forecast=remembered.forecast,
            is_followed=is_followed,
            reason=reason,
        )

    @property
    def age_seconds(self) -> float:
        """How long ago it was made; 0 without one."""
        made_at_ms = self.now_ms if self.forecast is None else self.forecast.made_at_ms
        return max(0, self.now_ms - made_at_ms) / 1000


def _followed(remembered: Remembered, policy: ScalingPolicy) -> tuple[bool, str]:
    if policy.forecast is None:
        return False, "the configuration says so (scaling.forecast.use)"
    if remembered.forecast is None:
        return False, "there is none; 'workers.admin' makes them every minute"
    if remembered.decision is None:
        return False, "nobody has decided about this fleet yet"
    for step in remembered.decision.steps:
        if step.rule == "forecast":
            is_note = step.reason.startswith(_NOT_FOLLOWED)
            return not is_note, step.reason.removeprefix(_NOT_FOLLOWED)
    return False, f"the last decision did not ask for it: {remembered.decision.reason}"


def heading(view: ForecastView) -> str:
    """Return what is true of a forecast, in a line or two."""
    state = "followed" if view.is_followed else "not followed"
    lines = [f"{view.fleet}: {state}: {view.reason}"]
    found = view.forecast
    if found is not None:
        lines.append(
            f"  made {age_from(view.age_seconds)} ago; skill {found.skill_against_now:.3f} against "
            f'"as now", {_beside_week(found)} against "as last week", from '
            f"{found.scored_minutes:,} minutes; the interval should hold "
            f"{found.interval * 100:g} % of the time"
        )
    return "\n".join(lines)


def _beside_week(found: ArrivalForecast) -> str:
    if found.scored_beside_week == 0:
        return "not yet known"
    return f"{found.skill_against_last_week:.3f}"


def rows(view: ForecastView, *, minutes: int) -> list[tuple[str, str, str, str]]:
    """Return the coming minutes: when, and messages a minute: expected, low, high."""
    if view.forecast is None:
        return []
    return [
        (
            local(moment(minute.starts_at_ms)),
            f"{minute.per_second * 60:,.1f}",
            f"{minute.low_per_second * 60:,.1f}",
            f"{minute.high_per_second * 60:,.1f}",
        )
        for minute in view.forecast.minutes[:minutes]
    ]


def document(view: ForecastView, *, minutes: int) -> dict[str, Any]:
    """Return what a machine is told of a forecast; rates are messages a second."""
    found = view.forecast
    told: dict[str, Any] = {
        "fleet": view.fleet,
        "is_followed": view.is_followed,
        "reason": view.reason,
        "forecast": None,
    }
    if found is not None:
        told["forecast"] = {
            "made_at": moment(found.made_at_ms),
            "age_seconds": view.age_seconds,
            "interval": found.interval,
            "skill_against_now": found.skill_against_now,
            "skill_against_last_week": found.skill_against_last_week,
            "scored_minutes": found.scored_minutes,
            "scored_beside_week": found.scored_beside_week,
            "minutes": [
                {
                    "starts_at": moment(minute.starts_at_ms),
                    "per_second": minute.per_second,
                    "low_per_second": minute.low_per_second,
                    "high_per_second": minute.high_per_second,
                }
                for minute in found.minutes[:minutes]
            ],
        }
    return told
