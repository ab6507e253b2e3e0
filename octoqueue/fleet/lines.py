"""What child processes say, line by line, and where it is written.

The weakness: lines are written at once and in place, so a terminal that does not read holds the
supervisor up, and through full pipes the children.
"""

from __future__ import annotations

import contextlib
import io
import sys
from codecs import getincrementaldecoder
from itertools import cycle
from typing import TYPE_CHECKING, Final, Literal, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable

Stream = Literal["stdout", "stderr"]

LONGEST_LINE: Final = 64 * 1024
"""Characters; what is longer is cut into several lines."""

_COLOURS: Final = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")


class LineSink(Protocol):
    """Takes whole lines."""

    def line(self, name: str, text: str, *, stream: Stream) -> None:
        """Write a line that the process `name` wrote to `stream`."""
        ...


class LineSplitter:
    """Cuts bytes as they arrive into lines of text, without their ends."""

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are whole with `data`."""
        return self._cut(self._decoder.decode(data))

    def finish(self) -> list[str]:
        """Return what is left, when nothing more will come."""
        lines = self._cut(self._decoder.decode(b"", final=True))
        rest, self._rest = self._rest, ""
        return [*lines, rest] if rest else lines

    def _cut(self, text: str) -> list[str]:
        *whole, self._rest = (self._rest + text).split("\n")
        lines: list[str] = []
        for line in whole:
            lines += _pieces(line.removesuffix("\r")) or [""]
        *long, self._rest = _pieces(self._rest) or [""]
        return lines + long


def _pieces(line: str) -> list[str]:
    return [line[at : at + LONGEST_LINE] for at in range(0, len(line), LONGEST_LINE)]


class PrefixedLines:
    """Writes lines with the name of their process in front, coloured where there are colours."""

    def __init__(
        self,
        names: Iterable[str],
        *,
        colours: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        """Align `names`.

        Args:
            names: all that will be used.
            colours: whether a terminal gets colours.
            out: for what is written to standard output; our own when None.
            err: for what is written to standard error; our own when None.
        """
        names = tuple(names)
        self._colours = colours
        self._streams = {"stdout": out or sys.stdout, "stderr": err or sys.stderr}
        self._width = max(map(len, names), default=0)
        self._colour = dict(zip(names, cycle(_COLOURS), strict=False))

    def line(self, name: str, text: str, *, stream: Stream) -> None:
        """Write one line. A reader that has gone away is no reason to stop."""
        target = self._streams[stream]
        prefix = f"{name:<{self._width}} |"
        if self._colours and name in self._colour and target.isatty():
            prefix = f"\x1b[{self._colour[name]}m{prefix}\x1b[0m"
        with contextlib.suppress(OSError):
            target.write(f"{prefix} {text}\n")
            target.flush()


class PlainLines:
    """Writes lines as they are: logs in JSON, each of which says where it comes from."""

    def __init__(self, *, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._streams = {"stdout": out or sys.stdout, "stderr": err or sys.stderr}

    def line(self, name: str, text: str, *, stream: Stream) -> None:
        """Write one line."""
        del name
        with contextlib.suppress(OSError):
            self._streams[stream].write(text + "\n")
            self._streams[stream].flush()


class SinkStream(io.TextIOBase):
    """A text stream whose lines go to a sink under one name: for our own log among the others."""

    def __init__(self, sink: LineSink, name: str, *, stream: Stream = "stderr") -> None:
        self._sink = sink
        self._name = name
        self._stream: Stream = stream
        self._rest = ""

    def write(self, text: str) -> int:
        """Write the lines that are whole with `text`."""
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            self._sink.line(self._name, line, stream=self._stream)
        return len(text)

    def isatty(self) -> bool:
        """Return False: lines get no colours here, their prefix may."""
        return False
