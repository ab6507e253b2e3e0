"""Several processes, one instance."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest
import redis

from octoqueue.embedded.life_lock import LifeLock
from octoqueue.embedded.services import EmbeddedServices
from octoqueue.errors import EmbeddedError
from tests.embedded_process import SERVERS, Process
from tests.running import until
from tests.servers import wait_until_free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def process(state_dir: Path) -> Iterator[Callable[[], Process]]:
    begun: list[Process] = []

    def begin() -> Process:
        begun.append(Process(state_dir))
        return begun[-1]

    yield begin
    for each in begun:
        each.leave()


async def write(services: EmbeddedServices) -> None:
    """Write something that must outlive the servers."""
    client = redis.Redis.from_url(await services.start_redis())
    client.set("kept", "yes")
    client.close()
    connection = await asyncpg.connect(await services.start_postgres())
    await connection.execute("create table kept as select 'yes' as answer")
    await connection.close()


async def assert_kept(services: EmbeddedServices) -> None:
    """Read what `write` wrote."""
    client = redis.Redis.from_url(await services.start_redis())
    assert client.get("kept") == b"yes"
    client.close()
    connection = await asyncpg.connect(await services.start_postgres())
    assert await connection.fetchval("select answer from kept") == "yes"
    await connection.close()


async def test_servers_left_running_can_be_shut_down_by_anybody_and_keep_their_data(
    process: Callable[[], Process], state_dir: Path
) -> None:
    starter = process()
    for server in SERVERS:
        starter.tell(f"start {server}")
        starter.hear()
    services = EmbeddedServices(state_dir)
    await write(services)
    pids = starter.pids()
    assert await services.shut_down() == {server: pids[server] for server in SERVERS}
    assert await EmbeddedServices(state_dir).shut_down() == {}
    async with services:
        await assert_kept(services)


@pytest.mark.parametrize("server", SERVERS)
def test_processes_that_start_at_the_same_time_share_one_server(
    process: Callable[[], Process], server: str
) -> None:
    crowd = [process() for _ in range(4)]
    for each in crowd:
        each.tell(f"start {server}")
    urls = {each.hear() for each in crowd}
    pids = {each.pids()[server] for each in crowd}
    assert len(urls) == len(pids) == 1
    (pid,) = pids
    assert pid
    assert os.getsid(pid) == pid, "Ctrl-C in the terminal of a starter would reach it"


def test_only_the_starter_stops_the_servers(process: Callable[[], Process]) -> None:
    starter, joiner = process(), process()
    for each in (starter, joiner):
        for server in SERVERS:
            each.ask(f"start {server}")
    running = starter.pids()

    assert joiner.ask("stop") is None
    assert starter.pids() == running

    assert starter.ask("stop") is None
    assert joiner.pids() == dict.fromkeys(SERVERS)


def test_servers_outlive_a_starter_that_was_killed_and_are_joined(
    process: Callable[[], Process],
) -> None:
    starter = process()
    for server in SERVERS:
        starter.ask(f"start {server}")
    running = starter.pids()
    starter.kill()

    joiner = process()
    for server in SERVERS:
        joiner.ask(f"start {server}")
    assert joiner.pids() == running


async def test_who_takes_the_place_of_a_starter_that_was_killed_can_own_its_servers(
    process: Callable[[], Process], state_dir: Path
) -> None:
    starter = process()
    for server in SERVERS:
        starter.ask(f"start {server}")
    starter.kill()
    told: list[dict[str, int]] = []
    pids = {name: _pid(state_dir, name) for name in SERVERS}
    async with EmbeddedServices(state_dir, on_change=told.append) as services:
        await services.adopt(pids)
        await services.start_redis()
        assert told == [pids]
        assert [status.started_here for status in await services.status()] == [True, True]
    assert [LifeLock(state_dir / f"{name}.lock").holder() for name in SERVERS] == [None, None]
    assert told[-1] == {}


async def test_servers_that_somebody_else_has_started_meanwhile_are_not_owned(
    process: Callable[[], Process], state_dir: Path
) -> None:
    starter = process()
    for server in SERVERS:
        starter.ask(f"start {server}")
    async with EmbeddedServices(state_dir) as services:
        await services.adopt({name: _pid(state_dir, name) + 1 for name in SERVERS})
    assert all(LifeLock(state_dir / f"{name}.lock").holder() for name in SERVERS)


def _pid(state_dir: Path, name: str) -> int:
    pid = LifeLock(state_dir / f"{name}.lock").holder()
    assert pid is not None
    return pid


async def test_data_survives_a_stop_and_a_start(state_dir: Path) -> None:
    async with EmbeddedServices(state_dir) as services:
        await write(services)
    async with EmbeddedServices(state_dir) as services:
        await assert_kept(services)


async def test_servers_that_were_killed_start_again_with_their_data(state_dir: Path) -> None:
    async with EmbeddedServices(state_dir) as services:
        await write(services)
        before = {status.name: status.pid for status in await services.status()}
        for pid in before.values():
            assert pid
            os.kill(pid, signal.SIGKILL)
        assert (state_dir / "postgres/data/postmaster.pid").exists()
        assert (state_dir / "redis/redis.sock").exists()

        await assert_kept(services)
        after = {status.name: status.pid for status in await services.status()}
        assert set(before.values()).isdisjoint(after.values())


async def test_who_restarts_a_server_that_was_killed_is_who_stops_it(state_dir: Path) -> None:
    async with EmbeddedServices(state_dir) as first, EmbeddedServices(state_dir) as second:
        await first.start_redis()
        redis_status, _ = await first.status()
        assert redis_status.pid
        os.kill(redis_status.pid, signal.SIGKILL)
        wait_until_free(LifeLock(state_dir / "redis.lock"))

        await second.start_redis()
        await first.stop()
        restarted, _ = await second.status()
        assert restarted.pid
        assert restarted.started_here
        await second.stop()
        stopped, _ = await second.status()
        assert stopped.pid is None


@pytest.mark.parametrize("is_joined", [False, True], ids=["started", "joined"])
async def test_a_server_that_dies_is_brought_back_while_it_is_kept_alive(
    state_dir: Path, process: Callable[[], Process], *, is_joined: bool
) -> None:
    async with EmbeddedServices(state_dir) as services:
        if is_joined:
            for server in SERVERS:
                process().ask(f"start {server}")
        await write(services)
        before = {status.name: status.pid for status in await services.status()}
        keeping = asyncio.create_task(services.keep_alive())
        try:
            for pid in before.values():
                assert pid
                os.kill(pid, signal.SIGKILL)
            locks = [LifeLock(state_dir / f"{server}.lock") for server in SERVERS]
            gone = {None, *before.values()}
            await until(lambda: all(lock.holder() not in gone for lock in locks))
            await assert_kept(services)
        finally:
            keeping.cancel()
    assert all(status.pid is None for status in await services.status())


async def test_a_server_that_was_stopped_is_not_brought_back(state_dir: Path) -> None:
    async with EmbeddedServices(state_dir) as services:
        await services.start_redis()
        await services.stop()
        server = services._redis
        server.revive(timeout=timedelta(seconds=10))
        assert server.status().pid is None


async def test_a_server_that_hangs_is_reported_and_not_started_twice(state_dir: Path) -> None:
    async with EmbeddedServices(state_dir) as starter, EmbeddedServices(state_dir) as joiner:
        url = await starter.start_redis()
        status, _ = await starter.status()
        assert status.pid
        os.kill(status.pid, signal.SIGSTOP)
        with pytest.raises(EmbeddedError, match=f"process {status.pid} holds redis.lock"):
            await joiner.start_redis(timeout=timedelta(milliseconds=10))
        os.kill(status.pid, signal.SIGCONT)
        assert await joiner.start_redis() == url


async def test_an_initdb_that_was_interrupted_is_begun_anew(state_dir: Path) -> None:
    (state_dir / "postgres/data.new/base").mkdir(parents=True)
    (state_dir / "postgres").chmod(0o700)
    async with EmbeddedServices(state_dir) as services:
        dsn = await services.start_postgres()
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("select current_database()") == "octoqueue"
        await connection.close()


async def test_a_database_that_was_dropped_is_created_again(state_dir: Path) -> None:
    async with EmbeddedServices(state_dir) as services:
        dsn = await services.start_postgres()
        connection = await asyncpg.connect(dsn, database="postgres")
        await connection.execute("drop database octoqueue")
        await connection.close()
        assert await services.start_postgres() == dsn
        connection = await asyncpg.connect(dsn)
        await connection.close()


async def test_the_servers_are_set_up_to_lose_nothing(state_dir: Path) -> None:
    async with EmbeddedServices(state_dir) as services:
        client = redis.Redis.from_url(await services.start_redis(), decode_responses=True)
        settings = {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "port": "0",
            "save": "",
        }
        assert settings.items() <= client.config_get().items()
        client.close()
        connection = await asyncpg.connect(await services.start_postgres())
        assert await connection.fetchval("show fsync") == "on"
        assert await connection.fetchval("show synchronous_commit") == "on"
        assert await connection.fetchval("show listen_addresses") == ""
        assert await connection.fetchval("show server_encoding") == "UTF8"
        assert (await connection.fetchval("show server_version")).startswith("18.")
        await connection.close()
