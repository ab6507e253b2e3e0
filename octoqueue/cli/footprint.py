"""What a process does once, when all that it needs is loaded and it begins to work.

What was loaded stays until the process ends, so the garbage collector need not look at it again;
and what loading took in passing goes back to the system: a fifth of the process when modules had to
be compiled.

The weakness: a cycle of the program's own that was made before, and is given up later, is not found
any more. And new cycles are looked for after ten thousand objects instead of seven hundred: an
actor that leaves large ones behind holds them for longer.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from typing import Final

_THRESHOLDS: Final = (10_000, 20, 50)
"""A running message has about eight objects that the collector counts."""


def settle_in() -> None:
    """Spare the collector all there is by now, and give back memory that is free."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    _trim()


def _trim() -> None:
    # glibc only: other allocators do it by themselves, or not at all.
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)
