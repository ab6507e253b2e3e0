"""Interrupting a thread that runs too long, or whose worker stops, as dramatiq does."""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING

from dramatiq import threading as dramatiq_threading
from dramatiq.middleware import Shutdown, TimeLimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable

ThreadInterrupt = dramatiq_threading.Interrupt
"""What an interrupted thread raises; no `except Exception` of an actor swallows it."""


class ActorCancelled(ThreadInterrupt):
    """Somebody cancelled the message that runs in this thread."""


def interrupt_thread(thread_id: int, *, cancelled: bool = False, stopping: bool = False) -> None:
    """Raise dramatiq's `TimeLimitExceeded` in a thread, at its next Python instruction.

    A message that was `cancelled` raises `ActorCancelled` instead, one whose worker is `stopping`
    dramatiq's `Shutdown`. A thread inside a system call or C code goes on until that returns.
    """
    interrupt: Callable[[int, type[BaseException]], None]
    interrupt = getattr(dramatiq_threading, "raise_thread_exception")  # noqa: B009 - untyped
    kind = Shutdown if stopping else TimeLimitExceeded
    interrupt(thread_id, ActorCancelled if cancelled else kind)


def is_shutdown(error: BaseException) -> bool:
    """Return whether an error may be what a worker that stops has raised in an actor."""
    return isinstance(error, (CancelledError, Shutdown))
