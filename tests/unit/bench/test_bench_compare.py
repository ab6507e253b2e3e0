from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.compare import changes, differences, interval, main

if TYPE_CHECKING:
    from pathlib import Path

VALUES = st.lists(st.floats(min_value=1e-3, max_value=1e6), min_size=1, max_size=9)


@given(VALUES)
def test_a_run_compared_with_itself_is_no_change(values: list[float]) -> None:
    found = interval(values, values)
    assert found.ratio == 1
    assert found.low <= 1 <= found.high
    assert not found.is_change


@given(VALUES, VALUES)
def test_the_interval_holds_no_ratio_that_the_rounds_do_not_hold(
    before: list[float], after: list[float]
) -> None:
    found = interval(before, after)
    assert min(after) / max(before) <= found.low * (1 + 1e-9)
    assert found.high <= max(after) / min(before) * (1 + 1e-9)


def test_runs_that_do_not_overlap_differ() -> None:
    found = interval([10.0, 11.0, 12.0, 11.5, 10.5], [20.0, 21.0, 22.0, 23.0, 24.0])
    assert found.ratio == pytest.approx(2.0)
    assert found.is_change
    assert 1.6 < found.low < found.ratio < found.high < 2.4


def test_runs_that_overlap_much_do_not() -> None:
    assert not interval([10.0, 30.0, 20.0, 25.0, 15.0], [12.0, 32.0, 21.0, 26.0, 14.0]).is_change


def test_the_interval_is_the_same_every_time() -> None:
    rounds = ([1.0, 2.0, 3.0], [2.0, 3.0, 4.0])
    assert interval(*rounds) == interval(*rounds)


@pytest.mark.parametrize(("before", "after"), [([], [1.0]), ([1.0], []), ([0.0], [1.0])])
def test_what_has_no_ratio_is_refused(before: list[float], after: list[float]) -> None:
    with pytest.raises(ValueError, match="no ratio"):
        interval(before, after)


def run(speed: list[float], machine: str = "2 cores") -> dict[str, Any]:
    return {
        "facts": {"machine": machine, "octoqueue": "0.1.0", "date": "today"},
        "scenarios": {
            "drain": {
                "better": {"messages/s": "more", "CPU µs": "less"},
                "rounds": {
                    "ours": {"messages/s": speed, "CPU µs": speed, "ms": speed, "never": [0.0]},
                    "bare": {"messages/s": [100.0, 100.0, 100.0]},
                },
            }
        },
    }


SLOW, FAST = run([10.0, 11.0, 12.0]), run([20.0, 22.0, 24.0])


def test_more_is_better_where_more_is_and_worse_where_less_is() -> None:
    found = {(change.side, change.figure): change.verdict for change in changes(SLOW, FAST)}
    assert found == {
        ("ours", "messages/s"): "better",
        ("ours", "CPU µs"): "worse",
        ("ours", "ms"): "changed",
        ("bare", "messages/s"): "",
    }


def test_what_only_one_run_has_is_left_out() -> None:
    assert list(changes({"facts": {}, "scenarios": {}}, FAST)) == []


def test_other_machines_are_told_of() -> None:
    assert differences(SLOW, FAST) == []
    assert differences(SLOW, run([1.0], machine="64 cores")) == [
        "machine: 2 cores before, 64 cores after"
    ]


def test_the_program_prints_the_ratio_and_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_bytes(orjson.dumps(SLOW))
    after.write_bytes(orjson.dumps(FAST))
    main([str(before), str(after), "--changed"])
    printed = capsys.readouterr().out
    (line,) = (line for line in printed.splitlines() if "messages/s" in line)
    assert "2.00" in line
    assert line.rstrip().endswith("better")
    assert "bare" not in printed
