from __future__ import annotations

import io

import numpy as np
import pytest

from octoqueue.errors import ForecastStateUnreadable
from octoqueue.scaling.forecast.forecaster import ArrivalForecaster
from octoqueue.scaling.forecast.state import forecaster_from, state_of

MINUTE = 60_000


def told(minutes: int, *, zone: str = "UTC") -> ArrivalForecaster:
    forecaster = ArrivalForecaster(zone=zone)
    for i, each in enumerate(np.random.default_rng(1).poisson(50, minutes)):
        forecaster.observe(i * MINUTE, float(each))
    return forecaster


def changed(**fields: object) -> bytes:
    with np.load(io.BytesIO(state_of(told(100)))) as arrays:
        kept = dict(arrays) | {name: np.asarray(value) for name, value in fields.items()}
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **kept)
    return packed.getvalue()


@pytest.mark.parametrize("minutes", [0, 1, 500])
def test_what_was_kept_goes_on_as_if_nothing_had_happened(minutes: int) -> None:
    forecaster = told(minutes)
    again = forecaster_from(state_of(forecaster))
    for each in (forecaster, again):
        for i in range(minutes, minutes + 100):
            each.observe(i * MINUTE, i % 9)
    now_ms = (minutes + 100) * MINUTE
    assert again.forecast(now_ms, 60) == forecaster.forecast(now_ms, 60)
    assert again.last_minute == forecaster.last_minute


def test_the_zone_is_kept() -> None:
    assert forecaster_from(state_of(told(3, zone="Asia/Tokyo"))).zone.name == "Asia/Tokyo"


@pytest.mark.parametrize(
    "state", [b"", b"no archive", state_of(told(50))[:-200]], ids=["none", "text", "torn"]
)
def test_what_is_no_state_is_refused(state: bytes) -> None:
    with pytest.raises(ForecastStateUnreadable):
        forecaster_from(state)


def test_a_damaged_byte_is_refused_or_does_no_harm() -> None:
    state, refused = state_of(told(50)), 0
    for place in range(0, len(state), len(state) // 100):
        damaged = bytearray(state)
        damaged[place] ^= 0x5A
        try:
            forecaster_from(bytes(damaged))
        except ForecastStateUnreadable:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"version": 1}, "of version 1"),
        ({"level.fast": np.nan}, "fast is nan"),
        ({"errors.slow": np.zeros(3)}, "slow has the shape"),
        ({"regression.theta": np.full((12, 6), np.inf)}, "theta is not finite"),
    ],
)
def test_a_state_of_another_version_or_that_is_damaged_says_so(
    fields: dict[str, object], reason: str
) -> None:
    with pytest.raises(ForecastStateUnreadable, match=reason):
        forecaster_from(changed(**fields))
