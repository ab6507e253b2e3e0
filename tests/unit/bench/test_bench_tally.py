from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

from bench.open_loop import send_by_thread, send_by_ticks
from bench.worker import Tally, Watch

if TYPE_CHECKING:
    import pytest


def tally() -> tuple[Tally, list[str]]:
    done: list[str] = []
    watching = Tally()
    watching.reset(lambda: done.append("done"))
    return watching, done


def test_it_is_done_when_a_claim_came_short_and_all_is_acked() -> None:
    watching, done = tally()
    watching.claiming()
    watching.claimed(50, asked=50)
    watching.claiming()
    watching.claimed(20, asked=50)
    watching.committed(50)
    assert done == []
    watching.committed(20)
    assert done == ["done"]
    assert watching.acked == 70
    assert watching.ended >= watching.began > 0


def test_it_is_not_done_while_a_claim_is_under_way() -> None:
    watching, done = tally()
    watching.claiming()
    watching.claiming()
    watching.claimed(0, asked=50)
    assert done == []
    watching.claimed(5, asked=50)
    watching.committed(5)
    assert done == ["done"]


def test_a_claim_that_waited_for_the_bell_counts_what_it_brings() -> None:
    watching, done = tally()
    watching.claiming()
    watching.claimed(50, asked=50)
    watching.claimed(3, asked=50, when_rung=True)
    watching.committed(50)
    assert done == []
    watching.committed(3)
    assert done == ["done"]


def test_a_worker_that_gets_nothing_is_done_at_once() -> None:
    watching, done = tally()
    watching.claiming()
    watching.claimed(0, asked=50)
    assert done == ["done"]
    assert watching.acked == 0


def test_stamps_are_told_when_so_many_were_noted(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch()
    watch.expect_stamps(2)
    watch.stamped(5)
    assert capsys.readouterr().out == ""
    watch.stamped(7)
    said = json.loads(capsys.readouterr().out)
    assert (said["said"], said["late_ns"]) == ("stamped", [5, 7])
    assert said["cpu_seconds"] >= 0


def test_the_last_spin_of_a_lane_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    watch = Watch()
    watch.begin({"low_spins": 1, "high_spins": 2})
    for lane in ("high", "low", "high"):
        watch.spun(lane)
    lanes = [json.loads(line)["lane"] for line in capsys.readouterr().out.splitlines()]
    assert lanes == ["low", "high"]


async def test_an_open_loop_sends_each_when_it_is_due_and_says_how_late() -> None:
    for how in (send_by_ticks, send_by_thread):
        sent: list[tuple[int, int]] = []

        async def send(due_ns: int, sent: list[tuple[int, int]] = sent) -> None:
            sent.append((due_ns, time.monotonic_ns()))
            await asyncio.sleep(0)

        start_ns = time.monotonic_ns()
        due = [start_ns + number * 1_000_000 for number in range(20)]
        late_ns = await how(due, send)
        assert [due_ns for due_ns, _ in sent] == due
        assert all(at_ns >= due_ns for due_ns, at_ns in sent)
        assert len(late_ns) == len(due)
        assert min(late_ns) >= 0
