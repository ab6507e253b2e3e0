"""A policy refuses what cannot be meant, naming the field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from octoqueue.scaling.override import Override
from octoqueue.scaling.policy import (
    Caps,
    DepthTarget,
    FloorWindow,
    ForecastUse,
    LatencyTarget,
    Objective,
    RateTarget,
    ScalingPolicy,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def policy(**given: float) -> ScalingPolicy:
    return ScalingPolicy(fleet="coder", queues=(), **given)  # type: ignore[arg-type]


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: DepthTarget(messages_per_worker=0), "messages_per_worker"),
    (lambda: DepthTarget(messages_per_worker=float("nan")), "messages_per_worker"),
    (lambda: LatencyTarget(seconds=-1), "seconds"),
    (lambda: LatencyTarget(seconds=1, percentile=1.0), "percentile"),
    (lambda: RateTarget(per_second_and_worker=0), "per_second_and_worker"),
    (lambda: Objective(seconds=0), "seconds"),
    (lambda: Objective(seconds=1, percentile=95), "percentile"),
    (lambda: Objective(seconds=1, drain_seconds=0), "drain_seconds"),
    (lambda: ForecastUse(quantile=0), "quantile"),
    (lambda: FloorWindow(start="* * * * *", end="* * * * *", workers=0), "workers"),
    (lambda: Caps(cost_per_worker_hour=-1), "cost_per_worker_hour"),
    (lambda: Caps(budget_per_hour=1), "budget_per_hour"),
    (lambda: Caps(quota_per_second=0), "quota_per_second"),
    (lambda: policy(min_workers=-1), "min_workers"),
    (lambda: policy(min_workers=3, max_workers=2), "max_workers"),
    (lambda: policy(min_workers=0, max_workers=0), "max_workers"),
    (lambda: policy(slots_per_worker=0), "slots_per_worker"),
    (lambda: policy(service_seconds=0), "service_seconds"),
    (lambda: policy(start_up_seconds=-1), "start_up_seconds"),
    (lambda: Override(workers=-1, until_ms=0), "workers"),
]


@pytest.mark.parametrize(("make", "field"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_meant_is_refused_with_its_field(
    make: Callable[[], object], field: str
) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        make()
