"""`Tail`: what a process writes into its log files, read into lines as it comes.

Workers outlive the agent, and a pipe does not: so their output goes to files in the agent's
directory, beside which stands how far they have been read. The agent that takes over goes on there.
A file that was read to its end is emptied when its process starts again, or has become large.

The weaknesses: files are looked at every tenth of a second, a mebibyte of each; of a process that
writes faster for long some is skipped, and that is said; what is written in the instant in which a
large file is emptied is lost; and a line that was half there when the agent died is cut in two.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Final

from octoqueue.fleet.lines import LineSplitter
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from pathlib import Path

    from octoqueue.fleet.lines import LineSink, Stream

_LOOK_EVERY_SECONDS: Final = 0.1
_CHUNK_BYTES: Final = 64 * 1024
_LOOK_BYTES: Final = 1 << 20
_EMPTY_ABOVE_BYTES: Final = 8 << 20
_SKIP_ABOVE_BYTES: Final = 64 << 20
_WIDTH: Final = 20


class Tail:
    """One stream of one process."""

    def __init__(self, directory: Path, name: str, *, stream: Stream, sink: LineSink) -> None:
        """Open its file, made where it is missing; lines go to `sink` under `name`."""
        self.last_line = ""
        """The last that was not empty: what a process that failed says it failed of."""
        self._name = name
        self._stream: Stream = stream
        self._sink = sink
        self._splitter = LineSplitter()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        path = directory / f"{name}.{stream}"
        self._file = os.open(path, flags | os.O_APPEND, 0o600)
        self._mark = os.open(f"{path}.read", flags, 0o600)
        told = os.pread(self._mark, _WIDTH, 0).strip()
        self._at = min(int(told) if told.isdigit() else 0, self._size())

    @property
    def child(self) -> int:
        """The descriptor for the process to write to."""
        return self._file

    def begin(self) -> None:
        """Begin with an empty file: a new process is going to write, and no other does."""
        self.finish()
        self.last_line = ""
        self._empty()

    def read(self) -> None:
        """Pass on what is there, as much as can be done at once."""
        self._read(at_most=_LOOK_BYTES)

    def _read(self, *, at_most: int) -> None:
        began_at, size = self._at, self._size()
        if size > _SKIP_ABOVE_BYTES:
            self._skip(size - began_at)
            return
        end = min(size, began_at + at_most)
        while data := os.pread(self._file, min(_CHUNK_BYTES, end - self._at), self._at):
            self._at += len(data)
            self._write(self._splitter.feed(data))
        if self._at != began_at:
            self._note()
            if self._at > _EMPTY_ABOVE_BYTES and self._at >= self._size():
                self._empty()

    def _skip(self, count: int) -> None:
        self._empty()
        self._splitter = LineSplitter()
        told = f"({count} bytes that it wrote were skipped: too much at once)"
        self._sink.line(self._name, told, stream=self._stream)

    def finish(self) -> None:
        """Pass on what is there, whole line or not: the process has ended."""
        self._read(at_most=_SKIP_ABOVE_BYTES)
        self._write(self._splitter.finish())
        self._splitter = LineSplitter()

    def close(self) -> None:
        """Let go."""
        os.close(self._file)
        os.close(self._mark)

    def _size(self) -> int:
        return os.fstat(self._file).st_size

    def _empty(self) -> None:
        os.ftruncate(self._file, 0)
        self._at = 0
        self._note()

    def _note(self) -> None:
        # On a full disk the one that follows reads some lines again.
        with contextlib.suppress(OSError):
            os.pwrite(self._mark, b"%*d" % (_WIDTH, self._at), 0)

    def _write(self, lines: list[str]) -> None:
        for line in lines:
            self.last_line = line.strip() or self.last_line
            self._sink.line(self._name, line, stream=self._stream)


class Output:
    """Both streams of one process."""

    def __init__(self, directory: Path, name: str, *, sink: LineSink) -> None:
        self.out = Tail(directory, name, stream="stdout", sink=sink)
        self.err = Tail(directory, name, stream="stderr", sink=sink)

    def begin(self) -> None:
        """Begin with empty files."""
        self.out.begin()
        self.err.begin()

    def read(self) -> None:
        """Pass on what is there."""
        self.out.read()
        self.err.read()

    def finish(self) -> None:
        """Pass on what is there to the last word."""
        self.out.finish()
        self.err.finish()

    def close(self) -> None:
        """Let go."""
        self.out.close()
        self.err.close()


class Tails:
    """The output of all processes; a `Service` that passes it on as it comes."""

    def __init__(self, directory: Path, *, sink: LineSink, clock: Clock | None = None) -> None:
        self._directory = directory
        self._sink = sink
        self._clock = clock or SystemClock()
        self._outputs: dict[str, Output] = {}
        self._task: asyncio.Task[None] | None = None

    def of(self, name: str) -> Output:
        """Return the output of a process."""
        if name not in self._outputs:
            self._outputs[name] = Output(self._directory, name, sink=self._sink)
        return self._outputs[name]

    async def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Pass on the rest. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for output in self._outputs.values():
            with contextlib.suppress(OSError):
                output.finish()
            output.close()
        self._outputs.clear()

    async def _look(self) -> None:
        while True:
            for output in self._outputs.values():
                with contextlib.suppress(OSError):  # a full disk, say; the next look tries again
                    output.read()
            await self._clock.sleep(_LOOK_EVERY_SECONDS)
