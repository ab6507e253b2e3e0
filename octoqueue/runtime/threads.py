"""`ActorThreads`: sync actors in threads, their endings collected for the loop in batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from octoqueue.broker.context import CURRENT
from octoqueue.broker.interrupts import ThreadInterrupt, interrupt_thread
from octoqueue.runtime.attempt import Attempt

if TYPE_CHECKING:
    import asyncio

Ended = Callable[[Attempt, object, BaseException | None], None]


class ActorThreads:
    """Runs attempts in threads; at most one thread a slot, made when first needed."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, threads: int, on_ended: Ended) -> None:
        self._loop = loop
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="octoqueue-actor")
        self._on_ended = on_ended
        self._ended: deque[tuple[Attempt, object, BaseException | None]] = deque()
        self._lock = threading.Lock()

    def start(self, attempt: Attempt) -> None:
        """Run an attempt in a thread."""
        self._pool.submit(self._run, attempt)

    def _run(self, attempt: Attempt) -> None:
        result: object = None
        error: BaseException | None = None
        token = CURRENT.set(attempt.context)
        try:
            try:
                with self._lock:
                    attempt.thread_id = threading.get_ident()
                call = attempt.call
                result = attempt.executable.function(*call.args, **call.kwargs)
            finally:
                with self._lock:
                    attempt.thread_id = None
                # An interrupt sent before the lock was taken arrives here, inside the `try`.
                for _ in range(2):
                    pass
        except ThreadInterrupt as interrupt:
            error = interrupt
            attempt.context.drop()
        except BaseException as raised:  # noqa: BLE001 - whatever an actor raises is its outcome
            error = raised
            attempt.context.drop()
        CURRENT.reset(token)
        with self._lock:
            first = not self._ended
            self._ended.append((attempt, result, error))
        if first:
            self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        with self._lock:
            ended, self._ended = self._ended, deque()
        for attempt, result, error in ended:
            self._on_ended(attempt, result, error)

    def interrupt(self, attempt: Attempt) -> None:
        """Raise an interrupt in the thread that runs `attempt`, if one still does."""
        with self._lock:
            if attempt.thread_id is not None:
                interrupt_thread(attempt.thread_id)

    def close(self) -> None:
        """Take no more; threads that still run are left to the end of the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)
