"""Interrupting a thread that runs too long, as dramatiq does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dramatiq import threading as dramatiq_threading
from dramatiq.middleware import TimeLimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable

ThreadInterrupt = dramatiq_threading.Interrupt
"""What an interrupted thread raises; no `except Exception` of an actor swallows it."""


def interrupt_thread(thread_id: int) -> None:
    """Raise dramatiq's `TimeLimitExceeded` in a thread, at its next Python instruction.

    A thread inside a system call or C code goes on until that returns.
    """
    interrupt: Callable[[int, type[BaseException]], None]
    interrupt = getattr(dramatiq_threading, "raise_thread_exception")  # noqa: B009 - untyped
    interrupt(thread_id, TimeLimitExceeded)
