"""The socket of the HTTP application."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from octoqueue.cli.listening import listen, status_of, url_of
from octoqueue.cli.supervision import this_program
from octoqueue.errors import ConfigError, PortTaken


def test_port_0_takes_a_free_one_and_the_url_names_it() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert url_of(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}"


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


EVERYWHERE = [("0.0.0.0", "127.0.0.1"), *([("::", "[::1]")] if has_ipv6() else [])]


@pytest.mark.parametrize(("host", "shown"), EVERYWHERE)
def test_an_address_for_everybody_is_shown_as_this_machine(host: str, shown: str) -> None:
    with listen(host, 0) as listening:
        assert url_of(listening) == f"http://{shown}:{listening.getsockname()[1]}"


def test_a_port_that_is_taken_is_named() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is taken") as caught:
            listen("127.0.0.1", port)
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused_by_its_key() -> None:
    with pytest.raises(ConfigError, match=r"http\.host: cannot listen on 192\.0\.2\.1"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("answer", "status"),
    [(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 503), (b"nonsense\r\n", None), (b"", None)],
)
async def test_the_status_of_an_answer_is_read_and_nothing_else(
    answer: bytes, status: int | None
) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readline()).startswith(b"GET /health HTTP/1.1")
        writer.write(answer)
        await writer.drain()
        writer.close()

    with listen("127.0.0.1", 0) as listening:
        async with await asyncio.start_server(reply, sock=listening.dup()):
            assert await status_of(listening, "/health") == status


async def test_nobody_who_answers_is_no_status() -> None:
    with listen("127.0.0.1", 0) as listening:
        gone = socket.socket(fileno=os.dup(listening.fileno()))
        gone.shutdown(socket.SHUT_RDWR)
        gone.close()
        assert await status_of(listening, "/health") is None


def test_a_child_gets_one_address_under_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCTOQUEUE_REDIS__URL", "redis://outer")
    monkeypatch.setenv("OCTOQUEUE_REDIS__POOL_SIZE", "3")
    environment = this_program(None, OCTOQUEUE_REDIS_URL="unix:///inner").environment
    ours = {name: value for name, value in environment.items() if name.startswith("OCTOQUEUE_")}
    assert ours == {"OCTOQUEUE_REDIS_URL": "unix:///inner", "OCTOQUEUE_REDIS__POOL_SIZE": "3"}
