"""Counting what the interpreter does: bytecodes, calls of Python functions, calls of C functions.

`sys.settrace` and `sys.setprofile` see every one of them in the thread that counts, so the counts
are the same however busy the machine is. Garbage collection is off meanwhile.

The weakness: a bytecode that joins a megabyte counts as one, and what C does inside a call, Lua
inside Redis and other threads do is not seen. Time is measured by `python -m bench`.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

TraceFunction: TypeAlias = "Callable[[FrameType, str, Any], TraceFunction | None]"

_ROOT = Path(__file__).resolve().parents[2]


class Counts(NamedTuple):
    """What a function cost."""

    bytecodes: float
    calls: float
    """Going on with a coroutine or generator is one, too."""
    c_calls: float
    """Calls of C functions that it made."""

    def plus(self, more: Counts) -> Counts:
        """Return both together."""
        return Counts(*map(sum, zip(self, more, strict=True)))

    def each(self, count: int) -> Counts:
        """Return the share of one of so many."""
        return Counts(*(value / count for value in self))


NOTHING = Counts(0, 0, 0)


class Tracer:
    """Counts in the thread that starts it, between start and stop."""

    def __init__(self) -> None:
        self._bytecodes: Counter[CodeType] = Counter()
        self._calls: Counter[CodeType] = Counter()
        self._c_calls: Counter[CodeType] = Counter()

    def start(self) -> None:
        """Count from now on."""
        gc.collect()
        gc.disable()
        sys._getframe().f_trace_opcodes = True  # noqa: SLF001 - Python 3.12 asks before, not after
        sys.setprofile(self._profiled)
        sys.settrace(self._called)

    def stop(self) -> None:
        """Count no more."""
        sys.settrace(None)
        sys.setprofile(None)
        gc.enable()

    def by_function(self) -> dict[str, Counts]:
        """Return what was counted, by `module:name` of each function but the tracer's own."""
        found: dict[str, Counts] = {}
        for code in self._calls.keys() - {Tracer.stop.__code__}:
            counts = Counts(self._bytecodes[code], self._calls[code], self._c_calls[code])
            found[_name(code)] = found.get(_name(code), NOTHING).plus(counts)
        return found

    def _called(self, frame: FrameType, _event: str, _arg: object) -> TraceFunction:
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        self._calls[frame.f_code] += 1
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, _arg: object) -> TraceFunction:
        if event == "opcode":
            self._bytecodes[frame.f_code] += 1
        return self._stepped

    def _profiled(self, frame: FrameType, event: str, _arg: object) -> None:
        if event == "c_call":
            self._c_calls[frame.f_code] += 1


@contextmanager
def traced(tracer: Tracer) -> Iterator[None]:
    """Count during the block."""
    tracer.start()
    try:
        yield
    finally:
        tracer.stop()


def _name(code: CodeType) -> str:
    """Return a name that is the same on every machine."""
    path = Path(code.co_filename)
    if path.is_relative_to(_ROOT) and ".venv" not in path.parts:
        module = ".".join(path.relative_to(_ROOT).with_suffix("").parts)
    else:
        module = f"{path.parent.name}.{path.stem}"
    return f"{module}:{code.co_qualname}"
