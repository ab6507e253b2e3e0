"""What every gRPC server should offer beside its own: health and reflection.

Their packages have no types; nothing else here imports them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from grpc_health.v1 import health as _health
from grpc_health.v1 import health_pb2 as _health_pb2
from grpc_health.v1 import health_pb2_grpc as _health_pb2_grpc
from grpc_reflection.v1alpha import reflection as _reflection

if TYPE_CHECKING:
    import grpc

_HEALTH = cast("Any", _health)
_HEALTH_PB = cast("Any", _health_pb2)
_HEALTH_GRPC = cast("Any", _health_pb2_grpc)
_REFLECTION = cast("Any", _reflection)


class StandardServices:
    """Health of a server and its services, and reflection."""

    def __init__(self, server: grpc.aio.Server, *services: str) -> None:
        """Add both to a server that has not started; `services` are full names."""
        self._services = services
        self._health = _HEALTH.aio.HealthServicer()
        _HEALTH_GRPC.add_HealthServicer_to_server(self._health, server)
        names = (*services, _HEALTH.SERVICE_NAME, _REFLECTION.SERVICE_NAME)
        _REFLECTION.enable_server_reflection(names, server)

    async def serve(self) -> None:
        """Say from now on that all of it is served."""
        for name in ("", *self._services):
            await self._health.set(name, _HEALTH_PB.HealthCheckResponse.SERVING)

    async def end(self) -> None:
        """Say from now on, for good, that nothing of it is served."""
        await self._health.enter_graceful_shutdown()
