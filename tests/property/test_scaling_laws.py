"""What holds of every decision, whatever the numbers are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from octoqueue.errors import SignalsUnreadable
from octoqueue.primitives.lane import LANES, Lane
from octoqueue.primitives.signals import WINDOWS_SECONDS, Counts, FleetSnapshot, LaneSignals
from octoqueue.scaling.deciding import decide
from octoqueue.scaling.erlang import Line, WaitGoal, Work, erlang_c, least_slots, tail_of
from octoqueue.scaling.hpa import Bounds, damped
from octoqueue.scaling.hpa_state import HpaState
from octoqueue.scaling.override import Override
from octoqueue.scaling.policy import (
    Caps,
    DepthTarget,
    ForecastUse,
    LatencyTarget,
    Objective,
    RateTarget,
    ScalingPolicy,
)
from octoqueue.scaling.protection_floor import protected_workers
from tests.fleet_snapshots import (
    FLEET,
    NOW_MS,
    forecast,
    queue,
    service,
    snapshot,
    waits,
    worker,
    workers,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.scaling.decision import Decision

counts = st.integers(0, 5_000)
seconds = st.floats(0.01, 500.0)
shares = st.floats(0.5, 0.999)
objectives = st.builds(
    Objective,
    seconds=seconds,
    percentile=shares,
    lane=st.none() | st.sampled_from(LANES),
    drain_seconds=st.none() | seconds,
    of=st.sampled_from(["start", "finish"]),
)


@st.composite
def arrivals(draw: st.DrawFn) -> Counts:
    within = 0
    found: list[int] = []
    for _ in WINDOWS_SECONDS:
        within += draw(st.integers(0, 2_000))
        found.append(within)
    return Counts(counts=tuple(found))


@st.composite
def policies(draw: st.DrawFn) -> ScalingPolicy:
    least = draw(st.integers(0, 10))
    return ScalingPolicy(
        fleet=FLEET,
        queues=("coder",),
        min_workers=least,
        max_workers=max(draw(st.integers(1, 100_000)), least),
        slots_per_worker=draw(st.integers(1, 200)),
        start_up_seconds=draw(st.floats(0, 600)),
        depth=draw(st.none() | st.builds(DepthTarget, messages_per_worker=st.floats(0.5, 100))),
        latency=draw(st.none() | st.builds(LatencyTarget, seconds=seconds, percentile=shares)),
        rate=draw(st.none() | st.builds(RateTarget, per_second_and_worker=st.floats(0.1, 500))),
        objectives=tuple(draw(st.lists(objectives, max_size=3))),
        service_seconds=draw(st.none() | seconds),
        activation_messages=draw(st.integers(0, 10)),
        caps=draw(
            st.just(Caps())
            | st.builds(Caps, quota_per_second=st.floats(0.1, 100))
            | st.builds(
                Caps, cost_per_worker_hour=st.floats(0.1, 5), budget_per_hour=st.floats(0.1, 500)
            )
        ),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> FleetSnapshot:
    measured = draw(st.none() | st.tuples(seconds, st.floats(0, 20), st.integers(1, 10_000)))
    return snapshot(
        queue(
            waiting={lane: draw(counts) for lane in LANES},
            arrivals={lane: draw(arrivals()) for lane in LANES},
            waited=waits(*draw(st.lists(st.floats(0, 400), max_size=5))),
            oldest_seconds=draw(st.floats(0, 4_000)),
            in_flight=draw(counts),
            due_soon=draw(counts),
            ran=service(measured[0], variation=measured[1], count=measured[2])
            if measured
            else None,
            paused=draw(st.booleans()),
        ),
        live=[
            worker(
                number,
                slots=draw(st.integers(1, 100)),
                at_risk_seconds=draw(st.sampled_from([0.0, 299.0, 300.0, 5_000.0])),
                is_draining=draw(st.booleans()),
            )
            for number in range(draw(st.integers(0, 6)))
        ],
        lead_seconds=draw(st.none() | st.floats(0, 900)),
    )


def workers_of(seen: FleetSnapshot, policy: ScalingPolicy) -> int:
    return decide(seen, policy, now_ms=NOW_MS).workers


def with_lane(seen: FleetSnapshot, lane: Lane, **changes: object) -> FleetSnapshot:
    (only,) = seen.queues
    changed: LaneSignals = replace(only.lanes[lane], **changes)  # type: ignore[arg-type]
    return replace(seen, queues=(replace(only, lanes={**only.lanes, lane: changed}),))


@given(snapshots(), policies(), st.sampled_from(LANES), counts)
def test_more_that_waits_never_wants_fewer(
    seen: FleetSnapshot, policy: ScalingPolicy, lane: Lane, more: int
) -> None:
    waiting = seen.queues[0].lanes[lane].waiting + more
    assert workers_of(with_lane(seen, lane, waiting=waiting), policy) >= workers_of(seen, policy)


@given(snapshots(), policies(), st.sampled_from(LANES), arrivals())
def test_more_that_arrives_never_wants_fewer(
    seen: FleetSnapshot, policy: ScalingPolicy, lane: Lane, more: Counts
) -> None:
    before = seen.queues[0].lanes[lane].arrivals.counts
    added = Counts(counts=tuple(a + b for a, b in zip(before, more.counts, strict=True)))
    assert workers_of(with_lane(seen, lane, arrivals=added), policy) >= workers_of(seen, policy)


@given(snapshots(), policies(), counts, counts)
def test_more_that_runs_or_is_due_soon_never_wants_fewer(
    seen: FleetSnapshot, policy: ScalingPolicy, running: int, due: int
) -> None:
    (only,) = seen.queues
    busier = replace(only, in_flight=only.in_flight + running, due_soon=only.due_soon + due)
    assert workers_of(replace(seen, queues=(busier,)), policy) >= workers_of(seen, policy)


@given(snapshots(), policies())
def test_a_decision_is_bounded_but_for_those_it_protects(
    seen: FleetSnapshot, policy: ScalingPolicy
) -> None:
    wanted = workers_of(seen, policy)
    protected = len(protected_workers(seen.workers, policy.protection))
    assert protected <= wanted <= max(policy.max_workers, protected)
    assert wanted >= policy.min_workers


@given(seen=snapshots(), policy=policies(), given_workers=st.integers(0, 50), beyond=st.booleans())
def test_an_override_is_bounded_too_and_never_gives_up_who_is_protected(
    seen: FleetSnapshot, policy: ScalingPolicy, given_workers: int, *, beyond: bool
) -> None:
    override = Override(workers=given_workers, until_ms=NOW_MS + 1, beyond_max=beyond)
    found = decide(seen, policy, now_ms=NOW_MS, override=override)
    protected = len(protected_workers(seen.workers, policy.protection))
    assert protected <= found.workers <= max(given_workers, protected)
    if not beyond:
        assert found.workers <= max(policy.max_workers, protected)


@given(snapshots(), policies(), objectives)
def test_one_more_objective_never_wants_fewer(
    seen: FleetSnapshot, policy: ScalingPolicy, objective: Objective
) -> None:
    promised = replace(policy, objectives=(*policy.objectives, objective))
    assert workers_of(seen, promised) >= workers_of(seen, policy)


@given(snapshots(), policies(), st.lists(st.floats(0, 500), max_size=5), st.floats(-1, 1))
def test_a_forecast_never_wants_fewer(
    seen: FleetSnapshot, policy: ScalingPolicy, rates: list[float], skill: float
) -> None:
    told = replace(seen, forecast=forecast(*rates, skill=skill, spread=5.0))
    followed = replace(policy, forecast=ForecastUse())
    assert workers_of(told, followed) >= workers_of(seen, policy)


@given(snapshots(), policies(), st.integers(15_001, 10**9))
def test_what_was_not_read_is_an_error_and_never_a_smaller_fleet(
    seen: FleetSnapshot, policy: ScalingPolicy, late_ms: int
) -> None:
    for unreadable in (
        replace(seen, queues=()),
        replace(seen, queues=(replace(seen.queues[0], taken_at_ms=NOW_MS - late_ms),)),
        replace(seen, taken_at_ms=NOW_MS - late_ms),
    ):
        with pytest.raises(SignalsUnreadable):
            decide(unreadable, policy, now_ms=NOW_MS)


@given(snapshots(), policies(), st.integers(0, 10**10))
def test_a_clock_that_goes_backwards_changes_nothing(
    seen: FleetSnapshot, policy: ScalingPolicy, back_ms: int
) -> None:
    found = decide(seen, policy, now_ms=NOW_MS, last_active_at_ms=NOW_MS)
    earlier = decide(seen, policy, now_ms=NOW_MS - back_ms, last_active_at_ms=NOW_MS)
    assert (earlier.workers, earlier.reason) == (found.workers, found.reason)


@given(snapshots(), policies())
def test_the_same_is_decided_twice_with_one_decisive_step_that_says_why(
    seen: FleetSnapshot, policy: ScalingPolicy
) -> None:
    found, again = (decide(seen, policy, now_ms=NOW_MS) for _ in range(2))
    assert found == again
    (chosen,) = [step for step in found.steps if step.is_decisive]
    assert chosen.workers == found.workers
    assert chosen.reason
    assert found.reason.endswith(chosen.reason)
    assert found.is_active == (found.workers > 0)


# ── Erlang C ─────────────────────────────────────────────────────────────────────────────────────

loads = st.floats(0.001, 3_000)


@given(loads, st.integers(0, 300))
def test_more_slots_make_waiting_rarer(offered: float, more: int) -> None:
    slots = int(offered) + 1 + more
    here, beyond = erlang_c(slots, offered), erlang_c(slots + 1, offered)
    assert 0.0 <= beyond <= here <= 1.0


@given(loads, st.floats(1.0, 1.5), st.integers(1, 300))
def test_more_load_makes_waiting_more_likely(offered: float, times: float, more: int) -> None:
    slots = int(offered) + more
    assert erlang_c(slots, offered * times) >= erlang_c(slots, offered) * (1 - 1e-9)


@given(st.lists(st.floats(0.01, 200), min_size=1, max_size=3), seconds, shares, st.floats(0, 20))
def test_the_least_slots_meet_the_goal_and_one_fewer_does_not(
    rates: list[float], limit: float, percentile: float, variation: float
) -> None:
    offered = sum(rates)
    through = [sum(rates[: index + 1]) for index in range(len(rates))]
    lines = tuple(
        Line(share=rate / offered, higher=end - rate, through=end)
        for rate, end in zip(rates, through, strict=True)
    )
    goal = WaitGoal(seconds=limit, tail=1 - percentile, lines=lines)
    work = Work(offered=offered, service_seconds=1.0, service_variation=variation)
    slots = least_slots([goal], work)
    assert slots > offered
    assert tail_of(goal, slots, work) <= goal.tail
    if slots - 1 > offered:
        assert tail_of(goal, slots - 1, work) > goal.tail


# ── with the damping of the autoscaler ───────────────────────────────────────────────────────────


def sizes_under(
    per_second: float, *, service_seconds: float, policy: ScalingPolicy, syncs: int
) -> list[int]:
    """The sizes of a fleet under a constant load: a fluid, looked at every 15 s.

    New workers are ready after 60 s; all slots work as long as something waits.
    """
    state, size, waiting, sync_seconds = HpaState(), 1, 0.0, 15
    ready = [1] * 4
    sizes: list[int] = []
    for sync in range(syncs):
        slots = min(ready[-4], size) * policy.slots_per_worker
        able = slots / service_seconds * sync_seconds
        brought = per_second * sync_seconds
        done = min(waiting + brought, able)
        waiting += brought - done
        seen = snapshot(
            queue(
                waiting={Lane.NORMAL: round(waiting)},
                arrivals={
                    Lane.NORMAL: Counts(
                        counts=tuple(round(per_second * window) for window in WINDOWS_SECONDS)
                    )
                },
                in_flight=round(done / sync_seconds * service_seconds),
                waited=waits(waiting / max(done / sync_seconds, 1e-9)),
                ran=service(service_seconds),
            ),
            live=workers(min(ready[-4], size), slots=policy.slots_per_worker),
            lead_seconds=60.0,
        )
        found: Decision = decide(seen, policy, now_ms=NOW_MS)
        now = float(sync * sync_seconds)
        moved = damped(
            state,
            wanted=found.workers,
            current=size,
            bounds=Bounds(least=policy.min_workers, most=policy.max_workers),
            behavior=policy.behavior,
            now=now,
        )
        state, size = moved.state, moved.replicas
        ready.append(size)
        sizes.append(size)
    return sizes


RULES: list[Callable[[ScalingPolicy], ScalingPolicy]] = [
    lambda policy: replace(policy, objectives=(Objective(seconds=5.0),)),
    lambda policy: replace(policy, objectives=(Objective(seconds=30.0, drain_seconds=120.0),)),
    lambda policy: replace(policy, latency=LatencyTarget(seconds=2.0)),
    lambda policy: replace(policy, rate=RateTarget(per_second_and_worker=2.0)),
]


@settings(max_examples=25, deadline=None)
@given(st.floats(0.5, 40.0), st.floats(0.1, 5.0), st.integers(1, 8), st.sampled_from(RULES))
@example(22.5234375, 4.92933872908803, 1, RULES[2])
def test_a_constant_load_settles_at_a_size_and_stays_there(
    per_second: float,
    service_seconds: float,
    slots: int,
    rule: Callable[[ScalingPolicy], ScalingPolicy],
) -> None:
    policy = rule(
        ScalingPolicy(fleet=FLEET, queues=("coder",), max_workers=2_000, slots_per_worker=slots)
    )
    assume(policy.rate is None or 2.0 * service_seconds < slots)
    sizes = sizes_under(per_second, service_seconds=service_seconds, policy=policy, syncs=240)
    settled = sizes[-120:]
    # A fleet that lacks a fraction of a worker is within the autoscaler's tolerance: it stays until
    # that much has gathered, then grows once more.
    assert settled == sorted(settled), "it flaps"
    assert len(set(settled)) <= 2
    turns = sum(
        (after - here) * (here - before) < 0
        for before, here, after in zip(sizes, sizes[1:], sizes[2:], strict=False)
    )
    assert turns <= 2, "up to what catches up, then down to what is enough"
