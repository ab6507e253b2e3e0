"""One command: forked, confined, executed; its pipes read, its end judged.

Runs in the launcher. Between fork and exec it is Python in a single-threaded process; whatever
goes wrong there is written into a pipe that a successful exec closes.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from workers.sandbox import confinement, identity
from workers.sandbox.outcome import Ending, Limits, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_READ_BYTES = 64 * 1024
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGCHLD, signal.SIGTERM)
"""Python ignores or catches these; a foreign program expects their defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is decided about a command before it is forked."""

    program: str
    argv: list[str]
    folder: str
    files: Mapping[str, str]
    """What was put into the folder."""
    user: int | None
    limits: Limits
    parts: tuple[str, ...]
    readable: tuple[str, ...]
    way_in: int | None = None
    """A descriptor that the command keeps, because its program is reached through it."""


class Pipe:
    """One output stream of a command: its first bytes, and whether there were more."""

    def __init__(self, descriptor: int, *, limit_bytes: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.kept = bytearray()
        self.is_truncated = False
        self.is_open = True
        self._limit_bytes = limit_bytes

    def read(self) -> bool:
        """Take what is there and return whether there may be more.

        At its end or over the limit it closes: a writer then gets SIGPIPE.
        """
        while self.is_open:
            try:
                data = os.read(self.descriptor, _READ_BYTES)
            except BlockingIOError:
                return True
            room = self._limit_bytes - len(self.kept)
            self.kept += data[:room]
            self.is_truncated = len(data) > room
            if not data or self.is_truncated:
                self.close()
        return False

    def close(self) -> None:
        """Close it. Idempotent."""
        if self.is_open:
            self.is_open = False
            os.close(self.descriptor)

    def text(self) -> str:
        """Return what was kept."""
        return self.kept.decode("utf-8", "replace")


class Child:
    """A command that runs, or has just ended."""

    def __init__(self, plan: Plan) -> None:
        """Fork it. What fails in the child shows in its outcome.

        Raises:
            OSError: there are no more processes or descriptors.
        """
        self.plan = plan
        self.began = time.monotonic()
        self.ends_by = self.began + plan.limits.wall_seconds
        self.is_out_of_time = False
        launcher = os.getpid()
        readers, writers = zip(*(os.pipe() for _ in range(3)), strict=True)
        self.pid = os.fork()
        if self.pid == 0:
            _become_the_command(plan, writers, launcher)
        for writer in writers:
            os.close(writer)
        limit = plan.limits.output_bytes
        self.stdout, self.stderr, self._trouble = (
            Pipe(reader, limit_bytes=limit) for reader in readers
        )

    @property
    def pipes(self) -> tuple[Pipe, Pipe]:
        """The two streams to watch."""
        return self.stdout, self.stderr

    def kill(self) -> None:
        """End it and its session now. Safe until it has been reaped."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(self.pid, signal.SIGKILL)  # it has no session of its own yet

    def outcome(self, status: int, usage: resource.struct_rusage) -> Outcome:
        """Return what became of it; closes its pipes."""
        wall_seconds = time.monotonic() - self.began
        for pipe in (*self.pipes, self._trouble):
            pipe.read()
            pipe.close()
        code = os.waitstatus_to_exitcode(status)
        cpu_seconds = usage.ru_utime + usage.ru_stime
        trouble = self._trouble.text()
        return Outcome(
            ending=Ending.NOT_STARTED if trouble else self._ending(code, cpu_seconds),
            exit_code=code if code >= 0 and not trouble else None,
            signal=-code if code < 0 else None,
            stdout=self.stdout.text(),
            stderr=trouble or self.stderr.text(),
            is_truncated=any(pipe.is_truncated for pipe in self.pipes),
            cpu_seconds=round(cpu_seconds, 3),
            wall_seconds=round(wall_seconds, 3),
        )

    def _ending(self, code: int, cpu_seconds: float) -> Ending:
        if code == 0:
            return Ending.EXITED
        if self.is_out_of_time:
            return Ending.OUT_OF_TIME
        if -code == signal.SIGXCPU or (
            -code == signal.SIGKILL and cpu_seconds >= self.plan.limits.cpu_seconds
        ):
            return Ending.OUT_OF_CPU
        if -code == signal.SIGXFSZ:
            return Ending.FILE_TOO_LARGE
        if any(pipe.is_truncated for pipe in self.pipes):
            return Ending.OUT_OF_OUTPUT
        return Ending.EXITED if code > 0 else Ending.KILLED


def _become_the_command(plan: Plan, writers: Sequence[int], launcher: int) -> NoReturn:
    output, errors, trouble = writers
    try:
        signal.set_wakeup_fd(-1)
        for number in _RESTORED:
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        _close_all_but(trouble, plan.way_in)
        os.umask(0o077)
        if plan.user is not None:
            identity.become(plan.user)
        os.chdir(plan.folder)
        confinement.die_with_parent(signal.SIGKILL)
        if os.getppid() != launcher:
            os._exit(1)
        _limit(plan.limits)
        confinement.confine(plan.parts, readable=plan.readable, writable=plan.folder)
        os.execve(plan.program, plan.argv, _environment(plan.folder))  # noqa: S606 - that is the job
    except BaseException as exc:  # noqa: BLE001 - nothing may return into the launcher's loop
        os.write(trouble, f"{type(exc).__name__}: {exc}".encode())
    finally:
        os._exit(127)


def _close_all_but(trouble: int, way_in: int | None) -> None:
    """Close the pipes of other commands, which would count against this one's limit."""
    at, (highest, _) = 3, resource.getrlimit(resource.RLIMIT_NOFILE)
    for kept in sorted({trouble} if way_in is None else {trouble, way_in}):
        os.closerange(at, kept)
        at = kept + 1
    os.closerange(at, highest)
    if way_in is not None:
        os.set_inheritable(way_in, True)  # noqa: FBT003 - its own signature


def _limit(limits: Limits) -> None:
    cpu = limits.cpu_seconds
    for kind, soft, hard in (
        (resource.RLIMIT_CPU, cpu, cpu + 1),  # SIGXCPU first, SIGKILL for who ignores it
        (resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files, limits.open_files),
        (resource.RLIMIT_CORE, 0, 0),
        # After the user was changed: so it stops its forks and not its own exec.
        (resource.RLIMIT_NPROC, 1, 1),
    ):
        resource.setrlimit(kind, (soft, hard))


def _environment(folder: str) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "HOME": folder,
        "TMPDIR": folder,
    }
