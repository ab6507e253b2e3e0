"""What redis-py raises, and what that means here."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from octoqueue.errors import StoreError, StoreProtocolError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable

_GONE = (
    RedisConnectionError,
    RedisTimeoutError,
    BusyLoadingError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
    OSError,
    AttributeError,
)
_PASSING = re.compile(r"(?:^|-)(?:BUSY|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY) ")
"""States of a server that pass. Redis 6.2 tells them of a command inside a script as `… -OOM …`."""

FAILURES = (RedisError, RedisClusterException, OSError, AttributeError)
"""Everything redis-py raises. Its cluster exceptions are no RedisError, and when a node of a
cluster dies, one task closes the connection another sends on, which ends in an AttributeError."""


_UVLOOP_LOST = "the handler is closed"
"""How uvloop says, in a RuntimeError, that a connection was lost before it is written to."""


async def cancellable(answer: Awaitable[Any]) -> Any:
    """Await an answer of redis-py; raise the cancellation it may have swallowed.

    It sends under `asyncio.wait_for`, which before Python 3.12 returns normally when it is
    cancelled in the instant its work is done: a loop around a command would never end.

    Raises:
        RedisConnectionError: uvloop said so in its own way; all else is raised as it is.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - awaited by a coroutine
    requests = task.cancelling()
    try:
        return await answer
    except RuntimeError as error:
        if _UVLOOP_LOST not in str(error):
            raise
        raise RedisConnectionError(str(error)) from error
    finally:
        if task.cancelling() > requests:
            raise asyncio.CancelledError


def translated(error: BaseException) -> StoreError:
    """Return what an error of redis-py means here."""
    told = str(error)
    # Of a cluster that cannot be reached redis-py raises the same as of keys in several slots.
    lost = isinstance(error, RedisClusterException) and "same key slot" not in told
    if lost or isinstance(error, _GONE) or _PASSING.search(told):
        return StoreUnavailable("Redis", reason=told or type(error).__name__)
    return StoreProtocolError(f"Redis refused a call: {told}")
