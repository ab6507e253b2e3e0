"""Activation: whether a fleet that may shrink to none has work, or had some lately.

A fleet of none starts when more than `activation_messages` wait, run or are due soon. It stays
until there has been no work for `active_for_seconds`: on Kubernetes the step from any number to
none knows no stabilization window, so this is its only brake.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.scaling.demand import number, several
from octoqueue.scaling.depth import left_out_words

if TYPE_CHECKING:
    from octoqueue.scaling.load import Load
    from octoqueue.scaling.policy import ScalingPolicy


def has_work(load: Load, policy: ScalingPolicy) -> bool:
    """Return whether there is enough to do to start a fleet of none.

    What runs, and what HTTP edges answer, is always enough.
    """
    return (
        load.in_system > policy.activation_messages
        or load.in_flight > 0
        or load.requests_per_second > 0
    )


def seconds_left(policy: ScalingPolicy, *, now_ms: int, last_active_at_ms: int | None) -> float:
    """Return how long an idle fleet stays active yet; 0 when it may shrink to none.

    A clock that was set back makes the time since the last work 0, not negative.
    """
    if last_active_at_ms is None:
        return 0.0
    return max(policy.active_for_seconds - max(now_ms - last_active_at_ms, 0) / 1000, 0.0)


def staying_words(load: Load, *, left_seconds: float) -> str:
    """Return why a fleet without demand keeps a worker."""
    if left_seconds > 0:
        return f"without work, but kept for {number(left_seconds)} s more in case some comes"
    return f"{several(load.in_system, 'message')} to do, so it does not shrink to none"


def idle_words(load: Load, policy: ScalingPolicy) -> str:
    """Return why a fleet may shrink to none."""
    if load.in_system == 0:
        return f"no work for {number(policy.active_for_seconds)} s or longer{left_out_words(load)}"
    return (
        f"{several(load.in_system, 'message')} to do, and it starts at more than "
        f"{policy.activation_messages}{left_out_words(load)}"
    )
