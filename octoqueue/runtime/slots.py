"""`Slots`: actors run at once to where they first wait, and in a task of their own from there on.

Most of the cost of a short actor was its task: making it, waking it in the next turn of the loop,
telling that it is done. So an actor is begun in the turn in which it came, *as* the current task of
a spare one that waits for nothing else; only when it suspends is that task given to it, and the
next actor begins as another spare task. `asyncio.current_task()`, `asyncio.timeout`, task groups
and cancelling are therefore right from the first instruction on.

`_enter_task` and `_leave_task` are what asyncio's manual offers to whoever implements tasks.

Weakness: an actor that never waits shares its task with those before it. One that keeps a reference
to its task is given it for good; one that only adds a callback to it is called back later.
"""

from __future__ import annotations

import asyncio
import types
from asyncio import (
    _enter_task,  # pyright: ignore[reportPrivateUsage]
    _leave_task,  # pyright: ignore[reportPrivateUsage]
)
from contextvars import copy_context
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Final

from octoqueue.broker.context import CURRENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator
    from contextvars import Context

    from octoqueue.runtime.attempt import Attempt

SUSPENDED: Final = object()
"""What `Slots.begin` returns for a coroutine that waits for something."""


_BLOCKING = "_asyncio_future_blocking"


class _Spare:
    """A task without work."""

    __slots__ = ("attempt", "context", "coroutine", "references", "start", "task", "waits_for")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.start: asyncio.Future[None] = loop.create_future()
        self.task: asyncio.Task[None]
        self.references: int
        """To the task, while nobody else has one."""
        self.attempt: Attempt | None = None
        self.coroutine: Coroutine[Any, Any, object]
        self.context: Context
        self.waits_for: Any = None


class Slots:
    """Begins the coroutines of one loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_ended: Callable[[Attempt, object, BaseException | None], None],
    ) -> None:
        """Prepare.

        Args:
            loop: where coroutines run.
            on_ended: told how one ended that had suspended.
        """
        self._loop = loop
        self._on_ended = on_ended
        self._context = copy_context()
        self._spare: _Spare | None = None

    def begin(self, attempt: Attempt) -> object:
        """Run an async actor until it ends or waits; return its result, or `SUSPENDED`.

        What it raises before it waits is raised here; how one ends that waited, `on_ended` is told.
        """
        loop, spare = self._loop, self._spare
        if spare is None:
            spare = self._spare = self._new()
        task, context = spare.task, self._context.copy()
        running = asyncio.current_task(loop)
        if running is not None:
            _leave_task(loop, running)
        _enter_task(loop, task)
        try:
            waits_for = context.run(_first_step, attempt, spare)
        except StopIteration as stop:
            return stop.value
        else:
            if waits_for is not None:
                _mark(waits_for, is_awaited=False)  # as a task does, or nobody else may await it
            attempt.task, spare.attempt = task, attempt
            spare.context, spare.waits_for = context, waits_for
            return SUSPENDED
        finally:
            _leave_task(loop, task)
            if running is not None:
                _enter_task(loop, running)
            is_given = spare.attempt is not None or task.cancelling()
            if is_given or getrefcount(task) != spare.references:
                self.close()

    def close(self) -> None:
        """Let the spare task go on: with what it was given, or to its end."""
        spare, self._spare = self._spare, None
        if spare is not None and not spare.start.done():
            spare.start.set_result(None)

    def _new(self) -> _Spare:
        spare = _Spare(self._loop)
        coroutine = self._go_on(spare)
        coroutine.send(None)  # a task that is cancelled before its first step would end unheard
        spare.task = task = self._loop.create_task(coroutine)
        spare.references = getrefcount(task)
        return spare

    async def _go_on(self, spare: _Spare) -> None:
        cancelled: BaseException | None = None
        try:
            await _begun()
            await spare.start
        except asyncio.CancelledError as error:
            cancelled = error
        attempt = spare.attempt
        if attempt is None:
            if self._spare is spare:
                self._spare = None  # somebody has cancelled it
            return
        try:
            result = await _driven(spare, cancelled)
        except BaseException as error:  # noqa: BLE001 - whatever an actor raises is its outcome
            self._on_ended(attempt, None, error)
        else:
            self._on_ended(attempt, result, None)


@types.coroutine
def _begun() -> Generator[None, None, None]:
    yield


def _first_step(attempt: Attempt, spare: _Spare) -> object:
    CURRENT.set(attempt.context)
    if attempt.message is not None:
        attempt.executable.show(attempt.message)
    call = attempt.call
    try:
        made: Any = attempt.executable.function(*call.args, **call.kwargs)
    except StopIteration as error:
        raise RuntimeError("the actor raised StopIteration") from error  # it is no result
    is_usual = made.__class__ is types.CoroutineType
    if not is_usual:
        # A function may only call itself a coroutine function, and return what can be awaited.
        made = _awaiting(made)
    spare.coroutine = made
    return spare.coroutine.send(None)


def _mark(future: object, *, is_awaited: bool) -> None:
    """Say of a future that its `__await__` has just given it to a task, as asyncio's own do."""
    if getattr(future, _BLOCKING, None) is not None:
        setattr(future, _BLOCKING, is_awaited)


def _cancels(future: object, cancelled: BaseException) -> bool:
    cancel: Callable[..., bool] | None = getattr(future, "cancel", None)
    return cancel is not None and cancel(*cancelled.args)


async def _awaiting(awaitable: Awaitable[object]) -> object:
    return await awaitable


@types.coroutine
def _driven(spare: _Spare, cancelled: BaseException | None) -> Generator[Any, None, object]:
    """Go on with a coroutine that has been begun, as a task would."""
    run, send, throw = spare.context.run, spare.coroutine.send, spare.coroutine.throw
    waits_for, spare.waits_for = spare.waits_for, None
    try:
        if cancelled is None or _cancels(waits_for, cancelled):
            _mark(waits_for, is_awaited=True)
        else:
            waits_for = run(throw, cancelled)
        while True:
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's
                waits_for = run(throw, error)
            else:
                waits_for = run(send, None)
    except StopIteration as stop:
        return stop.value
