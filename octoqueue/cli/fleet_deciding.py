"""What a fleet agent decides by: the configured policies within the bounds of its machine."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from octoqueue.errors import ConfigError, PortTaken, StoreError
from octoqueue.fleet.decider import FRESH_FOR, DecisionWatch, FleetDecider
from octoqueue.fleet.opening import opened_decider
from octoqueue.fleet.plan import Fleet
from octoqueue.fleet.sizing import Sizing
from octoqueue.metrics.scaling_memory import ScalingMemory
from octoqueue.primitives.signals import Presence
from octoqueue.scaling.hpa import Bounds
from octoqueue.settings.agent import AgentSettings
from octoqueue.settings.root import Settings

log = logging.getLogger(__name__)

_BEATS_A_LEASE: Final = 4
_SHORTEST_LEASE: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDeciding:
    """Deciding for the elastic fleets of one machine."""

    decider: FleetDecider
    memory: ScalingMemory
    sizings: dict[str, Sizing]
    lease: timedelta
    """How long an agent leads a fleet without saying so again."""
    metrics_port: int | None = None
    """Where `/metrics` is; None: nowhere."""

    async def presences(self, fleet: Fleet) -> Sequence[Presence]:
        """Return what the live workers of a fleet say of themselves.

        Raises:
            SignalsUnreadable: it cannot be read.
        """
        if fleet.name not in self.sizings:
            return ()
        snapshot = (await self.decider.look(fleet.name)).snapshot
        return () if snapshot is None else snapshot.workers

    async def leader(self, fleet: str, *, agent: str) -> str | None:
        """Return who leads a fleet instead of `agent`; None when that one does.

        Raises:
            StoreError: it cannot be read.
        """
        found = await self.memory.lead(fleet, agent, lasting=self.lease)
        return None if found == agent else found

    async def give_up(self, *, agent: str) -> None:
        """Let other agents lead."""
        with suppress(StoreError):
            for fleet in self.sizings:
                await self.memory.lead(fleet, agent, lasting=timedelta(0))


@asynccontextmanager
async def deciding(settings: Settings, fleets: Sequence[Fleet]) -> AsyncGenerator[AgentDeciding]:
    """Open what the sizes of elastic fleets are decided by, for the time of the block.

    Args:
        settings: with the URL of the Redis that is used.
        fleets: those that this machine runs; the others are not decided for.

    Raises:
        PortTaken: another program listens on `agent.metrics_port`.
        ConfigError: nobody can listen on `agent.metrics_host`.
    """
    bounded = _within_bounds(settings, fleets)
    fresh_for = min(FRESH_FOR, timedelta(seconds=settings.agent.every.total_seconds() / 2))
    async with AsyncExitStack() as stack:
        metrics_port, watch = await _metrics(settings.agent, stack)
        opened = await stack.enter_async_context(
            opened_decider(bounded, fresh_for=fresh_for, watch=watch)
        )
        policies = opened.decider.policies
        sizings = {
            fleet.name: Sizing(
                fleet.name,
                opened.decider,
                bounds=Bounds(least=fleet.elastic.least, most=fleet.elastic.most),
                behavior=policies[fleet.name].behavior,
            )
            for fleet in fleets
            if fleet.elastic is not None
        }
        yield AgentDeciding(
            decider=opened.decider,
            memory=opened.memory,
            sizings=sizings,
            lease=max(_SHORTEST_LEASE, _BEATS_A_LEASE * settings.agent.every),
            metrics_port=metrics_port,
        )


async def _metrics(
    agent: AgentSettings, stack: AsyncExitStack
) -> tuple[int | None, DecisionWatch | None]:
    """Serve `/metrics` until the stack ends, when that is configured; return who is to be told."""
    if agent.metrics_port is None:
        return None, None
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - not for who wants none

    from octoqueue.metrics.scaling_meter import ScalingMeter  # noqa: PLC0415 - as above
    from octoqueue.metrics.scraping import scraped  # noqa: PLC0415 - as above

    host, port, registry = agent.metrics_host, agent.metrics_port, CollectorRegistry()
    try:
        served = await stack.enter_async_context(scraped(registry, host=host, port=port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(host, port, key="agent.metrics_port") from error
        key = "agent.metrics_port" if isinstance(error, PermissionError) else "agent.metrics_host"
        said = f"{key}: cannot listen on {host}:{port}: {error.strerror}"
        raise ConfigError(said, key=key) from error
    log.info("metrics_served", extra={"host": host, "port": served})
    return served, ScalingMeter(registry)


def _within_bounds(settings: Settings, fleets: Sequence[Fleet]) -> Settings:
    """Return the settings with the elastic fleets of this machine only, and with its bounds."""
    elastic = {fleet.name: fleet.elastic for fleet in fleets if fleet.elastic is not None}
    return settings.model_copy(
        update={
            "fleets": {
                name: settings.fleets[name].model_copy(
                    update={
                        "scaling": settings.fleets[name].scaling.model_copy(
                            update={"min": bounds.least, "max": bounds.most}
                        )
                    }
                )
                for name, bounds in elastic.items()
            }
        }
    )


def this_host() -> str:
    """Return the name of this machine as its workers say it."""
    return socket.gethostname()
