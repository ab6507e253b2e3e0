"""Processes that are kept alive, and ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from octoqueue.errors import ProcessGivenUp
from octoqueue.fleet.processes import ProcessSpec, Supervisor
from octoqueue.fleet.restarts import RestartPolicy
from octoqueue.primitives.service import ServiceGroup

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.fleet.lines import Stream

ROOT = Path(__file__).parents[3]
QUICK = RestartPolicy(first_delay=timedelta(milliseconds=1), tries=3)
READY = (
    "from octoqueue.fleet.lifeline import ChildEnd; "
    "end = ChildEnd.on_standard_input(); end.say_ready(); "
)
SAY_PID = "import os; print(os.getpid(), flush=True); "
FOREVER = "import signal; signal.pause()"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "


class Said:
    """What was said, to wait for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def line(self, name: str, text: str, *, stream: Stream) -> None:
        self.lines.append(text)
        task = asyncio.get_running_loop().create_task(self._wake())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(self) -> None:
        async with self._more:
            self._more.notify_all()

    async def number(self, count: int) -> str:
        """Wait for the line of this number, counted from 1, and return it."""
        async with self._more:
            await self._more.wait_for(lambda: len(self.lines) >= count)
        return self.lines[count - 1]


class Holders:
    """The processes that hold an inherited file: when the last is gone, its other end says so."""

    def __enter__(self) -> Self:
        self._end, self.fd = os.pipe()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._end)

    async def are_gone(self) -> None:
        os.close(self.fd)
        assert await asyncio.to_thread(os.read, self._end, 1) == b""


def python(code: str, *, name: str = "child", descriptors: tuple[int, ...] = ()) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-c", code),
        environment=os.environ | {"PYTHONPATH": str(ROOT)},
        descriptors=descriptors,
    )


@asynccontextmanager
async def supervised(
    *specs: ProcessSpec, said: Said | None = None, patience: timedelta = timedelta(seconds=30)
) -> AsyncGenerator[Supervisor]:
    supervisor = Supervisor(specs, sink=said or Said(), patience=patience, policy=QUICK)
    async with ServiceGroup([supervisor]):
        yield supervisor


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_it_is_ready_when_every_process_says_so() -> None:
    async with supervised(
        python(READY + FOREVER, name="a"), python(READY + FOREVER, name="b")
    ) as supervisor:
        await supervisor.wait_until_ready()
        assert all(process.ready.is_set() for process in supervisor.processes)
    assert not any(process.pid for process in supervisor.processes)


async def test_what_a_process_says_is_passed_on_to_its_last_word() -> None:
    said = Said()
    last_words = "import sys; print('out', flush=True); sys.stderr.write('no end'); sys.exit(2)"
    async with supervised(python(READY + last_words), said=said):
        await said.number(2)
    assert sorted(said.lines[:2]) == ["no end", "out"]


async def test_a_process_that_is_killed_comes_back() -> None:
    said = Said()
    async with supervised(python(READY + SAY_PID + FOREVER), said=said) as supervisor:
        first = int(await said.number(1))
        os.kill(first, signal.SIGKILL)
        second = int(await said.number(2))
        await supervisor.wait_until_ready()
        assert second != first
        assert is_alive(second)


async def test_one_that_dies_again_and_again_is_given_up() -> None:
    said = Said()
    async with supervised(
        python(READY + "print('x', flush=True); raise SystemExit(7)"), said=said
    ) as supervisor:
        with pytest.raises(ProcessGivenUp, match="child ended with exit code 7"):
            await supervisor.wait_for_failure()
    assert said.lines == ["x"] * QUICK.tries


async def test_one_that_cannot_start_fails_the_wait_for_readiness_at_once() -> None:
    async with supervised(python("raise SystemExit(2)"), python(READY + FOREVER)) as supervisor:
        with pytest.raises(ProcessGivenUp, match="child ended with exit code 2"):
            await supervisor.wait_until_ready()


async def test_a_program_that_is_not_there_is_named() -> None:
    spec = ProcessSpec(name="ghost", command=("/nowhere/ghost",))
    async with supervised(spec) as supervisor:
        with pytest.raises(ProcessGivenUp, match="ghost cannot be started: No such file"):
            await supervisor.wait_until_ready()


async def test_one_that_does_not_stop_in_time_is_killed() -> None:
    said = Said()
    async with supervised(
        python(DEAF + READY + SAY_PID + FOREVER), said=said, patience=timedelta(milliseconds=100)
    ) as supervisor:
        await supervisor.wait_until_ready()
        pid = int(await said.number(1))
    assert not is_alive(pid)


async def test_what_a_dead_process_had_started_ends_with_it() -> None:
    with Holders() as holders:
        started = (
            f"import subprocess; subprocess.Popen(['sleep', '1000'], pass_fds=[{holders.fd}]); "
        )
        spec = python(READY + started + "raise SystemExit(1)", descriptors=(holders.fd,))
        async with supervised(spec) as supervisor:
            with pytest.raises(ProcessGivenUp):
                await supervisor.wait_for_failure()
            await holders.are_gone()


async def test_children_notice_that_their_supervisor_was_killed() -> None:
    child = f"""{READY}
import asyncio
async def main():
    alone = asyncio.Event()
    end.watch(alone.set)
    print("watching", flush=True)
    await alone.wait()
asyncio.run(main())
"""
    with Holders() as holders:
        supervisor = f"""
import asyncio, sys
from datetime import timedelta
from octoqueue.fleet.lines import PlainLines
from octoqueue.fleet.processes import ProcessSpec, Supervisor
async def main():
    spec = ProcessSpec(
        name="child", command=(sys.executable, "-c", {child!r}), descriptors=({holders.fd},)
    )
    await Supervisor([spec], sink=PlainLines(), patience=timedelta(seconds=1)).start()
    await asyncio.Event().wait()
asyncio.run(main())
"""
        spec = python(supervisor)
        process = await asyncio.create_subprocess_exec(
            *spec.command,
            env=spec.environment,
            pass_fds=(holders.fd,),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout
        assert await process.stdout.readline() == b"watching\n"
        process.kill()
        await process.wait()
        await holders.are_gone()
