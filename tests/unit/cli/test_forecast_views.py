"""What `octoqueue forecast show` says of a forecast."""

from __future__ import annotations

from dataclasses import replace

import pytest

from octoqueue.cli.forecast_views import ForecastView, document, heading, rows
from octoqueue.metrics.scaling_memory import Remembered
from octoqueue.primitives.signals import ArrivalForecast, ExpectedArrivals
from octoqueue.scaling.decision import Decision, Rule, Step
from octoqueue.scaling.policy import ForecastUse, ScalingPolicy

POLICY = ScalingPolicy(fleet="coder", queues=("coder",), forecast=ForecastUse())
FORECAST = ArrivalForecast(
    made_at_ms=60_000,
    minutes=tuple(
        ExpectedArrivals(
            starts_at_ms=60_000 * i, per_second=2.0, low_per_second=1.5, high_per_second=30.0
        )
        for i in range(1, 4)
    ),
    interval=0.8,
    skill_against_now=0.125,
    skill_against_last_week=0.5,
    scored_minutes=1234,
    scored_beside_week=700,
)


def decided(rule: Rule, reason: str) -> Decision:
    step = Step(rule=rule, workers=2, reason=reason)
    return Decision(
        fleet="coder", at_ms=80_000, workers=2, is_active=True, steps=(step,), reason="by depth"
    )


def view(decision: Decision | None, forecast: ArrivalForecast | None = FORECAST) -> ForecastView:
    remembered = Remembered(fleet="coder", now_ms=90_000, decision=decision, forecast=forecast)
    return ForecastView.of(remembered, POLICY)


@pytest.mark.parametrize(
    ("decision", "is_followed", "reason"),
    [
        (decided("forecast", "3 messages a second are expected"), True, "3 messages a second"),
        (decided("forecast", "not followed: skill -0.1"), False, "skill -0.1"),
        (decided("override", "somebody said so"), False, "did not ask for it: by depth"),
        (None, False, "nobody has decided"),
    ],
)
def test_whether_it_is_followed_is_what_the_last_decision_says(
    decision: Decision | None, *, is_followed: bool, reason: str
) -> None:
    found = view(decision)
    assert found.is_followed == is_followed
    assert reason in found.reason
    assert heading(found).startswith("coder: " + ("followed" if is_followed else "not followed"))


def test_skill_age_and_interval_are_told() -> None:
    said = heading(view(None))
    for part in ("made 30.0 s ago", "0.125 against", "0.500 against", "1,234 minutes", "80 %"):
        assert part in said


def test_a_skill_against_a_week_that_is_not_there_is_not_told_as_a_number() -> None:
    young = replace(FORECAST, skill_against_last_week=0.0, scored_beside_week=0)
    assert 'not yet known against "as last week"' in heading(view(None, forecast=young))


def test_the_coming_minutes_are_rows_of_messages_a_minute() -> None:
    found = rows(view(None), minutes=2)
    assert [row[1:] for row in found] == [("120.0", "90.0", "1,800.0")] * 2


def test_a_machine_is_told_rates_a_second() -> None:
    told = document(view(None), minutes=1)["forecast"]
    assert (told["age_seconds"], len(told["minutes"])) == (30.0, 1)
    assert told["minutes"][0]["high_per_second"] == 30.0


def test_without_a_forecast_it_says_who_makes_them() -> None:
    found = view(None, forecast=None)
    assert "workers.admin" in heading(found)
    assert rows(found, minutes=5) == []
    assert document(found, minutes=5)["forecast"] is None
