"""Processes that live: those started here, and those taken over from an agent that has died.

A pid comes again, so it alone is never signalled. A process that was started here keeps its pid
until it is reaped here. One that was taken over is held by a pidfd, opened first and compared
after with what was written down of it: boot and start time. Where there are no pidfds, start times
are compared before each signal.

The weakness: without `/proc` (macOS) no start time is known, and whoever has the pid that was
written down is believed to be that process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from datetime import timedelta

_LOOK_AGAIN_SECONDS = 0.2
_START_TIME = 19
"""Field 22 of `/proc/<pid>/stat`, counted from behind the command's name."""


class LivingProcess(Protocol):
    """A process and what can be done to it."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    async def wait(self) -> int | None:
        """Return its exit code when it has ended, None when nobody will know it."""
        ...

    def ask_to_stop(self) -> None:
        """Send the signal to stop; one that has ended does not matter."""
        ...

    def kill(self) -> None:
        """End it and all of its session, now."""
        ...

    def let_go(self) -> None:
        """Close what holds on to it. Idempotent."""
        ...


def birth_of(pid: int) -> str | None:
    """Return what tells a process from all others that have its pid, None when it is not known."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else f"{boot}:{fields[_START_TIME]}"


class StartedProcess:
    """A child of ours."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    async def wait(self) -> int | None:
        """Return its exit code when it has ended."""
        return await self._process.wait()

    def ask_to_stop(self) -> None:
        """Send the signal to stop."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """End it and all of its session."""
        _kill_session(self._process.pid)

    def let_go(self) -> None:
        """Do nothing: asyncio has let go when it has ended."""


class AdoptedProcess:
    """A child of somebody who has died."""

    def __init__(self, pid: int, *, birth: str | None, clock: Clock | None = None) -> None:
        """Hold on to a process; `claim` makes sure that it is the right one."""
        self._pid = pid
        self._birth = birth
        self._clock = clock or SystemClock()
        self._pidfd: int | None = None
        if hasattr(os, "pidfd_open"):
            self._pidfd = os.pidfd_open(pid)

    @classmethod
    def claim(
        cls, pid: int, *, birth: str | None, clock: Clock | None = None
    ) -> AdoptedProcess | None:
        """Return the process if it lives and is the one that was born so; else None."""
        try:
            process = cls(pid, birth=birth, clock=clock)
        except OSError:
            return None
        if process.is_itself():
            return process
        process.let_go()
        return None

    @property
    def pid(self) -> int:
        """Its number."""
        return self._pid

    def is_itself(self) -> bool:
        """Return whether it lives and is still the process that was meant."""
        if self._birth is not None:
            return birth_of(self._pid) == self._birth
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, 0)
            return True
        return False

    async def wait(self) -> int | None:
        """Return when it has ended; only its parent would know how."""
        if self._pidfd is None:
            while self.is_itself():
                await self._clock.sleep(_LOOK_AGAIN_SECONDS)
            return None
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._pidfd)
        return None

    def ask_to_stop(self) -> None:
        """Send the signal to stop."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it and all of its session."""
        # The number of a session is not given to anybody else as long as one of it lives.
        if self.is_itself() or birth_of(self._pid) is None:
            _kill_session(self._pid)

    def let_go(self) -> None:
        """Close what holds on to it. Idempotent."""
        pidfd, self._pidfd = self._pidfd, None
        if pidfd is not None:
            os.close(pidfd)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self._pidfd is not None:
                signal.pidfd_send_signal(self._pidfd, number)
            elif self.is_itself():
                os.kill(self._pid, number)


async def see_off(
    process: LivingProcess, *, retirement: timedelta | None, patience: timedelta
) -> None:
    """Wait for an end: after `retirement` it is asked to stop, after `patience` more it is killed.

    Without a `retirement` it has been asked already.
    """
    steps = [(patience, process.kill)]
    if retirement is not None:
        steps.insert(0, (retirement, process.ask_to_stop))
    for within, otherwise in steps:
        try:
            async with asyncio.timeout(within.total_seconds()):
                await process.wait()
        except TimeoutError:
            otherwise()
        else:
            return


def _kill_session(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
