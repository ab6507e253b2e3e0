"""`ActorThreads`: sync actors in threads, their endings collected for the loop in batches.

The threads are daemons: one that is stuck in a system call does not keep the process from ending.
Every job runs in a copy of the context it was given in, so that nothing one message puts into a
context variable reaches the next.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from octoqueue.broker.context import CURRENT
from octoqueue.broker.interrupts import interrupt_thread
from octoqueue.runtime.attempt import Attempt

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger(__name__)

T = TypeVar("T")

Around = Callable[[Attempt, Callable[[], object]], object]
Ended = Callable[[Attempt, object, BaseException | None], None]


class ActorThreads:
    """Runs attempts and hooks in threads, made when first needed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        threads: int,
        around: Around,
        on_ended: Ended,
        announce: Callable[[str, threading.Thread], None],
    ) -> None:
        """Prepare.

        Args:
            loop: where endings are told.
            threads: how many at most.
            around: calls the actor of an attempt, with whatever belongs before and after it.
            on_ended: called on the loop with what that returned or raised.
            announce: called in each thread with the hook of its beginning and that of its end.
        """
        self._loop = loop
        self._most = threads
        self._around = around
        self._on_ended = on_ended
        self._announce = announce
        self._jobs: SimpleQueue[tuple[Context, Callable[[], None]] | None] = SimpleQueue()
        self._names = itertools.count(1)
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._closed = False
        self._ended: deque[tuple[Attempt, object, BaseException | None]] = deque()
        self._lock = threading.Lock()

    def start(self, attempt: Attempt) -> None:
        """Run an attempt in a thread."""
        self._submit(lambda: self._run(attempt))

    async def call(self, function: Callable[[], T]) -> T:
        """Run a function in a thread, in the caller's context, and return what it returns."""
        future: asyncio.Future[T] = self._loop.create_future()

        def answer(result: T | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)  # type: ignore[arg-type] # one of the two is None
            else:
                future.set_exception(error)

        def run() -> None:
            try:
                result = function()
            except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                self._tell(answer, None, error)
            else:
                self._tell(answer, result, None)

        self._submit(run)
        return await future

    def _submit(self, job: Callable[[], None]) -> None:
        with self._lock:
            self._unfinished += 1
            is_short = len(self._threads) < min(self._unfinished, self._most)
            if is_short:
                self._start_thread()
        self._jobs.put((copy_context(), job))

    def _start_thread(self) -> None:
        name = f"octoqueue-actor-{next(self._names)}"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                self._unfinished -= 1
                raise
            log.warning("thread_refused", extra={"threads": len(self._threads)})
        else:
            self._threads.append(thread)

    def _serve(self) -> None:
        self._announce("after_worker_thread_boot", threading.current_thread())
        while (task := self._jobs.get()) is not None:
            context, job = task
            if not self._closed:
                context.run(job)
            with self._lock:
                self._unfinished -= 1
            del task, context, job
        self._jobs.put(None)  # for the next one
        self._announce("before_worker_thread_shutdown", threading.current_thread())

    def _run(self, attempt: Attempt) -> None:
        CURRENT.set(attempt.context)
        result: object = None
        error: BaseException | None = None
        try:
            result = self._around(attempt, lambda: self.interruptible(attempt))
        except BaseException as raised:  # noqa: BLE001 - whatever an actor raises is its outcome
            error = raised
        with self._lock:
            first = not self._ended
            self._ended.append((attempt, result, error))
        if first:
            self._tell(self._collect)

    def interruptible(self, attempt: Attempt) -> object:
        """Call the actor; only from its first to its last instruction can it be interrupted."""
        call = attempt.call
        try:
            try:
                with self._lock:
                    attempt.thread_id = threading.get_ident()
                return attempt.executable.function(*call.args, **call.kwargs)
            finally:
                with self._lock:
                    attempt.thread_id = None
                for _ in range(2):
                    pass  # an interrupt sent before the lock was taken arrives here
        except BaseException:
            attempt.thread_id = None  # the interrupt came in the very `finally`
            raise

    def _tell(self, callback: Callable[..., None], *args: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(callback, *args)

    def _collect(self) -> None:
        with self._lock:
            ended, self._ended = self._ended, deque()
        for attempt, result, error in ended:
            self._on_ended(attempt, result, error)

    def interrupt(self, attempt: Attempt) -> None:
        """Raise an interrupt in the thread that runs `attempt`, if one still does."""
        with self._lock:
            if attempt.thread_id is not None:
                interrupt_thread(
                    attempt.thread_id,
                    cancelled=attempt.cancelled is not None,
                    stopping=attempt.notified and not attempt.expired,
                )

    def close(self) -> None:
        """Take no more; threads that still run are left to the end of the process."""
        self._closed = True
        self._jobs.put(None)

    def join(self, within_seconds: float) -> None:
        """Wait until the threads have ended, for no longer than that; after `close`."""
        deadline = self._loop.time() + within_seconds
        for thread in self._threads:
            thread.join(max(deadline - self._loop.time(), 0))
