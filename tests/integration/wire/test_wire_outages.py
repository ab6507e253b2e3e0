"""The connection of our own when the server, the link or the caller does not do its part."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from datetime import timedelta
from hashlib import sha1
from random import Random
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import StoreUnavailable
from octoqueue.redis.client import RedisClient
from octoqueue.redis.scripts import Script, ScriptCall
from tests.contract.world import SOON, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.contract.redis_processes import RedisProcess

TIMEOUT = timedelta(milliseconds=300)
CALLERS = 100
INSTANTS = 40


@pytest.fixture
async def hasty(server: RedisProcess) -> AsyncGenerator[RedisClient]:
    client = RedisClient(server.url, timeout=TIMEOUT)
    yield client
    await client.aclose()


def connections(server: RedisProcess) -> int:
    return sum(client["name"] == "octoqueue" for client in server.clients())


def is_connected(client: RedisClient) -> bool:
    assert client._wires is not None
    return client._wires.shared is not None and client._wires.shared.is_open


async def all_are_told(client: RedisClient) -> None:
    began = time.monotonic()
    answers = await asyncio.gather(
        *(client.command("INCR", "n") for _ in range(CALLERS)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [StoreUnavailable] * CALLERS
    assert time.monotonic() - began < 3, "one attempt is for all who ask, not one after another"


async def test_any_number_of_callers_makes_one_connection(
    client: RedisClient, server: RedisProcess
) -> None:
    for _ in range(2):
        await asyncio.gather(*(client.command("INCR", "n") for _ in range(CALLERS)))
        assert connections(server) == 1
        server.drop(server.clients())
        await until(lambda: not is_connected(client))
    assert await client.command("GET", "n") == b"%d" % (2 * CALLERS)


async def test_all_callers_are_told_of_a_dead_server_and_go_on_when_it_is_back(
    hasty: RedisClient, server: RedisProcess
) -> None:
    await hasty.command("PING")
    server.kill()
    await all_are_told(hasty)
    server.start()
    await asyncio.gather(*(hasty.command("INCR", "n") for _ in range(CALLERS)))


@pytest.mark.parametrize("warm", [True, False], ids=["connected", "never connected"])
async def test_all_callers_are_told_of_a_server_that_hangs(
    hasty: RedisClient,
    server: RedisProcess,
    warm: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    if warm:
        await hasty.command("PING")
    server.send(signal.SIGSTOP)
    try:
        await all_are_told(hasty)
        await all_are_told(hasty)
    finally:
        server.send(signal.SIGCONT)
    assert await hasty.command("PING") == b"PONG"


async def test_who_waits_at_a_bell_is_told_of_a_server_that_hangs(
    hasty: RedisClient, server: RedisProcess
) -> None:
    waiter = asyncio.create_task(hasty.wait_for_push(["bell"], timeout=TIMEOUT))
    await until(lambda: any("b" in client["flags"] for client in server.clients()))
    server.send(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable):
            await waiter
    finally:
        server.send(signal.SIGCONT)


async def test_a_loop_that_was_busy_for_longer_than_the_timeout_hears_its_answers(
    hasty: RedisClient,
) -> None:
    await hasty.command("PING")
    for _ in range(3):
        call = asyncio.create_task(hasty.command("PING"))
        await asyncio.sleep(0)
        threading.Event().wait(2 * TIMEOUT.total_seconds())  # an actor that computes
        assert await call == b"PONG"


async def test_large_and_small_answers_and_questions_do_not_time_each_other_out(
    hasty: RedisClient,
) -> None:
    large = bytes(range(256)) * 40_000
    await hasty.command("SET", "large", large)
    found = await asyncio.gather(
        *(hasty.command("GET", "large") for _ in range(5)),
        *(hasty.command("SET", f"large:{n}", large) for n in range(5)),
        *(hasty.command("GET", "none") for _ in range(50)),
    )
    assert found == [large] * 5 + [b"OK"] * 5 + [None] * 50


async def test_a_cancelled_caller_disturbs_nobody(
    client: RedisClient, server: RedisProcess
) -> None:
    async def count() -> None:
        while True:
            await client.command("INCR", "n")

    for turns in range(INSTANTS):
        asked = [asyncio.create_task(client.command("ECHO", f"{n}")) for n in range(10)]
        counting = asyncio.create_task(count())
        for _ in range(turns % 10):
            await asyncio.sleep(0)
        for task in (*asked[::2], counting):
            task.cancel()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert answers[1::2] == [b"1", b"3", b"5", b"7", b"9"]
    assert connections(server) == 1


async def test_closing_in_any_instant_tells_who_waits_and_leaves_nothing(
    server: RedisProcess,
) -> None:
    for turns in range(1, INSTANTS):  # asked later, it would connect again
        client = RedisClient(server.url)
        asked = [asyncio.create_task(client.command("PING")) for _ in range(3)]
        asked.append(asyncio.create_task(client.wait_for_push(["bell"], timeout=SOON)))
        for _ in range(turns):
            await asyncio.sleep(0)
        await client.aclose()
        async with asyncio.timeout(5):
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(answer) for answer in answers} <= {bytes, StoreUnavailable}
        await client.aclose()
    await until(lambda: not connections(server))


async def test_a_closed_client_connects_again_when_it_is_asked(client: RedisClient) -> None:
    await client.command("PING")
    await client.aclose()
    assert await client.command("PING") == b"PONG"


class Half:
    """A socket in front of Redis that passes some bytes of the answers, and then no more."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.passes = 1 << 30
        self.hangs_up = False
        self.serving: set[asyncio.Task[None]] = set()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self.target)
        asking = asyncio.create_task(self._ask(reader, back))
        while data := await there.read(65_536):
            here = data[: self.passes]
            self.passes -= len(here)
            with contextlib.suppress(OSError):
                writer.write(here)
                await writer.drain()
            if self.hangs_up and not self.passes:
                break
        for stream in (writer, back):
            stream.close()
            with contextlib.suppress(OSError):
                await stream.wait_closed()
        await asking

    @staticmethod
    async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()


@pytest.mark.parametrize("hangs_up", [True, False], ids=["hangs up", "hangs"])
async def test_half_an_answer_is_none_and_never_taken_for_a_part_of_the_next(
    server: RedisProcess,
    tmp_path: Path,
    hangs_up: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    link = Half(str(server.socket))
    async with await asyncio.start_unix_server(link.serve, tmp_path / "s"):
        client = RedisClient(f"unix://{tmp_path / 's'}", timeout=TIMEOUT)
        await client.command("SET", "word", "half an answer")
        for passes in (0, 1, 4, 6, 19):
            assert await client.command("GET", "word") == b"half an answer"
            link.hangs_up, link.passes = hangs_up, passes
            answers = await asyncio.gather(
                *(client.command("GET", "word") for _ in range(3)), return_exceptions=True
            )
            assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
            link.passes, link.hangs_up = 1 << 30, False
        await client.aclose()
        await asyncio.gather(*link.serving)


async def test_whatever_happens_to_connections_and_callers_each_gets_his_own_answer(
    client: RedisClient, server: RedisProcess
) -> None:
    """And what was answered took effect; what was not may have, but nothing ran twice."""
    random = Random(4)
    answered = list[str]()
    unanswered = list[str]()

    async def ask(caller: int) -> None:
        for number in range(150):
            word = f"{caller}:{number}"
            asked = asyncio.create_task(
                client.command("RPUSH", "words", word)
                if number % 3
                else client.call_after_push(["words"], echo(word), timeout=SOON)
            )
            if random.random() < 0.1:
                for _ in range(random.randrange(6)):
                    await asyncio.sleep(0)
                asked.cancel()
            found: object = (await asyncio.gather(asked, return_exceptions=True))[0]
            if isinstance(found, tuple):
                assert found[1] == word.encode()
            elif isinstance(found, int):
                answered.append(word)
            else:
                assert isinstance(found, (StoreUnavailable, asyncio.CancelledError))
                unanswered.append(word)

    async def disturb() -> None:
        for _ in range(40):
            clients = await asyncio.to_thread(server.clients)
            await asyncio.to_thread(server.drop, random.sample(clients, len(clients) // 2))

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for caller in range(20):
            group.create_task(ask(caller))
        group.create_task(disturb())
    assert len(answered) > len(unanswered)
    left = [word.decode() for word in await client.command("LRANGE", "words", 0, -1)]
    assert len(left) == len(set(left))
    assert set(left) <= {*answered, *unanswered}


def echo(word: str) -> ScriptCall:
    source = "return ARGV[1]"
    sha = sha1(source.encode(), usedforsecurity=False).hexdigest()
    return ScriptCall(Script("echo", source, sha), [], [word])


async def test_a_link_that_breaks_while_the_connection_is_made_is_an_outage(
    server: RedisProcess, tmp_path: Path
) -> None:
    link = Half(str(server.socket))
    async with await asyncio.start_unix_server(link.serve, tmp_path / "s"):
        for passes in (0, 1, 5, 6, 12):
            link.hangs_up, link.passes = True, passes
            client = RedisClient(f"unix://{tmp_path / 's'}", timeout=TIMEOUT)
            asked = [client.command("PING"), client.wait_for_push(["bell"], timeout=TIMEOUT)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(answer) for answer in answers} <= {StoreUnavailable, bytes, type(None)}
            assert StoreUnavailable in {type(answer) for answer in answers}
            link.passes, link.hangs_up = 1 << 30, False
            assert await client.command("PING") == b"PONG"
            await client.aclose()
        await asyncio.gather(*link.serving)
