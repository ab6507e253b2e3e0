"""`octoqueue demo`, as a process: the whole platform, from nothing to nothing."""

from __future__ import annotations

import json
import re
import signal
import tempfile
from pathlib import Path
from uuid import uuid4

import pytest

from tests.program import ROOT, Program


@pytest.fixture
def place(state_dir: Path) -> Path:
    """Where a demonstration keeps its servers: empty before it, and to be empty after it."""
    return state_dir.parent


def demo(*arguments: str, place: Path) -> Program:
    return Program("demo", *arguments, cwd=ROOT, environment={"TMPDIR": str(place)})


def test_every_task_is_completed_and_the_listing_is_a_real_one(place: Path) -> None:
    with tempfile.NamedTemporaryFile(prefix=f"seen-{uuid4().hex}", dir="/tmp") as seen:
        with demo("--tasks", "30", "--json", place=place) as program:
            code = program.ends()
        assert code == 0, program.transcript
        told = json.loads("\n".join(program.stdout))
        assert (told["accepted"], told["completed"], told["failed"]) == (30, 30, 0)
        files, code_, security = told["samples"]
        assert Path(seen.name).name in files["result"]["output"]["stdout"]
    assert "def sort_list" in code_["result"]["output"]["code"]
    assert security["result"]["output"]["checklists"]
    for sample in (files, code_, security):
        steps = sample["result"]["plan"]["steps"]
        assert len({"planner", "judge", *(step["arm"] for step in steps)}) >= 3
    for lane in ("high", "normal", "low"):
        numbers = told["lanes"][lane]
        assert numbers["tasks"] == 10
        assert (
            numbers["enqueue_to_start_seconds"]["p50"] <= numbers["accept_to_done_seconds"]["p99"]
        )
    assert program.stderr == []
    assert list(place.iterdir()) == []


def test_fleets_grow_under_the_burst_and_shrink_after_it_and_no_task_is_lost(place: Path) -> None:
    with demo("--tasks", "300", "--json", place=place) as program:
        assert program.ends() == 0, program.transcript
    told = json.loads("\n".join(program.stdout))
    assert (told["accepted"], told["completed"], told["failed"]) == (300, 300, 0)
    grown = [each for each in told["decisions"] if each["to"] > each["from"]]
    assert grown
    assert all(re.search(rf"^{each['fleet']} wants \d+ worker", each["reason"]) for each in grown)
    assert told["has_shrunk"]
    sizes: dict[str, list[int]] = {}
    for each in told["decisions"]:
        assert each["from"] == sizes.setdefault(each["fleet"], [1])[-1]
        sizes[each["fleet"]].append(each["to"])
    assert all(size[-1] == 1 for size in sizes.values())


def test_ctrl_c_ends_it_and_leaves_nothing(place: Path) -> None:
    with demo("--tasks", "3000", place=place) as program:
        program.says("3000 tasks go in")
        program.says(r"accepted \d+ of 3000 · done [1-9]")
        program.signal(signal.SIGINT)
        assert program.ends() == 130
    assert program.stderr == []
    assert list(place.iterdir()) == []


def test_without_the_platform_it_says_where_that_is(place: Path) -> None:
    program = Program("demo", cwd=place, environment={"TMPDIR": str(place)})
    with program:
        assert program.ends() == 2
    (line,) = program.stderr
    assert "run 'make demo' in a clone of the repository" in line
    assert list(place.iterdir()) == []


def test_a_fleet_that_cannot_start_ends_it_with_the_reason(place: Path) -> None:
    broken = {"TMPDIR": str(place), "OCTOQUEUE_FLEETS__CODER__MODULES": "nothing_of_that_name"}
    with Program("demo", cwd=ROOT, environment=broken) as program:
        assert program.ends() == 1
    assert program.stderr[0].startswith(
        "octoqueue: coder ended with exit code 2: nothing_of_that_name cannot be found"
    )
    (log,) = place.iterdir()
    assert program.stderr[-1] == f"(all of it: {log})"
    said = r"coder +\| octoqueue: nothing_of_that_name cannot be found"
    assert re.search(said, log.read_text())
