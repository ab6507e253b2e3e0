"""`RedisClient`: one client for a single Redis or a cluster, with this project's error rules.

A command is sent once. redis-py's own retries are off, because a script whose answer was lost may
have run: who calls knows whether sending again is safe, the client does not. Every failure of the
connection is `StoreUnavailable`; what the server refused for another reason is
`StoreProtocolError`. Scripts are sent by hash and loaded again when the server has forgotten them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, cast

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry as RedisRetry
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from octoqueue.errors import StoreError, StoreProtocolError, StoreUnavailable
from octoqueue.redis.packing import packed_by_hiredis

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Sequence

    from octoqueue.redis.scripts import ScriptCall

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

_SAFE_MARGIN_SECONDS = 5.0
"""How much longer than a blocking command a socket may stay silent."""
_LEAST_BLOCKING_SECONDS = 0.01
"""0 would block for ever, and Redis 6.2 takes what is below a millisecond for 0."""
_MOST_BLOCKED = 1_000
"""Connections that may block at the same time; each is opened when it is needed."""


class _Commands(Protocol):
    """The one method of redis-py this class uses."""

    def execute_command(self, *args: object, **options: object) -> Awaitable[Any]: ...

    async def aclose(self) -> None: ...


class RedisClient:
    """Commands and scripts; a connection of its own for what blocks."""

    def __init__(
        self,
        url: str,
        *,
        cluster: bool = False,
        pool_size: int = 20,
        timeout: timedelta = timedelta(seconds=5),
        connect_timeout: timedelta = timedelta(seconds=5),
        name: str = "octoqueue",
    ) -> None:
        """Remember how to connect; the first command connects."""
        self.url = url
        self.cluster = cluster
        self._timeout_seconds = timeout.total_seconds()
        self._connect_seconds = connect_timeout.total_seconds()
        self._name = name
        self._commands = self._open(pool_size, self._timeout_seconds)
        self._blocking: _Commands | None = None
        # A cluster's pools refuse where a single one's waits: so wait here.
        self._room: contextlib.AbstractAsyncContextManager[None] = (
            asyncio.Semaphore(pool_size) if cluster else contextlib.nullcontext()
        )
        self._subscriptions = itertools.count()

    def _open(self, pool_size: int, timeout_seconds: float | None) -> _Commands:
        once = RedisRetry(NoBackoff(), 0)
        if self.cluster:
            return cast(
                "_Commands",
                RedisCluster.from_url(
                    self.url,
                    socket_timeout=timeout_seconds,
                    socket_connect_timeout=self._connect_seconds,
                    max_connections=pool_size,
                    retry=once,
                    client_name=self._name,
                    protocol=2,
                ),
            )
        open_pool: Any = getattr(BlockingConnectionPool, "from_url")  # noqa: B009 - untyped
        pool: Any = open_pool(
            self.url,
            max_connections=pool_size,
            timeout=self._timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=self._connect_seconds,
            retry=once,
            client_name=self._name,
            protocol=2,
        )
        pool.connection_class = packed_by_hiredis(pool.connection_class)
        return cast("_Commands", Redis.from_pool(pool))

    async def call(self, call: ScriptCall) -> Any:
        """Run a script and return its answer.

        Raises:
            StoreUnavailable: no answer; the script may have run.
            StoreProtocolError: the script failed.
        """
        script = call.script
        try:
            return await self._send("EVALSHA", script.sha, len(call.keys), *call.keys, *call.args)
        except NoScriptError:
            # Refused before it ran, so sending the source is not sending it twice.
            return await self.command("EVAL", script.source, len(call.keys), *call.keys, *call.args)
        except FAILURES as error:
            raise translated(error) from error

    async def call_each(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run scripts at the same time; return, for each, its answer or the error `call` raised.

        One node of a cluster that is gone must not keep the others from being called.
        """
        answers = await asyncio.gather(*map(self.call, calls), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, StoreError):
                raise answer
        return answers

    async def command(self, *parts: object) -> Any:
        """Send one command and return its answer; raises like `call`."""
        try:
            return await self._send(*parts)
        except FAILURES as error:
            raise translated(error) from error

    async def _send(self, *parts: object) -> Any:
        async with self._room:
            if self.cluster:
                await _know_the_nodes(self._commands)
            return await cancellable(self._commands.execute_command(*parts))

    async def wait_for_push(self, lists: Sequence[str], *, timeout: timedelta) -> str | None:
        """Take an element off the first of `lists` that has one; None when the time is over.

        Cancelling closes the connection, so that no element is taken for nobody; one taken in the
        same instant may be lost.
        """
        if self._blocking is None:
            self._blocking = self._open(_MOST_BLOCKED, None)
        seconds = max(timeout.total_seconds(), _LEAST_BLOCKING_SECONDS)
        try:
            async with asyncio.timeout(seconds + _SAFE_MARGIN_SECONDS):
                if self.cluster:
                    await _know_the_nodes(self._blocking)
                answer = await cancellable(self._blocking.execute_command("BLPOP", *lists, seconds))
        except FAILURES as error:
            raise translated(error) from error
        return None if answer is None else cast("bytes", answer[0]).decode()

    @contextlib.asynccontextmanager
    async def subscription(self) -> AsyncGenerator[Any]:
        """A connected redis-py PubSub on a connection of its own; raises what redis-py raises.

        A publish reaches every node of a cluster, so any node may be listened to: the next one
        each time, and the one after it when that is gone.
        """
        listener, pubsub = await self._listener()
        try:
            yield pubsub
        finally:
            await pubsub.aclose()
            await listener.aclose()

    async def _listener(self) -> tuple[_Commands, Any]:
        if not self.cluster:
            return await _listening(self._open(1, self._timeout_seconds))
        await _know_the_nodes(self._commands)
        nodes = cast("Any", self._commands).get_primaries()
        first = next(self._subscriptions) % len(nodes)
        for node in nodes[first + 1 :] + nodes[:first]:
            with contextlib.suppress(*FAILURES):
                return await _listening(_alone(node))
        return await _listening(_alone(nodes[first]))

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        await self._commands.aclose()
        if self._blocking is not None:
            await self._blocking.aclose()
            self._blocking = None


def _alone(node: Any) -> _Commands:
    """Return a client of one node of a cluster."""
    pool = ConnectionPool(node.connection_class, **node.connection_kwargs)
    return cast("_Commands", Redis.from_pool(pool))


async def _listening(client: _Commands) -> tuple[_Commands, Any]:
    """Return a client with a connected PubSub; close it when that fails."""
    pubsub = cast("Any", client).pubsub()
    try:
        await cancellable(pubsub.connect())
    except BaseException:
        await pubsub.aclose()
        await client.aclose()
        raise
    return client, pubsub


async def _know_the_nodes(cluster: _Commands) -> None:
    """Have redis-py ask for the slots before it is given a command.

    Without them it sends the command anywhere, and several that are redirected at the same time
    make it close the connections on which others wait.
    """
    await cancellable(cast("Any", cluster).initialize())


async def cancellable(answer: Awaitable[Any]) -> Any:
    """Await an answer of redis-py; raise the cancellation it may have swallowed.

    It sends under `asyncio.wait_for`, which before Python 3.12 returns normally when it is
    cancelled in the instant its work is done: a loop around a command would never end.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - awaited by a coroutine
    requests = task.cancelling()
    try:
        return await answer
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
