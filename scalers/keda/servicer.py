"""`ScalerServicer`: KEDA's calls, answered with the fleets' decisions. It decides nothing itself.

GetMetricSpec   needs no store and no configuration, only the metadata, so that what is wrong shows
                in GetMetrics only, which is where KEDA counts failures for its fallback; an error
                here would make the other triggers of the ScaledObject fail as well
GetMetrics      wanted workers, against a target of 1
IsActive        whether the fleet may not shrink to none
Stream…         the same, pushed; they end with OK when the server stops

what is wrong                       status               what KEDA does
signals unreadable, or too late     UNAVAILABLE          keeps the replicas, counts for fallback
no such fleet                       NOT_FOUND            the same; its events say why
metadata or metric name wrong       INVALID_ARGUMENT     keeps the replicas; its events say why
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc

from octoqueue.errors import ConfigError, FleetUnknown, OctoqueueError
from scalers.keda.generated import externalscaler_pb2 as pb
from scalers.keda.metadata import TriggerMetadata, metadata_from

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from octoqueue.fleet.decider import FleetDecider
    from scalers.keda.meter import CallMeter
    from scalers.keda.pulse import Pulse

    Context = grpc.aio.ServicerContext[Any, Any]

T = TypeVar("T")

log = logging.getLogger(__name__)

SERVICE: Final = "externalscaler.ExternalScaler"
"""Its full name on the wire."""
TARGET: Final = 1
"""The metric is workers, so each is worth one."""
_MOST_TRIGGERS: Final = 10_000


class ScalerServicer:
    """Answers KEDA. Nothing outlives a call but what the decider keeps."""

    def __init__(self, decider: FleetDecider, pulse: Pulse, meter: CallMeter) -> None:
        self._decider = decider
        self._pulse = pulse
        self._meter = meter
        self._known: dict[tuple[tuple[str, str], ...], TriggerMetadata] = {}
        self._ending = asyncio.Event()

    def handlers(self) -> grpc.GenericRpcHandler:
        """Return what a server calls."""
        ref, asked = pb.ScaledObjectRef.FromString, pb.GetMetricsRequest.FromString
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        is_active = pb.IsActiveResponse.SerializeToString
        spec = pb.GetMetricSpecResponse.SerializeToString
        metrics = pb.GetMetricsResponse.SerializeToString
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "IsActive": unary(self.is_active, ref, is_active),
            "StreamIsActive": stream(self.stream_is_active, ref, is_active),
            "GetMetricSpec": unary(self.metric_spec, ref, spec),
            "StreamMetricSpec": stream(self.stream_metric_spec, ref, spec),
            "GetMetrics": unary(self.metrics, asked, metrics),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def aclose(self) -> None:
        """End all streams with OK: after that KEDA comes back at once. Idempotent."""
        self._ending.set()
        await self._pulse.aclose()

    # ── the calls ────────────────────────────────────────────────────────────────────────────────

    async def is_active(self, ref: pb.ScaledObjectRef, context: Context) -> pb.IsActiveResponse:
        """Return whether the fleet may not shrink to none."""

        async def answer(trigger: TriggerMetadata) -> pb.IsActiveResponse:
            decision = await self._decider.decide(trigger.fleet)
            return pb.IsActiveResponse(result=decision.is_active)

        return await self._answered("IsActive", ref, context, answer)

    async def metric_spec(
        self, ref: pb.ScaledObjectRef, context: Context
    ) -> pb.GetMetricSpecResponse:
        """Return the one metric there is, without asking any store."""
        return await self._answered("GetMetricSpec", ref, context, self._spec_of)

    async def metrics(self, asked: pb.GetMetricsRequest, context: Context) -> pb.GetMetricsResponse:
        """Return how many workers the fleet wants."""

        async def answer(trigger: TriggerMetadata) -> pb.GetMetricsResponse:
            _require_name(asked.metricName, trigger)
            decision = await self._decider.decide(trigger.fleet)
            workers = trigger.bounded(decision.workers, is_active=decision.is_active)
            value = pb.MetricValue(
                metricName=trigger.metric_name,
                metricValue=workers,
                metricValueFloat=float(workers),
            )
            return pb.GetMetricsResponse(metricValues=[value])

        return await self._answered("GetMetrics", asked.scaledObjectRef, context, answer)

    async def stream_is_active(
        self, ref: pb.ScaledObjectRef, context: Context
    ) -> AsyncGenerator[pb.IsActiveResponse]:
        """Yield the state there is, then true each time the fleet becomes active."""

        async def answer(trigger: TriggerMetadata) -> TriggerMetadata:
            self._decider.policy_of(trigger.fleet)
            return trigger

        trigger = await self._answered("StreamIsActive", ref, context, answer)
        async for is_active in self._pulse.listen(trigger.fleet):
            yield pb.IsActiveResponse(result=is_active)

    async def stream_metric_spec(
        self, ref: pb.ScaledObjectRef, context: Context
    ) -> AsyncGenerator[pb.GetMetricSpecResponse]:
        """Yield the spec there is. It never changes while this process runs."""
        yield await self._answered("StreamMetricSpec", ref, context, self._spec_of)
        await self._ending.wait()

    # ── what they share ──────────────────────────────────────────────────────────────────────────

    async def _spec_of(self, trigger: TriggerMetadata) -> pb.GetMetricSpecResponse:
        spec = pb.MetricSpec(
            metricName=trigger.metric_name, targetSize=TARGET, targetSizeFloat=float(TARGET)
        )
        return pb.GetMetricSpecResponse(metricSpecs=[spec])

    async def _answered(
        self,
        method: str,
        ref: pb.ScaledObjectRef,
        context: Context,
        answer: Callable[[TriggerMetadata], Awaitable[T]],
    ) -> T:
        began, code = self._meter.began(ref.namespace, ref.name), grpc.StatusCode.UNKNOWN
        try:
            try:
                response = await answer(self._trigger_of(ref))
            except OctoqueueError as error:
                code = _code_of(error)
                log.debug("call_refused", extra={"method": method, "reason": str(error)})
                await context.abort(code, str(error))
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
                raise
            code = grpc.StatusCode.OK
            return response
        finally:
            self._meter.ended(method, code.name, began)

    def _trigger_of(self, ref: pb.ScaledObjectRef) -> TriggerMetadata:
        """Return what a trigger wants; refuse what is not understood."""
        given = tuple(sorted(ref.scalerMetadata.items()))
        trigger = self._known.get(given)
        if trigger is None:
            trigger = metadata_from(dict(given))
            if len(self._known) < _MOST_TRIGGERS:
                self._known[given] = trigger
        return trigger


def _require_name(name: str, trigger: TriggerMetadata) -> None:
    """Refuse a metric that is not the fleet's; KEDA's `s0-` in front of it is none of its name."""
    if name and name != trigger.metric_name and not name.endswith(f"-{trigger.metric_name}"):
        raise ConfigError(
            f"there is no metric {name!r}; fleet {trigger.fleet!r} has {trigger.metric_name!r}",
            key="metricName",
        )


def _code_of(error: OctoqueueError) -> grpc.StatusCode:
    if isinstance(error, ConfigError):
        return grpc.StatusCode.INVALID_ARGUMENT
    if isinstance(error, FleetUnknown):
        return grpc.StatusCode.NOT_FOUND
    return grpc.StatusCode.UNAVAILABLE if error.retryable else grpc.StatusCode.INTERNAL
