"""What is pushed: edges, and nothing twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.scalers.keda import Keda, scaled_object

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.scalers.conftest import World

A_MOMENT = 0.3
"""In which a fleet is looked at many times over."""


class Listener:
    """Who listens to a stream, and what he has heard."""

    def __init__(self, stream: AsyncGenerator[bool]) -> None:
        self.heard: list[bool] = []
        self._news = asyncio.Condition()
        self._listening = asyncio.create_task(self._listen(stream))

    async def _listen(self, stream: AsyncGenerator[bool]) -> None:
        async for is_active in stream:
            async with self._news:
                self.heard.append(is_active)
                self._news.notify_all()

    async def has_heard(self, count: int) -> list[bool]:
        async with self._news, asyncio.timeout(20):
            await self._news.wait_for(lambda: len(self.heard) >= count)
        return self.heard

    async def ended(self) -> None:
        """Return when the stream ended well; raise what it ended with otherwise."""
        async with asyncio.timeout(20):
            await self._listening


@pytest.fixture
async def keda(world: World) -> Keda:
    return await world.keda(await world.scaler())


async def test_the_first_state_is_told_at_once_and_then_only_rising_edges(
    world: World, keda: Keda
) -> None:
    listener = Listener(keda.pushed(scaled_object()))
    assert await listener.has_heard(1) == [False]
    await world.put(3)
    assert await listener.has_heard(2) == [False, True]
    await world.put(30)
    await asyncio.sleep(A_MOMENT)
    assert listener.heard == [False, True]
    await world.take(33)
    assert not (await keda.poll(scaled_object())).is_active
    await asyncio.sleep(A_MOMENT)
    await world.put(1)
    assert await listener.has_heard(3) == [False, True, True]


async def test_a_fleet_that_is_active_is_told_once(world: World, keda: Keda) -> None:
    await world.put(3)
    listener = Listener(keda.pushed(scaled_object()))
    assert await listener.has_heard(1) == [True]
    await asyncio.sleep(A_MOMENT)
    assert listener.heard == [True]


async def test_all_who_listen_are_told(world: World, keda: Keda) -> None:
    listeners = [
        Listener(keda.pushed(scaled_object(name=f"executor-{number}"))) for number in range(20)
    ]
    for listener in listeners:
        await listener.has_heard(1)
    await world.put(3)
    for listener in listeners:
        assert await listener.has_heard(2) == [False, True]


async def test_what_cannot_be_read_is_no_edge(world: World) -> None:
    await world.link.mend()
    keda = await world.keda(await world.scaler(through_the_link=True, hold="0s"))
    await world.put(3)
    listener = Listener(keda.pushed(scaled_object()))
    await listener.has_heard(1)
    await world.link.cut()
    await asyncio.sleep(A_MOMENT)
    await world.link.mend()
    await asyncio.sleep(A_MOMENT)
    assert listener.heard == [True]


async def test_streams_end_well_when_the_server_stops(world: World, keda: Keda) -> None:
    """KEDA comes back after two seconds then; after an error it waits up to a minute."""
    listener = Listener(keda.pushed(scaled_object()))
    specs = keda.stream_metric_spec(scaled_object())
    await listener.has_heard(1)
    assert await specs.read() == await keda.metric_spec(scaled_object())
    await world.stop_scalers()
    await listener.ended()
    assert await specs.read() is grpc.aio.EOF
    assert await specs.code() is grpc.StatusCode.OK


async def test_the_specs_are_told_at_once_and_are_those_that_are_asked_for(keda: Keda) -> None:
    specs = keda.stream_metric_spec(scaled_object())
    assert await specs.read() == await keda.metric_spec(scaled_object())
    specs.cancel()


async def test_a_stream_of_a_fleet_nobody_configured_is_refused(keda: Keda) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await anext(keda.pushed(scaled_object("executer")))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_who_goes_away_is_not_looked_for_any_more(world: World, keda: Keda) -> None:
    listener = Listener(keda.pushed(scaled_object()))
    await listener.has_heard(1)
    other = Listener(keda.pushed(scaled_object()))
    await other.has_heard(1)
    listener._listening.cancel()
    await asyncio.sleep(A_MOMENT)
    await world.put(3)
    assert await other.has_heard(2) == [False, True]
