"""Processes that are only started, watched and killed: what `octoqueue` runs as users start it."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from bench.child import ROOT, resident_bytes


class Process:
    """An `octoqueue` command of our own, outside of any project."""

    def __init__(self, *words: str, env: dict[str, str]) -> None:
        outside = {name: value for name, value in os.environ.items() if "OCTOQUEUE" not in name}
        self._words = words
        self._env = outside | {"PYTHONPATH": str(ROOT)} | env
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it is killed
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; returns as soon as it has a process id."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "octoqueue", *self._words),
            cwd=tempfile.gettempdir(),
            env=self._env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=self._log,
        )

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def resident_bytes(self) -> int:
        """Return the memory of the process that is in RAM."""
        return resident_bytes(self.pid)

    async def ended(self) -> None:
        """Return when it has ended."""
        assert self._process is not None
        await self._process.wait()

    def log(self) -> str:
        """Return the end of what it has logged."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-4000:]

    async def kill(self) -> None:
        """Kill it with SIGKILL."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of all below it; what has ended counts as well."""
    return sum(_own_cpu_seconds(each) for each in _family(pid))


def _family(pid: int) -> list[int]:
    below: list[int] = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for word in children.read_text(encoding="ascii").split():
            below += _family(int(word))
    return [pid, *below]


def _own_cpu_seconds(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:  # it has ended meanwhile
        return 0.0
    fields = text.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
