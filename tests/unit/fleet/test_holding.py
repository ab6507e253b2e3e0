from __future__ import annotations

from datetime import timedelta

import pytest

from octoqueue.fleet.holding import LastGood
from octoqueue.scaling.decision import Decision

HOLD = timedelta(seconds=120)


def decision(workers: int = 4, *, at_ms: int = 1_000_000) -> Decision:
    return Decision(
        fleet="executor", at_ms=at_ms, workers=workers, is_active=True, steps=(), reason="a test"
    )


@pytest.mark.parametrize("age_seconds", [0.0, -3_600.0])
def test_a_decision_that_is_read_again_and_again_is_held_no_longer(age_seconds: float) -> None:
    """After the store's clock was set back, what is remembered is as old as 0 s at each reading."""
    good = LastGood(hold=HOLD)
    for now in range(0, 121, 10):
        good.learn(decision(), now=now, age_seconds=age_seconds)
        assert good.held("executor", now=now, reason="gone") is not None
    good.learn(decision(), now=121, age_seconds=age_seconds)
    assert good.held("executor", now=121, reason="gone") is None


def test_a_younger_decision_takes_the_place_of_an_older_one_and_not_the_other_way_round() -> None:
    good = LastGood(hold=HOLD)
    good.learn(decision(4), now=0)
    good.learn(decision(9), now=50, age_seconds=60)
    held = good.held("executor", now=60, reason="gone")
    assert held is not None
    assert (held.decision.workers, held.age_seconds) == (4, 60)
    good.learn(decision(9), now=60, age_seconds=5)
    held = good.held("executor", now=60, reason="gone")
    assert held is not None
    assert (held.decision.workers, held.age_seconds) == (9, 5)
