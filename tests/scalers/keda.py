"""KEDA as a scaler sees it: how it calls, without deadlines and with one retry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import grpc

from scalers.keda.generated import externalscaler_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

SERVICE = "externalscaler.ExternalScaler"


class Polled(NamedTuple):
    """What one round of KEDA's loop learnt."""

    value: float
    is_active: bool


class Keda:
    """One operator with one channel to some replicas of a scaler, taking turns."""

    def __init__(
        self,
        *ports: int,
        credentials: grpc.ChannelCredentials | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        policy = ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}')
        addresses = ",".join(f"{host}:{port}" for port in ports)
        target = f"ipv4:{addresses}" if host == "127.0.0.1" else addresses
        options: list[tuple[str, Any]] = [policy]
        if credentials is None:
            self.channel = grpc.aio.insecure_channel(target, options=options)
        else:
            options.append(("grpc.ssl_target_name_override", "scaler.test"))
            self.channel = grpc.aio.secure_channel(target, credentials, options=options)
        unary, stream = self.channel.unary_unary, self.channel.unary_stream
        ref = pb.ScaledObjectRef.SerializeToString
        self.is_active = unary(f"/{SERVICE}/IsActive", ref, pb.IsActiveResponse.FromString)
        self.metric_spec = unary(
            f"/{SERVICE}/GetMetricSpec", ref, pb.GetMetricSpecResponse.FromString
        )
        self.metrics = unary(
            f"/{SERVICE}/GetMetrics",
            pb.GetMetricsRequest.SerializeToString,
            pb.GetMetricsResponse.FromString,
        )
        self.stream_is_active = stream(
            f"/{SERVICE}/StreamIsActive", ref, pb.IsActiveResponse.FromString
        )
        self.stream_metric_spec = stream(
            f"/{SERVICE}/StreamMetricSpec", ref, pb.GetMetricSpecResponse.FromString
        )

    async def poll(self, ref: pb.ScaledObjectRef) -> Polled:
        """What KEDA does every pollingInterval; on an error the whole once more, at once."""
        try:
            return await self._poll(ref)
        except grpc.aio.AioRpcError:
            return await self._poll(ref)

    async def _poll(self, ref: pb.ScaledObjectRef) -> Polled:
        (spec,) = (await self.metric_spec(ref)).metricSpecs
        asked = pb.GetMetricsRequest(scaledObjectRef=ref, metricName=spec.metricName)
        values = (await self.metrics(asked)).metricValues
        active = await self.is_active(ref)
        # KEDA adds up what it is given, and prefers a float above 0.
        value = sum(one.metricValueFloat or one.metricValue for one in values)
        return Polled(value / (spec.targetSizeFloat or spec.targetSize), active.result)

    async def pushed(self, ref: pb.ScaledObjectRef) -> AsyncGenerator[bool]:
        """What a trigger of the type external-push is told."""
        async for response in self.stream_is_active(ref):
            yield response.result

    async def aclose(self) -> None:
        await self.channel.close()


def scaled_object(
    fleet: str = "executor", *, name: str = "executor", namespace: str = "octo", **metadata: str
) -> pb.ScaledObjectRef:
    """What KEDA sends along with each call."""
    given = {"scalerAddress": "octoqueue-scaler:6000", "fleet": fleet, **metadata}
    return pb.ScaledObjectRef(name=name, namespace=namespace, scalerMetadata=given)
