"""`OutputPipe`: one stream of a child process, read into lines.

asyncio's own pipes are not used: with them a process counts as running until everything that
inherited its output has ended, and a worker that died is to be missed at once.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from octoqueue.fleet.lines import LineSplitter

if TYPE_CHECKING:
    from octoqueue.fleet.lines import LineSink, Stream

_CHUNK_BYTES = 64 * 1024


class OutputPipe:
    """The read end, and until it is handed over the write end."""

    def __init__(self, name: str, *, stream: Stream, sink: LineSink) -> None:
        """Open; lines go to `sink` under `name`."""
        self.last_line = ""
        """The last that was not empty: what a process that failed says it failed of."""
        self._name = name
        self._stream: Stream = stream
        self._sink = sink
        self._splitter = LineSplitter()
        self._descriptor, self.child = os.pipe()
        os.set_blocking(self._descriptor, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._read)

    def handed_over(self) -> None:
        """Close our copy of the write end."""
        os.close(self.child)

    def close(self) -> None:
        """Read what is there, and be done."""
        while self._read():
            pass
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._write(self._splitter.finish())

    def _read(self) -> bool:
        """Read a piece; return whether there may be more now."""
        try:
            data = os.read(self._descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._descriptor)
            return False
        self._write(self._splitter.feed(data))
        return True

    def _write(self, lines: list[str]) -> None:
        for line in lines:
            self.last_line = line.strip() or self.last_line
            self._sink.line(self._name, line, stream=self._stream)
