"""Snapshots of fleets as tests write them: what is not said is quiet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.primitives.histogram import WAIT_BUCKETS, bucket_of
from octoqueue.primitives.lane import LANES, Lane
from octoqueue.primitives.signals import (
    WINDOWS_SECONDS,
    ArrivalForecast,
    Counts,
    ExpectedArrivals,
    FleetSnapshot,
    LaneSignals,
    Presence,
    QueueSignals,
    ServiceTime,
    Waits,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FLEET = "coder"
NOW_MS = 1_800_000_000_000
"""A Friday, 15 January 2027, 08:00 UTC."""


def steady(per_second: float) -> Counts:
    """Events that have come at the same rate for ten minutes."""
    return Counts(counts=tuple(round(per_second * window) for window in WINDOWS_SECONDS))


def waits(*seconds: float, window_seconds: int = 60) -> Waits:
    """Waiting times of what was claimed."""
    counts = [0] * WAIT_BUCKETS
    for wait in seconds:
        counts[bucket_of(round(wait * 1000))] += 1
    return Waits(window_seconds=window_seconds, counts=tuple(counts))


def service(mean_seconds: float, *, variation: float = 1.0, count: int = 1_000_000) -> ServiceTime:
    """Running times, so many of them that their variance is beyond doubt."""
    return ServiceTime(
        window_seconds=600,
        count=count,
        mean_seconds=mean_seconds,
        variance_seconds2=variation * mean_seconds**2,
    )


def queue(
    name: str = "coder",
    *,
    waiting: Mapping[Lane, int] | None = None,
    held_back: Mapping[Lane, int] | None = None,
    per_second: Mapping[Lane, float] | None = None,
    arrivals: Mapping[Lane, Counts] | None = None,
    started: Mapping[Lane, Counts] | None = None,
    waited: Waits | None = None,
    oldest_seconds: float = 0.0,
    in_flight: int = 0,
    due_soon: int = 0,
    ran: ServiceTime | None = None,
    paused: bool = False,
    taken_at_ms: int = NOW_MS,
) -> QueueSignals:
    """A queue; `waited` is of its normal lane."""
    arrived = {lane: steady(rate) for lane, rate in (per_second or {}).items()}
    arrived.update(arrivals or {})
    return QueueSignals(
        queue=name,
        taken_at_ms=taken_at_ms,
        lanes={
            lane: LaneSignals(
                lane=lane,
                waiting=(waiting or {}).get(lane, 0),
                held_back=(held_back or {}).get(lane, 0),
                oldest_age_seconds=oldest_seconds,
                arrivals=arrived.get(lane, Counts()),
                starts=(started or {}).get(lane, Counts()),
                waits=waited if waited and lane == Lane.NORMAL else Waits(window_seconds=60),
            )
            for lane in LANES
        },
        due_soon=due_soon,
        in_flight=in_flight,
        service=ran or service(0.0, count=0),
        paused=paused,
    )


def worker(
    number: int = 1,
    *,
    slots: int = 1,
    running: int = 0,
    is_draining: bool = False,
    at_risk_seconds: float = 0.0,
    at_risk_longest_seconds: float | None = None,
    at_risk_cost: float = 0.0,
    requests_per_second: float = 0.0,
    fleet: str = FLEET,
) -> Presence:
    """A live worker; what it would lose is of one message unless it says otherwise."""
    return Presence(
        session=f"s{number}",
        name=f"{fleet}.{number}",
        fleet=fleet,
        queues=("coder",),
        slots=slots,
        running=running,
        started_at_ms=NOW_MS - 600_000,
        ready_at_ms=NOW_MS - 590_000,
        said_at_ms=NOW_MS,
        is_draining=is_draining,
        at_risk_seconds=at_risk_seconds,
        at_risk_cost=at_risk_cost,
        at_risk_longest_seconds=(
            at_risk_seconds if at_risk_longest_seconds is None else at_risk_longest_seconds
        ),
        requests_per_second=requests_per_second,
    )


def workers(count: int, *, slots: int = 1) -> tuple[Presence, ...]:
    """So many live workers."""
    return tuple(worker(number, slots=slots) for number in range(1, count + 1))


def snapshot(
    *queues: QueueSignals,
    live: Sequence[Presence] = (),
    forecast: ArrivalForecast | None = None,
    lead_seconds: float | None = None,
    fleet: str = FLEET,
    taken_at_ms: int = NOW_MS,
) -> FleetSnapshot:
    """A fleet; without a queue it has an idle one."""
    return FleetSnapshot(
        fleet=fleet,
        taken_at_ms=taken_at_ms,
        queues=queues or (queue(),),
        workers=tuple(live),
        forecast=forecast,
        lead_seconds=lead_seconds,
    )


def forecast(
    *per_second: float,
    spread: float = 0.0,
    skill: float = 0.3,
    skill_last_week: float = 0.3,
    scored_minutes: int = 600,
    scored_beside_week: int = 0,
    made_at_ms: int = NOW_MS,
) -> ArrivalForecast:
    """A forecast of the coming minutes, with an interval of 90 % that reaches `spread` each way."""
    return ArrivalForecast(
        made_at_ms=made_at_ms,
        minutes=tuple(
            ExpectedArrivals(
                starts_at_ms=NOW_MS + 60_000 * minute,
                per_second=rate,
                low_per_second=max(rate - spread, 0.0),
                high_per_second=rate + spread,
            )
            for minute, rate in enumerate(per_second)
        ),
        interval=0.9,
        skill_against_now=skill,
        skill_against_last_week=skill_last_week,
        scored_minutes=scored_minutes,
        scored_beside_week=scored_beside_week,
    )
