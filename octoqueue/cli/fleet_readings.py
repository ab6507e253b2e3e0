"""What is true of each fleet now: from what its workers say, its queues, and the last decision."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from octoqueue.broker.sources import SettingsSource
from octoqueue.cli.agent_place import agent_directory
from octoqueue.cli.reading import with_redis
from octoqueue.errors import ProcessError
from octoqueue.fleet.switchboard import ask
from octoqueue.lanes.protocol import LaneStore
from octoqueue.metrics.redis_scaling_memory import RedisScalingMemory
from octoqueue.metrics.scaling_memory import Remembered
from octoqueue.primitives.signals import SignalReading
from octoqueue.redis.client import RedisClient
from octoqueue.settings.root import Settings
from octoqueue.settings.scaling import policy_from


class NoAgent(ProcessError):
    """No fleet agent runs on this machine for this installation."""

    def __init__(self) -> None:
        super().__init__(
            "no fleet agent runs here for this installation: 'octoqueue up' is one; on Kubernetes "
            "it is 'kubectl rollout restart'"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """One fleet."""

    fleet: str
    kind: str
    wanted: int | None
    """By the last decision; None when nobody has decided."""
    decided_seconds_ago: float | None
    ready: int
    starting: int
    """As the agent of this machine says; else what is wanted and not there."""
    draining: int
    failing: int
    """Processes that die again and again, as the agent of this machine says."""
    running: int
    slots: int
    waiting: int
    oldest_age_seconds: float
    reason: str
    """Of the last decision; without one, why there is none."""
    override: str
    """What somebody has ordered, in words; "" when nobody has."""


async def read_fleets(settings: Settings, names: Sequence[str]) -> list[FleetView]:
    """Read some fleets, all that are configured when none is named.

    Raises:
        FleetUnknown: one of the names is not configured.
        StoreUnavailable: Redis cannot be reached, or no private one runs.
    """
    for name in names:
        policy_from(settings, name)
    members = await _members_here(settings)
    settings = await with_redis(settings)
    store = await SettingsSource(settings).open()
    client = _client_of(settings)
    memory = RedisScalingMemory(client, namespace=settings.namespace)
    try:
        return [
            await _view(settings, name, store=store, memory=memory, members=members.get(name))
            for name in names or settings.fleets
        ]
    finally:
        await store.aclose()
        await client.aclose()


async def restarted(settings: Settings, fleet: str) -> AsyncIterator[str]:
    """Have the agent of this machine restart a fleet; give what happens, in words.

    Raises:
        FleetUnknown: it is not configured.
        NoAgent: no agent runs here.
        ProcessError: the restart ended early; says why.
    """
    policy_from(settings, fleet)
    question = {"ask": "restart", "fleet": fleet}
    try:
        async with aclosing(ask(agent_directory(settings), question)) as parts:
            async for part in parts:
                if "error" in part:
                    raise ProcessError(str(part["error"]))
                yield str(part["told"])
    except OSError:
        raise NoAgent from None


async def _members_here(settings: Settings) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Return what the agent of this machine says of its processes; nothing when there is none."""
    with suppress(OSError):
        async with aclosing(ask(agent_directory(settings), {"ask": "status"})) as parts:
            async for part in parts:
                return {each["fleet"]: each["members"] for each in part["fleets"]}
    return {}


async def _view(
    settings: Settings,
    name: str,
    *,
    store: LaneStore,
    memory: RedisScalingMemory,
    members: Sequence[Mapping[str, Any]] | None,
) -> FleetView:
    policy = policy_from(settings, name)
    reading = await store.read_signals(policy.queues, due_within=timedelta(0), fleet=name)
    remembered = await memory.recall(name)
    workers = [each for each in reading.workers if each.fleet in {name, ""}]
    ready = sum(each.is_ready for each in workers)
    decision = remembered.decision
    states = [str(each["state"]) for each in members or ()]
    missing = max(0, decision.workers - ready) if decision is not None else 0
    return FleetView(
        fleet=name,
        kind=settings.fleets[name].kind,
        wanted=None if decision is None else decision.workers,
        decided_seconds_ago=(
            None if decision is None else max(0, remembered.now_ms - decision.at_ms) / 1000
        ),
        ready=max(ready, states.count("ready")),
        starting=missing if members is None else states.count("starting"),
        draining=max(len(workers) - ready, states.count("draining")),
        failing=states.count("failing"),
        running=_running(reading),
        slots=sum(each.slots for each in workers if each.is_ready),
        waiting=sum(queue.waiting for queue in reading.queues),
        oldest_age_seconds=_oldest(reading),
        reason=_reason(settings, name) if decision is None else decision.reason,
        override=_override(remembered),
    )


def _reason(settings: Settings, name: str) -> str:
    """Return why nothing was decided."""
    if "scaling" not in settings.fleets[name].model_fields_set:
        return "its size is fixed: it has no section scaling"
    return "nobody has decided"


def _running(reading: SignalReading) -> int:
    return sum(queue.in_flight for queue in reading.queues)


def _oldest(reading: SignalReading) -> float:
    ages = [
        lane.oldest_age_seconds
        for queue in reading.queues
        for lane in queue.lanes.values()
        if lane.waiting
    ]
    return max(ages, default=0.0)


def _override(remembered: Remembered) -> str:
    override = remembered.override
    return "" if override is None else f"{override.workers} ordered by {override.said_by}"


def _client_of(settings: Settings) -> RedisClient:
    redis = settings.redis
    assert redis.url is not None  # noqa: S101 - it has been looked up
    return RedisClient(
        redis.url,
        cluster=redis.topology == "cluster",
        timeout=redis.command_timeout,
        connect_timeout=redis.connect_timeout,
    )
