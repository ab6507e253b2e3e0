"""`Portal`: a thread with an event loop, through which synchronous code calls the async library.

The one bridge between the two colours. It starts with the first call and ends with the process.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Portal:
    """Runs coroutines for threads that have no event loop."""

    def __init__(self, name: str = "octoqueue-portal") -> None:
        self._name = name
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[object, object, T], *, timeout: float | None = None) -> T:
        """Run `coroutine` on the portal's loop and return its result."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._running_loop())
        return future.result(timeout)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._pid != os.getpid():
            # The child of a fork: the thread stayed behind, and maybe somebody with the lock.
            self._pid, self._lock, self._loop = os.getpid(), threading.Lock(), None
        with self._lock:
            if self._loop is None:
                ready = threading.Event()
                self._thread = threading.Thread(
                    target=self._serve, args=(ready,), name=self._name, daemon=True
                )
                self._thread.start()
                ready.wait()
            assert self._loop is not None  # noqa: S101 - set before `ready`
            return self._loop

    def _serve(self, ready: threading.Event) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.call_soon(ready.set)
            self._loop.run_forever()

    @property
    def running(self) -> bool:
        """Whether anything has been run since the start or the last `close`."""
        return self._loop is not None and self._pid == os.getpid()

    def close(self) -> None:
        """Stop the loop and wait for the thread. Idempotent; the next `run` starts anew."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
