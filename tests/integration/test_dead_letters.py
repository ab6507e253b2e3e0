"""From dead to done by the command line, on a real Redis: an actor fails, is mended, runs again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson
import pytest

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.cli.main import main
from octoqueue.errors import ActorFailed
from octoqueue.lanes.options import LaneOptions
from tests.running import SHORTLY, running, until, until_done

if TYPE_CHECKING:
    from pathlib import Path


class Shell:
    """The command line, beside the event loop of a test."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    async def answer(self, *words: str) -> Any:  # noqa: ANN401 - what JSON says
        code = await asyncio.to_thread(main, ["dead-letters", *words, "--json"])
        told = self._capsys.readouterr()
        assert (code, told.err) == (0, "")
        return orjson.loads(told.out)


@pytest.fixture
def broker(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LaneBroker:
    """A broker, in the namespace that the command line means too."""
    namespace = f"t{uuid4().hex[:8]}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCTOQUEUE_REDIS_URL", redis_url)
    monkeypatch.setenv("OCTOQUEUE_NAMESPACE", namespace)
    return LaneBroker(redis_url, options=LaneOptions(namespace=namespace))


async def test_an_actor_that_fails_is_replayed_after_the_fix_and_runs(
    broker: LaneBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    shell, mended = Shell(capsys), False

    @octoqueue.actor(broker=broker, results=True, max_retries=1, min_backoff=timedelta(0))
    async def divide(number: int, *, by: int) -> float:
        return number / (by or 2) if mended else number / by

    async with broker.connected():
        store = broker.store()
        async with running(broker):
            handle = await divide.asend(4, by=0)
            with pytest.raises(ActorFailed, match="ZeroDivisionError"):
                await promoted(broker, handle)
        (listed,) = await shell.answer("list", "default")
        letter = await shell.answer("show", "default", handle.message_id)
        assert listed["message_id"] == letter["message_id"] == handle.message_id
        assert (letter["actor"], letter["args"], letter["kwargs"]) == ("divide", [4], {"by": 0})
        assert (letter["attempt"], letter["deliveries"]) == (1, 0)
        assert "in divide" in letter["reason"]["traceback"]

        mended = True
        wish = ("replay", "default", "--actor", "divide", "--error", "ZeroDivisionError")
        would = await shell.answer(*wish)
        assert [each["message_id"] for each in would["letters"]] == [handle.message_id]
        assert (await store.stats("default")).waiting == 0
        async with running(broker, look_every=timedelta(hours=1)):
            assert (await shell.answer(*wish, "--yes"))["replayed"] == 1
            assert await handle.result(timeout=SHORTLY) == 2
            stats = await until_done(store, "default", 2)
        assert (stats.dead, stats.in_flight, stats.waiting, stats.delayed) == (0, 0, 0, 0)
        assert stats.counters["replayed"] == 1


async def test_what_cannot_be_mended_is_purged(
    broker: LaneBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(capsys)

    @octoqueue.actor(broker=broker, max_retries=0)
    async def fail(reason: str) -> None:
        raise ValueError(reason)

    async with broker.connected():
        store = broker.store()
        await octoqueue.asend_many([fail.message(str(n)) for n in range(30)], broker=broker)

        async def dead() -> bool:
            return (await store.stats("default")).dead == 30

        async with running(broker):
            await until(dead)
        assert (await shell.answer("purge", "default", "--older-than", "1h", "--yes"))[
            "purged"
        ] == 0
        assert (await shell.answer("purge", "default", "--error", "ValueError", "--yes"))[
            "purged"
        ] == 30
        stats = await store.stats("default")
    assert (stats.dead, stats.in_flight, stats.counters["purged"]) == (0, 0, 30)


async def promoted(broker: LaneBroker, handle: octoqueue.MessageHandle[float]) -> float:
    """The result of a message, whose retries are promoted meanwhile."""
    waiting = asyncio.create_task(handle.result(timeout=SHORTLY))

    async def over() -> bool:
        await broker.store().promote("default")
        return waiting.done()

    await until(over)
    return await waiting
