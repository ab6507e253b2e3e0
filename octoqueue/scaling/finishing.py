"""What an objective leaves for waiting: all of its time, or what running takes of it.

An objective of the start leaves all. One of the finish has to be divided: with w + s <= T wanted
for a share p, half of what may fail is given to each, so that

    P(w + s > T) <= P(s > quantile) + P(w > T - quantile),   quantile of s at 1 - (1 - p) / 2

which is cautious. Running times are taken as lognormal, with the mean and variance that were
measured. Where running alone takes too long for more than the share, no fleet helps; the best then
is that hardly anybody waits: the same share starts at once.
"""

from __future__ import annotations

from math import exp, log, log1p, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from octoqueue.scaling.load import Service
    from octoqueue.scaling.policy import Objective

_NORMAL = NormalDist()


class WaitBound(NamedTuple):
    """At most `tail` of the messages may wait longer than `seconds`."""

    seconds: float
    tail: float
    is_impossible: bool = False
    """Running alone takes too long."""


def wait_bound(objective: Objective, service: Service) -> WaitBound:
    """Return how long messages may wait so that an objective is met."""
    tail = 1.0 - objective.percentile
    if objective.of == "start":
        return WaitBound(objective.seconds, tail)
    late = share_running_longer(service, objective.seconds)
    if late >= tail:
        return WaitBound(0.0, tail, is_impossible=True)
    running = running_quantile(service, 1.0 - tail / 2)
    if running < objective.seconds:
        return WaitBound(objective.seconds - running, tail / 2)
    return WaitBound(0.0, tail - late)


def running_quantile(service: Service, quantile: float) -> float:
    """Return the running time that a share of the messages does not exceed, in seconds."""
    width = sqrt(log1p(service.squared_variation))
    return exp(_log_median(service) + width * _NORMAL.inv_cdf(quantile))


def share_running_longer(service: Service, seconds: float) -> float:
    """Return the share of messages that run longer."""
    width = sqrt(log1p(service.squared_variation))
    if width == 0:
        return float(service.mean_seconds > seconds)
    return 1.0 - _NORMAL.cdf((log(seconds) - _log_median(service)) / width)


def _log_median(service: Service) -> float:
    return log(service.mean_seconds) - log1p(service.squared_variation) / 2
