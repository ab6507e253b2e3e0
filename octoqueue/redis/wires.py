"""`Wires`: makes the wires of a client: one that all share, and one for each call that blocks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from octoqueue.redis.failures import cancellable
from octoqueue.redis.wire import Wire, taken_over

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_CLOSED = "the connection was closed"


class Wires:
    """The wires of one event loop to one server."""

    def __init__(self, connection: Callable[[], Any], patience_seconds: float) -> None:
        """Connect with the connections of redis-py that `connection` makes, when needed."""
        self._connection = connection
        self._patience_seconds = patience_seconds
        self.shared: Wire | None = None
        """The wire for all that does not block, once there is one."""
        self._connecting: asyncio.Task[Wire] | None = None
        self._idle: list[Wire] = []
        self._all: WeakSet[Wire] = WeakSet()
        self._closings = 0

    async def ready(self) -> Wire:
        """Return the shared wire, connected and ready for a command.

        Raises:
            CannotTakeOver: redis-py has to be used.
            RedisError, OSError: there is no connection.
        """
        wire = self.shared
        if wire is None or not wire.is_open:
            wire = await self._connected()
        while not wire.is_ready:
            if not wire.is_open:
                raise RedisConnectionError("the connection was lost")
            await wire.writable()
        return wire

    async def _connected(self) -> Wire:
        """Connect; one attempt for all who ask while it lasts, whoever of them is cancelled."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(_heard)
        connecting = self._connecting
        await asyncio.wait([connecting])
        if connecting.cancelled():
            raise RedisConnectionError(_CLOSED)
        return connecting.result()

    async def _connect(self) -> Wire:
        try:
            self.shared = await self._open()
        finally:
            if self._connecting is asyncio.current_task():  # not one begun since it was cancelled
                self._connecting = None
        return self.shared

    async def block(self, seconds: float, *commands: Sequence[Any]) -> list[Any]:
        """Send commands on a wire of their own, the first of which blocks; return their answers.

        A script the server does not know is answered with `NoScriptError`, all else is raised. When
        something is raised, and when this is cancelled, that wire is closed.

        Raises:
            CannotTakeOver: redis-py has to be used; nothing was sent.
            RedisError, OSError: there is no connection or no answer, or the server refused.
        """
        wire = await self._idle_wire()
        answers = list[Any]()
        futures = wire.send_blocking(seconds, *commands)
        try:
            for future in futures:
                try:
                    answers.append(await future)
                except NoScriptError as error:
                    answers.append(error)
        except BaseException:
            for future in futures:
                if not future.cancel() and not future.cancelled():
                    future.exception()  # heard, lest asyncio complains
            wire.close()
            raise
        self._idle.append(wire)
        return answers

    async def _idle_wire(self) -> Wire:
        while self._idle:
            wire = self._idle.pop()
            if wire.is_open:
                return wire
        return await self._open()

    async def _open(self) -> Wire:
        closings, connection = self._closings, self._connection()
        try:
            await cancellable(connection.connect())
            wire = taken_over(connection, self._patience_seconds)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        if closings != self._closings:
            await wire.aclose()
            raise RedisConnectionError(_CLOSED)
        self._all.add(wire)
        return wire

    async def aclose(self) -> None:
        """Close all wires, those that are being made as well. Idempotent."""
        self._closings += 1
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
            await asyncio.wait([connecting])
        self._idle.clear()
        self.shared = None
        for wire in tuple(self._all):
            await wire.aclose()
        self._all.clear()


def _heard(connecting: asyncio.Task[Wire]) -> None:
    """Take note of how it ended, lest asyncio complains when everybody who asked was cancelled."""
    if not connecting.cancelled():
        connecting.exception()
