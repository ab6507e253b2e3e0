"""`Sandbox`: a worker's way to run foreign commands. One per event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from octoqueue.errors import SandboxUnavailable
from workers.sandbox.folders import delete_now
from workers.sandbox.frames import FrameReader, frame_from
from workers.sandbox.identity import SLOTS
from workers.sandbox.outcome import Limits, Outcome, outcome_from

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

log = logging.getLogger(__name__)

DEFAULT_LIMITS: Final = Limits()
DEFAULT_READABLE: Final = ("/tmp", "/var/tmp", "/usr/share")  # noqa: S108 - goals ask to read them
_ROOT: Final = Path(__file__).resolve().parents[2]
_BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from workers.sandbox.launcher import main; main(sys.argv[2:])"
)
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 10.0
"""How much longer than its wall-clock limit a command may take to be answered for."""


class Sandbox:
    """Runs commands in isolated children; see `workers.sandbox` for against what.

    The launcher starts with the first command, and again after it was lost.
    """

    def __init__(self, *, readable: Sequence[str] = DEFAULT_READABLE) -> None:
        self._readable = tuple(readable)
        self._numbers = itertools.count(1)
        self._link: _Link | None = None
        self._starting = asyncio.Lock()
        self._slots = asyncio.Semaphore(SLOTS)

    async def __aenter__(self) -> Self:
        """Start nothing yet."""
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the launcher and all it runs."""
        await self.aclose()

    async def python(self) -> str | None:
        """Return the interpreter that commands can run here, None when they can run none.

        Raises:
            SandboxUnavailable: the launcher cannot start.
        """
        return (await self._linked()).python

    async def missing_parts(self) -> tuple[str, ...]:
        """Return which protections this machine does not have.

        Raises:
            SandboxUnavailable: the launcher cannot start.
        """
        return (await self._linked()).missing

    async def run(
        self,
        program: str,
        *arguments: str,
        limits: Limits = DEFAULT_LIMITS,
        files: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Run a program by its absolute path in a fresh folder that holds `files`.

        Who may run what is not decided here but in `programs`. When the caller is cancelled, the
        command is killed.

        Raises:
            SandboxUnavailable: the launcher cannot start, or was lost with the command.
        """
        link = await self._linked()
        number = next(self._numbers)
        request = {
            "run": number,
            "program": program,
            "argv": [program, *arguments],
            "files": dict(files or {}),
            "limits": asdict(limits),
        }
        try:
            async with self._slots, asyncio.timeout(limits.wall_seconds + _GRACE_SECONDS):
                return await link.ask(number, request)
        except TimeoutError:
            await link.aclose()
            raise SandboxUnavailable("the sandbox's launcher does not answer any more") from None

    async def aclose(self) -> None:
        """End the launcher and all it runs. Idempotent."""
        link, self._link = self._link, None
        if link is not None:
            await link.aclose()

    async def _linked(self) -> _Link:
        async with self._starting:
            if self._link is None or self._link.is_lost:
                await self.aclose()
                self._link = await _Link.start(self._readable)
            return self._link


class _Link:
    """A launcher process and the stream to it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._frames = FrameReader()
        self._answers: dict[int, asyncio.Future[Outcome]] = {}
        self._listening: asyncio.Task[None] | None = None
        self.is_lost = False
        self.python: str | None = None
        self.missing: tuple[str, ...] = ()
        self._home = ""

    @classmethod
    async def start(cls, readable: Sequence[str]) -> _Link:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-I", "-S", "-c", _BOOT, str(_ROOT), *readable]
        with theirs:
            process = await asyncio.to_thread(_spawn, command, theirs)
        reader, writer = await asyncio.open_connection(sock=ours)
        link = cls(process, reader, writer)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await link._greet()
        except BaseException:
            await link.aclose()
            raise
        return link

    async def ask(self, number: int, request: dict[str, Any]) -> Outcome:
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self._send(request)
            return await answer
        except asyncio.CancelledError:
            with contextlib.suppress(SandboxUnavailable):  # which has ended it already
                self._send({"cancel": number})
            raise
        finally:
            self._answers.pop(number, None)

    async def aclose(self) -> None:
        self.is_lost = True
        self._writer.close()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        await asyncio.to_thread(_wait_or_kill, self._process, self._home)

    async def _greet(self) -> None:
        """Wait for the launcher's first word.

        Raises:
            SandboxUnavailable: it has none to say, or says no.
        """
        first: list[dict[str, Any]] = []
        while not first:
            data = await self._reader.read(1 << 16)
            if not data:
                raise SandboxUnavailable("the sandbox's launcher ended before it was ready")
            first = self._frames.feed(data)
        if "refused" in first[0]:
            raise SandboxUnavailable(f"the sandbox cannot isolate commands: {first[0]['refused']}")
        ready = first[0]["ready"]
        self.python, self.missing = ready["python"], tuple(ready["missing"])
        self._home = ready["home"]
        if self.missing:
            log.warning("sandbox_weakened", extra={"missing": ",".join(self.missing)})
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            while data := await self._reader.read(1 << 16):
                for frame in self._frames.feed(data):
                    answer = self._answers.get(frame["done"])
                    if answer is not None and not answer.done():
                        answer.set_result(outcome_from(frame["outcome"]))
        except OSError:
            pass  # the same as the end of the stream
        finally:
            self.is_lost = True
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(SandboxUnavailable())

    def _send(self, frame: dict[str, Any]) -> None:
        if self.is_lost:
            raise SandboxUnavailable
        self._writer.write(frame_from(frame))


def _spawn(command: list[str], control: socket.socket) -> subprocess.Popen[bytes]:
    """Start a launcher in a session of its own: Ctrl-C is for the worker, which then ends it."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
        command, stdin=control.fileno(), stdout=subprocess.DEVNULL, env={}, start_new_session=True
    )


def _wait_or_kill(process: subprocess.Popen[bytes], home: str) -> None:
    """Wait for a launcher whose stream was closed; tidy up for it if it could not itself."""
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if home:
        delete_now(home)
