from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bench.child import Child

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ROUND_TRIP_MS = 40.0


@asynccontextmanager
async def echo_behind_proxy(path: Path) -> AsyncIterator[int]:
    """Give the port of a proxy before a server that sends everything back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
        writer.close()

    proxy = Child("bench.proxy", unix_path=str(path), round_trip_ms=ROUND_TRIP_MS)
    async with await asyncio.start_unix_server(echo, str(path)), proxy:
        yield (await proxy.expect("ready"))["port"]


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async with echo_behind_proxy(tmp_path / "echo.sock") as port:
        yield port


async def test_a_round_trip_takes_as_long_as_it_was_told(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    writer.write(b"there and back")
    assert await reader.readexactly(14) == b"there and back"
    assert time.monotonic() - began >= ROUND_TRIP_MS / 1e3
    writer.close()


async def test_what_is_sent_together_arrives_together_and_in_order(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = b"".join(b"%08d" % number for number in range(100_000))
    writer.write(sent)
    assert await reader.readexactly(len(sent)) == sent
    writer.close()


async def test_an_end_on_one_side_is_an_end_on_the_other(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"last")
    writer.write_eof()
    assert await reader.read() == b"last"
    writer.close()
