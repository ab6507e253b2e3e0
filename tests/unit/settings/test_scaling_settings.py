"""What the configuration of a fleet says of its size, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import ConfigRefused, FleetUnknown
from octoqueue.primitives.lane import Lane
from octoqueue.scaling.behavior import RatePolicy
from octoqueue.scaling.defaults import REFERENCE
from octoqueue.scaling.policy import (
    Caps,
    DepthTarget,
    FloorWindow,
    ForecastUse,
    LatencyTarget,
    Objective,
    Protection,
    RateTarget,
)
from octoqueue.settings.root import Settings
from octoqueue.settings.scaling import policy_from

if TYPE_CHECKING:
    from octoqueue.scaling.policy import ScalingPolicy

ROOT = Path(__file__).parents[3]


def settings(scaling: str, *, fleet: str = "mine") -> Settings:
    file = Path("octoqueue.yaml")
    file.write_text(
        f"fleets:\n  {fleet}:\n    queues: [one, two]\n    modules: [my_app.actors]\n"
        f"    concurrency: 16\n    scaling: {scaling}\n"
    )
    return Settings.load(file, environ={})


def policy(scaling: str = "{}", *, fleet: str = "mine") -> ScalingPolicy:
    return policy_from(settings(scaling, fleet=fleet), fleet)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_fleet_that_says_nothing_goes_by_depth() -> None:
    found = policy()
    assert (found.fleet, found.queues, found.slots_per_worker) == ("mine", ("one", "two"), 16)
    assert (found.min_workers, found.max_workers) == (1, 10)
    assert found.depth == DepthTarget(messages_per_worker=16)
    assert (found.latency, found.rate, found.objectives) == (None, None, ())
    assert found.forecast == ForecastUse()
    assert found.protection == Protection()


def test_a_fleet_named_like_a_component_of_the_reference_has_its_numbers() -> None:
    for name in ("planner", "executor", "coder", "guardian", "retriever"):
        found, wanted = policy(fleet=name), REFERENCE[name]
        assert (found.min_workers, found.max_workers) == (wanted.min_workers, wanted.max_workers)
        assert (found.depth, found.latency) == (wanted.depth, wanted.latency)
        assert (found.rate, found.behavior) == (wanted.rate, wanted.behavior)


def test_one_rule_that_is_given_replaces_those_of_the_reference() -> None:
    found = policy("{objectives: {high: {within: 5s}}}", fleet="coder")
    assert found.objectives == (Objective(seconds=5.0, percentile=0.95, lane=Lane.HIGH),)
    assert found.depth is None
    assert found.max_workers == 8, "bounds are not rules"


def test_everything_that_can_be_said_arrives() -> None:
    found = policy(
        "{min: 0, max: 12, queues: [two], start_up: 90s, service: 2s, depth: 4, rate: 50,"
        " latency: {within: 500ms, percentile: 0.9},"
        " objectives: {low: {within: 10m, percentile: 0.8, drain: 1h, of: finish},"
        " all: {within: 1m}},"
        " forecast: {quantile: 0.7, missed_minute_costs: 30, least_skill: 0.1,"
        " least_scored: 2h, stale_after: 5m},"
        " schedule: {office: {start: '0 8 * * 1-5', end: '0 18 * * 1-5', workers: 3,"
        " timezone: Europe/Berlin}},"
        " caps: {cost_per_worker_hour: 0.5, budget_per_hour: 5, quota_per_second: 20},"
        " protection: {at_risk: null, at_risk_cost: 3, busy: true},"
        " behavior: {up: {workers: 4, workers_period: 15s},"
        " down: {window: 10m, percent: 10, percent_period: 1m, select: min, tolerance: 0.2}},"
        " activation: 5, active_for: 10m, stale_after: 30s}"
    )
    assert (found.min_workers, found.max_workers, found.queues) == (0, 12, ("two",))
    assert (found.start_up_seconds, found.service_seconds) == (90.0, 2.0)
    assert found.depth == DepthTarget(messages_per_worker=4)
    assert found.rate == RateTarget(per_second_and_worker=50)
    assert found.latency == LatencyTarget(seconds=0.5, percentile=0.9)
    assert found.objectives == (
        Objective(seconds=600.0, percentile=0.8, lane=Lane.LOW, drain_seconds=3600.0, of="finish"),
        Objective(seconds=60.0, percentile=0.95),
    )
    assert found.forecast == ForecastUse(
        quantile=0.7,
        missed_minute_costs=30.0,
        least_skill=0.1,
        least_scored_minutes=120,
        stale_after_seconds=300.0,
    )
    assert found.floors == (
        FloorWindow(start="0 8 * * 1-5", end="0 18 * * 1-5", workers=3, timezone="Europe/Berlin"),
    )
    assert found.caps == Caps(cost_per_worker_hour=0.5, budget_per_hour=5.0, quota_per_second=20.0)
    assert found.protection == Protection(at_risk_seconds=None, at_risk_cost=3.0, busy=True)
    up, down = found.behavior.up, found.behavior.down
    assert up.policies == (RatePolicy(kind="Pods", value=4, period_seconds=15),)
    assert up.stabilization_window_seconds == 0
    assert down.policies == (RatePolicy(kind="Percent", value=10, period_seconds=60),)
    assert (down.stabilization_window_seconds, down.select) == (600, "Min")
    assert (up.tolerance, down.tolerance) == (0.1, 0.2)
    assert (found.activation_messages, found.active_for_seconds) == (5, 600.0)
    assert found.stale_after_seconds == 30.0


def test_a_window_that_is_given_leaves_the_rest_of_a_direction_as_the_component_has_it() -> None:
    """The orchestrator gives up the lesser of 50 % and two a minute: a longer window must not make
    it give up the larger."""
    usual = REFERENCE["orchestrator"].behavior.down
    down = policy("{behavior: {down: {window: 10m}}}", fleet="orchestrator").behavior.down
    assert (down.stabilization_window_seconds, down.select) == (600, "Min")
    assert (down.policies, usual.select) == (usual.policies, "Min")
    own = policy("{behavior: {down: {workers: 3, percent: 10}}}", fleet="orchestrator")
    assert own.behavior.down.select == "Max"
    most = policy("{behavior: {down: {select: max}}}", fleet="orchestrator")
    assert most.behavior.down.select == "Max"


def test_a_bound_that_is_given_moves_the_default_of_the_other() -> None:
    assert policy("{max: 1}", fleet="guardian").min_workers == 1
    assert policy("{min: 30}").max_workers == 30


def test_the_concurrency_of_its_queues_bounds_a_fleet() -> None:
    file = Path("octoqueue.yaml")
    fleets = "fleets: {mine: {queues: [one, two], modules: [my_app.actors]}}\n"
    for queues, wanted in (
        ("one: {concurrency: 5}", None),
        ("one: {concurrency: 5}, two: {concurrency: 3}", 8),
    ):
        file.write_text(f"lanes: {{queues: {{{queues}}}}}\n{fleets}")
        found = policy_from(Settings.load(file, environ={}), "mine")
        assert found.caps.running == wanted


def test_a_forecast_can_be_refused() -> None:
    assert policy("{forecast: {use: false}}").forecast is None


def test_orchestrators_are_measured_by_the_queues_of_their_letters() -> None:
    file = Path("octoqueue.yaml")
    file.write_text(
        "workflows: {partitions: 3}\n"
        "fleets: {orchestrator: {kind: orchestrator, modules: [my_app.flows]}}\n"
    )
    found = policy_from(Settings.load(file, environ={}), "orchestrator")
    assert found.queues == ("orchestrator.0", "orchestrator.1", "orchestrator.2")
    assert found.latency == LatencyTarget(seconds=0.5)


def test_the_edge_has_a_policy_of_its_own_as_soon_as_there_is_one() -> None:
    with pytest.raises(FleetUnknown):
        policy_from(settings("{}"), "reflex")
    file = Path("octoqueue.yaml")
    file.write_text("http: {app: 'my_app:app', scaling: {max: 4}}\n")
    found = policy_from(Settings.load(file, environ={}), "reflex")
    assert (found.queues, found.rate) == ((), RateTarget(per_second_and_worker=500))
    assert (found.min_workers, found.max_workers) == (3, 4)


@pytest.mark.parametrize(
    ("scaling", "words"),
    [
        ("{min: 0}", "min: must be at least 1: where none is, no request can start one"),
        ("{depth: 5}", "depth: counts messages, and the edge has no queues"),
        ("{objectives: {all: {within: 1s}}}", "objectives: counts messages"),
    ],
)
def test_what_an_edge_cannot_be_scaled_by_is_refused(scaling: str, words: str) -> None:
    file = Path("octoqueue.yaml")
    file.write_text(f"http: {{app: 'my_app:app', scaling: {scaling}}}\n")
    with pytest.raises(ConfigRefused) as refused:
        Settings.load(file, environ={})
    assert str(refused.value).startswith(f"http.scaling: {words}")


def test_a_policy_can_be_said_in_the_environment_alone() -> None:
    below = "OCTOQUEUE_FLEETS__MINE__SCALING"
    environ = {
        "OCTOQUEUE_FLEETS__MINE__QUEUES": "one,two",
        "OCTOQUEUE_FLEETS__MINE__MODULES": "my_app.actors",
        f"{below}__MAX": "12",
        f"{below}__OBJECTIVES__HIGH__WITHIN": "5s",
        f"{below}__OBJECTIVES__HIGH__PERCENTILE": "0.9",
        f"{below}__SCHEDULE__OFFICE__START": "0 8 * * 1-5",
        f"{below}__SCHEDULE__OFFICE__END": "0 18 * * 1-5",
        f"{below}__SCHEDULE__OFFICE__WORKERS": "3",
        f"{below}__BEHAVIOR__DOWN__WINDOW": "10m",
        f"{below}__PROTECTION__AT_RISK": "null",
    }
    found = policy_from(Settings.load(environ=environ), "mine")
    assert found.objectives == (Objective(seconds=5.0, percentile=0.9, lane=Lane.HIGH),)
    assert found.floors == (FloorWindow(start="0 8 * * 1-5", end="0 18 * * 1-5", workers=3),)
    assert (found.max_workers, found.queues) == (12, ("one", "two"))
    assert found.protection.at_risk_seconds is None
    assert found.behavior.down.stabilization_window_seconds == 600
    for name, value, words in (
        ("MAX", "0", "must be at least 1"),
        ("OBJECTIVES__HIGH__PERCENTILE", "95", "must be above 0 and below 1; write 0.95 for 95 %"),
        ("SCHEDULE__OFFICE__WORKERS", "13", "schedule: office.workers: 13 is above max"),
    ):
        with pytest.raises(ConfigRefused, match=words) as refused:
            Settings.load(environ={**environ, f"{below}__{name}": value})
        assert str(refused.value).startswith("fleets.mine.scaling.")


def test_a_fleet_that_is_not_there_is_refused_with_the_nearest() -> None:
    with pytest.raises(FleetUnknown, match=r"did you mean 'mine'"):
        policy_from(settings("{}"), "mien")


@pytest.mark.parametrize(
    ("scaling", "key", "words"),
    [
        ("{depth: 0}", "depth", "must be above 0"),
        ("{depth: -1}", "depth", "must be above 0"),
        ("{depth: yes}", "depth", "must be a number"),
        ("{rate: -5}", "rate", "must be above 0"),
        ("{rate: .nan}", "rate", "must be a number"),
        ("{min: 5, max: 2}", "max", "must be at least min, which is 5"),
        ("{max: 0}", "max", "must be at least 1"),
        ("{min: -1}", "min", "must be at least 0"),
        ("{latency: {within: 0s}}", "latency.within", "must be at least 1ms"),
        (
            "{latency: {within: 1s, percentile: 95}}",
            "latency.percentile",
            "must be above 0 and below 1; write 0.95 for 95 %",
        ),
        ("{latency: {within: 1s, percentile: 1}}", "latency.percentile", "must be above 0 and"),
        ("{latency: {within: 1s, percentile: many}}", "latency.percentile", "must be a share"),
        ("{latency: {within: 1s, percentile: on}}", "latency.percentile", "must be a number"),
        ("{objectives: {urgent: {within: 1s}}}", "objectives.urgent", "unknown key"),
        ("{objectives: {high: {}}}", "objectives.high.within", "is required"),
        ("{objectives: {high: {within: -1s}}}", "objectives.high.within", "is no duration"),
        ("{queues: [three]}", "", "queues: three is not served by the fleet, whose queues are one"),
        ("{caps: {budget_per_hour: 3}}", "caps.budget_per_hour", "needs cost_per_worker_hour"),
        (
            "{caps: {budget_per_hour: 1, cost_per_worker_hour: 2}}",
            "caps.budget_per_hour",
            "does not pay one worker, which costs 2",
        ),
        (
            "{min: 2, caps: {budget_per_hour: 3, cost_per_worker_hour: 2}}",
            "caps",
            "budget_per_hour: 3 does not pay min, 2 workers at 2",
        ),
        (
            "{forecast: {quantile: 90}}",
            "forecast.quantile",
            "must be above 0 and below 1; write 0.9",
        ),
        ("{behavior: {up: {window: 2h}}}", "behavior.up.window", "must be at most 1h"),
        ("{behavior: {up: {window: 1500ms}}}", "behavior.up.window", "must be whole seconds"),
        ("{behavior: {down: {select: most}}}", "behavior.down.select", "must be 'max', 'min'"),
        ("{activation: -1}", "activation", "must be at least 0"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(scaling: str, key: str, words: str) -> None:
    with pytest.raises(ConfigRefused) as refused:
        settings(scaling)
    dotted = "fleets.mine.scaling" + (f".{key}" if key else "")
    assert str(refused.value).startswith(f"{dotted}: {words}")


@pytest.mark.parametrize(
    ("window", "key", "words"),
    [
        ("start: '0 9 * *', end: '0 18 * * *'", "start", "must have five fields"),
        ("start: '0 9 * * 9', end: '0 18 * * *'", "start", "is no cron expression: '0 9 * * 9'"),
        ("start: '0 9 * * *', end: '0 9 * * *'", "end", "with start '0 9 * * *' the window starts"),
        (
            "start: '0 9 * * 6', end: '0 18 * * 1-5'",
            "end",
            "with start '0 9 * * 6' the window last",
        ),
        ("start: '0 9 * * *', end: '0 18 * * *', timezone: Mars", "timezone", "is no time zone"),
        ("start: '0 9 * * *'", "end", "is required"),
    ],
)
def test_windows_that_cannot_be_meant_are_refused_with_their_key(
    window: str, key: str, words: str
) -> None:
    with pytest.raises(ConfigRefused) as refused:
        settings(f"{{schedule: {{office: {{workers: 3, {window}}}}}}}")
    assert str(refused.value).startswith(f"fleets.mine.scaling.schedule.office.{key}: {words}")


def test_a_window_above_the_most_workers_is_refused() -> None:
    with pytest.raises(ConfigRefused, match=r"schedule: day\.workers: 3 is above max, which is 2"):
        settings("{max: 2, schedule: {day: {workers: 3, start: '0 9 * * *', end: '0 18 * * *'}}}")


def test_every_fleet_of_the_platform_has_a_policy() -> None:
    platform = Settings.load(ROOT / "octoqueue.yaml", environ={})
    for fleet in (*platform.fleets, "reflex"):
        found = policy_from(platform, fleet)
        assert found.depth or found.latency or found.rate or found.objectives
