"""`Portal`: a thread with an event loop, through which synchronous code calls the async library.

The one bridge between the two colours. It starts with the first call and ends with the process.

Weakness: each call wakes a thread and is woken by it, which costs more than what is called.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class Portal:
    """Runs coroutines for threads that have no event loop."""

    def __init__(self, name: str = "octoqueue-portal") -> None:
        self._name = name
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` on the portal's loop and return its result.

        Who is interrupted while he waits leaves it running.

        Raises:
            concurrent.futures.CancelledError: the portal was closed meanwhile.
        """
        errand = _Errand(coroutine)
        self._running_loop().call_soon_threadsafe(errand.begin)
        return errand.result()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._pid != os.getpid():
            # The child of a fork: the thread stayed behind, and maybe somebody with the lock.
            self._pid, self._lock, self._loop = os.getpid(), threading.Lock(), None
        loop = self._loop
        if loop is not None:
            return loop
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
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
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


class _Errand(Generic[T]):
    """A coroutine that another thread waits for: with one lock, where a `Future` has several."""

    __slots__ = ("_coroutine", "_ended", "_task")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._task: asyncio.Task[T] | None = None
        self._ended = threading.Lock()
        self._ended.acquire()

    def begin(self) -> None:
        """Begin, on the loop."""
        self._task = asyncio.get_running_loop().create_task(self._coroutine)
        self._task.add_done_callback(self._end)

    def _end(self, _: asyncio.Task[T]) -> None:
        self._ended.release()

    def result(self) -> T:
        """Wait for the end, in another thread."""
        self._ended.acquire()
        task, self._task = self._task, None
        assert task is not None  # noqa: S101 - it has ended
        try:
            return task.result()
        except asyncio.CancelledError:
            raise CancelledError from None
        finally:
            del task  # an error would hold it, and be held by it


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the faster loop, where there is one."""
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - not for programs without synchronous calls

    return uvloop.new_event_loop
