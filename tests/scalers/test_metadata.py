from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from octoqueue.errors import ConfigError
from scalers.keda.metadata import KEDAS_KEYS, OUR_KEYS, TriggerMetadata, metadata_from

ADDRESS = {"scalerAddress": "octoqueue-scaler:6000"}


def test_a_fleet_is_all_it_takes() -> None:
    trigger = metadata_from({**ADDRESS, "fleet": "executor"})
    assert trigger == TriggerMetadata(fleet="executor")
    assert trigger.metric_name == "octoqueue-executor-workers"


def test_kedas_own_keys_are_its_own_business() -> None:
    given = dict.fromkeys(KEDAS_KEYS, "anything")
    assert metadata_from({**given, "fleet": "executor"}).fleet == "executor"


def test_a_value_may_come_from_an_environment() -> None:
    """KEDA resolves it, and sends it under the same key."""
    assert metadata_from({"fleetFromEnv": "executor"}).fleet == "executor"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "fleet: name the fleet"),
        ({"fleet": " "}, "fleet: name the fleet"),
        ({"fleet": "a", "flet": "b"}, "unknown key 'flet'; did you mean 'fleet'?"),
        ({"fleet": "a", "max_workers": "3"}, "did you mean 'maxWorkers'?"),
        ({"fleet": "a", "zzz": "3"}, "there are: fleet, minWorkers, maxWorkers"),
        ({"fleet": "a", "maxWorkers": "many"}, "maxWorkers: 'many' must be a whole number"),
        ({"fleet": "a", "maxWorkers": "-1"}, "maxWorkers: '-1' must be a whole number"),
        ({"fleet": "a", "maxWorkers": "1.5"}, "maxWorkers: '1.5' must be a whole number"),
        ({"fleet": "a", "maxWorkers": "٣"}, "must be a whole number"),
        ({"fleet": "a", "maxWorkers": "9" * 30}, "from 0 to 1000000"),
        ({"fleet": "a", "maxWorkers": "9" * 5_000}, "from 0 to 1000000"),
        ({"fleet": "a", "maxWorkersFromEnv": "many"}, "maxWorkers: 'many' must be a whole number"),
        ({"fleet": "a", "maxWorkers": "0"}, "maxWorkers: 0 must be at least 1"),
        ({"fleet": "a", "minWorkers": "5", "maxWorkers": "4"}, "at least 5 (minWorkers)"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        metadata_from(given)
    assert said in str(refused.value)
    assert refused.value.key in {*OUR_KEYS, *given}


@given(
    least=st.integers(0, 50),
    more=st.integers(0, 50),
    workers=st.integers(0, 200),
    is_active=st.booleans(),
)
def test_bounds_hold_and_an_idle_fleet_is_left_alone(
    least: int, more: int, workers: int, *, is_active: bool
) -> None:
    most = max(1, least + more)
    trigger = TriggerMetadata(fleet="executor", min_workers=least, max_workers=most)
    told = trigger.bounded(workers, is_active=is_active)
    assert told <= most
    assert told >= least or not is_active
    if not is_active:
        assert told == min(workers, most)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=6))
def test_whatever_is_given_is_understood_or_refused(given: dict[str, str]) -> None:
    try:
        assert metadata_from(given).fleet
    except ConfigError as refused:
        assert str(refused)  # noqa: PT017 - either is right
