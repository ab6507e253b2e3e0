from __future__ import annotations

import asyncio

import pytest

from octoqueue.primitives.service import ServiceGroup


class Recorder:
    """A service that writes down what happens to it."""

    def __init__(self, name: str, log: list[str], *, breaks: str = "") -> None:
        self.name = name
        self.log = log
        self.breaks = breaks

    async def start(self) -> None:
        await asyncio.sleep(0)
        if self.breaks == "start":
            raise OSError(self.name)
        self.log.append(f"+{self.name}")

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self.log.append(f"-{self.name}")
        if self.breaks == "stop":
            raise OSError(self.name)


async def test_services_start_in_order_and_stop_in_reverse() -> None:
    log: list[str] = []
    async with ServiceGroup([Recorder("a", log), Recorder("b", log)]):
        assert log == ["+a", "+b"]
    assert log == ["+a", "+b", "-b", "-a"]


async def test_a_service_that_does_not_start_stops_those_before_it() -> None:
    log: list[str] = []
    group = ServiceGroup([Recorder("a", log), Recorder("b", log, breaks="start")])
    with pytest.raises(OSError, match="b"):
        async with group:
            pytest.fail("the block must not run")
    assert log == ["+a", "-a"]


async def test_a_service_that_does_not_stop_keeps_no_other_running() -> None:
    log: list[str] = []
    services = [Recorder("a", log), Recorder("b", log, breaks="stop"), Recorder("c", log)]
    with pytest.raises(OSError, match="b"):
        async with ServiceGroup(services):
            pass
    assert log[3:] == ["-c", "-b", "-a"]


async def test_an_error_of_the_block_is_raised_after_all_have_stopped() -> None:
    log: list[str] = []
    with pytest.raises(ZeroDivisionError):
        async with ServiceGroup([Recorder("a", log)]):
            raise ZeroDivisionError
    assert log == ["+a", "-a"]


async def test_a_start_that_is_cancelled_stops_what_had_started() -> None:
    log: list[str] = []
    starting = asyncio.Event()

    class Endless(Recorder):
        async def start(self) -> None:
            starting.set()
            await asyncio.Event().wait()

    async def run() -> None:
        async with ServiceGroup([Recorder("a", log), Endless("b", log)]):
            pytest.fail("the block must not run")

    task = asyncio.create_task(run())
    await starting.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert log == ["+a", "-a"]
