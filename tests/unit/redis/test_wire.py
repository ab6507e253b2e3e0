"""A wire without a server: what leaves, who is answered, when it is given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from octoqueue.redis.packing import pack
from octoqueue.redis.wire import CannotTakeOver, Wire, taken_over

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATIENCE_SECONDS = 3_600.0
"""No look happens by itself: the tests look."""
LOOKS = 8


class Line:
    """A transport that remembers what it was given."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.unsent_bytes = 0
        self.protocol: asyncio.Protocol | None = None
        self.aborted = False

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, *, high: int) -> None:
        assert high > 0, "a TLS transport pauses at once and for ever at 0"

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def is_closing(self) -> bool:
        return self.aborted

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def abort(self) -> None:
        self.aborted = True
        assert self.protocol is not None
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)


class Writer:
    def __init__(self, transport: object) -> None:
        self.transport = transport

    def is_closing(self) -> bool:
        return isinstance(self.transport, Line) and self.transport.is_closing()


class Connection:
    """A connected connection of redis-py, as far as it is looked at."""

    def __init__(self, transport: object) -> None:
        self._writer: Any = Writer(transport)
        self._reader: Any = asyncio.StreamReader()
        self._parser = type("Parser", (), {"parse_error": ResponseError})()


@pytest.fixture
async def line() -> Line:
    return Line()


@pytest.fixture
async def wire(line: Line) -> Wire:
    return taken_over(Connection(line), PATIENCE_SECONDS)


async def told(future: asyncio.Future[Any]) -> object:
    answers: Sequence[object] = await asyncio.gather(future, return_exceptions=True)
    return answers[0]


def look(wire: Wire, times: int = 1) -> None:
    for _ in range(times):
        wire._look()


async def test_answers_come_to_who_asked_in_the_order_of_asking(wire: Wire) -> None:
    futures = [wire.send(("GET", n)) for n in range(3)]
    wire.data_received(b":10\r\n:11\r\n")
    assert [future.done() for future in futures] == [True, True, False]
    wire.data_received(b"*2\r\n:1\r\n$1\r\na\r\n")
    assert await asyncio.gather(*futures) == [10, 11, [1, b"a"]]


async def test_nobody_waits_for_an_answer_before_he_sends(wire: Wire, line: Line) -> None:
    for n in range(3):
        _ = wire.send(("GET", n))
    assert line.sent == [pack(("GET", n)) for n in range(3)]


async def test_what_is_sent_in_one_turn_of_the_loop_leaves_together(wire: Wire, line: Line) -> None:
    for n in range(5):
        _ = wire.send_joined(("GET", n))
    assert line.sent == [pack(("GET", 0))], "nobody was waiting: it need not wait either"
    await asyncio.sleep(0)
    assert line.sent[1:] == [b"".join(pack(("GET", n)) for n in range(1, 5))]


async def test_who_cannot_wait_takes_along_what_was_collected(wire: Wire, line: Line) -> None:
    _ = wire.send_joined(("GET", 0))
    _ = wire.send_joined(("GET", 1))
    _ = wire.send(("GET", 2))
    assert b"".join(line.sent) == b"".join(pack(("GET", n)) for n in range(3))
    await asyncio.sleep(0)
    assert len(line.sent) == 2, "nothing is sent twice"


async def test_an_error_of_the_server_is_raised_where_the_command_was_sent(wire: Wire) -> None:
    first, second = wire.send(("GET", 0)), wire.send(("GET", 1))
    wire.data_received(b"-ERR no\r\n+OK\r\n")
    with pytest.raises(ResponseError, match="no"):
        await first
    assert await second == b"OK"


async def test_the_answer_of_who_was_cancelled_is_dropped(wire: Wire) -> None:
    first, second, third = (wire.send(("GET", n)) for n in range(3))
    second.cancel()
    wire.data_received(b":0\r\n:1\r\n:2\r\n")
    assert (await first, await third) == (0, 2)


async def test_silence_for_the_whole_timeout_ends_the_connection_for_all(
    wire: Wire, line: Line
) -> None:
    futures = [wire.send(("GET", n)) for n in range(3)]
    look(wire, LOOKS)
    assert not futures[0].done(), "the first look only notices that the question is new"
    look(wire)
    for future in futures:
        with pytest.raises(RedisTimeoutError):
            await future
    assert line.aborted
    assert not wire.is_open


async def test_an_answer_that_comes_in_pieces_is_no_silence(wire: Wire) -> None:
    future = wire.send(("GET", 0))
    for byte in b"$100\r\n" + b"x" * 100 + b"\r\n":
        look(wire, LOOKS - 1)
        wire.data_received(bytes([byte]))
    assert await future == b"x" * 100


async def test_a_connection_nobody_waits_on_may_be_silent(wire: Wire) -> None:
    future = wire.send(("GET", 0))
    wire.data_received(b":0\r\n")
    await future
    look(wire, 3 * LOOKS)
    assert wire.is_open
    again = wire.send(("GET", 0))
    look(wire, LOOKS)
    wire.data_received(b":0\r\n")
    assert await again == 0, "the silence before it was asked does not count"


async def test_a_command_that_blocks_may_be_silent_for_as_long_as_it_blocks(wire: Wire) -> None:
    (blocked,) = wire.send_blocking(PATIENCE_SECONDS * 10, ("BLPOP", "a", PATIENCE_SECONDS * 10))
    look(wire, 11 * LOOKS)
    assert wire.is_open
    look(wire)
    with pytest.raises(RedisTimeoutError):
        await blocked


async def test_commands_behind_one_that_blocks_leave_with_it(wire: Wire, line: Line) -> None:
    rung, ran = wire.send_blocking(1, ("BLPOP", "a", 1), ("EVALSHA", "b", 0))
    assert line.sent == [pack(("BLPOP", "a", 1)) + pack(("EVALSHA", "b", 0))]
    wire.data_received(b"*-1\r\n:5\r\n")
    assert (await rung, await ran) == (None, 5)


async def test_who_sends_is_held_back_while_the_server_does_not_take_it(
    wire: Wire, line: Line
) -> None:
    _ = wire.send(("SET", 0, bytes(100)))
    line.unsent_bytes = 100
    wire.pause_writing()
    held = asyncio.ensure_future(wire.writable())
    await asyncio.sleep(0)
    assert not wire.is_ready
    assert not held.done()
    wire.resume_writing()
    await held
    assert wire.is_ready


async def test_what_is_sent_slowly_is_no_silence(wire: Wire, line: Line) -> None:
    _ = wire.send(("SET", 0, bytes(100)))
    line.unsent_bytes = 100
    wire.pause_writing()
    for left in range(99, 0, -1):
        look(wire, LOOKS - 1)
        line.unsent_bytes = left
    assert wire.is_open
    look(wire, LOOKS + 1)
    assert not wire.is_open


async def test_who_is_held_back_is_let_go_when_the_connection_ends(wire: Wire) -> None:
    asked = wire.send(("SET", 0, 0))
    wire.pause_writing()
    held = asyncio.ensure_future(wire.writable())
    await asyncio.sleep(0)
    wire.connection_lost(ConnectionResetError("reset by peer"))
    await held
    wire.resume_writing()
    assert not wire.is_ready
    with pytest.raises(RedisConnectionError, match="reset by peer"):
        await asked


@pytest.mark.parametrize("said", [b":1\r\n:2\r\n", b"HTTP/1.1 400 Bad Request\r\n"])
async def test_who_does_not_speak_as_redis_does_is_given_up(
    wire: Wire, line: Line, said: bytes
) -> None:
    asked = wire.send(("GET", 0))
    wire.data_received(said)
    assert line.aborted
    assert isinstance(await told(asked), (int, InvalidResponse))


async def test_closing_tells_who_waits_and_leaves_nothing(wire: Wire, line: Line) -> None:
    asked = wire.send(("GET", 0))
    await wire.aclose()
    await wire.aclose()
    assert line.aborted
    with pytest.raises(RedisConnectionError):
        await asked


def without_set_protocol() -> Connection:
    line = Line()
    line.set_protocol = cast("Callable[..., None]", asyncio.Transport().set_protocol)  # type: ignore[method-assign]
    return Connection(line)


def without_writer() -> Connection:
    connection = Connection(Line())
    del connection._writer
    return connection


def without_transport() -> Connection:
    return Connection(None)


@pytest.mark.parametrize("made", [without_set_protocol, without_writer, without_transport])
async def test_what_does_not_look_as_expected_is_not_taken_over(
    made: Callable[[], Connection],
) -> None:
    connection = made()
    with pytest.raises(CannotTakeOver):
        taken_over(connection, PATIENCE_SECONDS)
    assert connection._reader is not None, "it is redis-py's to close"


async def test_a_connection_that_ended_while_it_was_made_is_lost() -> None:
    ended, closed = Connection(Line()), Connection(Line())
    ended._reader.feed_eof()
    closed._writer.transport.aborted = True
    for connection in (ended, closed):
        with pytest.raises(RedisConnectionError):
            taken_over(connection, PATIENCE_SECONDS)
