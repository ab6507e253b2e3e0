"""The results of many messages.

    first, second = await octoqueue.gather(handle_1, handle_2)

However many handles there are, their results arrive on one connection.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

if TYPE_CHECKING:
    from octoqueue.broker.handles import MessageHandle

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


@overload
async def gather(
    first: MessageHandle[A],
    second: MessageHandle[B],
    /,
    *,
    timeout: timedelta = ...,
    return_exceptions: Literal[False] = ...,
) -> tuple[A, B]: ...
@overload
async def gather(
    first: MessageHandle[A],
    second: MessageHandle[B],
    third: MessageHandle[C],
    /,
    *,
    timeout: timedelta = ...,
    return_exceptions: Literal[False] = ...,
) -> tuple[A, B, C]: ...
@overload
async def gather(
    first: MessageHandle[A],
    second: MessageHandle[B],
    third: MessageHandle[C],
    fourth: MessageHandle[D],
    /,
    *,
    timeout: timedelta = ...,
    return_exceptions: Literal[False] = ...,
) -> tuple[A, B, C, D]: ...
@overload
async def gather(
    *handles: MessageHandle[A],
    timeout: timedelta = ...,
    return_exceptions: Literal[False] = ...,
) -> tuple[A, ...]: ...
@overload
async def gather(
    *handles: MessageHandle[A],
    timeout: timedelta = ...,
    return_exceptions: Literal[True],
) -> tuple[A | BaseException, ...]: ...
async def gather(
    *handles: MessageHandle[Any],
    timeout: timedelta = timedelta(seconds=60),
    return_exceptions: bool = False,
) -> tuple[Any, ...]:
    """Wait for the results of messages and return them in the order of the handles.

    The first failure is raised at once and the others are no longer waited for; their messages run
    on all the same. With `return_exceptions` all are waited for, and each error stands in the place
    of its result.

    Args:
        handles: what sending the messages returned.
        timeout: for all of them together.
        return_exceptions: return errors instead of raising the first.

    Raises:
        ResultNotKept: an actor was not declared with `results=True`.
        ResultTimeout: a result did not come within `timeout`.
        ActorFailed: an actor's last attempt raised.
    """
    waits = [asyncio.ensure_future(handle.result(timeout=timeout)) for handle in handles]
    try:
        return tuple(await asyncio.gather(*waits, return_exceptions=return_exceptions))
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
