"""Workflows of three steps, as every engine runs them: the bodies of the steps, and what they note.

An engine wraps `Steps.first`, `second` and `third` in steps of its own, and a workflow that takes
one after the other and returns their notes. A note is when the body began and when it ended, on the
machine's monotonic clock, so that notes of several processes can be compared.

Only the standard library is imported: this module runs in the environment of every peer.
"""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path

from bench.peers.play import Tally

FOLDER = "BENCH_FOLDER"
"""The variable of the environment that says where steps count."""
GATE = "gate"
"""The file that lets held steps go on."""
_LOOK_AGAIN_SECONDS = 0.01

Note = list[int]
"""When a step began and ended, in nanoseconds."""


class Steps:
    """The bodies of the steps, counting in files that the parent reads."""

    def __init__(self, folder: str) -> None:
        self._gate = Path(folder) / GATE
        self._second = Tally(folder, "second")
        self._third = Tally(folder, "third")
        self._opened: asyncio.Task[None] | None = None

    def first(self) -> Note:
        """Do nothing."""
        return [time.monotonic_ns(), time.monotonic_ns()]

    def second(self) -> Note:
        """Do nothing."""
        self._second.tick()
        return [time.monotonic_ns(), time.monotonic_ns()]

    def third(self) -> Note:
        """Do nothing."""
        self._third.tick()
        return [time.monotonic_ns(), time.monotonic_ns()]

    async def held(self) -> Note:
        """Be the second step, and wait for the gate to open. One look serves all who wait."""
        began_ns = time.monotonic_ns()
        self._second.tick()
        if self._opened is None:
            self._opened = asyncio.create_task(self._open())
        await asyncio.shield(self._opened)
        return [began_ns, time.monotonic_ns()]

    async def _open(self) -> None:
        while not self._gate.exists():  # noqa: ASYNC110 - a file rings no bell
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        self._opened = None


def counted(folder: str, name: str) -> int:
    """Return how often a step has run so far, in all processes: `second` or `third`."""
    found = [path.read_bytes()[:8] for path in Path(folder).glob(f"{name}.*")]
    return sum(int.from_bytes(number, "little") for number in found)


def overheads_ns(notes: list[Note]) -> list[int]:
    """Return what the engine took between the steps of one workflow.

    From when a step's body ended until the body of the next began, which is from begin to begin
    without the body's own time.
    """
    return [after[0] - before[1] for before, after in pairwise(notes)]
