"""Steps of workflows in dramatiq's own worker: they tell how they ended, as in ours."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from dramatiq import Worker

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.options import Defaults
from octoqueue.lanes.options import LaneOptions
from tests.steps import an_execution, completions, send_step

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from octoqueue.workflows.letters import Completion

MOMENT = timedelta(milliseconds=1)


@pytest.fixture
def broker(redis_url: str) -> Iterator[LaneBroker]:
    options = LaneOptions(namespace=f"t{uuid4().hex[:8]}", lease=timedelta(seconds=2))
    broker = LaneBroker(redis_url, options=options, defaults=Defaults(max_value_bytes=10_000))
    yield broker
    broker.close()


@contextmanager
def working(broker: LaneBroker) -> Generator[None]:
    """dramatiq's worker for the length of the block."""
    broker.emit_after("process_boot")
    worker = Worker(broker, worker_timeout=50, worker_threads=2)
    worker.start()
    try:
        yield
    finally:
        worker.stop()


def told_by(broker: LaneBroker, actor: Any) -> Completion:  # noqa: ANN401 - any actor
    """Run an actor as a step and return what is told of it."""

    async def ask() -> Completion:
        async with broker.connected():
            await send_step(broker, an_execution(), actor)
            (told,) = await completions(broker)
            return told

    with working(broker):
        return asyncio.run(ask())


def test_a_value_is_told(broker: LaneBroker) -> None:
    @octoqueue.actor(broker=broker)
    def add() -> dict[str, int]:
        return {"sum": 3}

    told = told_by(broker, add)
    assert (told.outcome, told.value, told.attempts) == ("completed", {"sum": 3}, 1)


def test_only_the_last_of_several_attempts_tells(broker: LaneBroker) -> None:
    tries: list[int] = []

    @octoqueue.actor(broker=broker, min_backoff=MOMENT, max_backoff=MOMENT)
    async def third_time_lucky() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError
        return len(tries)

    told = told_by(broker, third_time_lucky)
    assert (told.outcome, told.value, told.attempts) == ("completed", 3, 3)


def test_a_failure_is_told_with_its_class(broker: LaneBroker) -> None:
    @octoqueue.actor(broker=broker, max_retries=0)
    def fail() -> None:
        raise KeyError("gone")

    told = told_by(broker, fail)
    assert told.error is not None
    assert (told.outcome, told.error["error"]) == ("failed", "KeyError")


def test_a_value_that_is_too_large_makes_the_step_fail(broker: LaneBroker) -> None:
    @octoqueue.actor(broker=broker, max_retries=0)
    def much() -> str:
        return "x" * 20_000

    told = told_by(broker, much)
    assert told.error is not None
    assert (told.outcome, told.error["error"]) == ("failed", "ResultTooLarge")


def test_a_discarded_step_is_completed_without_a_value(broker: LaneBroker) -> None:
    @octoqueue.actor(broker=broker)
    def no_need() -> int:
        raise octoqueue.Discard

    told = told_by(broker, no_need)
    assert (told.outcome, told.value) == ("completed", None)
