"""`Wire`: one connection to a single Redis on which no call waits for the answer of another.

redis-py lends a connection to one command at a time, and most of what a call costs is its
bookkeeping. Here commands leave at once and their answers come back in the same order. redis-py
still makes the connection, with its TLS and its credentials; then its transport is taken over.

When somebody waits for an answer and the server has said nothing for the whole timeout, the
connection is given up and all who wait are told: each of their commands may have run. A large
answer that takes long to arrive is no silence. Who is cancelled disturbs nobody: his answer is read
and dropped.

Weakness: a connection that breaks takes all calls in flight along, and who sends behind a large
answer waits for it. The transport lies in private attributes of redis-py's connections; where they
are not found, `CannotTakeOver` says so.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from octoqueue.redis.packing import pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LOOKS: Final = 8
"""Silence is looked for so many times in the length of a timeout. Looks are counted, not seconds: a
loop that was busy for longer than the timeout has only not read what was answered long ago."""
_UNSENT_BYTES: Final = 1
"""When so much waits to be sent, new commands are held back; and uvloop sends at once what is more,
not at the end of its turn: Redis works while Python does."""
_KEPT_BYTES: Final = 1 << 20
"""The buffer of answers is kept up to this size, not freed after each large answer."""
_GONE: Final = "Connection closed by the server"
_MORE: Final = object()
"""What the reader returns when an answer is not complete."""


class CannotTakeOver(Exception):
    """A connection of redis-py does not look as expected."""


class Wire(asyncio.Protocol):
    """A connection of one event loop. All its errors are redis-py's."""

    __slots__ = (
        "__weakref__",
        "_loop",
        "_lost",
        "_most_looks",
        "_outbox",
        "_patience",
        "_quiet_looks",
        "_reader",
        "_room",
        "_spoke",
        "_transport",
        "_unsent_bytes",
        "_waiting",
        "_watch",
        "_writer",
        "is_open",
        "is_ready",
    )

    def __init__(
        self, writer: asyncio.StreamWriter, parse_error: Callable[[str], Exception], patience: float
    ) -> None:
        """Take the transport of `writer`; an answer may be `patience` seconds away.

        Raises:
            CannotTakeOver: it is not a transport that can be given another protocol.
        """
        self._loop = asyncio.get_running_loop()
        self._patience = patience
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=parse_error, notEnoughData=_MORE
        )
        self._reader.setmaxbuf(_KEPT_BYTES)
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._outbox: list[bytes] = []
        self._room = asyncio.Event()
        self._lost = asyncio.Event()
        self._watch: asyncio.TimerHandle | None = None
        self._spoke = False
        self._quiet_looks = 0
        self._most_looks = _LOOKS
        self._unsent_bytes = 0
        self._writer = writer  # a writer that is collected closes its transport
        self._transport = writer.transport
        try:
            self._transport.set_write_buffer_limits(high=_UNSENT_BYTES)
            self._transport.set_protocol(self)
        except (AttributeError, NotImplementedError) as error:
            raise CannotTakeOver(str(error) or type(error).__name__) from error
        self.is_open = True
        """Whether commands can be sent."""
        self.is_ready = True
        """Whether it is open and does not ask for patience."""

    # ── sending ──────────────────────────────────────────────────────────────────────────────────

    def send(self, parts: Sequence[Any]) -> asyncio.Future[Any]:
        """Send a command at once; its answer or its error will be in the future."""
        packed = pack(parts)
        future = self._loop.create_future()
        if self._outbox:
            self._outbox.append(packed)
            self._flush()
        else:
            self._transport.write(packed)
        if not self._waiting:
            self._expect(_LOOKS)
        self._waiting.append(future)
        return future

    def send_joined(self, parts: Sequence[Any]) -> asyncio.Future[Any]:
        """Like `send`, but together with what else is sent in this turn of the loop.

        What is sent while nobody waits for an answer leaves at once all the same.
        """
        if not self._waiting:
            return self.send(parts)
        packed = pack(parts)
        future = self._loop.create_future()
        if not self._outbox:
            self._loop.call_soon(self._flush)
        self._outbox.append(packed)
        self._waiting.append(future)
        return future

    def send_blocking(self, seconds: float, *commands: Sequence[Any]) -> list[asyncio.Future[Any]]:
        """Send commands together, the first of which blocks for `seconds` at most.

        The connection is to be used for nothing else meanwhile.
        """
        self._transport.write(b"".join(map(pack, commands)))
        futures = [self._loop.create_future() for _ in commands]
        self._waiting.extend(futures)
        self._expect(_LOOKS + math.ceil(seconds * _LOOKS / self._patience))
        return futures

    def _flush(self) -> None:
        if self._outbox and self.is_open:
            self._transport.write(b"".join(self._outbox))
        self._outbox.clear()

    async def writable(self) -> None:
        """Return when the connection is ready or closed."""
        await self._room.wait()

    def pause_writing(self) -> None:
        """Hold back who has not sent yet: the server takes less than it is given."""
        self.is_ready = False
        self._room.clear()
        self._unsent_bytes = self._transport.get_write_buffer_size()

    def resume_writing(self) -> None:
        """Let them send."""
        self._spoke = True
        self.is_ready = self.is_open
        self._room.set()

    # ── answers ──────────────────────────────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        """Give each answer to who waits for it."""
        self._spoke = True
        reader, waiting = self._reader, self._waiting
        reader.feed(data)
        try:
            while (answer := reader.gets()) is not _MORE:
                future = waiting.popleft()
                if future.done():
                    continue  # who asked was cancelled
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        except (RedisError, IndexError) as error:  # no Redis, or one that answers unasked
            self._give_up(InvalidResponse, f"the server does not speak as expected: {error}")

    def _expect(self, most_looks: int) -> None:
        """Watch for an answer from now on."""
        self._spoke = True
        self._most_looks = most_looks
        if self._watch is None:
            self._watch = self._loop.call_later(self._patience / _LOOKS, self._look)

    def _look(self) -> None:
        if not self._waiting:
            self._watch = None
            return
        self._watch = self._loop.call_later(self._patience / _LOOKS, self._look)
        if not self.is_ready:
            unsent = self._transport.get_write_buffer_size()
            self._spoke = self._spoke or unsent < self._unsent_bytes
            self._unsent_bytes = unsent
        self._quiet_looks = 0 if self._spoke else self._quiet_looks + 1
        self._spoke = False
        if self._quiet_looks >= self._most_looks:
            self._give_up(RedisTimeoutError, "Timeout: the server does not answer")

    # ── the end ──────────────────────────────────────────────────────────────────────────────────

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait."""
        reason = _GONE if exc is None else str(exc)
        self._end(RedisConnectionError, reason or type(exc).__name__)
        self._lost.set()

    def close(self) -> None:
        """Close at once; whoever still waits is told."""
        self._give_up(RedisConnectionError, "the connection was closed")

    async def aclose(self) -> None:
        """Close and wait until nothing is left of the connection."""
        self.close()
        await self._lost.wait()

    def _give_up(self, kind: type[Exception], reason: str) -> None:
        self._end(kind, reason)
        self._transport.abort()

    def _end(self, kind: type[Exception], reason: str) -> None:
        self.is_open = self.is_ready = False
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(kind(reason))
        self._room.set()


def taken_over(connection: Any, patience_seconds: float) -> Wire:
    """Return a wire on the transport of a connected connection of redis-py.

    Raises:
        CannotTakeOver: it does not look as expected; it is as it was, and to be closed.
        RedisConnectionError: it was lost.
    """
    try:
        writer, parse_error = connection._writer, connection._parser.parse_error  # noqa: SLF001
        if connection._reader.at_eof() or writer.is_closing():  # noqa: SLF001
            raise RedisConnectionError(_GONE)
        wire = Wire(cast("asyncio.StreamWriter", writer), parse_error, patience_seconds)
        connection._writer = connection._reader = None  # noqa: SLF001 - now it is ours
    except AttributeError as error:
        raise CannotTakeOver(str(error)) from error
    return wire
