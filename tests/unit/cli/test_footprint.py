"""What a worker process loads, and what it does once it has."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import weakref
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.cli.footprint import CycleSweep, settle_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def said_by(program: str, directory: Path) -> list[str]:
    """Run a program in a new interpreter and an empty directory; return the lines it prints."""
    outside = {name: value for name, value in os.environ.items() if "OCTOQUEUE" not in name}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=directory,
        env=outside,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize("written", [False, True])
def test_a_worker_loads_no_server_and_a_yaml_reader_only_where_there_is_a_file(
    tmp_path: Path, *, written: bool
) -> None:
    if written:
        (tmp_path / "octoqueue.yaml").write_text("namespace: here\n", encoding="utf-8")
    program = """
import sys, octoqueue.cli.worker
from octoqueue.settings.root import Settings
Settings.load()
print(*(name for name in sys.modules if name in ("yaml", "octoqueue.embedded.services")))
"""
    assert said_by(program, tmp_path) == (["yaml"] if written else [])


@pytest.mark.parametrize(
    "module",
    ["octoqueue.cli.worker", "octoqueue.cli.up", "octoqueue.fleet.decider", "workers.admin"],
)
def test_nobody_loads_what_learns_or_draws_before_there_is_something_to_learn_or_draw(
    module: str, tmp_path: Path
) -> None:
    program = f"""
import sys, octoqueue, {module}
print(*({{"numpy", "matplotlib"}} & {{*sys.modules}}))
"""
    assert said_by(program, tmp_path) == []


def test_loading_a_command_collects_at_most_once_and_leaves_the_collector_as_it_was(
    tmp_path: Path,
) -> None:
    program = """
import gc
from octoqueue.cli.main import COMMANDS
collections = []
worker = next(entry for entry in COMMANDS if entry.name == "worker")
gc.callbacks.append(lambda phase, facts: phase == "start" and collections.append(facts))
worker.load()
print(len(collections) <= 1, gc.isenabled())
gc.disable()
worker.load()
print(gc.isenabled())
"""
    assert said_by(program, tmp_path) == ["True", "True", "False"]


def test_what_a_process_has_loaded_is_not_looked_through_again(tmp_path: Path) -> None:
    program = """
import gc, weakref
from octoqueue.cli.footprint import settle_in
class Node: pass
def gone():
    node = Node()
    node.itself = node
    return weakref.ref(node)
before = gone()
settle_in()
print(gc.get_freeze_count() > 1_000, before() is None, gc.get_threshold()[0] > 700)
after = gone()
gc.collect()
print(gc.isenabled(), after() is None)
"""
    assert said_by(program, tmp_path) == ["True", "True", "True", "True", "True"]


class Steps:
    """A clock that lets one wait pass when it is told to."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.now = 0.0
        self._steps: asyncio.Queue[None] = asyncio.Queue()
        self._waits: asyncio.Queue[None] = asyncio.Queue()

    def now_ms(self) -> int:
        return 0

    def monotonic(self) -> float:
        self.now += 0.25  # so a sweep takes that long
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        self._waits.put_nowait(None)
        await self._steps.get()

    async def step(self) -> None:
        """Let the wait pass and return when the next one has begun."""
        await self._waits.get()
        self._steps.put_nowait(None)
        await self._waits.get()
        self._waits.put_nowait(None)


class Node:
    """Something that can hold on to itself."""

    itself: Node


def given_up(count: int = 1) -> list[weakref.ref[Node]]:
    """Return references to cycles that nobody holds."""
    left: list[weakref.ref[Node]] = []
    for _ in range(count):
        node = Node()
        node.itself = node
        left.append(weakref.ref(node))
    return left


@pytest.fixture
def settled() -> Iterator[None]:
    """The collector as a worker has it."""
    before = gc.get_threshold()
    settle_in()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("settled")
async def test_cycles_go_by_the_clock_and_sweeps_take_a_small_share_of_the_time() -> None:
    clock = Steps()
    sweep = CycleSweep(every=timedelta(seconds=1), clock=clock)
    await sweep.start()
    left = given_up(2_000)  # far less than the collector waits for
    assert left[-1]() is not None
    await clock.step()
    assert all(node() is None for node in left)
    assert clock.asked == [1.0, 25.0]
    await sweep.stop()
    await sweep.stop()


@pytest.mark.usefixtures("settled")
async def test_a_program_that_switched_the_collector_off_is_left_alone() -> None:
    clock = Steps()
    sweep = CycleSweep(clock=clock)
    await sweep.start()
    gc.disable()
    try:
        left = given_up(2_000)
        await clock.step()
        assert left[0]() is not None
    finally:
        gc.enable()
        await sweep.stop()
