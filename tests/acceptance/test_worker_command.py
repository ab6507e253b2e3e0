"""`octoqueue worker`, as processes: what it does with messages when it is told to stop, or dies."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.lanes.options import LaneOptions
from tests.program import Program, is_alive, message
from tests.running import until

if TYPE_CHECKING:
    from pathlib import Path

    from octoqueue.broker.handles import MessageHandle
    from octoqueue.primitives.messages import QueueStats

MODULE = '''
import asyncio, os, time
from contextlib import asynccontextmanager
from pathlib import Path

import octoqueue

HERE = Path(__file__).parent


@asynccontextmanager
async def lifespan(settings):
    print("opened", settings.namespace)
    yield
    print("closed")


@octoqueue.actor(queue="greetings")
async def greet(name):
    return f"hello {name}"


@octoqueue.actor(queue="naps")
async def nap():
    """Sleep until the test opens the gate; tell who ran, and which attempt it was."""
    attempt = octoqueue.current_message().attempt
    print("napping", os.getpid(), flush=True)
    with (HERE / "runs").open("a") as runs:
        runs.write(f"{os.getpid()} {attempt}\\n")
    while not (HERE / "gate").exists():
        await asyncio.sleep(0.01)
    return [os.getpid(), attempt]


@octoqueue.actor(queue="naps")
def stare():
    """Do not listen to anybody."""
    print("staring", flush=True)
    time.sleep(1000)
'''

PATIENT = """
import asyncio
from contextlib import asynccontextmanager

import octoqueue


@asynccontextmanager
async def lifespan(settings):
    print("waiting for a database", flush=True)
    try:
        await asyncio.sleep(1000)
        yield
    finally:
        print("tidied up")


@octoqueue.actor
async def greet():
    pass
"""

Start = Callable[..., Program]


@pytest.fixture
def namespace() -> str:
    return f"t{uuid4().hex[:8]}"


@pytest.fixture
def start(tmp_path: Path, redis_url: str, namespace: str) -> Iterator[Start]:
    (tmp_path / "my_actors.py").write_text(MODULE)
    base = {"OCTOQUEUE_REDIS_URL": redis_url, "OCTOQUEUE_NAMESPACE": namespace}
    with ExitStack() as stack:

        def begin(*arguments: str, **environment: str) -> Program:
            program = Program("worker", *arguments, cwd=tmp_path, environment=base | environment)
            return stack.enter_context(program)

        yield begin


@pytest.fixture
async def broker(redis_url: str, namespace: str) -> AsyncIterator[LaneBroker]:
    broker = LaneBroker(redis_url, options=LaneOptions(namespace=namespace))
    async with broker.connected():
        yield broker


async def send(broker: LaneBroker, queue: str, actor: str, *args: object) -> MessageHandle[object]:
    return await broker.aenqueue(message(queue, actor, *args))


async def stats(broker: LaneBroker, queue: str) -> QueueStats:
    return await broker.store().stats(queue)


async def says(program: Program, pattern: str, *, times: int = 1) -> list[str]:
    found = await asyncio.to_thread(program.says, pattern, times=times)
    return [match[match.lastindex or 0] for match in found]


async def ends(program: Program) -> int:
    return await asyncio.to_thread(program.ends)


def runs(tmp_path: Path) -> list[list[str]]:
    """Who ran the nap, and which attempt it was."""
    return [line.split() for line in (tmp_path / "runs").read_text().splitlines()]


async def test_it_runs_the_actors_of_a_module_in_the_working_directory(
    start: Start, broker: LaneBroker, namespace: str
) -> None:
    worker = start("my_actors")
    handle = await send(broker, "greetings", "greet", "you")
    assert await handle.result() == "hello you"
    await says(worker, "worker_started queues=greetings,naps slots=100")

    worker.signal(signal.SIGTERM)
    assert await ends(worker) == 0
    assert worker.stdout == [f"opened {namespace}", "closed"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_can_be_stopped_while_it_waits_to_begin(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "patient.py").write_text(PATIENT)
    worker = start("patient")
    await says(worker, "waiting for a database")
    worker.signal(number)
    assert await ends(worker) == 0
    assert worker.stdout == ["waiting for a database", "tidied up"]


async def test_a_message_that_runs_when_it_is_told_to_stop_is_finished(
    start: Start, broker: LaneBroker, tmp_path: Path
) -> None:
    worker = start("my_actors")
    handle = await send(broker, "naps", "nap")
    await says(worker, "napping")

    worker.signal(signal.SIGTERM)
    await says(worker, "worker_quiet running=1")
    (tmp_path / "gate").touch()
    assert await handle.result() == [worker.pid, 0]
    assert await ends(worker) == 0
    assert len(runs(tmp_path)) == 1


async def test_what_is_not_finished_in_time_runs_elsewhere_and_costs_no_attempt(
    start: Start, broker: LaneBroker, tmp_path: Path
) -> None:
    first = start("my_actors", OCTOQUEUE_RUNTIME__DRAIN="100ms")
    handle = await send(broker, "naps", "nap")
    await says(first, "napping")
    first.signal(signal.SIGTERM)
    assert await ends(first) == 0
    assert (await stats(broker, "naps")).in_flight == 0

    second = start("my_actors")
    await says(second, "napping")
    (tmp_path / "gate").touch()
    assert await handle.result() == [second.pid, 0]
    assert runs(tmp_path) == [[str(first.pid), "0"], [str(second.pid), "0"]]


async def test_a_second_signal_does_not_wait_for_what_runs(
    start: Start, broker: LaneBroker
) -> None:
    worker = start("my_actors")
    await send(broker, "naps", "nap")
    await says(worker, "napping")
    worker.signal(signal.SIGINT)
    await says(worker, "worker_quiet running=1")
    worker.signal(signal.SIGINT)
    assert await ends(worker) == 0
    after = await stats(broker, "naps")
    assert (after.waiting, after.in_flight) == (1, 0)


async def test_a_thread_that_listens_to_nobody_does_not_hold_the_process(
    start: Start, broker: LaneBroker
) -> None:
    worker = start("my_actors", OCTOQUEUE_RUNTIME__DRAIN="100ms")
    await send(broker, "naps", "stare")
    await says(worker, "staring")
    worker.signal(signal.SIGTERM)
    assert await ends(worker) == 0
    await says(worker, "threads_abandoned threads=1")
    assert (await stats(broker, "naps")).waiting == 1


async def test_only_the_queues_asked_for_are_claimed_from(start: Start, broker: LaneBroker) -> None:
    worker = start("my_actors", "--queues", "greetings,letters")
    await send(broker, "naps", "nap")
    handle = await send(broker, "greetings", "greet", "you")
    assert await handle.result() == "hello you"
    await says(worker, "queue_without_actors queue=letters")
    assert (await stats(broker, "naps")).waiting == 1


async def test_a_process_of_several_that_is_killed_comes_back_and_its_message_runs(
    start: Start, broker: LaneBroker, tmp_path: Path
) -> None:
    parent = start("my_actors", "--processes", "2", OCTOQUEUE_LANES__LEASE="1s")
    handle = await send(broker, "naps", "nap")
    (first,) = await says(parent, r"napping (\d+)")
    os.kill(int(first), signal.SIGKILL)
    await says(parent, 'process_died child=worker.. end="was killed by SIGKILL"')
    await says(parent, "worker_started", times=3)
    _, second = await says(parent, r"napping (\d+)", times=2)
    (tmp_path / "gate").touch()
    assert await handle.result() == [int(second), 0]

    parent.signal(signal.SIGTERM)
    assert await ends(parent) == 0
    sessions = await says(parent, r"worker_started .* session=\S+-(\d+)-\w+", times=3)
    assert not any(is_alive(int(pid)) for pid in sessions)


async def test_the_children_of_a_parent_that_is_killed_stop_as_well(start: Start) -> None:
    parent = start("my_actors", "--processes", "2")
    pids = await says(parent, r"worker_started .* session=\S+-(\d+)-\w+", times=2)
    os.kill(parent.pid, signal.SIGKILL)
    await until(lambda: not any(is_alive(int(pid)) for pid in pids))


def test_a_module_that_cannot_be_imported_is_named_in_one_line(start: Start) -> None:
    worker = start("not_there")
    assert worker.ends() == 2
    assert worker.stdout == []
    (line,) = worker.stderr
    assert line.startswith("octoqueue: not_there cannot be found: it is neither installed nor in")


def test_several_processes_that_cannot_start_are_given_up_at_once(
    start: Start, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    worker = start("broken", "--processes", "2")
    assert worker.ends() == 1
    assert re.search(
        r"^octoqueue: worker\.[12] ended with exit code 2: broken cannot be imported: "
        r"ModuleNotFoundError: No module named 'nothing_of_that_name' \(broken\.py:1\)$",
        worker.stderr[-1],
    )
