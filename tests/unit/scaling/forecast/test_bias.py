from __future__ import annotations

import numpy as np
import pytest

from octoqueue.scaling.forecast.bias import Bias


def after(came: float, expected: float, minutes: int = 2_000) -> float:
    bias = Bias(1)
    for _ in range(minutes):
        bias.learn(came, np.array([expected]), np.ones(1))
    return float(bias.factors()[0])


def test_what_comes_as_expected_is_left_alone() -> None:
    assert after(7.0, 7.0) == pytest.approx(1.0)


def test_too_little_expected_is_made_up_for_within_bounds() -> None:
    assert after(12.0, 10.0) == pytest.approx(1.2, rel=0.02)
    assert after(1e9, 10.0) == 1.5
    assert after(1.0, 10.0) == pytest.approx(1 / 1.5)


def test_a_few_minutes_say_little() -> None:
    assert after(12.0, 10.0, minutes=3) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize(("came", "expected"), [(1e12, 1e-300), (1e12, 0.0), (0.0, 0.0)])
def test_nothing_expected_breaks_nothing(came: float, expected: float) -> None:
    assert 1 <= after(came, expected) <= 1.5
