"""The composition root of KEDA's external scaler: `octoqueue scaler`, or `python -m scalers.keda`.

    settings ─► Redis ─► decider ─► servicer ─► gRPC server
                            └─► meter ─► /metrics over HTTP

Nothing is remembered in this process but, for a while, the last good decision of each fleet: any
number of replicas may run behind a headless service.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry

from octoqueue.fleet.opening import opened_decider
from octoqueue.metrics.scaling_meter import ScalingMeter
from octoqueue.metrics.scraping import scraped
from octoqueue.primitives.clock import SystemClock
from scalers.keda.certificates import Certificates
from scalers.keda.meter import CallMeter
from scalers.keda.pulse import Pulse
from scalers.keda.refusal import refusal
from scalers.keda.server import ScalerServer
from scalers.keda.servicer import ScalerServicer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.settings.root import Settings
    from octoqueue.settings.scaler import ScalerSettings

log = logging.getLogger(__name__)

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_BUDGET_SHARE: Final = 0.9
"""Of the time a call may take, what reading may; the rest is for everything else."""


@dataclass(frozen=True, slots=True)
class Running:
    """Where a scaler listens."""

    port: int
    metrics_port: int | None


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[Running]:
    """Run a scaler for the time of the block; then let calls under way finish.

    Raises:
        ConfigError: no Redis or no fleet is configured, the certificate cannot be used, or the
            address is none of this machine.
        PortTaken: another program listens on one of the ports.
    """
    wanted, clock, registry = settings.scaler, SystemClock(), CollectorRegistry()
    async with opened_decider(
        settings,
        budget=wanted.budget * _BUDGET_SHARE,
        hold=wanted.hold,
        fresh_for=wanted.fresh_for,
        watch=ScalingMeter(registry),
    ) as deciding:
        pulse = Pulse(deciding.decider, every=wanted.watch_every)
        servicer = ScalerServicer(deciding.decider, pulse, CallMeter(registry, clock=clock))
        server = ScalerServer(servicer, certificates=_certificates(wanted))
        async with AsyncExitStack() as stack:
            metrics_port = await _serve_metrics(wanted, registry, stack)
            port = await server.start(wanted.host, wanted.port)
            try:
                yield Running(port, metrics_port)
            finally:
                await server.stop(drain=wanted.drain)


async def serve(settings: Settings) -> None:
    """Run a scaler until SIGTERM or Ctrl-C.

    Raises:
        ConfigError: as `running` does.
        PortTaken: likewise.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    async with running(settings) as where:
        speaks = "TLS" if settings.scaler.certificate else "plain text"
        extra = {"port": where.port, "metrics_port": where.metrics_port, "speaks": speaks}
        log.info("scaler_started", extra=extra)
        await stopped.wait()
        log.info("scaler_stopping")


def _certificates(wanted: ScalerSettings) -> Certificates | None:
    if wanted.certificate is None or wanted.key is None:
        return None
    return Certificates(certificate=wanted.certificate, key=wanted.key, client_ca=wanted.client_ca)


async def _serve_metrics(
    wanted: ScalerSettings, registry: CollectorRegistry, stack: AsyncExitStack
) -> int | None:
    """Serve `/metrics` from a thread of its own until the stack ends; return its port."""
    host, port = wanted.host, wanted.metrics_port
    if port is None:
        return None
    try:
        return await stack.enter_async_context(scraped(registry, host=host, port=port))
    except OSError as error:
        raise refusal(host, port, key="scaler.metrics_port") from error
