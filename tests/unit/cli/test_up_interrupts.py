"""Requests to end, by signal."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, cast

import pytest

from octoqueue.cli.supervision import Interrupts
from octoqueue.cli.worker_process import STOP_SIGNALS, stop_on_signals
from octoqueue.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.fleet.processes import Supervisor


@pytest.fixture(autouse=True)
async def signals() -> AsyncGenerator[None]:
    """Leave the signals of the test process as they were."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, handler)


class Told:
    """A supervisor that only remembers."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def hurry(self) -> None:
        self.calls.append("hurry")

    def kill(self) -> None:
        self.calls.append("kill")


async def arrived(number: signal.Signals) -> None:
    """Send this process a signal, and wait until its handler has run."""
    os.kill(os.getpid(), number)
    handled = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, handled.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await handled.wait()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)


@pytest.mark.parametrize("number", STOP_SIGNALS)
async def test_work_is_given_up_at_the_first_signal(number: signal.Signals) -> None:
    interrupts, begun = Interrupts(), asyncio.Event()
    cancelled: list[bool] = []

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    working = asyncio.create_task(interrupts.come_before(work()))
    await begun.wait()
    os.kill(os.getpid(), number)
    assert await working
    assert cancelled == [True]


async def test_work_that_ends_by_itself_was_not_interrupted() -> None:
    interrupts = Interrupts()
    assert not await interrupts.come_before(asyncio.sleep(0))


async def test_work_that_fails_says_so() -> None:
    async def work() -> None:
        raise ConfigError("no")

    with pytest.raises(ConfigError):
        await Interrupts().come_before(work())


async def test_the_second_signal_hurries_and_the_third_does_not_ask() -> None:
    interrupts, supervisor = Interrupts(), Told()
    interrupts.supervisors.append(cast("Supervisor", supervisor))
    await arrived(signal.SIGINT)
    assert supervisor.calls == []
    await arrived(signal.SIGTERM)
    assert supervisor.calls == ["hurry"]
    await arrived(signal.SIGINT)
    assert supervisor.calls == ["hurry", "kill"]


async def test_a_process_that_shall_outlive_its_terminal_does() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop_on_signals(lambda: pytest.fail("it was to be ignored"))
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
