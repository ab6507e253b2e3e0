"""Headroom: the arrivals to be ready for, by a forecast, the running minute and what a miss costs.

    x        = what the running minute brings / what was expected of it
    expected = forecast x^follows
    ready    = expected * exp(spreads that an error exceeds with probability p * spread)

A minute that surprises makes the next ones less sure, so it widens the spread. p is the same for
all minutes, or follows from what a missed minute may cost: `n + price * P(load > n)` is least where
`price * density = 1`, and in a tail that falls like an exponential the density is p over the spread
in workers, so `p = spread / price`. More minutes are missed where avoiding it takes many workers.

All of it is arithmetic on what the forecast carries, so that who decides needs no numpy.
"""

from __future__ import annotations

from itertools import pairwise
from math import exp, isfinite, log
from typing import TYPE_CHECKING

from octoqueue.scaling.load import LATELY_SECONDS

if TYPE_CHECKING:
    from octoqueue.primitives.signals import ArrivalForecast, ExpectedArrivals
    from octoqueue.scaling.load import Load
    from octoqueue.scaling.policy import ForecastUse

_MINUTE_MS = 60_000
_DIP = -0.2
"""Logarithm below which a running minute is not believed: most dips are over in a minute."""
_OF_HIGHEST = 0.92
"""Share of the largest of the last ten minutes that may be back at any time."""
_SURPRISE_WEIGHT = 0.07
"""Of a surprise in the variance of the next minutes; close to that in `forecast.errors`."""
_LARGEST_SURPRISE = 50.0
"""In squared spreads."""
_ROUNDING_WORKERS = 0.1
"""A fleet is whole workers; as if so much were unsure besides."""
_LEAST_PROBABILITY, _MOST_PROBABILITY = 0.001, 0.5
_MOST_OF_HIGHEST = 1.3
"""Of the largest of the last ten minutes, unless the forecast expects more: where errors are as
large as the arrivals, a spread says little."""
_TINY = 1e-9


def rate_to_be_ready_for(
    forecast: ArrivalForecast, use: ForecastUse, load: Load, *, now_ms: int, workers_per_rate: float
) -> float | None:
    """Return the arrivals a second to be ready for; None when the forecast says nothing of it.

    The largest of the minutes that begin before a worker wanted now is ready: one given up now is
    not back earlier.

    Args:
        forecast: what is expected.
        use: how cautiously it is followed.
        load: what there is now.
        now_ms: the time.
        workers_per_rate: workers that one arrival a second keeps busy.
    """
    ready_ms = now_ms + load.lead_seconds * 1000
    coming = [
        minute
        for minute in forecast.minutes
        if minute.starts_at_ms <= ready_ms and minute.starts_at_ms + _MINUTE_MS > now_ms
    ]
    if not coming or not forecast.tail:
        return None
    running, offset = coming[0], forecast.offset_per_second + _TINY
    usual = forecast.minutes[0].spread
    seen = min(max((now_ms - running.starts_at_ms) / (1000 * LATELY_SECONDS), 0.0), 1.0)
    surprise = seen * _surprise(running, load, offset=offset, usual=usual) if usual > 0 else 0.0
    odd = min((surprise / usual) ** 2, _LARGEST_SURPRISE) if usual > 0 else 0.0
    wider = (1 + _SURPRISE_WEIGHT * odd) ** 0.5
    highest = max(forecast.highest_per_second, load.arrivals_per_second)
    rates = [_OF_HIGHEST * forecast.highest_per_second]
    for later, minute in enumerate(coming):
        step = forecast.minutes[later]
        spread = step.spread * (wider if later else 1 - seen)
        expected = (minute.per_second + offset) * exp(step.follows * surprise)
        probability = _probability(use, spread * expected * workers_per_rate)
        ready = expected * exp(_spreads(forecast.tail, probability) * spread)
        rates.append(min(ready - offset, max(_MOST_OF_HIGHEST * highest, minute.per_second)))
    return max((rate for rate in rates if isfinite(rate)), default=None)


def _surprise(running: ExpectedArrivals, load: Load, *, offset: float, usual: float) -> float:
    """Return the logarithm of what the running minute brings over what was expected of it.

    The last seconds are a Poisson count: its error is weighed against that of the expectation.
    """
    lately = load.arrived_lately
    seen = log((lately / LATELY_SECONDS + offset) / (running.per_second + offset))
    noise = 1 / (max(lately, running.per_second * LATELY_SECONDS) + 1)
    weight = usual**2 / (usual**2 + noise)
    return max(seen, _DIP) * weight


def _probability(use: ForecastUse, spread_workers: float) -> float:
    if use.missed_minute_costs is None:
        return 1 - use.quantile
    wanted = (spread_workers + _ROUNDING_WORKERS) / use.missed_minute_costs
    return min(max(wanted, _LEAST_PROBABILITY), _MOST_PROBABILITY)


def _spreads(tail: tuple[tuple[float, float], ...], probability: float) -> float:
    """Return the spreads that errors exceed with a probability, linear in its logarithm."""
    if probability >= tail[0][0]:
        return tail[0][1]
    for (more, low), (less, high) in pairwise(tail):
        if less <= probability:
            share = log(more / probability) / log(more / less)
            return low + share * (high - low)
    return tail[-1][1]
