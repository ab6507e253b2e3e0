"""`opened_decider`: deciding for the fleets of a configuration, with what it stands on."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from octoqueue.errors import ConfigError
from octoqueue.fleet.decider import BUDGET, FRESH_FOR, HOLD, DecisionWatch, FleetDecider
from octoqueue.lanes.opening import lane_options_from
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.metrics.redis_scaling_memory import RedisScalingMemory
from octoqueue.redis.client import RedisClient
from octoqueue.settings.scaling import EDGE, policy_from

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from datetime import timedelta

    from octoqueue.scaling.policy import ScalingPolicy
    from octoqueue.settings.root import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Deciding:
    """A decider and the memory beside it."""

    decider: FleetDecider
    memory: RedisScalingMemory


def policies_of(settings: Settings) -> dict[str, ScalingPolicy]:
    """Return the policy of every configured fleet, and of the HTTP edge when there is one."""
    policies = {fleet: policy_from(settings, fleet) for fleet in settings.fleets}
    if EDGE not in policies and settings.http.app is not None:
        policies[EDGE] = policy_from(settings, EDGE)
    return policies


@asynccontextmanager
async def opened_decider(
    settings: Settings,
    *,
    budget: timedelta = BUDGET,
    hold: timedelta = HOLD,
    fresh_for: timedelta = FRESH_FOR,
    remembers: bool = True,
    watch: DecisionWatch | None = None,
) -> AsyncGenerator[Deciding]:
    """Open a decider for the time of the block; the first decision connects.

    An answer that takes longer than `budget` counts as none, so that a connection that says nothing
    any more is given up before the next decision.

    Raises:
        ConfigError: no Redis is configured, or no fleet.
    """
    redis, policies = settings.redis, policies_of(settings)
    if redis.url is None:
        raise ConfigError(
            "redis.url: name the Redis whose fleets are scaled (or OCTOQUEUE_REDIS_URL)",
            key="redis.url",
        )
    if not policies:
        raise ConfigError("fleets: name the fleets that are scaled", key="fleets")
    client = RedisClient(
        redis.url,
        cluster=redis.topology == "cluster",
        pool_size=redis.pool_size,
        timeout=min(redis.command_timeout, budget),
        connect_timeout=min(redis.connect_timeout, budget),
        name="octoqueue-scaling",
        pipelining=redis.pipelining,
    )
    store = RedisLaneStore(client, lane_options_from(settings))
    memory = RedisScalingMemory(client, namespace=settings.namespace)
    decider = FleetDecider(
        store,
        memory,
        policies,
        budget=budget,
        hold=hold,
        fresh_for=fresh_for,
        remembers=remembers,
        watch=watch,
    )
    try:
        yield Deciding(decider=decider, memory=memory)
    finally:
        await decider.aclose()
        await store.aclose()  # and the client with it
