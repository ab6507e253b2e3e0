"""`RedisClient`: one client for a single Redis or a cluster, with this project's error rules.

A command is sent once. redis-py's own retries are off, because a script whose answer was lost may
have run: who calls knows whether sending again is safe, the client does not. Every failure of the
connection is `StoreUnavailable`; what the server refused for another reason is
`StoreProtocolError`. Scripts are sent by hash and loaded again when the server has forgotten them.

To a single Redis all commands go over one connection of our own (`wire.py`), those that block over
others like it. With `pipelining=False`, and to a cluster, they go through redis-py.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, cast

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry as RedisRetry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError

from octoqueue.errors import StoreError
from octoqueue.redis.failures import FAILURES, cancellable, translated
from octoqueue.redis.packing import packed_by_hiredis
from octoqueue.redis.wire import CannotTakeOver
from octoqueue.redis.wires import Wires

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Sequence

    from octoqueue.redis.scripts import ScriptCall

log = logging.getLogger(__name__)

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
        pipelining: bool = True,
    ) -> None:
        """Remember how to connect; the first command connects.

        `pool_size` bounds the connections of redis-py, where it is used.
        """
        self.url = url
        self.cluster = cluster
        self._timeout_seconds = timeout.total_seconds()
        self._connect_seconds = connect_timeout.total_seconds()
        self._name = name
        self._commands = self._open(pool_size, self._timeout_seconds)
        self._blocking: _Commands | None = None
        self._wires: Wires | None = None
        if pipelining and not cluster:
            pool = cast("Any", self._commands).connection_pool
            self._wires = Wires(pool.make_connection, self._timeout_seconds)
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
        commands: Any = Redis.from_pool(pool)
        commands.response_callbacks.clear()  # answers are as on a connection of our own
        return cast("_Commands", commands)

    async def call(self, call: ScriptCall) -> Any:
        """Run a script and return its answer.

        Raises:
            StoreUnavailable: no answer; the script may have run.
            StoreProtocolError: the script failed.
        """
        parts = _by_hash(call)
        try:
            if (
                (wires := self._wires) is not None
                and (wire := wires.shared) is not None
                and wire.is_ready
            ):
                return await wire.send(parts)
            return await self._send(parts)
        except NoScriptError:
            return await self._call_by_source(call)
        except FAILURES as error:
            raise translated(error) from error

    async def _call_by_source(self, call: ScriptCall) -> Any:
        """Run a script that was refused before it ran: this is not sending it twice."""
        return await self.command("EVAL", call.script.source, *_by_hash(call)[2:])

    async def call_each(self, calls: Sequence[ScriptCall]) -> list[Any]:
        """Run scripts at the same time; return, for each, its answer or the error `call` raised.

        One node of a cluster that is gone must not keep the others from being called.
        """
        if len(calls) == 1:
            try:
                return [await self.call(calls[0])]
            except StoreError as error:
                return [error]
        answers = await asyncio.gather(*map(self.call, calls), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, StoreError):
                raise answer
        return answers

    async def command(self, *parts: object) -> Any:
        """Send one command and return its answer; raises like `call`.

        The answer is what RESP2 says; of a cluster, what redis-py makes of that.
        """
        try:
            return await self._send(parts)
        except FAILURES as error:
            raise translated(error) from error

    async def _send(self, parts: Sequence[object]) -> Any:
        wires = self._wires
        if wires is not None:
            wire = wires.shared
            if wire is not None and wire.is_ready:
                return await wire.send_joined(parts)
            try:
                wire = await wires.ready()
            except CannotTakeOver as error:
                self._go_back_to_redis_py(error)
            else:
                return await wire.send_joined(parts)
        async with self._room:
            if self.cluster:
                await _know_the_nodes(self._commands)
            return await cancellable(self._commands.execute_command(*parts))

    def _go_back_to_redis_py(self, error: CannotTakeOver) -> None:
        if self._wires is not None:
            log.warning("pipelining_impossible", extra={"reason": str(error)})
            self._wires = None

    async def wait_for_push(self, lists: Sequence[str], *, timeout: timedelta) -> str | None:
        """Take an element off the first of `lists` that has one; None when the time is over.

        Cancelling closes the connection, so that no element is taken for nobody; one taken in the
        same instant may be lost.
        """
        seconds = max(timeout.total_seconds(), _LEAST_BLOCKING_SECONDS)
        command = ("BLPOP", *lists, seconds)
        try:
            if self._wires is not None:
                try:
                    return _list_of((await self._wires.block(seconds, command))[0])
                except CannotTakeOver as error:
                    self._go_back_to_redis_py(error)
            if self._blocking is None:
                self._blocking = self._open(_MOST_BLOCKED, None)
            async with asyncio.timeout(seconds + self._timeout_seconds):
                if self.cluster:
                    await _know_the_nodes(self._blocking)
                return _list_of(await cancellable(self._blocking.execute_command(*command)))
        except FAILURES as error:
            raise translated(error) from error

    async def call_after_push(
        self, lists: Sequence[str], call: ScriptCall, *, timeout: timedelta
    ) -> tuple[str | None, Any]:
        """Wait like `wait_for_push`, then run a script; return both answers.

        A single Redis is told both at once: it runs the script in the instant in which an element
        comes, or the time is over. Cancelling closes the connection; the script may have run.

        Raises:
            StoreUnavailable: no answer; an element may be taken and the script may have run.
            StoreProtocolError: it was not a list, or the script failed.
        """
        if self._wires is not None:
            seconds = max(timeout.total_seconds(), _LEAST_BLOCKING_SECONDS)
            commands = (("BLPOP", *lists, seconds), _by_hash(call))
            try:
                taken, answer = await self._wires.block(seconds, *commands)
            except CannotTakeOver as error:
                self._go_back_to_redis_py(error)
            except FAILURES as error:
                raise translated(error) from error
            else:
                if isinstance(answer, NoScriptError):
                    answer = await self._call_by_source(call)
                return _list_of(taken), answer
        which = await self.wait_for_push(lists, timeout=timeout)
        return which, await self.call(call)

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
        if self._wires is not None:
            await self._wires.aclose()
        await self._commands.aclose()
        if self._blocking is not None:
            await self._blocking.aclose()
            self._blocking = None


def _by_hash(call: ScriptCall) -> tuple[object, ...]:
    """Return the command that runs a script the server knows."""
    return ("EVALSHA", call.script.sha, len(call.keys), *call.keys, *call.args)


def _list_of(taken: list[bytes] | None) -> str | None:
    """Return which list BLPOP took an element off."""
    return None if taken is None else taken[0].decode()


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
