"""A real client against the real server, calling as KEDA does."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest

from octoqueue.fleet.opening import opened_decider
from scalers.keda.generated import externalscaler_pb2 as pb
from tests.scalers.keda import Polled, scaled_object

if TYPE_CHECKING:
    from tests.scalers.conftest import World

IDLE = Polled(value=0, is_active=False)


async def test_a_poll_tells_wanted_workers(world: World) -> None:
    keda = await world.keda(await world.scaler())
    assert await keda.poll(scaled_object()) == IDLE
    await world.put(35)
    assert await keda.poll(scaled_object()) == Polled(value=4, is_active=True)
    await world.put(500)
    assert await keda.poll(scaled_object()) == Polled(value=20, is_active=True)


async def test_work_that_runs_counts_as_much_as_work_that_waits(world: World) -> None:
    keda = await world.keda(await world.scaler())
    await world.put(35)
    await world.lease(35)
    assert await keda.poll(scaled_object()) == Polled(value=4, is_active=True)


async def test_the_spec_is_the_same_for_ever(world: World) -> None:
    keda = await world.keda(await world.scaler())
    before = await keda.metric_spec(scaled_object())
    await world.put(500)
    assert await keda.metric_spec(scaled_object()) == before
    (spec,) = before.metricSpecs
    assert spec.metricName == "octoqueue-executor-workers"
    assert (spec.targetSize, spec.targetSizeFloat) == (1, 1.0)


async def test_whole_and_broken_numbers_say_the_same(world: World) -> None:
    """KEDA before 2.17 reads only the whole ones; a float of 0 falls back to them."""
    keda = await world.keda(await world.scaler())
    asked = pb.GetMetricsRequest(
        scaledObjectRef=scaled_object(), metricName="octoqueue-executor-workers"
    )
    for waiting, workers in ((0, 0), (35, 4)):
        await world.put(waiting)
        (value,) = (await keda.metrics(asked)).metricValues
        assert (value.metricValue, value.metricValueFloat) == (workers, workers)
        assert value.metricName == "octoqueue-executor-workers"


async def test_fleets_are_told_apart(world: World) -> None:
    keda = await world.keda(await world.scaler())
    await world.put(30, queue="judge")
    assert (await keda.poll(scaled_object("judge", name="judge"))).value == 6
    assert (await keda.poll(scaled_object())).value == 0


async def test_two_triggers_of_one_scaled_object_are_told_apart_by_their_metadata(
    world: World,
) -> None:
    keda = await world.keda(await world.scaler())
    await world.put(100)
    assert (await keda.poll(scaled_object())).value == 10
    assert (await keda.poll(scaled_object(maxWorkers="4"))).value == 4
    assert (await keda.poll(scaled_object(minWorkers="12"))).value == 12


async def test_replicas_answer_alike(world: World) -> None:
    ports = [await world.scaler() for _ in range(3)]
    await world.put(35)
    kedas = [await world.keda(port) for port in ports]
    assert {await keda.poll(scaled_object()) for keda in kedas} == {Polled(4, is_active=True)}
    await world.memory.set_override("executor", 7, lasting=timedelta(minutes=1), said_by="ada")
    assert {await keda.poll(scaled_object()) for keda in kedas} == {Polled(7, is_active=True)}


async def test_one_channel_over_two_replicas_hears_the_same_of_both(world: World) -> None:
    keda = await world.keda(await world.scaler(), await world.scaler())
    await world.put(35)
    assert {await keda.poll(scaled_object()) for _ in range(6)} == {Polled(4, is_active=True)}


async def test_an_override_to_none_lets_the_fleet_shrink_to_none(world: World) -> None:
    keda = await world.keda(await world.scaler())
    await world.put(35)
    await world.memory.set_override("executor", 0, lasting=timedelta(minutes=1), said_by="ada")
    assert await keda.poll(scaled_object()) == IDLE


async def test_keda_and_the_fleet_decide_alike(world: World) -> None:
    keda = await world.keda(await world.scaler())
    for waiting in (0, 1, 34, 400):
        await world.put(waiting)
        async with opened_decider(world.settings()) as deciding:
            for fleet in ("executor", "judge"):
                decision = await deciding.decider.decide(fleet)
                polled = await keda.poll(scaled_object(fleet, name=fleet))
                assert polled == Polled(decision.workers, is_active=decision.is_active)


class TestWhatIsRefused:
    async def status(self, world: World, ref: pb.ScaledObjectRef) -> tuple[grpc.StatusCode, str]:
        keda = await world.keda(await world.scaler())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await keda.poll(ref)
        return refused.value.code(), refused.value.details() or ""

    async def test_a_key_nobody_knows_is_named_with_the_one_that_was_meant(
        self, world: World
    ) -> None:
        code, said = await self.status(world, scaled_object(maxWorker="4"))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert said == "metadata has the unknown key 'maxWorker'; did you mean 'maxWorkers'?"

    async def test_a_fleet_nobody_configured_is_named_with_those_there_are(
        self, world: World
    ) -> None:
        code, said = await self.status(world, scaled_object("executer"))
        assert code is grpc.StatusCode.NOT_FOUND
        assert said == (
            "no fleet 'executer' is configured (there are: executor, judge); "
            "did you mean 'executor'?"
        )

    async def test_the_spec_of_a_fleet_this_replica_does_not_know_yet_is_told(
        self, world: World
    ) -> None:
        """As while a new fleet is rolled out: an error would cost KEDA's other triggers and its
        fallback, and a new ScaledObject its autoscaler for up to 16 minutes."""
        keda = await world.keda(await world.scaler())
        (spec,) = (await keda.metric_spec(scaled_object("newcomer"))).metricSpecs
        assert spec.metricName == "octoqueue-newcomer-workers"
        assert await keda.stream_metric_spec(scaled_object("newcomer")).read()
        for ask in (
            keda.is_active(scaled_object("newcomer")),
            keda.poll(scaled_object("newcomer")),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        assert (await keda.poll(scaled_object("judge"))).value == 2

    async def test_a_metric_of_another_fleet_is_refused(self, world: World) -> None:
        keda = await world.keda(await world.scaler())
        asked = pb.GetMetricsRequest(
            scaledObjectRef=scaled_object(), metricName="octoqueue-judge-workers"
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await keda.metrics(asked)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "'octoqueue-executor-workers'" in (refused.value.details() or "")

    async def test_a_metric_may_have_kedas_prefix(self, world: World) -> None:
        keda = await world.keda(await world.scaler())
        asked = pb.GetMetricsRequest(
            scaledObjectRef=scaled_object(), metricName="s0-octoqueue-executor-workers"
        )
        assert len((await keda.metrics(asked)).metricValues) == 1
