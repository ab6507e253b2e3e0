"""What any gRPC tool may ask: health, reflection, metrics over HTTP."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from octoqueue.errors import ConfigError, PortTaken
from octoqueue.fleet.decider import FleetDecider
from scalers.keda.main import running
from tests.scalers.keda import SERVICE, scaled_object

if TYPE_CHECKING:
    from octoqueue.scaling.decision import Decision
    from tests.scalers.conftest import World
    from tests.scalers.keda import Keda

HEALTH = cast("Any", health_pb2)


@pytest.fixture
async def keda(world: World) -> Keda:
    return await world.keda(await world.scaler())


@pytest.mark.parametrize("service", ["", SERVICE])
async def test_it_is_healthy_whatever_redis_does(world: World, service: str) -> None:
    keda = await world.keda(await world.scaler(through_the_link=True))
    stub = cast("Any", health_pb2_grpc).HealthStub(keda.channel)
    answer = await stub.Check(HEALTH.HealthCheckRequest(service=service))
    assert answer.status == HEALTH.HealthCheckResponse.SERVING


async def test_reflection_lists_the_services(keda: Keda) -> None:
    stub = cast("Any", reflection_pb2_grpc).ServerReflectionStub(keda.channel)
    asked = cast("Any", reflection_pb2).ServerReflectionRequest(list_services="")
    (answer,) = [answer async for answer in stub.ServerReflectionInfo(iter([asked]))]
    names = {service.name for service in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names


async def test_reflection_tells_the_messages(keda: Keda) -> None:
    stub = cast("Any", reflection_pb2_grpc).ServerReflectionStub(keda.channel)
    asked = cast("Any", reflection_pb2).ServerReflectionRequest(file_containing_symbol=SERVICE)
    (answer,) = [answer async for answer in stub.ServerReflectionInfo(iter([asked]))]
    (file,) = answer.file_descriptor_response.file_descriptor_proto
    assert b"StreamMetricSpec" in file


class TestMetrics:
    def scraped(self, port: int | None) -> dict[tuple[str, tuple[str, ...]], float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return {
            (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def test_decisions_and_calls_are_counted_by_the_names_of_the_guide(
        self, world: World
    ) -> None:
        async with running(world.settings(metrics_port=0)) as where:
            keda = await world.keda(where.port)
            await world.put(35)
            await keda.poll(scaled_object())
            found = self.scraped(where.metrics_port)
        assert found["octollm_scaling_decision_total", ("executor", "up")] == 2
        assert found["octollm_scaling_wanted_workers", ("executor",)] == 4
        assert found["octollm_pod_replicas", ("executor",)] == 0
        for method in ("GetMetricSpec", "GetMetrics", "IsActive"):
            assert found["octollm_scaler_call_total", ("OK", method)] == 1
            assert found["octollm_scaler_call_seconds_count", (method,)] == 1
        assert 0 <= found["octollm_scaler_last_call_age_seconds", ("executor", "octo")] < 60

    async def test_who_cannot_be_read_has_no_number(self, world: World) -> None:
        async with running(world.settings(through_the_link=True, metrics_port=0)) as where:
            keda = await world.keda(where.port)
            with pytest.raises(Exception, match="cannot be read"):
                await keda.poll(scaled_object())
            found = self.scraped(where.metrics_port)
        assert found["octollm_scaler_call_total", ("UNAVAILABLE", "GetMetrics")] == 2
        assert found["octollm_scaling_reading_total", ("executor", "unreadable")] >= 1
        wanted = found["octollm_scaling_wanted_workers", ("executor",)]
        assert wanted != wanted  # noqa: PLR0124 - only what is no number differs from itself

    async def test_a_defect_is_not_counted_as_a_caller_who_went_away(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with running(world.settings(metrics_port=0)) as where:
            keda = await world.keda(where.port)

            async def broken(decider: FleetDecider, fleet: str) -> Decision:
                raise ZeroDivisionError

            monkeypatch.setattr(FleetDecider, "decide", broken)
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await keda.is_active(scaled_object())
            found = self.scraped(where.metrics_port)
        assert failed.value.code() is grpc.StatusCode.UNKNOWN
        assert found["octollm_scaler_call_total", ("UNKNOWN", "IsActive")] == 1


async def test_ports_that_are_taken_are_named_with_the_key_that_chooses_another(
    world: World,
) -> None:
    async with running(world.settings(metrics_port=0)) as where:
        with pytest.raises(PortTaken, match=r"scaler\.metrics_port"):
            await world.scaler(metrics_port=where.metrics_port)
        with pytest.raises(PortTaken, match=r"scaler\.port"):
            await world.scaler(port=where.port)


@pytest.mark.parametrize("metrics_port", [None, 0])
@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
async def test_an_address_of_another_machine_is_not_a_port_that_is_taken(
    world: World, host: str, metrics_port: int | None
) -> None:
    with pytest.raises(ConfigError, match=r"scaler\.host") as refused:
        await world.scaler(host=host, metrics_port=metrics_port)
    assert refused.value.key == "scaler.host"
