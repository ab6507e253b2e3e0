"""Thresholds, differences in words, the numbers of a report, service times, pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from octoqueue.scaling.simulator.comparing import difference, seconds_in_words
from octoqueue.scaling.simulator.crew import SizeLog
from octoqueue.scaling.simulator.fleets import Durations, FleetModel, Workload
from octoqueue.scaling.simulator.plots import draw
from octoqueue.scaling.simulator.report import Minutes, Report, mean_sizes
from octoqueue.scaling.simulator.rules import Static
from octoqueue.scaling.simulator.simulating import simulate
from octoqueue.scaling.simulator.thresholds import threshold_from
from octoqueue.scaling.simulator.traces import RequestTrace, StepTrace

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def report() -> Report:
    trace = StepTrace(
        name="t", starts_at_ms=0, step_seconds=60, messages=np.array([60.0, 180, 60, 60])
    )
    model = FleetModel(initial_workers=2, cost_per_worker_hour=3)
    return simulate(trace, Workload(service=Durations(mean_seconds=1)), model, Static(workers=2))


@pytest.mark.parametrize(
    "text",
    [
        "attainment>=50%",
        "attainment >= 0.5",
        "worker-hours<=1.0x",
        "worker-hours<=0.14",
        "wait-longest<=30s",
        "wait-longest<0.6m",
        "wait-p50>=0",
        "flaps<=0",
        "longest-violation<=2m",
        "cost<=0.4",
    ],
)
def test_a_threshold_that_is_kept_says_nothing(report: Report, text: str) -> None:
    assert threshold_from(text).failure(report) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("attainment>=99.5%", "static 2: attainment is 50.000%, required is attainment>=99.5%"),
        ("worker-hours<=0.5x", "static 2: worker-hours is 0.8x, required is worker-hours<=0.5x"),
        ("wait-longest<30s", "static 2: wait-longest is 30 s, required is wait-longest<30s"),
        ("longest-violation<=60s", "longest-violation is 120 s"),
    ],
)
def test_a_threshold_that_is_not_kept_says_what_is(report: Report, text: str, said: str) -> None:
    failure = threshold_from(text).failure(report)
    assert failure is not None
    assert said in failure


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("attainment", "is no threshold; write e.g. attainment>=99.5%"),
        ("speed>=1", "no 'speed'; there are attainment"),
        ("wait-p95<=5%", "wait-p95 is not measured in '%'"),
        ("attainment>=99.5", "a share is at most 1, or 100%"),
        ("flaps<=1x", "flaps is not measured in 'x'"),
    ],
)
def test_what_is_no_threshold_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        threshold_from(text)
    assert said in str(refusal.value)


def test_the_difference_is_said_in_words(report: Report) -> None:
    worse = replace(report, rule="static 9", attainment=0.4, worker_hours=report.worker_hours * 2)
    words = difference(report, worse)
    assert words.startswith(
        "static 2 meets more minutes (50.00% instead of 40.00%), and pays 50.0% fewer "
        "worker-hours than static 9."
    )
    assert words.endswith("static 2 is better in both.")
    assert difference(worse, report).endswith("static 2 is better in both.")
    alike = replace(report, rule="other")
    assert "as many minutes" in difference(report, alike)
    assert "better" not in difference(report, alike)


def test_times_are_said_as_a_person_reads_them() -> None:
    said = [seconds_in_words(seconds) for seconds in (0.02, 5, 600, float("inf"))]
    assert said == ["20 ms", "5.0 s", "10.0 min", "for ever"]


def test_part_of_the_minutes_can_be_judged_by_itself() -> None:
    minutes = Minutes(
        load=np.array([1.0, 2, 3, 4]),
        workers=np.array([2.0, 2, 6, 6]),
        longest_wait_seconds=np.array([0, 9, np.nan, 1]),
        clairvoyant_workers=np.array([2.0, 3, 4, 5]),
    )
    assert minutes.met(5) == pytest.approx(2 / 3)
    assert minutes.met(5, first=2) == 1
    assert minutes.worker_hours(last=2) == pytest.approx(4 / 60)
    assert minutes.hours_ratio(first=2) == pytest.approx(12 / 9)
    assert minutes.longest_violation(0.5) == 1


def test_the_last_minute_of_a_trace_may_be_short() -> None:
    log = SizeLog()
    log.add(0, 2)
    log.add(30, 4)
    log.add(300, 9)  # a worker that drains after the end is not paid by the trace
    sizes = mean_sizes(log, count=2, duration_seconds=90)
    assert sizes.tolist() == pytest.approx([3, 2])


@pytest.mark.parametrize("variation", [0.0, 0.5, 1.0, 10.0])
def test_durations_have_the_mean_and_the_variation_that_were_asked_for(variation: float) -> None:
    drawn = Durations(mean_seconds=30, squared_variation=variation).draw(
        400_000, np.random.default_rng(1)
    )
    assert drawn.mean() == pytest.approx(30, rel=0.02)
    assert drawn.var() / drawn.mean() ** 2 == pytest.approx(variation, rel=0.25, abs=1e-9)


def test_what_cannot_be_is_refused_with_its_field() -> None:
    with pytest.raises(ValueError, match="mean_seconds"):
        Durations(mean_seconds=-1)
    with pytest.raises(ValueError, match="squared_variation"):
        Durations(mean_seconds=1, squared_variation=float("nan"))
    for wrong in (
        {"slots": 0},
        {"min_workers": 3, "max_workers": 2},
        {"sync_seconds": 0},
        {"failures_per_worker_hour": -1},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            FleetModel(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["fluid", "messages"])
def test_perfect_knowledge_pays_a_short_last_minute_as_everybody_else(
    kind: Literal["fluid", "messages"],
) -> None:
    # A message of a second each half second: two workers are busy, and a third is kept.
    trace = RequestTrace(
        name="t", starts_at_ms=0, duration_seconds=90, arrived_seconds=np.arange(180) / 2
    )
    work = Workload(kind=kind, service=Durations(mean_seconds=1))
    model = FleetModel(initial_workers=3)
    report = simulate(trace, work, model, Static(workers=3))
    assert report.minutes.load.tolist() == pytest.approx([2, 2])
    assert report.worker_hours == pytest.approx(3 * 1.5 / 60)
    assert report.hours_ratio == pytest.approx(1)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_picture_is_drawn(report: Report, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    draw([report, replace(report, rule="other")], path, starts_at_ms=0)
    begin = path.read_bytes()[:64]
    assert begin.startswith(b"\x89PNG") or b"<?xml" in begin


def test_a_picture_shows_every_rule_and_what_was_never_done(report: Report, tmp_path: Path) -> None:
    never = np.array([1.0, np.inf, np.nan, 2.0])
    minutes = replace(
        report.minutes, longest_wait_seconds=never, workers=report.minutes.workers * 99
    )
    others = [replace(report, rule=f"other {n}", minutes=minutes) for n in range(5)]
    path = tmp_path / "picture.svg"
    draw([report, *others], path, starts_at_ms=0)
    drawn = path.read_text()
    assert all(f"<!-- other {n}: " in drawn for n in range(5))
    assert "up to 198 workers" in drawn
