"""What a fleet agent decides by: the configured policies, the signals, what is remembered."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from octoqueue.broker.sources import SettingsSource
from octoqueue.fleet.decider import FRESH_FOR, FleetDecider
from octoqueue.fleet.plan import Fleet
from octoqueue.fleet.sizing import Sizing
from octoqueue.metrics.redis_scaling_memory import RedisScalingMemory
from octoqueue.primitives.signals import Presence
from octoqueue.redis.client import RedisClient
from octoqueue.scaling.hpa import Bounds
from octoqueue.scaling.policy import ScalingPolicy
from octoqueue.settings.root import Settings
from octoqueue.settings.scaling import policy_from

_CONNECTIONS: Final = 2
_HALF: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """Deciding for the elastic fleets of one machine."""

    decider: FleetDecider
    sizings: dict[str, Sizing]

    async def presences(self, fleet: Fleet) -> Sequence[Presence]:
        """Return what the live workers of a fleet say of themselves.

        Raises:
            SignalsUnreadable: it cannot be read.
        """
        if fleet.name not in self.sizings:
            return ()
        snapshot = (await self.decider.look(fleet.name)).snapshot
        return () if snapshot is None else snapshot.workers


@asynccontextmanager
async def deciding(settings: Settings, fleets: Sequence[Fleet]) -> AsyncGenerator[Deciding]:
    """Open what the sizes of elastic fleets are decided by, for the time of the block.

    Args:
        settings: with the URL of the Redis that is used.
        fleets: those that this machine runs; the others are not decided for.
    """
    policies = {
        fleet.name: policy
        for fleet in fleets
        if (policy := _policy_of(settings, fleet)) is not None
    }
    redis = settings.redis
    assert redis.url is not None  # noqa: S101 - what it says above
    client = RedisClient(
        redis.url,
        cluster=redis.topology == "cluster",
        pool_size=_CONNECTIONS,
        timeout=redis.command_timeout,
        connect_timeout=redis.connect_timeout,
    )
    store = await SettingsSource(settings).open()
    try:
        decider = FleetDecider(
            store,
            RedisScalingMemory(client, namespace=settings.namespace),
            policies,
            fresh_for=min(
                FRESH_FOR, timedelta(seconds=settings.agent.every.total_seconds() / _HALF)
            ),
        )
        try:
            yield Deciding(
                decider=decider,
                sizings={
                    name: Sizing(
                        name,
                        decider,
                        bounds=Bounds(least=policy.min_workers, most=policy.max_workers),
                        behavior=policy.behavior,
                    )
                    for name, policy in policies.items()
                },
            )
        finally:
            await decider.aclose()
    finally:
        await store.aclose()
        await client.aclose()


def _policy_of(settings: Settings, fleet: Fleet) -> ScalingPolicy | None:
    """Return the configured policy within the bounds of this machine."""
    if fleet.elastic is None:
        return None
    return replace(
        policy_from(settings, fleet.name),
        min_workers=fleet.elastic.least,
        max_workers=fleet.elastic.most,
    )


def this_host() -> str:
    """Return the name of this machine as its workers say it."""
    return socket.gethostname()
