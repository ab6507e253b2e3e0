"""The fleet agent of `octoqueue up`, as processes: a burst, a kill -9, a second agent."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from contextlib import asynccontextmanager
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
from pathlib import Path

import octoqueue

@octoqueue.actor(queue="naps")
async def nap(number, seconds):
    await asyncio.sleep(seconds)
    with Path("naps.txt").open("a") as kept:
        kept.write(f"{number}\\n")
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
CONFIGURATION = """
agent: {every: 200ms}
fleets:
  nappers:
    queues: [naps]
    modules: [my_actors]
    concurrency: 2
    scaling:
      max: 4
      depth: 2
      behavior: {down: {window: 2s, percent: 100, percent_period: 1s}}
"""
Up = Callable[..., Program]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_actors.py").write_text(ACTORS)
    (tmp_path / "octoqueue.yaml").write_text(CONFIGURATION)
    return tmp_path


@pytest.fixture
def octoqueue(folder: Path, state_dir: Path) -> Iterator[Up]:
    begun: list[Program] = []

    def begin(*arguments: str, **environment: str) -> Program:
        own = {"OCTOQUEUE_EMBEDDED__STATE_DIR": str(state_dir)}
        begun.append(Program(*arguments, cwd=folder, environment=own | environment))
        return begun[-1]

    yield begin
    for program in begun:
        program.__exit__()


@asynccontextmanager
async def connected(state_dir: Path) -> AsyncGenerator[LaneBroker]:
    url = await EmbeddedServices(state_dir).start_redis()
    async with LaneBroker(url).connected() as broker:
        yield broker


async def says(program: Program, pattern: str, *, times: int = 1) -> list[re.Match[str]]:
    return await asyncio.to_thread(program.says, pattern, times=times)


async def naps(state_dir: Path, count: int, seconds: float) -> None:
    async with connected(state_dir) as broker:
        for number in range(count):
            await broker.aenqueue(message("naps", "nap", number, seconds))


def napped(folder: Path) -> list[int]:
    kept = folder / "naps.txt"
    return sorted(int(line) for line in kept.read_text().split()) if kept.exists() else []


def pids_in(place: Path) -> list[int]:
    return sorted(entry["pid"] for entry in json.loads((place / "roster.json").read_bytes()))


def agent_place(state_dir: Path) -> Path:
    return state_dir / "agents" / "oq"


async def test_a_fleet_grows_under_a_burst_and_shrinks_after_it_and_no_message_is_lost(
    octoqueue: Up, folder: Path, state_dir: Path
) -> None:
    up = octoqueue("up")
    await says(up, "octoqueue is ready: 1 worker")
    await naps(state_dir, 24, 0.5)
    await says(up, r"fleet_resized fleet=nappers before=1 after=[34] reason=\"nappers wants 4")
    await until(lambda: len(napped(folder)) == 24)
    await says(up, r"fleet_resized fleet=nappers before=\d after=1 ")
    fleet = octoqueue("fleet", "--json")
    assert await asyncio.to_thread(fleet.ends) == 0
    (view,) = json.loads("\n".join(fleet.stdout))
    assert (view["fleet"], view["wanted"], view["waiting"]) == ("nappers", 1, 0)
    await until(lambda: len(pids_in(agent_place(state_dir))) == 1)
    up.signal(signal.SIGINT)
    assert await asyncio.to_thread(up.ends) == 0
    assert napped(folder) == list(range(24))


async def test_an_agent_that_is_killed_is_followed_by_one_that_adopts_its_busy_workers(
    octoqueue: Up, folder: Path, state_dir: Path
) -> None:
    first = octoqueue("up")
    await says(first, "octoqueue is ready")
    await naps(state_dir, 8, 4.0)
    place = agent_place(state_dir)
    await until(lambda: len(pids_in(place)) == 4)
    await says(first, "worker_started", times=4)
    redis = LifeLock(state_dir / "redis.lock").holder()
    before = pids_in(place)
    first.signal(signal.SIGKILL)
    await asyncio.to_thread(first.ends)
    assert all(is_alive(pid) for pid in before)

    second = octoqueue("up")
    await says(second, "embedded_server_adopted server=redis")
    await says(second, "workers_adopted")
    await says(second, "octoqueue is ready: 4 workers")
    assert pids_in(place) == before
    assert LifeLock(state_dir / "redis.lock").holder() == redis
    await until(lambda: len(napped(folder)) == 8)
    assert napped(folder) == list(range(8))  # none was begun anew
    second.signal(signal.SIGTERM)
    assert await asyncio.to_thread(second.ends) == 0
    assert not any(is_alive(pid) for pid in before)
    assert LifeLock(state_dir / "redis.lock").holder() is None


async def test_workers_of_a_killed_agent_finish_what_they_run_and_end_when_none_follows(
    octoqueue: Up, folder: Path, state_dir: Path
) -> None:
    up = octoqueue("up", OCTOQUEUE_AGENT__ORPHAN_GRACE="500ms")
    await says(up, "octoqueue is ready")
    await naps(state_dir, 2, 2.0)
    async with connected(state_dir) as broker:
        await until(lambda: _running(broker, 2))
    pids = pids_in(agent_place(state_dir))
    up.signal(signal.SIGKILL)
    await asyncio.to_thread(up.ends)
    await until(lambda: not any(is_alive(pid) for pid in pids))
    assert napped(folder) == [0, 1]
    down = octoqueue("down")
    assert await asyncio.to_thread(down.ends) == 0


async def test_the_application_of_one_that_was_killed_is_served_again_on_its_port(
    octoqueue: Up, folder: Path, state_dir: Path
) -> None:
    (folder / "my_web.py").write_text(APPLICATION)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    http = {"OCTOQUEUE_HTTP__APP": "my_web:create_app", "OCTOQUEUE_HTTP__PORT": str(port)}
    first = octoqueue("up", **http)
    await says(first, "octoqueue is ready on")
    before = pids_in(agent_place(state_dir))
    first.signal(signal.SIGKILL)
    await asyncio.to_thread(first.ends)
    second = octoqueue("up", **http)
    await says(second, f"octoqueue is ready on http://127.0.0.1:{port}")
    assert pids_in(agent_place(state_dir)) == before
    await says(second, "embedded_server_adopted", times=2)
    second.signal(signal.SIGINT)
    assert await asyncio.to_thread(second.ends) == 0
    servers = [LifeLock(state_dir / f"{name}.lock").holder() for name in ("redis", "postgres")]
    assert servers == [None, None]


async def test_of_two_agents_one_waits_says_so_and_takes_over(
    octoqueue: Up, state_dir: Path
) -> None:
    first = octoqueue("up")
    await says(first, "octoqueue is ready")
    second = octoqueue("up")
    await says(second, rf"agent_waits leader_pid={first.pid} ")
    first.signal(signal.SIGINT)
    assert await asyncio.to_thread(first.ends) == 0
    await says(second, "agent_takes_over")
    await says(second, "octoqueue is ready: 1 worker")
    second.signal(signal.SIGINT)
    assert await asyncio.to_thread(second.ends) == 0
    assert "worker_started" not in "\n".join(second.stderr[: second.stderr.index(_first(second))])


async def test_a_fleet_is_restarted_one_by_one_without_losing_a_message(
    octoqueue: Up, folder: Path, state_dir: Path
) -> None:
    up = octoqueue("up")
    await says(up, "octoqueue is ready")
    place = agent_place(state_dir)
    before = pids_in(place)
    await naps(state_dir, 2, 1.0)
    restart = octoqueue("fleet", "restart", "nappers")
    assert await asyncio.to_thread(restart.ends) == 0
    assert restart.stdout[:2] == ["nappers.2 is ready, nappers drains", "nappers has ended"]
    assert not set(before) & set(pids_in(place))
    await until(lambda: napped(folder) == [0, 1])
    up.signal(signal.SIGINT)
    assert await asyncio.to_thread(up.ends) == 0


def test_a_restart_without_an_agent_or_of_an_unknown_fleet_says_why(octoqueue: Up) -> None:
    lonely = octoqueue("fleet", "restart", "nappers")
    assert lonely.ends() == 1
    assert "no fleet agent runs here" in lonely.stderr[0]
    unknown = octoqueue("fleet", "restart", "napers")
    assert unknown.ends() == 1
    assert "no fleet 'napers' is configured (there are: nappers); did you mean" in unknown.stderr[0]


async def _running(broker: LaneBroker, count: int) -> bool:
    return (await broker.store().stats("naps")).in_flight == count


def _first(program: Program) -> str:
    return next(line for line in program.stderr if "agent_takes_over" in line)
