"""The program `octoqueue` as a process of its own, and what it says, to wait for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import pytest

from octoqueue.broker.handles import MessageHandle
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.ids import new_message_id, text_from_id

if TYPE_CHECKING:
    import signal
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 60


class Program:
    """A running command; ended by force, with all it has started, when the block is left."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        environment: Mapping[str, str],
        descriptors: tuple[int, ...] = (),
    ) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("OCTOQUEUE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "octoqueue", *arguments],
            cwd=cwd,
            env=inherited | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | dict(environment),
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.stdout: list[str] = []
        self.stderr: list[str] = []
        self._said = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, lines), daemon=True)
            for pipe, lines in (
                (self.process.stdout, self.stdout),
                (self.process.stderr, self.stderr),
            )
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(PATIENCE_SECONDS)

    def _read(self, pipe: IO[str], lines: list[str]) -> None:
        with pipe:
            for line in pipe:
                with self._said:
                    lines.append(line.rstrip("\n"))
                    self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def says(self, pattern: str, *, times: int = 1) -> list[re.Match[str]]:
        """Wait until `times` lines hold `pattern`, and return the matches so far."""

        def matches() -> list[re.Match[str]]:
            return [m for m in (re.search(pattern, line) for line in self.said) if m]

        with self._said:
            found = self._said.wait_for(
                lambda: len(matches()) >= times or not any(r.is_alive() for r in self._readers),
                PATIENCE_SECONDS,
            )
            if len(matches()) < times:
                why = "ended" if found else "is silent"
                pytest.fail(
                    f"{pattern!r} was not said {times} times, and it {why}:\n{self.transcript}"
                )
            return matches()

    @property
    def said(self) -> list[str]:
        return [*self.stdout, *self.stderr]

    @property
    def transcript(self) -> str:
        return "\n".join(["── stdout", *self.stdout, "── stderr", *self.stderr])

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self) -> int:
        """Wait for the end and return the exit code."""
        try:
            code = self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it does not end:\n{self.transcript}")
        for reader in self._readers:
            reader.join(PATIENCE_SECONDS)
        return code


def is_alive(pid: int) -> bool:
    """Whether a process exists; one that waits to be reaped does not count."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc/self").exists()


def message(queue: str, actor: str, *args: object) -> MessageHandle[object]:
    """A message for an actor that this process has not declared; its result is kept."""
    return MessageHandle(
        queue_name=queue,
        actor_name=actor,
        args=args,
        kwargs={},
        options={"results": True},
        message_id=text_from_id(new_message_id()),
        message_timestamp=SystemClock().now_ms(),
    )
