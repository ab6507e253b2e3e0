"""`octoqueue up`, as a process: a user's own actors and application, from nothing to nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import pytest

from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.embedded.life_lock import LifeLock
from octoqueue.embedded.services import EmbeddedServices
from tests.program import Program, is_alive, message
from tests.running import until

if TYPE_CHECKING:
    import re
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

ACTORS = """
import asyncio

import octoqueue

@octoqueue.actor(queue="greetings")
async def greet(name):
    print("greeting", name)
    return f"hello {name}"

@octoqueue.actor(queue="greetings")
async def wait_for_ever():
    print("waiting")
    await asyncio.Event().wait()
"""

APPLICATION = """
from fastapi import FastAPI

def create_app():
    application = FastAPI()

    @application.get("/health")
    def health():
        return {"status": "ok"}

    return application
"""

WORKFLOWS = """
from my_actors import greet

import octoqueue

@octoqueue.workflow()
async def welcome(ctx: octoqueue.WorkflowContext, name: str) -> str:
    return await ctx.call(greet, name)
"""

FLEETS = "fleets: {greeters: {queues: [greetings], modules: [my_actors], processes: 2}}\n"
HTTP = "http: {app: 'my_web:create_app', port: 0}\n"

Up = Callable[..., Program]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_actors.py").write_text(ACTORS)
    (tmp_path / "my_web.py").write_text(APPLICATION)
    return tmp_path


@pytest.fixture
def up(folder: Path, state_dir: Path) -> Iterator[Up]:
    begun: list[Program] = []

    def begin(*arguments: str, **environment: str) -> Program:
        own = {"OCTOQUEUE_EMBEDDED__STATE_DIR": str(state_dir)}
        begun.append(Program("up", *arguments, cwd=folder, environment=own | environment))
        return begun[-1]

    yield begin
    for program in begun:
        program.__exit__()


@asynccontextmanager
async def connected(state_dir: Path) -> AsyncGenerator[LaneBroker]:
    """A broker on the private Redis that the program has started."""
    url = await EmbeddedServices(state_dir).start_redis()
    async with LaneBroker(url).connected() as broker:
        yield broker


async def says(program: Program, pattern: str, *, times: int = 1) -> list[re.Match[str]]:
    return await asyncio.to_thread(program.says, pattern, times=times)


def workers_of(program: Program) -> list[int]:
    return [int(m[1]) for m in program.says(r"worker_started .* session=\S+-(\d+)-\w+")]


def nothing_is_left(state_dir: Path, pids: list[int]) -> bool:
    servers = [LifeLock(state_dir / f"{name}.lock").holder() for name in ("redis", "postgres")]
    return servers == [None, None] and not any(is_alive(pid) for pid in pids)


async def test_a_users_own_actors_are_served_until_ctrl_c(
    up: Up, folder: Path, state_dir: Path
) -> None:
    (folder / "octoqueue.yaml").write_text(FLEETS)
    program = up()
    await says(program, "octoqueue is ready: 2 workers")
    async with connected(state_dir) as broker:
        handle = await broker.aenqueue(message("greetings", "greet", "you"))
        assert await handle.result() == "hello you"
    await says(program, r"^greeters\.[12] \| greeting you")
    pids = workers_of(program)

    program.signal(signal.SIGINT)
    assert await asyncio.to_thread(program.ends) == 0
    assert len(pids) == 2
    assert nothing_is_left(state_dir, pids)


async def test_a_second_ctrl_c_does_not_wait_for_what_runs(
    up: Up, folder: Path, state_dir: Path
) -> None:
    (folder / "octoqueue.yaml").write_text(FLEETS)
    program = up()
    await says(program, "octoqueue is ready")
    async with connected(state_dir) as broker:
        await broker.aenqueue(message("greetings", "wait_for_ever"))
        await says(program, "waiting")
    pids = workers_of(program)
    program.signal(signal.SIGINT)
    await says(program, "worker_quiet running=1")
    program.signal(signal.SIGINT)
    assert await asyncio.to_thread(program.ends) == 0
    program.says("messages_released messages=1")
    assert nothing_is_left(state_dir, pids)


async def test_a_server_that_ran_before_goes_on_running(
    up: Up, folder: Path, state_dir: Path
) -> None:
    async with EmbeddedServices(state_dir) as services:
        await services.start_redis()
        program = up("my_actors")
        (joined,) = await says(program, r"embedded_server_joined server=redis pid=(\d+)")
        await says(program, "octoqueue is ready")
        program.signal(signal.SIGINT)
        assert await asyncio.to_thread(program.ends) == 0
        assert LifeLock(state_dir / "redis.lock").holder() == int(joined[1])


async def test_a_private_server_that_dies_comes_back(up: Up, state_dir: Path) -> None:
    program = up("my_actors")
    await says(program, "octoqueue is ready")
    lock = LifeLock(state_dir / "redis.lock")
    killed = lock.holder()
    assert killed
    os.kill(killed, signal.SIGKILL)
    await says(program, "embedded_server_started server=redis", times=2)
    async with connected(state_dir) as broker:
        handle = await broker.aenqueue(message("greetings", "greet", "you"))
        assert await handle.result() == "hello you"
    program.signal(signal.SIGINT)
    assert await asyncio.to_thread(program.ends) == 0
    assert nothing_is_left(state_dir, workers_of(program))


def test_modules_can_be_named_instead_of_fleets(up: Up, state_dir: Path) -> None:
    program = up("my_actors")
    program.says("octoqueue is ready: 1 worker")
    program.signal(signal.SIGTERM)
    assert program.ends() == 0
    assert nothing_is_left(state_dir, workers_of(program))


def test_the_application_is_served_and_its_address_told(
    up: Up, folder: Path, state_dir: Path
) -> None:
    (folder / "mine.yaml").write_text(FLEETS + HTTP)
    program = up("--config", "mine.yaml")
    (ready,) = program.says(r"octoqueue is ready on http://127\.0\.0\.1:(\d+)")
    connection = HTTPConnection("127.0.0.1", int(ready[1]))
    connection.request("GET", "/health")
    assert json.load(connection.getresponse()) == {"status": "ok"}
    connection.close()
    program.says("schema_migrated")
    assert not any("curl" in line for line in program.stdout)  # it has no such route

    program.signal(signal.SIGINT)
    assert program.ends() == 0
    assert nothing_is_left(state_dir, workers_of(program))


def test_a_log_in_json_stays_json(up: Up, folder: Path) -> None:
    (folder / "octoqueue.yaml").write_text(FLEETS)
    program = up(OCTOQUEUE_LOG__FORMAT="json")
    program.says("octoqueue is ready")
    program.signal(signal.SIGINT)
    assert program.ends() == 0
    voices = {json.loads(line)["process"] for line in program.stderr}
    assert voices == {"up", "greeters.1", "greeters.2"}


def test_a_port_that_is_taken_is_told_in_one_line(up: Up, folder: Path, state_dir: Path) -> None:
    (folder / "octoqueue.yaml").write_text(FLEETS + HTTP)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = up("--port", str(port))
        assert program.ends() == 1
    assert program.stdout == []
    assert program.stderr == [
        (
            f"octoqueue: port {port} on 127.0.0.1 is taken: end the program that listens there, "
            "or choose another with http.port (0 takes a free one)"
        )
    ]
    assert nothing_is_left(state_dir, [])


def test_a_directory_in_which_no_file_can_be_made_is_told_in_one_line(
    up: Up, folder: Path, state_dir: Path
) -> None:
    (folder / "octoqueue.yaml").write_text(FLEETS)
    state_dir.mkdir(mode=0o711, exist_ok=True)
    (state_dir / "agents").mkdir(mode=0o700)
    (state_dir / "agents" / "oq").mkdir(mode=0o700)
    (state_dir / "agents" / "oq" / "lock").mkdir()  # as good as a full disk
    program = up()
    assert program.ends() != 0
    (line,) = program.stderr
    assert line.endswith("agents/oq cannot be used: Is a directory")


def test_when_a_fleet_cannot_start_everything_is_stopped_again(
    up: Up, folder: Path, state_dir: Path
) -> None:
    (folder / "octoqueue.yaml").write_text(FLEETS + HTTP)
    (folder / "my_actors.py").write_text("import nothing_of_that_name\n")
    program = up()
    assert program.ends() == 1
    assert program.stdout == []
    program.says(r"my_actors cannot be imported: .*\(my_actors\.py:1\)")
    program.says(r"^octoqueue: greeters\.[12] ended with exit code 2: my_actors cannot be imported")
    assert nothing_is_left(state_dir, [])


async def test_ctrl_c_while_it_starts_ends_it_as_cleanly(
    up: Up, folder: Path, state_dir: Path
) -> None:
    (folder / "octoqueue.yaml").write_text(FLEETS + HTTP)
    program = up()
    lock = LifeLock(state_dir / "postgres.lock")
    await until(lock.holder)
    program.signal(signal.SIGINT)
    assert await asyncio.to_thread(program.ends) == 0
    assert nothing_is_left(state_dir, [])
    assert "Traceback" not in program.transcript


def test_nothing_to_start_is_said(up: Up) -> None:
    program = up()
    assert program.ends() == 2
    (line,) = program.stderr
    assert line.startswith("octoqueue: nothing to start: name modules")


async def test_a_module_with_workflows_has_a_worker_and_an_orchestrator(
    up: Up, folder: Path, state_dir: Path
) -> None:
    (folder / "my_workflows.py").write_text(WORKFLOWS)
    program = up("my_workflows")
    await says(program, "octoqueue is ready: 1 worker, 1 orchestrator")
    own = {"OCTOQUEUE_EMBEDDED__STATE_DIR": str(state_dir)}
    arguments = ("workflows", "start", "welcome", '"you"', "--module", "my_workflows")
    with Program(*arguments, cwd=folder, environment=own) as start:
        assert await asyncio.to_thread(start.ends) == 0
    await says(program, r"^worker +\| greeting you")
    program.signal(signal.SIGINT)
    assert await asyncio.to_thread(program.ends) == 0
    assert nothing_is_left(state_dir, workers_of(program))
