"""What the demonstration asks for, and how it counts what came back."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from octoqueue.cli.demo.fleets import DOWN_WINDOW, EVERY, Resized, quickened
from octoqueue.cli.demo.goals import SAMPLES, Goal, goals
from octoqueue.cli.demo.path import path_of
from octoqueue.cli.demo.report import print_report
from octoqueue.cli.demo.summary import document, quantile, summary_of
from octoqueue.cli.demo.tally import Done, Tally, done_from
from octoqueue.cli.reading import age_from
from octoqueue.settings.fleets import FleetSettings
from octoqueue.settings.root import Settings
from octoqueue.settings.scaling import policy_from
from octoqueue.settings.scaling_rules import ScalingSettings

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
FILES, SORT, SECURITY = SAMPLES


def done(
    goal: Goal,
    *,
    seconds: float = 1.0,
    after: float = 0.0,
    result: dict[str, Any] | None = None,
) -> Done:
    accepted_at = NOON + timedelta(seconds=after)
    return Done(
        goal=goal,
        task_id="t",
        completed=True,
        arm="executor",
        result=result or {"summary": "It was done."},
        error=None,
        accepted_at=accepted_at,
        finished_at=accepted_at + timedelta(seconds=seconds),
        queued_seconds=0.25,
        total_seconds=seconds,
    )


def failed(goal: Goal) -> Done:
    error = {"code": "arm_failed", "message": "no"}
    return replace(done(goal), completed=False, error=error, result=None)


def tally(*ended: Done, wanted: int | None = None) -> Tally:
    count = len(ended) if wanted is None else wanted
    return Tally(wanted=count, accepted=count, done=list(ended))


@given(st.integers(3, 400))
def test_the_lanes_take_turns_and_half_of_the_goals_are_the_samples(count: int) -> None:
    asked = goals(count)
    assert len(asked) == count
    assert asked[:3] == list(SAMPLES)
    shares = Counter(goal.priority for goal in asked).values()
    assert max(shares) - min(shares) <= 1
    assert 2 * sum(goal in SAMPLES for goal in asked) >= count - 3


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [quantile(values, q) for q in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert quantile([7.0], 0.99) == 7
    assert quantile([], 0.5) is None


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_leaves_its_share_below_it(values: list[float], q: float) -> None:
    found = quantile(values, q)
    assert found in values
    assert sum(value <= found for value in values) >= q * len(values)


def test_throughput_is_from_the_first_accepted_to_the_last_finished() -> None:
    summary = summary_of(tally(done(FILES), done(SORT, after=1.0, seconds=3.0)))
    assert summary.seconds == 4
    assert summary.tasks_per_second == 0.5


def test_each_sample_goal_shows_its_first_result() -> None:
    first, second = done(FILES, result={"n": 1}), done(FILES, result={"n": 2})
    summary = summary_of(tally(failed(SORT), first, second, done(SECURITY)))
    assert [each.result for each in summary.samples] == [{"n": 1}, {"summary": "It was done."}]


def test_it_succeeded_only_when_every_task_was_accepted_and_completed() -> None:
    assert summary_of(tally(done(FILES))).succeeded
    assert not summary_of(tally(done(FILES), failed(SORT))).succeeded
    assert not summary_of(tally(done(FILES), wanted=2)).succeeded


def test_a_machine_is_told_lanes_samples_and_failures() -> None:
    told = document(summary_of(tally(done(SECURITY, seconds=0.5), failed(FILES))))
    assert (told["accepted"], told["completed"], told["failed"]) == (2, 1, 1)
    assert told["lanes"]["high"]["accept_to_done_seconds"] == {"p50": 0.5, "p95": 0.5, "p99": 0.5}
    assert told["lanes"]["low"]["accept_to_done_seconds"]["p50"] is None
    assert told["lanes"]["low"]["tasks"] == 1
    assert [each["goal"] for each in told["samples"]] == [SECURITY.text]
    assert told["failures"][0]["error"]["code"] == "arm_failed"


def test_what_the_application_says_of_a_task_is_taken_over() -> None:
    state = {
        "task_id": "t", "status": "completed", "arm": "executor",
        "result": {"summary": "s"}, "error": None,
        "timings": {
            "created_at": "2026-01-31T12:00:00.000Z", "started_at": "2026-01-31T12:00:00.25Z",
            "finished_at": "2026-01-31T12:00:01Z",
            "queued_seconds": 0.25, "run_seconds": 0.75, "total_seconds": 1.0,
        },
    }  # fmt: skip
    assert done_from(state, FILES) == done(FILES, result={"summary": "s"})


def printed(*ended: Done) -> str:
    out = io.StringIO()
    print_report(summary_of(tally(*ended)), Console(file=out, width=80))
    return out.getvalue()


def test_a_person_is_shown_what_a_command_wrote_but_not_all_of_it() -> None:
    listing = {
        "command": "ls -la /tmp",
        "stdout": "".join(f"line {n} {'x' * 90}\n" for n in range(100)),
    }
    shown = printed(done(FILES, result={"summary": "It ran.", "output": listing}))
    assert "$ ls -la /tmp" in shown
    assert "line 0" in shown
    assert "line 99" not in shown
    assert "more lines" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_a_person_is_shown_code_and_checklists() -> None:
    shown = printed(
        done(SORT, result={"summary": "s", "output": {"code": "def f(): ...\n"}}),
        done(
            SECURITY,
            result={
                "summary": "s",
                "output": {"checklists": [{"topic": "web", "points": ["Is it?"]}]},
            },
        ),
    )
    assert "def f(): ..." in shown
    assert "- Is it?" in shown


def test_a_person_is_shown_the_way_of_a_task_through_its_arms() -> None:
    steps = [
        {"id": "known", "arm": "retriever", "needs": []},
        {"id": "risks", "arm": "guardian", "needs": []},
        {"id": "program", "arm": "coder", "needs": ["known", "risks"]},
    ]
    result = {"summary": "s", "plan": {"steps": steps}, "repairs": 1}
    way = "planner → retriever + guardian → coder → judge (1 repair)"
    assert path_of(result) == way
    assert path_of({"summary": "s"}) == ""
    assert way in printed(done(SORT, result=result))


def test_a_person_is_told_what_failed_and_why() -> None:
    shown = printed(done(FILES), failed(SORT))
    assert "1 of 2 accepted tasks completed" in shown
    assert f"{SORT.text}: arm_failed: no" in shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0421, "42 ms"),
        (1.25, "1.2 s"),
        (75, "1 m 15 s"),
        (3 * 3600 + 65, "3 h 01 m"),
        (50 * 3600, "2 d 02 h"),
    ],
)
def test_ages_have_their_two_largest_units(seconds: float, shown: str) -> None:
    assert age_from(seconds) == shown


def test_decisions_are_shown_and_that_the_windows_are_short_is_said() -> None:
    resized = Resized(
        after_seconds=2.4, fleet="coder", before=1, after=3, reason="coder wants 3 workers"
    )
    summary = replace(summary_of(tally(done(SORT))), resized=(resized,), has_shrunk=False)
    shown = io.StringIO()
    print_report(summary, Console(file=shown, width=100))
    said = " ".join(shown.getvalue().split())
    assert "after fleet from to reason 2 s coder 1 3 coder wants 3 workers" in said
    assert "decided every 1 s instead of 5 s, shrunk after 5 s instead of 5 min" in said
    assert "not all fleets had shrunk again" in said
    (told,) = document(summary)["decisions"]
    assert (told["from"], told["to"], told["fleet"]) == (1, 3, "coder")


def test_only_fleets_that_scale_are_hurried() -> None:
    mine = FleetSettings(queues=("a",), modules=("app",), scaling=ScalingSettings(max=3))
    fixed = FleetSettings(queues=("b",), modules=("app",))
    hurried = quickened(Settings(fleets={"mine": mine, "fixed": fixed}))
    assert hurried.agent.every == EVERY
    assert "scaling" not in hurried.fleets["fixed"].model_fields_set
    policy = policy_from(hurried, "mine")
    assert policy.behavior.down.stabilization_window_seconds == DOWN_WINDOW.total_seconds()
    assert policy.max_workers == 3
