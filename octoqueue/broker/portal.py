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
    from collections.abc import Coroutine

T = TypeVar("T")


class Portal:
    """Runs coroutines for threads that have no event loop."""

    def __init__(self, name: str = "octoqueue-portal") -> None:
        self._name = name
        self._pid = os.getpid()
        self._lock = threading.RLock()  # a signal's handler may send as well
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` on the portal's loop and return its result.

        Who is interrupted while he waits leaves it running.

        Raises:
            concurrent.futures.CancelledError: the portal was closed meanwhile.
            OSError, RuntimeError: there is no room for a loop or a thread; nothing has run.
        """
        errand = _Errand(coroutine)
        if self._pid != os.getpid():
            self._forget_the_parent()
        with self._lock:  # what is given to the loop is given before it is told to stop
            try:
                loop = self._loop or self._start()
            except BaseException:
                coroutine.close()
                raise
            loop.call_soon_threadsafe(errand.begin)
        return errand.result()

    def _forget_the_parent(self) -> None:
        """Begin anew in the child of a fork: thread and loop stayed behind, maybe with the lock."""
        self._lock, self._loop, self._thread = threading.RLock(), None, None
        self._pid = os.getpid()

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = _new_event_loop()
        thread = threading.Thread(target=_serve, args=(loop,), name=self._name, daemon=True)
        try:
            thread.start()
        except BaseException:
            loop.close()
            raise
        self._loop, self._thread = loop, thread
        return loop

    @property
    def running(self) -> bool:
        """Whether anything has been run since the start or the last `close`."""
        return self._loop is not None and self._pid == os.getpid()

    def close(self) -> None:
        """Stop the loop and wait for the thread. Idempotent; the next `run` starts anew."""
        if self._pid != os.getpid():
            self._forget_the_parent()
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
            if loop is not None:
                loop.call_soon_threadsafe(loop.stop)
        if thread is not None:
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


def _new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a loop, of the faster kind where there is one."""
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop  # noqa: PLC0415 - not for programs without synchronous calls

    return uvloop.new_event_loop()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run a loop until it is stopped; then cancel what still runs there."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()
