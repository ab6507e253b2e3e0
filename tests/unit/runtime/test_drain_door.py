"""The door at which a worker is told that it will be stopped, and says what it still runs."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

import orjson
import pytest

import octoqueue
from octoqueue.cli.main import main
from octoqueue.runtime.drain_door import QUIET, STATUS, DrainDoor, doors_of_this_user, live_doors
from tests.running import Gate, broker_on, running, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for temporary files whose name leaves room for that of a socket."""
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    rmtree(place)


class Doors:
    """A worker with a message that runs, and its door."""

    def __init__(self) -> None:
        self.broker, self.gate = broker_on(), Gate()

    @asynccontextmanager
    async def opened(self, **options: Any) -> AsyncGenerator[DrainDoor]:  # noqa: ANN401
        @octoqueue.actor(broker=self.broker)
        async def hold() -> None:
            octoqueue.spent(2)
            await self.gate.pass_through()

        async with self.broker.connected(), running(self.broker, **options) as worker:
            door = DrainDoor(worker, name="coder-1")
            await door.start()
            await hold.asend()
            await until(lambda: len(worker.running) == 1)
            try:
                yield door
            finally:
                self.gate.opened.set()
                await door.stop()


async def ask(question: bytes) -> dict[str, Any]:
    (door,) = await asyncio.to_thread(live_doors)
    reader, writer = await asyncio.open_unix_connection(str(door))
    writer.write(question)
    said: dict[str, Any] = orjson.loads(await reader.readline())
    writer.close()
    return said


@pytest.mark.usefixtures("temporary")
async def test_it_says_what_runs_and_asking_changes_nothing() -> None:
    doors = Doors()
    async with doors.opened() as door:
        said = await ask(STATUS)
        assert (said["name"], said["pid"], said["running"]) == ("coder-1", os.getpid(), 1)
        assert said["at_risk_cost"] == 2
        (oldest,) = said["oldest"]
        assert oldest["actor"] == "hold"
        assert oldest["seconds"] >= 0
        assert not door._worker._presence.said().is_draining


@pytest.mark.usefixtures("temporary")
async def test_a_worker_that_is_told_claims_nothing_more() -> None:
    doors = Doors()
    async with doors.opened() as door:
        assert (await ask(QUIET))["running"] == 1
        assert door._worker._presence.said().is_draining
        doors.gate.opened.set()
        await until(lambda: not door._worker.running)
        assert (await ask(STATUS))["running"] == 0


@pytest.mark.usefixtures("temporary")
async def test_nonsense_is_answered_and_does_no_harm() -> None:
    doors = Doors()
    async with doors.opened() as door:
        assert (await ask(b"\xff\x00 what\n"))["running"] == 1
        assert not door._worker._presence.said().is_draining


@pytest.mark.usefixtures("temporary")
async def test_who_talks_without_an_end_is_sent_away() -> None:
    async with Doors().opened():
        (door,) = live_doors()
        reader, writer = await asyncio.open_unix_connection(str(door))
        writer.write(b"x" * 1_000)
        assert await reader.read() == b""
        writer.close()


@pytest.mark.usefixtures("temporary")
async def test_a_closed_door_leaves_nothing_behind() -> None:
    async with Doors().opened():
        assert len(live_doors()) == 1
    assert list(doors_of_this_user().iterdir()) == []


def test_the_door_of_a_killed_worker_is_removed(temporary: Path) -> None:
    doors_of_this_user().mkdir()
    left = doors_of_this_user() / "1-dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    assert left.exists()
    assert live_doors() == []
    assert not left.exists()


async def test_a_worker_does_without_where_others_may_write(temporary: Path) -> None:
    doors_of_this_user().mkdir()
    doors_of_this_user().chmod(0o777)
    async with Doors().opened():
        assert list(doors_of_this_user().iterdir()) == []


@pytest.mark.usefixtures("temporary")
def test_a_socket_that_somebody_else_may_have_planted_is_no_door() -> None:
    doors_of_this_user().mkdir()
    doors_of_this_user().chmod(0o777)
    with socket.socket(socket.AF_UNIX) as planted:
        planted.bind(str(doors_of_this_user() / "1-planted.sock"))
        planted.listen()
        assert live_doors() == []


async def test_a_worker_does_without_where_the_path_is_too_long(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / ("x" * 100)))
    async with Doors().opened():
        assert live_doors() == []


# ── the command ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.usefixtures("temporary")
def test_draining_where_no_worker_is_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drain", "--for", "1s"]) == 1
    assert capsys.readouterr().err == "octoqueue: no worker is here that could be drained\n"


@pytest.mark.usefixtures("temporary")
def test_a_duration_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drain", "--for", "soon"]) == 2
    assert "--for: is no duration" in capsys.readouterr().err


@pytest.mark.usefixtures("temporary")
async def test_only_the_worker_that_was_named_is_told() -> None:
    async with Doors().opened() as door:
        code = await asyncio.to_thread(main, ["drain", "--pid", "1", "--for", "1s"])
        assert code == 1
        assert not door._worker._presence.said().is_draining


@pytest.mark.usefixtures("temporary")
async def test_the_command_waits_for_what_runs_and_says_for_what(
    capsys: pytest.CaptureFixture[str],
) -> None:
    doors = Doors()
    async with doors.opened() as door:
        draining = asyncio.create_task(asyncio.to_thread(main, ["drain", "--for", "30s"]))
        await until(lambda: door._worker._presence.said().is_draining)
        await asyncio.sleep(0.1)
        doors.gate.opened.set()
        assert await draining == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("waiting: coder-1 runs 1 message, the oldest hold for ")
    assert said[-1] == "nothing runs"


def test_a_worker_that_does_not_answer_is_waited_for_and_named(
    temporary: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octoqueue.cli.drain._ANSWER_SECONDS", 0.05)
    doors_of_this_user().mkdir()
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.bind(str(doors_of_this_user() / "7-stuck.sock"))
        stuck.listen()
        assert main(["drain", "--for", "200ms"]) == 1
    assert "after 0.2 s 1 does not answer" in capsys.readouterr().err
