"""What holds of the autoscaler whatever it is asked: bounds, rates, windows, rest."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from octoqueue.scaling.behavior import Behavior, DirectionRules, RatePolicy
from octoqueue.scaling.hpa import Bounds, damped, step
from octoqueue.scaling.hpa_metrics import Proposal, unreadable
from octoqueue.scaling.hpa_state import HpaState

EVERY_SECONDS = 15.0

rates = st.builds(
    RatePolicy,
    kind=st.sampled_from(["Pods", "Percent"]),
    value=st.integers(1, 200),
    period_seconds=st.sampled_from([15, 30, 60, 120]),
)
directions = st.builds(
    DirectionRules,
    stabilization_window_seconds=st.sampled_from([0, 30, 60, 300]),
    policies=st.lists(rates, min_size=1, max_size=3).map(tuple),
    select=st.sampled_from(["Max", "Min", "Disabled"]),
    tolerance=st.sampled_from([0.0, 0.05, 0.1, 0.3]),
)
behaviors = st.builds(Behavior, up=directions, down=directions)
wishes = st.lists(
    st.one_of(st.integers(0, 60), st.none()),
    min_size=1,
    max_size=40,
)


class Size(NamedTuple):
    at: float
    before: int
    after: int


def run(
    asked: list[int | None],
    *,
    current: int,
    bounds: Bounds,
    behavior: Behavior | None,
    waits: list[float] | None = None,
) -> list[Size]:
    state, now, out = HpaState(), 0.0, list[Size]()
    for wanted, wait in zip(asked, itertools.cycle(waits or [EVERY_SECONDS]), strict=False):
        now += wait
        proposal = (
            unreadable("m", "m: gone")
            if wanted is None
            else Proposal(metric="m", replicas=wanted, reason="m")
        )
        sync = step(
            state,
            now=now,
            current=current,
            proposals=[proposal],
            bounds=bounds,
            behavior=behavior,
        )
        out.append(Size(now, current, sync.replicas))
        state, current = sync.state, sync.replicas
    return out


bounded = st.builds(
    lambda least, room: Bounds(least=least, most=least + room),
    st.integers(1, 10),
    st.integers(0, 50),
)


@given(asked=wishes, current=st.integers(1, 80), bounds=bounded, behavior=st.none() | behaviors)
def test_the_size_is_within_its_bounds_after_the_first_sync(
    asked: list[int | None], current: int, bounds: Bounds, behavior: Behavior | None
) -> None:
    for size in run(asked, current=current, bounds=bounds, behavior=behavior):
        assert bounds.least <= size.after <= bounds.most


@given(asked=wishes, current=st.integers(1, 60), behavior=behaviors)
def test_a_disabled_direction_is_never_taken(
    asked: list[int | None], current: int, behavior: Behavior
) -> None:
    bounds = Bounds(least=1, most=60)
    for size in run(asked, current=current, bounds=bounds, behavior=behavior):
        assert behavior.up.select != "Disabled" or size.after <= size.before
        assert behavior.down.select != "Disabled" or size.after >= size.before


@given(asked=wishes, current=st.integers(1, 60), behavior=st.none() | behaviors)
def test_an_error_never_moves_it(
    asked: list[int | None], current: int, behavior: Behavior | None
) -> None:
    sizes = run(asked, current=current, bounds=Bounds(least=1, most=60), behavior=behavior)
    for wanted, size in zip(asked, sizes, strict=True):
        assert wanted is not None or size.after == size.before


@given(
    wanted=st.integers(0, 60),
    current=st.integers(1, 60),
    behavior=behaviors.filter(
        lambda behavior: behavior.up.select != "Disabled" != behavior.down.select
    ),
)
def test_a_constant_wish_is_reached_from_one_side_and_kept(
    wanted: int, current: int, behavior: Behavior
) -> None:
    bounds = Bounds(least=1, most=40)
    sizes = run([wanted] * 1_200, current=min(current, 40), bounds=bounds, behavior=behavior)
    goal = min(max(wanted, bounds.least), bounds.most)
    distances = [abs(size.after - goal) for size in sizes]
    assert distances == sorted(distances, reverse=True)
    assert all(size.after == goal for size in sizes[-100:])


@given(
    asked=wishes,
    current=st.integers(1, 60),
    policy=rates,
    waits=st.lists(st.floats(0.5, 40.0), min_size=1, max_size=5),
    direction=st.sampled_from(["up", "down"]),
)
def test_no_period_changes_more_than_its_policy_allows(
    asked: list[int | None], current: int, policy: RatePolicy, waits: list[float], direction: str
) -> None:
    """Of one policy alone, with the other direction disabled: whatever the syncs' rhythm."""
    rules = DirectionRules(stabilization_window_seconds=0, policies=(policy,))
    off = replace(rules, select="Disabled")
    is_down = direction == "down"
    behavior = Behavior(up=off, down=rules) if is_down else Behavior(up=rules, down=off)
    sizes = run(
        asked, current=current, bounds=Bounds(least=1, most=60), behavior=behavior, waits=waits
    )
    for size in sizes:
        start = next(
            earlier.before for earlier in sizes if earlier.at > size.at - policy.period_seconds
        )
        if policy.kind == "Pods":
            most = policy.value
        elif is_down:
            most = start - math.trunc(start * (1 - policy.value / 100))
        else:
            most = math.ceil(start * (1 + policy.value / 100)) - start
        assert abs(size.after - start) <= most


@given(
    asked=st.lists(st.integers(0, 60), min_size=2, max_size=40),
    current=st.integers(1, 60),
    behavior=behaviors,
)
def test_within_a_window_it_goes_no_further_than_the_mildest_wish(
    asked: list[int], current: int, behavior: Behavior
) -> None:
    sizes = run(list(asked), current=current, bounds=Bounds(least=1, most=60), behavior=behavior)
    wished = [*zip((size.at for size in sizes), asked, strict=True)]
    for size in sizes:
        up_since = size.at - behavior.up.stabilization_window_seconds
        down_since = size.at - behavior.down.stabilization_window_seconds
        now = next(wanted for at, wanted in wished if at == size.at)
        lowest = min([now, *(wanted for at, wanted in wished if up_since < at <= size.at)])
        highest = max([now, *(wanted for at, wanted in wished if down_since < at <= size.at)])
        assert size.after <= max(size.before, min(lowest, 60))
        assert size.after >= min(size.before, max(highest, 1))


@given(
    wanted=st.lists(st.integers(0, 30), min_size=1, max_size=30),
    current=st.integers(0, 30),
    behavior=behaviors,
    waits=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5),
)
def test_a_fleets_clock_may_jump_either_way(
    wanted: list[int], current: int, behavior: Behavior, waits: list[float]
) -> None:
    state, now, bounds = HpaState(), 0.0, Bounds(least=0, most=30)
    for wish, wait in zip(wanted, itertools.cycle(waits), strict=False):
        now += wait
        sync = damped(
            state, wanted=wish, current=current, bounds=bounds, behavior=behavior, now=now
        )
        assert 0 <= sync.replicas <= 30
        assert all(entry.at <= now for entry in sync.state.recommendations)
        assert all(entry.at <= now for entry in (*sync.state.added, *sync.state.removed))
        state, current = sync.state, sync.replicas


@given(load=st.lists(st.integers(0, 30), min_size=1, max_size=30), behavior=behaviors)
def test_more_wishes_never_make_it_smaller(load: list[int], behavior: Behavior) -> None:
    """With one sync each from the same start, so that rates do not differ."""
    bounds = Bounds(least=1, most=60)
    for wanted in load:
        smaller = run([wanted], current=10, bounds=bounds, behavior=behavior)[-1].after
        larger = run([wanted + 1], current=10, bounds=bounds, behavior=behavior)[-1].after
        assert smaller <= larger
