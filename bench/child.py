"""Processes that are measured, and how they talk: a JSON object a line, both ways.

The parent starts `python -m <module> <order>`, where the order is a JSON object. The child says
`{"said": "ready"}`, waits to be told to go on, and says what it found; one that can do it again
says `ready` again. What it logs goes to a file that is shown when it fails.

Nothing but the standard library: it also runs in environments that have nothing of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
_LONGEST_LINE_BYTES = 1 << 24
_PATIENCE_SECONDS = 120.0


class Child:
    """A child process, from the parent's side. It is killed at the end of the block."""

    def __init__(self, module: str, *, python: str = sys.executable, **order: object) -> None:
        """Prepare it.

        Args:
            module: what is run.
            python: the interpreter, whose environment has what the module wants.
            order: what it is told to do.
        """
        self._module = module
        self._python = python
        self._order = order
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the block

    async def __aenter__(self) -> Self:
        """Start it."""
        self._process = await asyncio.create_subprocess_exec(
            self._python,
            "-m",
            self._module,
            json.dumps(self._order),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            limit=_LONGEST_LINE_BYTES,
        )
        return self

    async def expect(self, what: str) -> dict[str, Any]:
        """Wait until the child says `what`, and return all it said with it.

        Raises:
            RuntimeError: it said something else, or nothing any more; with the end of its log.
        """
        assert self._process.stdout is not None
        async with asyncio.timeout(_PATIENCE_SECONDS):
            line = await self._process.stdout.readline()
        if line:
            said: dict[str, Any] = json.loads(line)
            if said["said"] == what:
                return said
        self._log.seek(0)
        log = self._log.read().decode(errors="replace")
        raise RuntimeError(f"{self._module} said {line!r} and not {what!r}:\n{log[-4000:]}")

    def go_on(self, **facts: object) -> None:
        """Tell the child to go on, and what it must know for that."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(facts).encode() + b"\n")

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def resident_bytes(self) -> int:
        """Return the memory of the child that is in RAM."""
        return resident_bytes(self.pid)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill it unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._log.close()


def resident_bytes(pid: int) -> int:
    """Return the memory of a process that is in RAM, as `ps` shows it."""
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def order() -> dict[str, Any]:
    """Return what the parent ordered: in a child, once."""
    ordered: dict[str, Any] = json.loads(sys.argv[1])
    return ordered


def say(what: str, **facts: object) -> None:
    """Tell the parent."""
    sys.stdout.write(json.dumps({"said": what, **facts}) + "\n")
    sys.stdout.flush()


async def told() -> dict[str, Any]:
    """Wait until the parent says to go on; return what it said with that.

    Raises:
        EOFError: there is no parent any more.
    """
    line = await asyncio.to_thread(sys.stdin.readline)
    if not line:
        raise EOFError("the parent has gone")
    facts: dict[str, Any] = json.loads(line)
    return facts
