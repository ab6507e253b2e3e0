"""The autoscaler of Kubernetes, worked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

import pytest

from octoqueue.scaling.behavior import (
    KUBERNETES_DEFAULT,
    Behavior,
    DirectionRules,
    RatePolicy,
    Select,
)
from octoqueue.scaling.hpa import Bounds, Sync, damped, step
from octoqueue.scaling.hpa_defaults import behavior_from_kubernetes
from octoqueue.scaling.hpa_metrics import Proposal, unreadable
from octoqueue.scaling.hpa_state import HpaState, Noted

BOUNDS = Bounds(least=1, most=100)
AT_ONCE = DirectionRules(
    stabilization_window_seconds=0,
    policies=(RatePolicy(kind="Percent", value=1_000_000, period_seconds=15),),
)
DOWN_AT_ONCE = DirectionRules(
    stabilization_window_seconds=0,
    policies=(RatePolicy(kind="Percent", value=100, period_seconds=15),),
)
FREE = Behavior(up=AT_ONCE, down=DOWN_AT_ONCE)


def wish(replicas: int) -> Proposal:
    return Proposal(metric="m", replicas=replicas, reason="m")


def up(*policies: tuple[str, int, int], window: int = 0, select: Select = "Max") -> Behavior:
    return replace(FREE, up=rules(*policies, window=window, select=select))


def down(*policies: tuple[str, int, int], window: int = 0, select: Select = "Max") -> Behavior:
    return replace(FREE, down=rules(*policies, window=window, select=select))


def rules(
    *policies: tuple[str, int, int], window: int = 0, select: Select = "Max"
) -> DirectionRules:
    kinds: dict[str, Literal["Pods", "Percent"]] = {"Pods": "Pods", "Percent": "Percent"}
    return DirectionRules(
        stabilization_window_seconds=window,
        policies=tuple(
            RatePolicy(kind=kinds[kind], value=value, period_seconds=period)
            for kind, value, period in policies
        ),
        select=select,
    )


def sizes(
    wishes: list[int],
    *,
    current: int,
    behavior: Behavior | None,
    every: float = 15.0,
    bounds: Bounds = BOUNDS,
    state: HpaState | None = None,
) -> list[int]:
    """Return the size after each sync, one a wish."""
    state = state or HpaState()
    out: list[int] = []
    for index, wanted in enumerate(wishes):
        sync = step(
            state,
            now=1_000.0 + index * every,
            current=current,
            proposals=[wish(wanted)],
            bounds=bounds,
            behavior=behavior,
        )
        state, current = sync.state, sync.replicas
        out.append(current)
    return out


def once(
    current: int,
    *proposals: Proposal,
    behavior: Behavior | None = FREE,
    bounds: Bounds = BOUNDS,
    state: HpaState | None = None,
) -> Sync:
    return step(
        state or HpaState(),
        now=1_000.0,
        current=current,
        proposals=proposals,
        bounds=bounds,
        behavior=behavior,
    )


# ── rates ────────────────────────────────────────────────────────────────────────────────────────


class RateCase(NamedTuple):
    says: str
    behavior: Behavior | None
    current: int
    wishes: list[int]
    expected: list[int]
    every: float = 15.0


RATES = [
    RateCase("legacy doubles, from at least 4", None, 1, [50] * 5, [4, 8, 16, 32, 50]),
    RateCase("legacy holds the largest of 5 minutes", None, 10, [10, 2, 2], [10, 10, 10]),
    RateCase("the default up", KUBERNETES_DEFAULT, 1, [50] * 5, [5, 10, 20, 40, 50]),
    RateCase("pods a period", up(("Pods", 2, 30)), 1, [9] * 6, [3, 3, 5, 5, 7, 7]),
    RateCase("per cent up is rounded up", up(("Percent", 10, 15)), 1, [9] * 4, [2, 3, 4, 5]),
    RateCase("per cent down is cut off", down(("Percent", 10, 15)), 5, [1] * 4, [4, 3, 2, 1]),
    RateCase("half and half", down(("Percent", 50, 60)), 8, [1] * 6, [4, 4, 4, 4, 2, 2]),
    RateCase(
        "Min is the smaller step up", up(("Pods", 5, 15), ("Percent", 100, 15), select="Min"),
        1, [30] * 5, [2, 4, 8, 13, 18],
    ),
    RateCase(
        "Min is the smaller step down",
        down(("Percent", 50, 60), ("Pods", 2, 60), select="Min"),
        10, [1] * 5, [8, 8, 8, 8, 6],
    ),
    RateCase(
        "Max is the larger step down", down(("Percent", 10, 15), ("Pods", 3, 15)),
        10, [1] * 3, [7, 4, 1],
    ),
    RateCase("up is disabled", up(("Pods", 4, 15), select="Disabled"), 3, [9, 9], [3, 3]),
    RateCase("down is disabled", down(("Pods", 4, 15), select="Disabled"), 9, [3, 3], [9, 9]),
    RateCase(
        "what was removed in the period may come back beyond the rate",
        Behavior(up=rules(("Pods", 1, 60)), down=DOWN_AT_ONCE), 10, [4, 12, 12], [4, 11, 11],
    ),
    RateCase(
        "a period ends exactly", up(("Pods", 1, 15)), 1, [9, 9, 9], [2, 3, 4], every=15.0,
    ),
    RateCase(
        "and not before", up(("Pods", 1, 15)), 1, [9, 9, 9], [2, 2, 3], every=14.0,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", RATES, ids=lambda case: case.says)
def test_rates(case: RateCase) -> None:
    got = sizes(case.wishes, current=case.current, behavior=case.behavior, every=case.every)
    assert got == case.expected


# ── windows ──────────────────────────────────────────────────────────────────────────────────────


def test_growing_waits_until_the_whole_window_wanted_more() -> None:
    behavior = replace(FREE, up=replace(AT_ONCE, stabilization_window_seconds=45))
    # The size at the start is the first recommendation, and the window is open at its old end.
    assert sizes([8, 8, 8, 8, 8], current=2, behavior=behavior) == [2, 2, 2, 8, 8]


def test_growing_takes_the_smallest_wish_of_the_window() -> None:
    behavior = replace(FREE, up=replace(AT_ONCE, stabilization_window_seconds=30))
    assert sizes([5, 9, 7, 9], current=2, behavior=behavior) == [2, 2, 7, 7]


def test_shrinking_takes_the_largest_wish_of_the_window() -> None:
    behavior = replace(FREE, down=replace(DOWN_AT_ONCE, stabilization_window_seconds=60))
    assert sizes([9, 3, 5, 2, 2, 2, 2], current=9, behavior=behavior) == [9, 9, 9, 9, 5, 5, 2]


def test_both_windows_hold_a_size_between_the_wishes() -> None:
    behavior = Behavior(
        up=replace(AT_ONCE, stabilization_window_seconds=300),
        down=replace(DOWN_AT_ONCE, stabilization_window_seconds=300),
    )
    assert sizes([3, 9, 3, 9, 3, 9], current=6, behavior=behavior) == [6] * 6


def test_without_a_window_the_default_down_is_that_of_the_controller() -> None:
    behavior = behavior_from_kubernetes({"scaleUp": {"stabilizationWindowSeconds": 0}})
    assert behavior == KUBERNETES_DEFAULT
    assert behavior_from_kubernetes({}, down_window_seconds=20).down == replace(
        KUBERNETES_DEFAULT.down, stabilization_window_seconds=20
    )


def test_a_direction_that_is_named_keeps_its_defaults_where_it_says_nothing() -> None:
    behavior = behavior_from_kubernetes(
        {
            "scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 10}]},
            "scaleDown": {"selectPolicy": "Disabled", "tolerance": "0.3"},
        }
    )
    assert behavior.up.policies == (RatePolicy(kind="Pods", value=2, period_seconds=10),)
    assert behavior.up.select == "Max"
    assert behavior.down.policies == KUBERNETES_DEFAULT.down.policies
    assert behavior.down.tolerance == 0.3


# ── seeds ────────────────────────────────────────────────────────────────────────────────────────


def test_a_controller_that_starts_remembers_the_current_size_as_recommended() -> None:
    sync = once(10, wish(2), behavior=KUBERNETES_DEFAULT)
    assert sync.replicas == 10
    assert sync.readiness == "ScaleDownStabilized"
    assert sync.state.recommendations == (Noted(1_000.0, 10), Noted(1_000.0, 2))


def test_a_controller_that_starts_late_forgets_rates_but_does_not_shrink_at_once() -> None:
    assert sizes([1] * 22, current=10, behavior=KUBERNETES_DEFAULT)[:20] == [10] * 20
    assert sizes([1] * 22, current=10, behavior=KUBERNETES_DEFAULT)[20] == 1


# ── bounds ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("current", "expected", "limit"), [(40, 12, "TooManyReplicas"), (1, 3, "TooFewReplicas")]
)
def test_out_of_bounds_the_bound_counts_at_once_and_no_metric_is_asked(
    current: int, expected: int, limit: str
) -> None:
    frozen = Behavior(
        up=replace(AT_ONCE, select="Disabled"), down=replace(DOWN_AT_ONCE, select="Disabled")
    )
    sync = once(current, behavior=frozen, bounds=Bounds(least=3, most=12))
    assert (sync.replicas, sync.limit, sync.readiness) == (expected, limit, "OutOfBounds")
    assert sync.proposed is None
    assert sync.state.added or sync.state.removed  # it counts against the rates that follow


def test_at_none_the_autoscaler_is_off_unless_none_is_its_minimum() -> None:
    assert once(0, wish(5)).replicas == 0
    assert once(0, wish(5)).readiness == "ScalingDisabled"
    assert once(0, wish(5), bounds=Bounds(least=0, most=9), behavior=KUBERNETES_DEFAULT).replicas


@pytest.mark.parametrize(
    ("wanted", "expected", "limit"),
    [
        (1, 3, "TooFewReplicas"),
        (9, 9, "DesiredWithinRange"),
        (13, 12, "TooManyReplicas"),
    ],
)
@pytest.mark.parametrize("behavior", [None, FREE], ids=["legacy", "behavior"])
def test_proposals_stay_within_the_bounds(
    wanted: int, expected: int, limit: str, behavior: Behavior | None
) -> None:
    sync = once(
        6,
        wish(wanted),
        behavior=behavior,
        bounds=Bounds(least=3, most=12),
        state=HpaState(at=0.0, recommendations=(Noted(0.0, 6),)),
    )
    assert (sync.replicas, sync.limit) == (expected, limit)


@pytest.mark.parametrize(("least", "most"), [(-1, 3), (0, 0), (5, 4)])
def test_bounds_that_cannot_be_are_refused(least: int, most: int) -> None:
    with pytest.raises(ValueError, match=r"least|most"):
        Bounds(least=least, most=most)


# ── metrics that are missing ─────────────────────────────────────────────────────────────────────


def test_the_largest_proposal_counts() -> None:
    assert once(4, wish(6), wish(9), wish(2)).replicas == 9


def test_one_metric_missing_allows_growing_by_the_others() -> None:
    assert once(4, unreadable("a", "a: gone"), wish(7)).replicas == 7


def test_one_metric_missing_forbids_shrinking_and_records_nothing() -> None:
    sync = once(4, wish(2), unreadable("a", "a: gone"))
    assert (sync.replicas, sync.readiness) == (4, "InvalidMetrics")
    assert "a: gone" in sync.reason
    assert [entry.replicas for entry in sync.state.recommendations] == [4]


@pytest.mark.parametrize("proposals", [[], [unreadable("a", "a: gone")]], ids=["none", "broken"])
def test_without_any_metric_the_size_stays(proposals: list[Proposal]) -> None:
    assert once(4, *proposals).replicas == 4


# ── what it says ─────────────────────────────────────────────────────────────────────────────────


def test_the_reason_names_the_metric_the_window_and_the_limit() -> None:
    held = once(10, wish(2), behavior=KUBERNETES_DEFAULT)
    assert held.reason == "m: proposed 2; held at 10, as higher ones were proposed lately"
    limited = once(1, wish(50), behavior=KUBERNETES_DEFAULT)
    assert limited.limit == "ScaleUpLimit"
    assert limited.reason == "m: proposed 50; 5 is as far as it may grow now"


# ── clocks ───────────────────────────────────────────────────────────────────────────────────────


def test_a_clock_set_back_by_a_year_freezes_nothing() -> None:
    state = HpaState(
        at=40_000_000.0,
        recommendations=(Noted(39_999_900.0, 9),),
        removed=(Noted(39_999_990.0, 1),),
    )
    seen = state.at_moment(8_000_000.0)
    assert seen.recommendations == (Noted(7_999_900.0, 9),)
    assert seen.removed == (Noted(7_999_990.0, 1),)
    later = step(
        state,
        now=8_000_000.0,
        current=8,
        proposals=[wish(2)],
        bounds=BOUNDS,
        behavior=KUBERNETES_DEFAULT,
    )
    assert later.replicas == 8
    assert step(
        later.state,
        now=8_000_301.0,
        current=8,
        proposals=[wish(2)],
        bounds=BOUNDS,
        behavior=KUBERNETES_DEFAULT,
    ).replicas == 2  # fmt: skip


def test_what_is_remembered_stays_small() -> None:
    state, current = HpaState(), 5
    for index in range(2_000):
        sync = step(
            state,
            now=index * 15.0,
            current=current,
            proposals=[wish(3 + index % 7)],
            bounds=BOUNDS,
            behavior=KUBERNETES_DEFAULT,
        )
        state, current = sync.state, sync.replicas
    assert len(state.recommendations) <= 22
    assert len(state.added) + len(state.removed) <= 6


# ── the fleet of one machine ─────────────────────────────────────────────────────────────────────

FLEET = Bounds(least=0, most=20)


def test_a_fleet_is_damped_as_the_scaler_metric_would_be() -> None:
    within = damped(HpaState(), wanted=11, current=10, bounds=FLEET, behavior=FREE, now=0.0)
    assert within.replicas == 10
    beyond = damped(HpaState(), wanted=12, current=10, bounds=FLEET, behavior=FREE, now=0.0)
    assert beyond.replicas == 12


def test_a_fleet_of_none_is_woken_whatever_the_rates_allow() -> None:
    slow = up(("Percent", 10, 60), window=600)
    sync = damped(HpaState(), wanted=7, current=0, bounds=FLEET, behavior=slow, now=0.0)
    assert sync.replicas == 1
    quick = damped(
        HpaState(), wanted=7, current=0, bounds=FLEET, behavior=KUBERNETES_DEFAULT, now=0.0
    )
    assert quick.replicas == 4
    least = damped(
        HpaState(), wanted=1, current=0, bounds=Bounds(least=2, most=9), behavior=slow, now=0.0
    )
    assert least.replicas == 2


def test_a_fleet_of_none_stays_so_without_a_wish_or_when_growing_is_disabled() -> None:
    off = up(("Pods", 1, 60), select="Disabled")
    for wanted, behavior in ((0, FREE), (5, off)):
        sync = damped(
            HpaState(), wanted=wanted, current=0, bounds=FLEET, behavior=behavior, now=0.0
        )
        assert sync.replicas == 0


def test_a_fleet_shrinks_to_none_by_the_windows_and_rates() -> None:
    state, current, got = HpaState(), 4, list[int]()
    for index in range(24):
        sync = damped(
            state,
            wanted=0,
            current=current,
            bounds=FLEET,
            behavior=KUBERNETES_DEFAULT,
            now=index * 15.0,
        )
        state, current = sync.state, sync.replicas
        got.append(current)
    assert got == [4] * 20 + [0] * 4
