"""The launcher: a small process that forks, confines and watches commands for one worker.

It is single-threaded and imports the standard library only, so running Python between its fork and
the exec is safe and forking it is cheap. It talks frames on descriptor 0 and ends, with everything
it started, when that descriptor is closed.

    ◄─ {"ready": {"missing": ["landlock"], "python": "/usr/bin/python3" or null, "home": "/tmp/…"}}
    ─► {"run": 7, "program": "/usr/bin/ls", "argv": […], "files": {"a.py": "…"}, "limits": {…}}
    ─► {"cancel": 7}
    ◄─ {"done": 7, "outcome": {…}}
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
from collections import deque
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from workers.sandbox import confinement
from workers.sandbox.child import Child, Pipe, Plan
from workers.sandbox.folders import delete_folder, delete_now, make_folder
from workers.sandbox.frames import FrameReader, frame_from
from workers.sandbox.identity import SLOTS, choose_identities
from workers.sandbox.outcome import Ending, Limits, Outcome

if TYPE_CHECKING:
    import resource
    from collections.abc import Callable

_ALL_PARTS = ("no_new_privs", "landlock", "seccomp")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc")
_FACTS = ("/dev/null", "/proc/self/mountinfo", "/proc/meminfo", "/proc/uptime", "/proc/loadavg")
"""Single files that harmless programs read. `/proc/self` is the command itself."""


class Launcher:
    """The loop of one launcher process."""

    def __init__(self, control: socket.socket, *, readable: tuple[str, ...]) -> None:
        self._control = control
        self._frames = FrameReader()
        self._parts = confinement.available_parts()
        self._identities = choose_identities()
        self._readable = (*_SYSTEM, *_FACTS, *readable)
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[dict[str, Any]] = deque()
        self._children: dict[int, tuple[Child, int, int]] = {}
        """Process id to the child, its number in the frames, and its slot."""
        self._free_slots = list(range(SLOTS))
        self._home = tempfile.mkdtemp(prefix="octoqueue-sandbox-")
        os.chmod(self._home, 0o711)  # noqa: S103, PTH101 - passable for commands, not listable
        self._folders = 0
        self._way_in: int | None = None
        """The folder of our interpreter, for commands that cannot walk to it."""
        self._is_over = False

    def serve(self) -> None:
        """Run until the worker is gone; leave nothing behind."""
        wake_reader, wake_writer = os.pipe()
        os.set_blocking(wake_reader, False)
        os.set_blocking(wake_writer, False)
        try:
            python = self._find_python()
            signal.signal(signal.SIGCHLD, _notice)
            signal.signal(signal.SIGTERM, self._stop)
            signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
            self._watch(wake_reader, lambda: self._reap(wake_reader))
            self._watch(self._control, self._listen)
            missing = [part for part in _ALL_PARTS if part not in self._parts]
            ready = {"missing": missing, "python": python, "home": self._home}
            self._tell({"ready": ready})
            while not self._is_over:
                for key, _ in self._selector.select(self._patience()):
                    key.data()
                self._end_overdue()
                self._start_waiting()
        finally:
            for child, _, _ in self._children.values():
                child.kill()
                os.waitpid(child.pid, 0)
            delete_now(self._home)

    def _stop(self, number: int, frame: object) -> None:
        del number, frame
        self._is_over = True

    # ── the worker's side ────────────────────────────────────────────────────────────────────────

    def _listen(self) -> None:
        try:
            data = self._control.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._is_over = True
            return
        for frame in self._frames.feed(data):
            if "run" in frame:
                self._waiting.append(frame)
            else:
                self._cancel(frame["cancel"])

    def _tell(self, frame: dict[str, Any]) -> None:
        try:
            self._control.sendall(frame_from(frame))
        except OSError:
            self._is_over = True

    def _cancel(self, number: int) -> None:
        self._waiting = deque(frame for frame in self._waiting if frame["run"] != number)
        for child, running, _ in self._children.values():
            if running == number:
                child.kill()

    # ── the commands' side ───────────────────────────────────────────────────────────────────────

    def _start_waiting(self) -> None:
        while self._waiting and self._free_slots and not self._is_over:
            frame, slot, folder = (
                self._waiting.popleft(),
                self._free_slots.pop(),
                self._new_folder(),
            )
            try:
                make_folder(folder, frame["files"], user=self._identities.of_slot(slot))
                child = Child(self._plan(frame, folder, slot))
            except OSError as exc:
                self._free_slots.append(slot)
                delete_folder(folder, frame["files"])
                self._tell({"done": frame["run"], "outcome": asdict(_not_started(exc))})
                continue
            self._children[child.pid] = (child, frame["run"], slot)
            for pipe in child.pipes:
                self._watch(pipe.descriptor, partial(self._read, pipe))

    def _plan(self, frame: dict[str, Any], folder: str, slot: int) -> Plan:
        return Plan(
            program=frame["program"],
            argv=frame["argv"],
            folder=folder,
            files=frame["files"],
            user=self._identities.of_slot(slot),
            limits=Limits(**frame["limits"]),
            parts=self._parts,
            readable=self._readable,
            way_in=self._way_in if frame["program"].startswith("/proc/self/fd/") else None,
        )

    def _read(self, pipe: Pipe) -> None:
        # An event of the same round may have ended its command, and closed it.
        if pipe.is_open and not pipe.read():
            self._selector.unregister(pipe.descriptor)

    def _reap(self, wake_reader: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(wake_reader, 4096)
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._children:
                self._finish(pid, status, usage)

    def _finish(self, pid: int, status: int, usage: resource.struct_rusage) -> None:
        child, number, slot = self._children.pop(pid)
        for pipe in child.pipes:
            if pipe.is_open:
                self._selector.unregister(pipe.descriptor)
        outcome = child.outcome(status, usage)
        delete_folder(child.plan.folder, child.plan.files)
        self._free_slots.append(slot)
        self._tell({"done": number, "outcome": asdict(outcome)})

    def _end_overdue(self) -> None:
        now = time.monotonic()
        for child, _, _ in self._children.values():
            if now >= child.ends_by and not child.is_out_of_time:
                child.is_out_of_time = True
                child.kill()

    def _patience(self) -> float | None:
        ends = [c.ends_by for c, _, _ in self._children.values() if not c.is_out_of_time]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    # ── folders and the interpreter ──────────────────────────────────────────────────────────────

    def _new_folder(self) -> str:
        self._folders += 1
        return f"{self._home}/{self._folders}"

    def _find_python(self) -> str | None:
        """Return an interpreter that a command can really run here.

        Ours, if it can; it may lie below a folder that only we can enter (/root, say), and is then
        reached through a descriptor of its own folder. Else the system's.
        """
        self._readable += (sys.base_prefix,)
        own = os.path.realpath(sys.executable)
        candidates = [own]
        # Without landlock, ".." of that descriptor leads to what that folder keeps from others.
        if own.startswith(f"{sys.base_prefix}/") and "landlock" in self._parts:
            self._way_in = os.open(sys.base_prefix, os.O_PATH)
            through = f"/proc/self/fd/{self._way_in}"
            self._readable += (through,)
            candidates.append(own.replace(sys.base_prefix, through, 1))
        candidates += [f"{place}/python3" for place in ("/usr/local/bin", "/usr/bin", "/bin")]
        return next(filter(self._can_run, candidates), None)

    def _can_run(self, python: str) -> bool:
        folder = self._new_folder()
        make_folder(folder, {}, user=self._identities.of_slot(0))
        argv = [python, "-I", "-S", "-c", "import ctypes, json"]
        frame = {"program": python, "argv": argv, "files": {}, "limits": asdict(Limits())}
        child = Child(self._plan(frame, folder, 0))
        _, status, usage = os.wait4(child.pid, 0)
        delete_now(folder)
        return child.outcome(status, usage).succeeded

    def _watch(self, source: int | socket.socket, act: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, act)


def _notice(number: int, frame: object) -> None:
    """Do nothing: the wake-up descriptor has told the loop."""
    del number, frame


def _not_started(exc: OSError) -> Outcome:
    return Outcome(
        ending=Ending.NOT_STARTED,
        exit_code=None,
        signal=None,
        stdout="",
        stderr=f"{type(exc).__name__}: {exc}",
        is_truncated=False,
        cpu_seconds=0.0,
        wall_seconds=0.0,
    )


def main(readable: list[str]) -> None:
    """Serve the worker at the other end of descriptor 0."""
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        launcher = Launcher(control, readable=tuple(readable))
    except OSError as exc:
        control.sendall(frame_from({"refused": str(exc)}))
        return
    launcher.serve()
