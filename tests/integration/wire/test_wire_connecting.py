"""How the connection of our own comes to be: as redis-py makes it, or not at all.

The certificate and its key, for localhost, protect nothing: they are made for these tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
import redis

from octoqueue.errors import StoreUnavailable
from octoqueue.redis import wires
from octoqueue.redis.client import RedisClient
from octoqueue.redis.scripts import ScriptCall, script
from octoqueue.redis.wire import CannotTakeOver
from tests.contract.redis_processes import RedisProcess, free_port
from tests.contract.redis_worlds import redis_world
from tests.contract.world import SOON, messages, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

CERTIFICATE = Path(__file__).parent / "certificate" / "certificate.pem"
KEY = CERTIFICATE.with_name("key.pem")
LARGE = bytes(range(256)) * 20_000


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncGenerator[RedisClient]:
    client = RedisClient(url)
    try:
        yield client
    finally:
        await client.aclose()


@pytest.fixture
def tcp_server(tmp_path: Path) -> Iterator[RedisProcess]:
    server = RedisProcess(tmp_path / "tcp", port=free_port())
    server.start()
    yield server
    server.kill()


async def everything_works(client: RedisClient) -> None:
    assert client._wires is not None
    answers = await asyncio.gather(
        *(client.command("ECHO", f"{n}") for n in range(50)),
        client.command("SET", "large", LARGE),
        client.command("GET", "large"),
    )
    assert answers == [b"%d" % n for n in range(50)] + [b"OK", LARGE]
    await client.command("RPUSH", "bell", 1)
    assert await client.wait_for_push(["bell"], timeout=SOON) == "bell"
    world = redis_world(client)
    await world.put(*messages(100))
    assert len(await world.claim(100)) == 100
    assert client._wires.shared is not None
    assert client._wires.shared.is_open


async def test_over_tcp_everything_works_and_nothing_is_delayed(tcp_server: RedisProcess) -> None:
    async with connected(tcp_server.url) as client:
        await everything_works(client)
        assert client._wires is not None
        assert client._wires.shared is not None
        line = client._wires.shared._transport.get_extra_info("socket")
        assert line.getsockopt(6, 1) != 0, "TCP_NODELAY"


async def test_over_tls_everything_works(server: RedisProcess) -> None:
    async with tls_before(server) as port:
        query = urlencode({"ssl_ca_certs": CERTIFICATE})
        async with connected(f"rediss://localhost:{port}/0?{query}") as client:
            await everything_works(client)
            server.drop(server.clients())
            await until(lambda: not server_clients(server))
            with contextlib.suppress(StoreUnavailable):
                await client.command("PING")
            await everything_works(client)


@contextlib.asynccontextmanager
async def tls_before(server: RedisProcess) -> AsyncGenerator[int]:
    """A port of this machine that speaks TLS and passes all on to the server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE, KEY)
    serving = set[asyncio.Task[None]]()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(_pass_both_ways(reader, writer, server)))

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as listening:
        yield listening.sockets[0].getsockname()[1]
        await asyncio.gather(*serving)


async def _pass_both_ways(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: RedisProcess
) -> None:
    there, back = await asyncio.open_unix_connection(str(server.socket))
    await asyncio.gather(_pass(reader, back), _pass(there, writer))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def server_clients(server: RedisProcess) -> list[dict[str, str]]:
    return [client for client in server.clients() if client["name"] == "octoqueue"]


async def test_database_password_and_name_are_as_redis_py_makes_them(
    tcp_server: RedisProcess,
) -> None:
    tcp_server.ask("ACL", "SETUSER", "ada", "on", ">se:cret", "~*", "&*", "+@all")
    tcp_server.ask("ACL", "SETUSER", "default", "off")
    there = f"127.0.0.1:{tcp_server.port}"
    async with connected(f"redis://ada:se%3Acret@{there}/3") as client:
        await everything_works(client)
        known = await client.command("CLIENT", "LIST")
        assert b" name=octoqueue " in known
        assert b" db=3 " in known
        assert b" user=ada " in known
    for wrong in (f"redis://ada:wrong@{there}", f"redis://{there}"):
        async with connected(wrong) as client:
            answers = await asyncio.gather(
                client.command("PING"),
                client.wait_for_push(["bell"], timeout=SOON),
                return_exceptions=True,
            )
            assert [type(answer) for answer in answers] == [StoreUnavailable] * 2
    with redis.Redis.from_url(f"redis://ada:se%3Acret@{there}") as other:
        await until(lambda: len(other.client_list()) == 1)


@pytest.mark.parametrize("first", ["command", "bell", "bell and script"])
async def test_where_a_connection_cannot_be_taken_over_redis_py_is_used_and_that_is_said_once(
    client: RedisClient,
    server: RedisProcess,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    first: str,
) -> None:
    def refused(*_: object) -> None:
        raise CannotTakeOver("no transport")

    monkeypatch.setattr(wires, "taken_over", refused)
    server.ask("RPUSH", "bell", 1)
    if first == "bell":
        assert await client.wait_for_push(["bell"], timeout=SOON) == "bell"
    if first == "bell and script":
        call = ScriptCall(script("expiry"), ["workers"], [0])
        which, answer = await client.call_after_push(["bell"], call, timeout=SOON)
        assert (which, type(answer)) == ("bell", int)
    answers = await asyncio.gather(*(client.command("ECHO", f"{n}") for n in range(50)))
    assert answers == [b"%d" % n for n in range(50)]
    world = redis_world(client)
    await world.put(*messages(10))
    assert len(await world.claim(10)) == 10
    said = [record for record in caplog.records if record.msg == "pipelining_impossible"]
    assert len(said) == 1
    assert said[0].__dict__["reason"] == "no transport"
