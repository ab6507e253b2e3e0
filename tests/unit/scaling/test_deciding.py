"""How demands, floors, overrides, caps and bounds become one decision."""

from __future__ import annotations

from dataclasses import replace
from timeit import repeat
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import SignalsUnreadable
from octoqueue.primitives.lane import Lane
from octoqueue.scaling.deciding import decide
from octoqueue.scaling.override import Override
from octoqueue.scaling.policy import (
    Caps,
    DepthTarget,
    FloorWindow,
    ForecastUse,
    Objective,
    Protection,
    RateTarget,
    ScalingPolicy,
)
from tests.fleet_snapshots import (
    FLEET,
    NOW_MS,
    forecast,
    queue,
    service,
    snapshot,
    worker,
    workers,
)

if TYPE_CHECKING:
    from octoqueue.primitives.signals import ArrivalForecast
    from octoqueue.scaling.decision import Decision

POLICY = ScalingPolicy(
    fleet=FLEET, queues=("coder",), depth=DepthTarget(messages_per_worker=10), max_workers=20
)
OPEN = FloorWindow(start="0 7 * * *", end="0 18 * * *", workers=6)
CLOSED = FloorWindow(start="0 20 * * *", end="0 22 * * *", workers=15)
BUSY = queue(waiting={Lane.NORMAL: 50}, in_flight=3)


def decisive(decision: Decision) -> str:
    (step,) = [step for step in decision.steps if step.is_decisive]
    return step.rule


def test_the_largest_demand_counts_and_the_decision_says_why() -> None:
    policy = replace(POLICY, rate=RateTarget(per_second_and_worker=1.0))
    found = decide(
        snapshot(queue(waiting={Lane.LOW: 42}, per_second={Lane.LOW: 3.0})), policy, now_ms=NOW_MS
    )
    assert found.workers == 5
    assert [(step.rule, step.workers) for step in found.steps] == [("depth", 5), ("rate", 4)]
    assert decisive(found) == "depth"
    assert found.reason == (
        "coder wants 5 workers by depth: 42 messages (42 wait, 0 run) at 10 a worker"
    )


def test_a_quiet_fleet_keeps_its_least() -> None:
    found = decide(snapshot(), replace(POLICY, min_workers=2), now_ms=NOW_MS)
    assert (found.workers, decisive(found), found.is_active) == (2, "minimum", True)


def test_no_more_than_the_most_and_the_reason_tells_what_would_be_wanted() -> None:
    found = decide(snapshot(queue(in_flight=1_000)), POLICY, now_ms=NOW_MS)
    assert (found.workers, decisive(found)) == (20, "maximum")
    assert found.reason == (
        "coder wants 20 workers by maximum: max_workers is 20; 100 workers would be wanted"
    )


def test_a_policy_without_rules_is_its_least() -> None:
    policy = ScalingPolicy(fleet=FLEET, queues=("coder",), min_workers=3)
    found = decide(snapshot(BUSY), policy, now_ms=NOW_MS)
    assert (found.workers, decisive(found)) == (3, "minimum")


# ── schedule ─────────────────────────────────────────────────────────────────────────────────────


def test_an_open_window_is_a_floor_and_a_closed_one_is_nothing() -> None:
    found = decide(snapshot(), replace(POLICY, floors=(CLOSED, OPEN)), now_ms=NOW_MS)
    assert (found.workers, decisive(found)) == (6, "schedule")
    assert "from '0 7 * * *' to '0 18 * * *' (UTC)" in found.reason
    busy = decide(snapshot(queue(in_flight=99)), replace(POLICY, floors=(OPEN,)), now_ms=NOW_MS)
    assert busy.workers == 10, "a floor is no ceiling"


def test_a_window_starts_a_fleet_of_none() -> None:
    policy = replace(POLICY, min_workers=0, floors=(OPEN,))
    found = decide(snapshot(), policy, now_ms=NOW_MS)
    assert (found.workers, found.is_active) == (6, True)


# ── activation ───────────────────────────────────────────────────────────────────────────────────


def test_a_fleet_of_none_starts_with_the_first_message_and_ends_after_a_while_without() -> None:
    policy = replace(POLICY, min_workers=0, active_for_seconds=300.0)
    idle = decide(snapshot(), policy, now_ms=NOW_MS)
    assert (idle.workers, idle.is_active, idle.last_active_at_ms) == (0, False, None)
    assert idle.reason.endswith("no work for 300 s or longer")

    begun = decide(snapshot(queue(waiting={Lane.LOW: 1})), policy, now_ms=NOW_MS)
    assert (begun.workers, begun.is_active, begun.last_active_at_ms) == (1, True, NOW_MS)

    later = NOW_MS + 299_000
    kept = decide(
        snapshot(queue(taken_at_ms=later), taken_at_ms=later),
        policy,
        now_ms=later,
        last_active_at_ms=begun.last_active_at_ms,
    )
    assert (kept.workers, kept.last_active_at_ms, decisive(kept)) == (1, NOW_MS, "activation")
    assert "kept for 1 s more" in kept.reason

    ended = decide(
        snapshot(queue(taken_at_ms=later), taken_at_ms=later),
        policy,
        now_ms=NOW_MS + 300_000,
        last_active_at_ms=kept.last_active_at_ms,
    )
    assert (ended.workers, ended.is_active) == (0, False)


def test_few_messages_do_not_start_a_fleet_that_asks_for_more() -> None:
    policy = replace(POLICY, min_workers=0, activation_messages=5)
    few = decide(snapshot(queue(waiting={Lane.LOW: 5})), policy, now_ms=NOW_MS)
    assert (few.workers, few.is_active) == (0, False)
    assert few.reason.endswith("5 messages to do, and it starts at more than 5")
    assert decide(snapshot(queue(waiting={Lane.LOW: 6})), policy, now_ms=NOW_MS).workers == 1
    assert decide(snapshot(queue(in_flight=1)), policy, now_ms=NOW_MS).workers == 1, "it runs"


def test_a_clock_that_was_set_back_keeps_a_fleet_active() -> None:
    policy = replace(POLICY, min_workers=0)
    found = decide(snapshot(), policy, now_ms=NOW_MS, last_active_at_ms=NOW_MS + 900_000)
    assert found.workers == 1
    assert "300 s more" in found.reason


# ── override ─────────────────────────────────────────────────────────────────────────────────────


def override(workers: int, *, minutes: int = 60, beyond_max: bool = False) -> Override:
    return Override(
        workers=workers,
        until_ms=NOW_MS + 60_000 * minutes,
        said_by="kim",
        beyond_max=beyond_max,
    )


@pytest.mark.parametrize("wanted", [0, 2, 19])
def test_an_override_replaces_demand_and_floors(wanted: int) -> None:
    policy = replace(POLICY, floors=(OPEN,), min_workers=1)
    found = decide(snapshot(BUSY), policy, now_ms=NOW_MS, override=override(wanted))
    assert (found.workers, decisive(found)) == (wanted, "override")
    assert found.reason.endswith("set by kim for 60 min more")
    assert found.steps[0].rule == "depth", "what would be wanted is still told"


def test_an_override_ends_by_the_stores_clock() -> None:
    found = decide(snapshot(BUSY), POLICY, now_ms=NOW_MS, override=override(2, minutes=0))
    assert (found.workers, decisive(found)) == (6, "depth")


def test_an_override_exceeds_the_most_only_when_it_says_so() -> None:
    assert decide(snapshot(), POLICY, now_ms=NOW_MS, override=override(50)).workers == 20
    beyond = override(50, beyond_max=True)
    assert decide(snapshot(), POLICY, now_ms=NOW_MS, override=beyond).workers == 50


# ── protection ───────────────────────────────────────────────────────────────────────────────────


def test_never_below_workers_that_would_lose_much_not_even_by_override() -> None:
    live = [worker(n, at_risk_seconds=400.0 if n <= 3 else 1.0, running=1) for n in range(1, 9)]
    found = decide(snapshot(live=live), POLICY, now_ms=NOW_MS, override=override(1))
    assert (found.workers, decisive(found)) == (3, "protected")
    assert found.reason == (
        "coder wants 3 workers by protected: 3 workers would lose much work and are let finish"
    )


def test_whoever_drains_is_given_up_already() -> None:
    live = [worker(n, at_risk_seconds=900.0, is_draining=True) for n in range(1, 9)]
    assert decide(snapshot(live=live), POLICY, now_ms=NOW_MS).workers == 1


def test_cost_at_risk_and_mere_work_protect_where_the_policy_says_so() -> None:
    live = [worker(1, at_risk_cost=5.0), worker(2, running=1), worker(3)]
    for protection, wanted in (
        (Protection(), 1),
        (Protection(at_risk_cost=5.0), 1),
        (Protection(busy=True), 1),
        (Protection(busy=True, at_risk_cost=1.0), 2),
        (Protection(at_risk_seconds=None), 1),
    ):
        policy = replace(POLICY, protection=protection)
        assert decide(snapshot(live=live), policy, now_ms=NOW_MS).workers == wanted


def test_protection_exceeds_every_bound() -> None:
    live = [worker(number, at_risk_seconds=900.0) for number in range(5)]
    policy = replace(POLICY, max_workers=2)
    assert decide(snapshot(live=live), policy, now_ms=NOW_MS).workers == 5


# ── caps ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_budget_bounds_the_workers() -> None:
    policy = replace(POLICY, caps=Caps(cost_per_worker_hour=0.3, budget_per_hour=0.9))
    found = decide(snapshot(BUSY), policy, now_ms=NOW_MS)
    assert (found.workers, decisive(found)) == (3, "budget")
    assert "a budget of 0.9 an hour pays 3 workers at 0.3" in found.reason


def test_a_quota_bounds_the_workers_by_littles_law_and_says_when_it_is_too_small() -> None:
    # 2 a second of 10 s keep 20 at work, in 4 slots each.
    policy = replace(POLICY, slots_per_worker=4, caps=Caps(quota_per_second=2.0))
    busy = queue(waiting={Lane.NORMAL: 150}, per_second={Lane.NORMAL: 3.0}, ran=service(10.0))
    found = decide(snapshot(busy), policy, now_ms=NOW_MS)
    assert (found.workers, decisive(found)) == (5, "quota")
    assert found.warnings == (
        "quota_per_second: 3 messages arrive a second and the quota feeds 2; what waits will grow",
    )


def test_messages_that_may_not_run_together_take_no_workers() -> None:
    policy = replace(POLICY, slots_per_worker=2, caps=Caps(running=5))
    found = decide(snapshot(BUSY), policy, now_ms=NOW_MS)
    assert (found.workers, decisive(found)) == (3, "concurrency")
    assert "its queues let 5 messages run at the same time; 6 workers would be" in found.reason


def test_a_quota_bounds_nothing_while_no_service_time_is_known() -> None:
    policy = replace(POLICY, caps=Caps(quota_per_second=2.0))
    found = decide(snapshot(BUSY), policy, now_ms=NOW_MS)
    assert found.workers == 6
    assert found.warnings == (
        "quota_per_second: no service time is known yet, so the quota bounds nothing",
    )


def test_the_least_workers_win_over_a_budget_that_does_not_pay_them() -> None:
    caps = Caps(cost_per_worker_hour=1.0, budget_per_hour=2.0)
    found = decide(snapshot(BUSY), replace(POLICY, min_workers=4, caps=caps), now_ms=NOW_MS)
    assert (found.workers, decisive(found)) == (4, "minimum")


# ── forecast ─────────────────────────────────────────────────────────────────────────────────────

FORECAST = replace(
    POLICY,
    depth=None,
    objectives=(Objective(seconds=5.0),),
    forecast=ForecastUse(quantile=0.5),
    max_workers=100,
)
STEADY = queue(per_second={Lane.NORMAL: 10.0}, in_flight=10, ran=service(1.0))


def test_a_forecast_of_more_makes_a_fleet_ready_before_it_comes() -> None:
    seen = snapshot(STEADY, live=workers(11), forecast=forecast(10, 30, 30, 90), lead_seconds=60.0)
    found = decide(seen, FORECAST, now_ms=NOW_MS + 1_000)
    assert found.workers > 30
    assert decisive(found) == "forecast"
    assert "forecast: 30 messages a second are expected within " in found.reason
    assert "(now 10), by objective: " in found.reason
    without = decide(replace(seen, forecast=None), FORECAST, now_ms=NOW_MS + 1_000)
    assert without.workers == 11


def test_a_forecast_of_less_takes_nothing_away() -> None:
    seen = snapshot(STEADY, live=workers(11), forecast=forecast(0, 0, 0))
    found = decide(seen, FORECAST, now_ms=NOW_MS)
    assert found.workers == decide(replace(seen, forecast=None), FORECAST, now_ms=NOW_MS).workers


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "there is none yet"),
        (forecast(90, 90, made_at_ms=NOW_MS - 601_000), "made 601 s ago, 600 s are allowed"),
        (forecast(90, 90, skill=-0.1), 'skill -0.1 against "same as now", 0 is asked for'),
        (forecast(90, 90, skill=float("nan")), 'skill nan against "same as now"'),
        (
            forecast(90, 90, skill_last_week=-0.2, scored_beside_week=60),
            'skill -0.2 against "same as last week", 0 is asked for',
        ),
        (
            forecast(90, 90, skill_last_week=float("nan"), scored_beside_week=60),
            'skill nan against "same as last week"',
        ),
        (forecast(90, 90, scored_minutes=59), "compared with what came for 59 minutes, 60 are"),
        (forecast(), "it says nothing of the coming 60 s"),
        (forecast(float("nan")), "it says nothing of the coming 60 s"),
    ],
)
def test_a_forecast_that_has_not_proved_itself_is_left_alone(
    given: ArrivalForecast | None, words: str
) -> None:
    seen = snapshot(STEADY, live=workers(11), forecast=given)
    found = decide(seen, FORECAST, now_ms=NOW_MS)
    assert decisive(found) == "objective"
    (step,) = [step for step in found.steps if step.rule == "forecast"]
    assert step.reason.startswith(f"not followed: {words}")


def test_last_week_is_no_reason_before_there_is_enough_of_it_to_compare_with() -> None:
    given = forecast(90, 90, skill_last_week=-0.2, scored_beside_week=59)
    found = decide(snapshot(STEADY, live=workers(11), forecast=given), FORECAST, now_ms=NOW_MS)
    assert decisive(found) == "forecast"


def test_a_forecast_is_not_followed_for_queues_that_are_paused() -> None:
    paused = queue(per_second={Lane.NORMAL: 10.0}, ran=service(1.0), paused=True)
    found = decide(snapshot(paused, forecast=forecast(90, 90)), FORECAST, now_ms=NOW_MS)
    assert found.workers == 1
    assert "not followed: coder is paused" in found.steps[1].reason


def test_the_quantile_is_read_between_expectation_and_interval() -> None:
    # The interval of 90 % ends at the 95th percentile: 10 more than expected. 0.5 is expected.
    seen = snapshot(STEADY, live=workers(200), forecast=forecast(40, 40, 40, spread=10.0))

    def said(quantile: float) -> str:
        policy = replace(FORECAST, forecast=ForecastUse(quantile=quantile))
        return decide(seen, policy, now_ms=NOW_MS).reason

    assert "forecast: 40 messages a second" in said(0.5)
    assert "forecast: 50 messages a second" in said(0.95)
    assert "forecast: 30 messages a second" in said(0.05)
    assert "forecast: 47.8 messages a second" in said(0.9)


def test_a_forecast_of_next_to_nothing_does_not_wake_a_fleet_of_none() -> None:
    policy = replace(FORECAST, min_workers=0)
    sparse = snapshot(queue(ran=service(1.0)), forecast=forecast(0.001, 0.001))
    assert decide(sparse, policy, now_ms=NOW_MS).workers == 0
    soon = snapshot(queue(ran=service(1.0)), forecast=forecast(0.1, 5.0))
    assert decide(soon, policy, now_ms=NOW_MS + 1000).workers > 1


def test_depth_follows_a_forecast_by_what_will_run() -> None:
    # 200 a second of 0.5 s are 100 at work: 10 workers by tens.
    policy = replace(POLICY, forecast=ForecastUse(quantile=0.5))
    seen = snapshot(
        queue(in_flight=2, per_second={Lane.NORMAL: 2.0}, ran=service(0.5)),
        live=workers(2),
        forecast=forecast(200, 200, 200),
    )
    assert decide(seen, policy, now_ms=NOW_MS).workers == 10


def test_a_forecast_does_not_count_as_backlog_what_has_not_come_yet() -> None:
    # Ready slots for 11; that 30 a second come is no reason to catch up on what they would leave.
    seen = snapshot(STEADY, live=workers(11), forecast=forecast(30, 30, 30))
    assert 30 < decide(seen, FORECAST, now_ms=NOW_MS).workers < 40


# ── what decides nothing ─────────────────────────────────────────────────────────────────────────


def test_old_signals_decide_nothing() -> None:
    with pytest.raises(SignalsUnreadable, match=r"they are 16 s old"):
        decide(snapshot(), POLICY, now_ms=NOW_MS + 16_000)
    old_queue = snapshot(queue(taken_at_ms=NOW_MS - 16_000))
    with pytest.raises(SignalsUnreadable, match=r"they are 16 s old"):
        decide(old_queue, POLICY, now_ms=NOW_MS)


def test_a_clock_that_was_set_back_does_not_make_signals_old() -> None:
    assert decide(snapshot(), POLICY, now_ms=NOW_MS - 3_600_000).workers == 1


def test_a_queue_that_was_not_read_is_no_empty_one() -> None:
    with pytest.raises(SignalsUnreadable, match=r"queue coder was not read"):
        decide(snapshot(queue("judge")), POLICY, now_ms=NOW_MS)
    with pytest.raises(SignalsUnreadable, match=r"of fleet 'judge'"):
        decide(snapshot(fleet="judge"), POLICY, now_ms=NOW_MS)


def test_numbers_that_cannot_be_are_taken_for_none() -> None:
    strange = queue(
        waiting={Lane.HIGH: -5},
        in_flight=-3,
        due_soon=-1,
        oldest_seconds=-9.0,
        ran=service(-1.0, count=5),
        per_second={Lane.HIGH: -2.0},
    )
    policy = replace(FORECAST, depth=DepthTarget(messages_per_worker=10))
    found = decide(snapshot(strange, lead_seconds=-5.0), policy, now_ms=NOW_MS)
    assert found.workers == 1


def test_a_decision_about_five_hundred_slots_takes_far_less_than_a_millisecond() -> None:
    busy = queue(per_second={Lane.NORMAL: 480.0}, in_flight=480, ran=service(1.0))
    seen = snapshot(busy, live=workers(50, slots=10))
    policy = replace(FORECAST, slots_per_worker=10, max_workers=1_000)
    assert decide(seen, policy, now_ms=NOW_MS).workers == 49
    seconds = min(repeat(lambda: decide(seen, policy, now_ms=NOW_MS), number=20, repeat=5)) / 20
    assert seconds < 0.001


def test_a_fleet_of_none_says_what_waits_and_does_not_start_it() -> None:
    policy = replace(POLICY, min_workers=0)
    for waiting, words in (
        (queue(waiting={Lane.LOW: 500}, paused=True), "500 that wait in coder (paused)"),
        (
            queue(waiting={Lane.LOW: 500}, held_back={Lane.LOW: 500}),
            "500 that wait for a tenant's turn, a cap or a limit",
        ),
    ):
        found = decide(snapshot(waiting), policy, now_ms=NOW_MS)
        assert (found.workers, found.is_active) == (0, False)
        assert words in found.reason


def test_a_budget_that_does_not_pay_the_least_is_warned_of() -> None:
    caps = Caps(cost_per_worker_hour=4.0, budget_per_hour=4.0)
    found = decide(snapshot(BUSY), replace(POLICY, min_workers=2, caps=caps), now_ms=NOW_MS)
    assert found.workers == 2
    assert found.warnings == (
        "budget_per_hour: a budget of 4 an hour pays 1 worker at 4, and min_workers is 2",
    )
