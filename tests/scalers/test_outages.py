"""What KEDA is told while signals cannot be read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest

from octoqueue.embedded.life_lock import LifeLock
from octoqueue.embedded.redis_server import RedisServer
from tests.scalers.conftest import World
from tests.scalers.keda import Polled, scaled_object
from tests.servers import running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.scalers.keda import Keda

NO_HOLD = timedelta(0)
AT_MOST_SECONDS = 5.0
"""Two attempts of two calls of 0.6 s each, on a busy machine."""


async def refused(keda: Keda) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        async with asyncio.timeout(30):  # the client itself has no deadline, as KEDA has none
            await keda.poll(scaled_object())
    return error.value


@pytest.fixture
async def linked(world: World) -> World:
    """A world whose scaler reaches Redis through a link that can be cut and can go silent."""
    await world.link.mend()
    await world.put(35)
    return world


async def test_a_redis_that_was_never_there_is_unavailable_and_not_zero(world: World) -> None:
    keda = await world.keda(await world.scaler(through_the_link=True))
    error = await refused(keda)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "'executor' cannot be read" in (error.details() or "")


async def test_the_spec_is_told_while_redis_is_not_there(world: World) -> None:
    """Else KEDA would not get as far as counting a failure, and its fallback never begin."""
    keda = await world.keda(await world.scaler(through_the_link=True))
    (spec,) = (await keda.metric_spec(scaled_object())).metricSpecs
    assert spec.targetSize == 1


@pytest.mark.parametrize("outage", ["dies", "says nothing any more"])
async def test_an_outage_is_unavailable_within_the_budget_and_ends_with_it(
    linked: World, outage: str
) -> None:
    keda = await linked.keda(await linked.scaler(through_the_link=True, hold=NO_HOLD))
    assert await keda.poll(scaled_object()) == Polled(4, is_active=True)
    if outage == "dies":
        await linked.link.cut()
    else:
        linked.link.hang()
    began = time.monotonic()
    error = await refused(keda)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - began < AT_MOST_SECONDS
    if outage == "dies":
        await linked.link.mend()
    else:
        linked.link.flow()
    await linked.put(30)
    assert await polled_at_last(keda) == Polled(7, is_active=True)


async def polled_at_last(keda: Keda) -> Polled:
    """Poll until it works; the test's own timeout is the end of that."""
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            return await keda.poll(scaled_object())


async def test_a_server_that_accepts_and_never_answers_costs_no_more_than_the_budget(
    world: World,
) -> None:
    """As a Redis that was stopped by a signal: connecting works, and nothing else."""
    await world.link.mend()
    world.link.hang()
    keda = await world.keda(await world.scaler(through_the_link=True))
    began = time.monotonic()
    assert (await refused(keda)).code() is grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - began < AT_MOST_SECONDS


async def test_a_redis_that_is_stopped_costs_no_more_than_the_budget_and_goes_on(
    state_dir: Path,
) -> None:
    with running(RedisServer(state_dir), state_dir) as url:
        pid = LifeLock(state_dir / "redis.lock").holder()
        assert pid is not None
        world = World(url, state_dir / "l.sock")
        try:
            keda = await world.keda(await world.scaler(hold=NO_HOLD))
            await world.put(35)
            assert await keda.poll(scaled_object()) == Polled(4, is_active=True)
            os.kill(pid, signal.SIGSTOP)
            began = time.monotonic()
            assert (await refused(keda)).code() is grpc.StatusCode.UNAVAILABLE
            assert time.monotonic() - began < AT_MOST_SECONDS
            os.kill(pid, signal.SIGCONT)
            assert await polled_at_last(keda) == Polled(4, is_active=True)
        finally:
            os.kill(pid, signal.SIGCONT)
            await world.aclose()


async def test_the_last_good_decision_is_held_and_then_it_is_an_error(linked: World) -> None:
    hold = timedelta(seconds=2)
    keda = await linked.keda(await linked.scaler(through_the_link=True, hold=hold))
    began = time.monotonic()
    assert await keda.poll(scaled_object()) == Polled(4, is_active=True)
    await linked.link.cut()
    assert await keda.poll(scaled_object()) == Polled(4, is_active=True)
    await asyncio.sleep(began + hold.total_seconds() + 0.1 - time.monotonic())
    error = await refused(keda)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "held for 2 s already" in (error.details() or "")


async def break_signals(world: World) -> None:
    """Make the counters of one queue something that cannot be read."""
    for key in await world.client.command("KEYS", f"*{world.namespace}:0*executor:stats"):
        await world.client.command("DEL", key)
        await world.client.command("SET", key, "no hash")


async def test_a_replica_that_decided_nothing_yet_holds_what_another_decided(
    linked: World,
) -> None:
    """A reading fails, and what is remembered does not."""
    first = await linked.keda(await linked.scaler())
    assert await first.poll(scaled_object()) == Polled(4, is_active=True)
    await break_signals(linked)
    second = await linked.keda(await linked.scaler())
    assert await second.poll(scaled_object()) == Polled(4, is_active=True)


async def test_an_outage_of_one_fleet_is_none_of_another(linked: World) -> None:
    keda = await linked.keda(await linked.scaler(hold=NO_HOLD))
    await break_signals(linked)
    assert (await refused(keda)).code() is grpc.StatusCode.UNAVAILABLE
    assert (await keda.poll(scaled_object("judge", name="judge"))).value == 2


async def test_one_of_two_replicas_that_stops_costs_keda_nothing(world: World) -> None:
    ports = [await world.scaler(), await world.scaler()]
    keda = await world.keda(*ports)
    await world.put(35)
    for _ in range(4):
        await keda.poll(scaled_object())
    await world.stop_one(ports[0])
    assert {await keda.poll(scaled_object()) for _ in range(6)} == {Polled(4, is_active=True)}


async def test_what_a_replica_was_to_remember_it_remembers_or_does_not_and_answers_all_the_same(
    world: World,
) -> None:
    """Redis refuses writes, as a replica of it or a full one does."""
    await world.put(35)
    memory = f"{{{world.namespace}:fleet:executor}}:leads"
    await world.client.command("SET", memory, "no list")
    keda = await world.keda(await world.scaler())
    with pytest.raises(grpc.aio.AioRpcError):
        await keda.poll(scaled_object())
    await world.client.command("DEL", memory)
    await world.client.command("SET", f"{{{world.namespace}:fleet:executor}}:decisions", "no list")
    assert await keda.poll(scaled_object()) == Polled(4, is_active=True)
