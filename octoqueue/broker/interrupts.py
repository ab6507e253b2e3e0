"""Interrupting a thread that runs too long, as dramatiq does."""

from __future__ import annotations

from dramatiq.middleware import TimeLimitExceeded
from dramatiq.threading import Interrupt, raise_thread_exception

ThreadInterrupt = Interrupt
"""What an interrupted thread raises; no `except Exception` of an actor swallows it."""


def interrupt_thread(thread_id: int) -> None:
    """Raise dramatiq's `TimeLimitExceeded` in a thread, at its next Python instruction.

    A thread inside a system call or C code goes on until that returns.
    """
    raise_thread_exception(  # type: ignore[no-untyped-call] # dramatiq's
        thread_id, TimeLimitExceeded
    )
