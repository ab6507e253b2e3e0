"""`ScalerServer`: the gRPC server with health, reflection, TLS and keepalive.

It counts as healthy while it runs, whatever the store does: `GetMetricSpec` must be answered then,
or KEDA's fallback never begins.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import grpc

from scalers.keda.refusal import refusal
from scalers.keda.servicer import SERVICE, ScalerServicer
from scalers.keda.standard_services import StandardServices

if TYPE_CHECKING:
    from scalers.keda.certificates import Certificates

_OPTIONS: Final = (
    # Streams may be silent for hours: find out when the other side is gone.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    # KEDA never closes a connection, so it would never learn of another replica.
    ("grpc.max_connection_age_ms", 600_000),
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 1 << 20),
)


class ScalerServer:
    """Listens, answers, and stops without breaking a call."""

    def __init__(
        self, servicer: ScalerServicer, *, certificates: Certificates | None = None
    ) -> None:
        """Serve `servicer`; with `certificates` over TLS only."""
        self._servicer = servicer
        self._certificates = certificates
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((servicer.handlers(),))
        self._standard = StandardServices(self._server, SERVICE)

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port.

        Raises:
            PortTaken: another program listens there.
            ConfigError: the certificate cannot be used, or the address is none of this machine.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._certificates is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, self._certificates.credentials())
        except RuntimeError as error:
            raise refusal(host, port, key="scaler.port") from error
        await self._server.start()
        await self._standard.serve()
        return port

    async def stop(self, *, drain: timedelta = timedelta(seconds=5)) -> None:
        """Take no new call, end streams with OK, let calls under way finish. Idempotent."""
        await self._standard.end()
        await self._servicer.aclose()
        await self._server.stop(drain.total_seconds())
