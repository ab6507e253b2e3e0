"""`RedisClient`: one client for a single Redis or a cluster, with this project's error rules.

A command is sent once. redis-py's own retries are off, because a script whose answer was lost may
have run: who calls knows whether sending again is safe, the client does not. Every failure of the
connection is `StoreUnavailable`; what the server refused for another reason is
`StoreProtocolError`. Scripts are sent by hash and loaded again when the server has forgotten them.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, cast

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry as RedisRetry
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from octoqueue.errors import StoreError, StoreProtocolError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from octoqueue.redis.scripts import ScriptCall

_GONE = (
    RedisConnectionError,
    RedisTimeoutError,
    BusyLoadingError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    OSError,
    TimeoutError,
)
_SAFE_MARGIN_SECONDS = 5.0
"""How much longer than a blocking command a socket may stay silent."""


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
        return cast("_Commands", Redis.from_pool(pool))

    async def call(self, call: ScriptCall) -> Any:
        """Run a script and return its answer.

        Raises:
            StoreUnavailable: no answer; the script may have run.
            StoreProtocolError: the script failed.
        """
        script = call.script
        try:
            return await self._commands.execute_command(
                "EVALSHA", script.sha, len(call.keys), *call.keys, *call.args
            )
        except NoScriptError:
            # Refused before it ran, so sending the source is not sending it twice.
            return await self.command("EVAL", script.source, len(call.keys), *call.keys, *call.args)
        except (RedisError, OSError) as error:
            raise translated(error) from error

    async def command(self, *parts: object) -> Any:
        """Send one command and return its answer; raises like `call`."""
        try:
            return await self._commands.execute_command(*parts)
        except (RedisError, OSError) as error:
            raise translated(error) from error

    async def wait_for_push(self, lists: Sequence[str], *, timeout: timedelta) -> str | None:
        """Take an element off the first of `lists` that has one; None when the time is over.

        Cancelling closes the connection, so that no element is taken for nobody; one taken in the
        same instant may be lost.
        """
        if self._blocking is None:
            self._blocking = self._open(4, None)
        seconds = timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds + _SAFE_MARGIN_SECONDS):
                answer = await self._blocking.execute_command("BLPOP", *lists, seconds)
        except (RedisError, OSError) as error:
            raise translated(error) from error
        return None if answer is None else cast("bytes", answer[0]).decode()

    def subscriber(self) -> Any:
        """Return a redis-py PubSub on a connection of its own."""
        if self.cluster:
            # A publish reaches every node of a cluster, so any node may be listened to.
            cluster = cast("Any", self._commands)
            node = cluster.get_default_node()
            listener: Any = Redis(host=node.host, port=node.port, protocol=2)
            return listener.pubsub()
        return cast("Any", self._open(1, None)).pubsub()

    async def guarded(self, action: Callable[[], Awaitable[Any]]) -> Any:
        """Await `action()`, with redis-py's errors translated."""
        try:
            return await action()
        except (RedisError, OSError) as error:
            raise translated(error) from error

    async def aclose(self) -> None:
        """Close all connections. Idempotent."""
        await self._commands.aclose()
        if self._blocking is not None:
            await self._blocking.aclose()
            self._blocking = None


def translated(error: BaseException) -> StoreError:
    """Return what an error of redis-py means here."""
    if isinstance(error, _GONE):
        return StoreUnavailable("Redis", reason=str(error) or type(error).__name__)
    if isinstance(error, ResponseError) and str(error).startswith(("OOM", "MISCONF", "LOADING")):
        return StoreUnavailable("Redis", reason=str(error))
    return StoreProtocolError(f"Redis refused a call: {error}")
