from __future__ import annotations

import pytest

from octoqueue.primitives.lane import Lane
from octoqueue.scaling.deciding import decide
from octoqueue.scaling.finishing import running_quantile, share_running_longer, wait_bound
from octoqueue.scaling.load import Service
from octoqueue.scaling.policy import Objective, ScalingPolicy
from tests.fleet_snapshots import FLEET, NOW_MS, queue, service, snapshot, workers

STEADY = Service(mean_seconds=2.0, squared_variation=0.0)
USUAL = Service(mean_seconds=2.0, squared_variation=1.0)


def promise(seconds: float, percentile: float = 0.9) -> Objective:
    return Objective(seconds=seconds, percentile=percentile, of="finish")


def test_a_promise_of_the_start_leaves_all_of_its_time_for_waiting() -> None:
    bound = wait_bound(Objective(seconds=5.0, percentile=0.9), USUAL)
    assert bound == pytest.approx((5.0, 0.1, False))


def test_what_always_runs_two_seconds_leaves_the_rest() -> None:
    assert wait_bound(promise(5.0), STEADY) == pytest.approx((3.0, 0.05, False))


def test_running_times_are_lognormal_with_the_mean_and_variance_measured() -> None:
    # cv² = 1: sigma² = ln 2, median = 2 / sqrt 2; the 95th percentile is 1.414 exp(1.645 * 0.8326).
    assert running_quantile(USUAL, 0.5) == pytest.approx(2**0.5)
    assert running_quantile(USUAL, 0.95) == pytest.approx(5.562, abs=0.001)
    assert share_running_longer(USUAL, 5.562) == pytest.approx(0.05, abs=1e-4)
    assert share_running_longer(STEADY, 1.9) == 1.0
    assert share_running_longer(STEADY, 2.0) == 0.0


def test_half_of_what_may_be_late_is_left_to_waiting() -> None:
    bound = wait_bound(promise(8.0), USUAL)
    assert bound == pytest.approx((8.0 - 5.562, 0.05, False), abs=0.001)


def test_a_promise_that_is_just_possible_leaves_no_time_to_wait() -> None:
    # Running takes longer than 5 s for 6.5 %: 3.5 % of the messages may find no slot.
    late = share_running_longer(USUAL, 5.0)
    assert 0.05 < late < 0.1
    assert wait_bound(promise(5.0), USUAL) == pytest.approx((0.0, 0.1 - late, False))


@pytest.mark.parametrize("running", [STEADY, USUAL], ids=["steady", "usual"])
def test_a_promise_that_running_alone_exceeds_is_impossible(running: Service) -> None:
    assert wait_bound(promise(1.9), running) == pytest.approx((0.0, 0.1, True))


def test_an_impossible_promise_is_said_to_be_and_the_best_fleet_is_wanted() -> None:
    busy = queue(per_second={Lane.NORMAL: 5.0}, ran=service(2.0))
    policy = ScalingPolicy(
        fleet=FLEET, queues=("coder",), objectives=(promise(1.0),), max_workers=100
    )
    found = decide(snapshot(busy, live=workers(20)), policy, now_ms=NOW_MS)
    (warning,) = found.warnings
    assert warning == (
        "objective: 90 % of all finished within 1 s is impossible: running alone takes 4.11 s at "
        "that percentile (2 s on average); the best there is, a fleet in which hardly a message "
        "waits, is wanted instead"
    )
    # 10 slots are busy; of 16, all are busy for 6 % of those that come, of 15 for 10.2 %.
    assert found.workers == 16


def test_a_promise_of_the_finish_takes_more_than_one_of_the_start() -> None:
    busy = snapshot(queue(per_second={Lane.NORMAL: 5.0}, ran=service(2.0)), live=workers(20))

    def wanted(objective: Objective) -> int:
        policy = ScalingPolicy(
            fleet=FLEET, queues=("coder",), objectives=(objective,), max_workers=100
        )
        return decide(busy, policy, now_ms=NOW_MS).workers

    assert wanted(promise(6.0)) > wanted(Objective(seconds=6.0, percentile=0.9))
    assert wanted(promise(60.0)) == wanted(Objective(seconds=60.0, percentile=0.9))
