"""`ActorThreads`: sync actors in threads, handed over in batches both ways.

What is to run waits in one queue that all threads take from; what has ended waits in another until
the loop comes by. Neither side is woken while it is on its way already: at most one thread is
*waking*, and it wakes the next only when it has left something behind. So a hundred short actors
run in one thread, at one switch to it and one back, while a hundred that wait for something soon
wait in a hundred threads, each of which was woken by the one before.

The threads are daemons: one that is stuck in a system call does not keep the process from ending.
Every job runs in a copy of the context it was given in, so that nothing one message puts into a
context variable reaches the next.

The weakness is Python's own: a thread that computes keeps the loop, and a thread that was just
woken, waiting for up to `sys.getswitchinterval()`.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from octoqueue.broker.context import CURRENT
from octoqueue.broker.interrupts import interrupt_thread
from octoqueue.runtime.attempt import Attempt

if TYPE_CHECKING:
    import asyncio

log = logging.getLogger(__name__)

T = TypeVar("T")

Around = Callable[[Attempt, Callable[[Attempt], object]], object]
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
            announce: called in each thread with the hook of its beginning, before its first job,
                and that of its end.
        """
        self._loop = loop
        self._most = threads
        self._around = around
        self._on_ended = on_ended
        self._announce = announce
        self._names = itertools.count(1)
        self._threads: list[threading.Thread] = []
        self._count = 0
        self._closed = False
        self._changing = threading.Lock()
        """Held while a thread is chosen to wake or lies down."""
        self._interrupting = threading.Lock()
        """Held while a thread is interrupted, or leaves the actor that may be."""
        # Both queues are used without a lock: whoever puts something in does so before looking at
        # the flag, and whoever clears the flag does so before looking into the queue.
        self._jobs: deque[tuple[Context, Callable[[Any], None], Any]] = deque()
        self._is_waking = False
        """Whether a thread is on its way that has not looked at the jobs yet."""
        self._idle: list[threading.Lock] = []
        """What idle threads wait for, the last one to lie down at the end."""
        self._ended: deque[tuple[Callable[..., None], Any, object, BaseException | None]] = deque()
        self._is_told = False
        """Whether the loop is on its way to what has ended."""

    def start(self, attempt: Attempt) -> None:
        """Run an attempt in a thread."""
        self._submit(self._run, attempt)

    async def call(self, function: Callable[[], T]) -> T:
        """Run a function in a thread, in the caller's context, and return what it returns."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._submit(self._run_function, (future, function))
        return await future

    # ── threads ──────────────────────────────────────────────────────────────────────────────────

    def _submit(self, job: Callable[[Any], None], subject: object) -> None:
        self._jobs.append((copy_context(), job, subject))
        if not self._is_waking:
            try:
                self._wake()
            except RuntimeError:
                self._jobs.pop()  # there is no thread that could have taken it
                raise

    def _wake(self) -> None:
        """Have one more thread look at the jobs; those that are busy will in any case.

        Raises:
            RuntimeError: there is none, and the machine gives none.
        """
        with self._changing:
            if self._is_waking or self._closed:
                return
            if self._idle:
                self._is_waking = True
                self._idle.pop().release()
                return
            if self._count == self._most:
                return
            self._is_waking = True
            self._count += 1
        self._start_thread()

    def _start_thread(self) -> None:
        name = f"octoqueue-actor-{next(self._names)}"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            with self._changing:
                self._is_waking = False
                self._count -= 1
            if not self._count:
                raise
            log.warning("thread_refused", extra={"threads": self._count})
        else:
            self._threads.append(thread)

    def _serve(self) -> None:
        """Run jobs until there will be no more."""
        waked = threading.Lock()
        waked.acquire()
        is_announced = False
        while not self._closed:
            self._is_waking = False
            if len(self._jobs) > 1:
                self._wake()  # for what is left while the first runs
            while self._jobs:
                try:
                    context, job, subject = self._jobs.popleft()
                except IndexError:
                    break  # another thread was faster
                if not is_announced:
                    self._announce("after_worker_thread_boot", threading.current_thread())
                    is_announced = True
                context.run(job, subject)
                del context, job, subject
            if self._lies_down(waked):
                waked.acquire()
        if is_announced:
            self._announce("before_worker_thread_shutdown", threading.current_thread())

    def _lies_down(self, waked: threading.Lock) -> bool:
        with self._changing:
            if self._jobs or self._closed:
                return False
            self._idle.append(waked)
            return True

    def close(self) -> None:
        """Take no more; threads that still run are left to the end of the process."""
        with self._changing:
            self._closed = True
            self._jobs.clear()
            while self._idle:
                self._idle.pop().release()

    def join(self, within_seconds: float) -> None:
        """Wait until the threads have ended, for no longer than that; after `close`."""
        deadline = self._loop.time() + within_seconds
        for thread in self._threads:
            thread.join(max(deadline - self._loop.time(), 0))

    # ── in a thread ──────────────────────────────────────────────────────────────────────────────

    def _run(self, attempt: Attempt) -> None:
        CURRENT.set(attempt.context)
        try:
            result = self._around(attempt, self.interruptible)
        except BaseException as error:  # noqa: BLE001 - whatever an actor raises is its outcome
            self._end(self._on_ended, attempt, None, error)
        else:
            self._end(self._on_ended, attempt, result, None)

    def _run_function(self, call: tuple[asyncio.Future[T], Callable[[], T]]) -> None:
        future, function = call
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            self._end(_answer, future, None, error)
        else:
            self._end(_answer, future, result, None)

    def interruptible(self, attempt: Attempt) -> object:
        """Call the actor; only from its first to its last instruction can it be interrupted.

        Raises:
            CancelledError: the message is not wanted any more; the actor was not called.
        """
        call = attempt.call
        try:
            try:
                attempt.thread_id = threading.get_ident()
                if attempt.is_unwanted:
                    raise CancelledError
                return attempt.executable.function(*call.args, **call.kwargs)
            finally:
                with self._interrupting:
                    attempt.thread_id = None
                for _ in range(2):
                    pass  # an interrupt sent before the lock was taken arrives here
        except BaseException:
            attempt.thread_id = None  # the interrupt came in the very `finally`
            raise

    # ── on the loop ──────────────────────────────────────────────────────────────────────────────

    def _end(
        self,
        deliver: Callable[..., None],
        subject: object,
        result: object,
        error: BaseException | None,
    ) -> None:
        """Have `deliver` called on the loop."""
        self._ended.append((deliver, subject, result, error))
        if not self._is_told:
            self._tell()

    def _tell(self) -> None:
        self._is_told = True
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        self._is_told = False
        ended = self._ended
        try:
            for _ in range(len(ended)):
                deliver, subject, result, error = ended.popleft()
                deliver(subject, result, error)
        finally:
            if ended and not self._is_told:
                self._tell()  # those after one whose delivery failed

    def interrupt(self, attempt: Attempt) -> None:
        """Raise an interrupt in the thread that runs `attempt`, if one still does."""
        with self._interrupting:
            if attempt.thread_id is not None:
                interrupt_thread(
                    attempt.thread_id,
                    cancelled=attempt.cancelled is not None,
                    stopping=attempt.notified and not attempt.expired,
                )


def _answer(future: asyncio.Future[T], result: T | None, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)  # type: ignore[arg-type] # one of the two is None
    else:
        future.set_exception(error)
