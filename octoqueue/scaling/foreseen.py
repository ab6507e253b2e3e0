"""Forecast use: what a forecast expects takes the place of what arrives now.

Expected is the largest rate of the minutes that begin before a worker wanted now is ready: one that
is given up now is not back earlier. What of a minute's rate to be ready for says `headroom`; of a
forecast that does not carry its errors it is the policy's quantile, read between the expectation
and the ends of its interval, in proportion to the deviations of a normal distribution.

Rules then demand for that rate, and the larger of both demands counts. A forecast adds, it never
takes away. It is left alone when it is old, has not been scored for long enough, or has no skill
against "same as now" or, once there was a last week to compare with, against that.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from statistics import NormalDist
from typing import TYPE_CHECKING

from octoqueue.primitives.lane import LANES, Lane
from octoqueue.scaling.demand import number
from octoqueue.scaling.headroom import rate_to_be_ready_for

if TYPE_CHECKING:
    from octoqueue.primitives.signals import ArrivalForecast, ExpectedArrivals
    from octoqueue.scaling.load import Load
    from octoqueue.scaling.policy import ForecastUse

_MINUTE_MS = 60_000
_NORMAL = NormalDist()


def why_unused(
    forecast: ArrivalForecast | None,
    use: ForecastUse,
    load: Load,
    *,
    now_ms: int,
    rate: float | None,
) -> str:
    """Return why a forecast must not be followed; "" when it may be.

    `rate` is what `expected_rate` returns of it.
    """
    if forecast is None:
        return "there is none yet"
    if load.paused:
        return f"{', '.join(load.paused)} is paused"
    if rate is None:
        return f"it says nothing of the coming {number(load.lead_seconds)} s"
    return _why_mistrusted(forecast, use, now_ms)


def _why_mistrusted(forecast: ArrivalForecast, use: ForecastUse, now_ms: int) -> str:
    age = max(now_ms - forecast.made_at_ms, 0) / 1000
    if age > use.stale_after_seconds:
        return f"made {number(age)} s ago, {number(use.stale_after_seconds)} s are allowed"
    if forecast.scored_minutes < use.least_scored_minutes:
        return (
            f"compared with what came for {forecast.scored_minutes} minutes, "
            f"{use.least_scored_minutes} are asked for"
        )
    skills = [("same as now", forecast.skill_against_now)]
    if forecast.scored_beside_week >= use.least_scored_minutes:
        skills.append(("same as last week", forecast.skill_against_last_week))
    for plain, skill in skills:
        if not skill >= use.least_skill:  # NaN is no skill
            asked = number(use.least_skill)
            return f'skill {number(skill)} against "{plain}", {asked} is asked for'
    return ""


def expected_rate(
    forecast: ArrivalForecast | None,
    use: ForecastUse,
    load: Load,
    *,
    now_ms: int,
    slots_per_worker: int = 1,
) -> float | None:
    """Return the arrivals a second to be ready for; None when no minute is about that time."""
    if forecast is None:
        return None
    until_ms = now_ms + load.lead_seconds * 1000
    if forecast.tail:
        service = load.service
        return rate_to_be_ready_for(
            forecast,
            use,
            load,
            now_ms=now_ms,
            workers_per_rate=0.0 if service is None else service.mean_seconds / slots_per_worker,
        )
    rates = [
        at_quantile(minute, use.quantile, interval=forecast.interval)
        for minute in forecast.minutes
        if minute.starts_at_ms < until_ms and minute.starts_at_ms + _MINUTE_MS > now_ms
    ]
    return max((rate for rate in rates if isfinite(rate)), default=None)


def at_quantile(minute: ExpectedArrivals, quantile: float, *, interval: float) -> float:
    """Return a quantile of a minute's arrivals a second, never negative."""
    middle = minute.per_second
    end = minute.high_per_second if quantile >= 0.5 else minute.low_per_second  # noqa: PLR2004
    width = _NORMAL.inv_cdf((1 + interval) / 2) if 0 < interval < 1 else 1.0
    share = abs(_NORMAL.inv_cdf(quantile)) / width
    return max(middle + share * (end - middle), 0.0)


def load_expected(load: Load, per_second: float) -> Load:
    """Return the load of a fleet that has nothing to catch up on, at another arrival rate.

    The rate is divided over the lanes as that of now is. What waits now, and what the present fleet
    will not keep up with until new workers are ready, the rules already demand for without a
    forecast; to count it again at a rate that is yet to come would be too much.
    """
    now = load.arrivals_per_second
    shares = (
        tuple(rate / now for rate in load.per_second)
        if now > 0
        else tuple(float(lane == Lane.NORMAL) for lane in LANES)
    )
    service = load.service
    return replace(
        load,
        per_second=tuple(per_second * share for share in shares),
        waiting=(0.0,) * len(LANES),
        due_soon=0.0,
        in_flight=load.in_flight if service is None else per_second * service.mean_seconds,
        lead_seconds=0.0,
        waits=(),
        oldest_seconds=0.0,
    )
