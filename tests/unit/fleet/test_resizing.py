"""Fleets brought to their sizes: on one machine, and on several that share a Redis."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from octoqueue.errors import SignalsUnreadable, StoreUnavailable
from octoqueue.fleet.machine import Machine
from octoqueue.fleet.plan import Elastic, Fleet
from octoqueue.fleet.resizing import MachineBounds, Resizer
from octoqueue.fleet.sizing import Sizing
from octoqueue.primitives.signals import Presence
from octoqueue.scaling.behavior import Behavior, DirectionRules, RatePolicy
from octoqueue.scaling.decision import Decision
from octoqueue.scaling.hpa import Bounds
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_scaling import MemoryScalingMemory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pytest

    from octoqueue.fleet.crew import Crew

AT_ONCE = DirectionRules(
    stabilization_window_seconds=0,
    policies=(RatePolicy(kind="Pods", value=100, period_seconds=1),),
    tolerance=0.0,
)
LEASE = timedelta(seconds=20)


class PlainCrew:
    """A size, and what it was told."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.size = fleet.processes
        self.members: tuple[()] = ()
        self.is_restarting = False

    def grow_to(self, size: int) -> None:
        self.size = size

    def shrink_to(self, size: int, presences: Iterable[Presence] = ()) -> tuple[str, ...]:
        self.size = size
        return ("somebody",)


class World:
    """What all machines share: what is wanted, who is there, who leads."""

    def __init__(self, wanted: int | None) -> None:
        self.clock = FakeClock()
        self.memory = MemoryScalingMemory(clock=self.clock)
        self.wanted = wanted
        self.machines: dict[str, PlainCrew] = {}
        self.is_down = False
        self.is_unread = False

    async def decide(self, fleet: str) -> Decision:
        if self.wanted is None:
            raise SignalsUnreadable(fleet, reason="no Redis")
        return Decision(
            fleet=fleet, at_ms=0, workers=self.wanted, is_active=True, steps=(), reason="so"
        )

    async def presences(self, fleet: Fleet) -> Sequence[Presence]:
        if self.is_unread:
            raise SignalsUnreadable(fleet.name, reason="no Redis")
        return [
            Presence(
                session=f"{host}{number}",
                name=f"coder.{number}",
                fleet=fleet.name,
                queues=fleet.queues,
                slots=1,
                running=0,
                started_at_ms=0,
                ready_at_ms=0,
                said_at_ms=0,
                host=host,
            )
            for host, crew in self.machines.items()
            for number in range(crew.size)
        ]

    def machine(self, host: str, *, processors: int = 8, most: int = 10) -> Resizer:
        fleet = Fleet(
            name="coder",
            modules=("app",),
            queues=("coder",),
            concurrency=1,
            elastic=Elastic(least=1, most=most),
        )
        crew = self.machines[host] = PlainCrew(fleet)

        async def leader(name: str) -> str | None:
            if self.is_down:
                raise StoreUnavailable("Redis", reason="gone")
            found = await self.memory.lead(name, host, lasting=LEASE)
            return None if found == host else found

        sizing = Sizing(
            "coder",
            self,
            bounds=Bounds(least=1, most=most),
            behavior=Behavior(up=AT_ONCE, down=AT_ONCE),
        )
        return Resizer(
            {"coder": cast("Crew", crew)},
            {"coder": sizing},
            presences=self.presences,
            leader=leader,
            host=host,
            bounds=MachineBounds(),
            machine=Machine(processors=processors, memory_bytes=64 << 30),
            clock=self.clock,
        )

    @property
    def sizes(self) -> dict[str, int]:
        return {host: crew.size for host, crew in self.machines.items()}


async def test_the_leader_has_what_the_others_have_not() -> None:
    world = World(6)
    a, b = world.machine("a"), world.machine("b")
    for resizer in (a, b, a, b):
        await resizer.resize()
        world.clock.advance(1_000)
    assert world.sizes == {"a": 5, "b": 1}


async def test_when_the_leader_is_gone_another_one_leads_and_it_keeps_its_least(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = World(6)
    a, b = world.machine("a"), world.machine("b")
    await a.resize()
    await b.resize()
    assert world.sizes == {"a": 5, "b": 1}
    world.clock.advance(LEASE + timedelta(seconds=1))  # and a is paused
    await b.resize()
    await a.resize()
    world.clock.advance(1_000)
    await b.resize()
    assert world.sizes == {"a": 1, "b": 5}
    told = [(record.message, record.__dict__.get("leader")) for record in caplog.records]
    assert ("fleet_led_elsewhere", "b") in told


async def test_workers_elsewhere_that_cannot_be_read_are_not_taken_for_none_and_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(6)
    a, b = world.machine("a"), world.machine("b")
    for resizer in (a, b, a):
        await resizer.resize()
        world.clock.advance(1_000)
    world.is_unread = True  # and what was decided is held
    for _ in range(3):
        await a.resize()
        world.clock.advance(1_000)
    assert world.sizes == {"a": 5, "b": 1}
    assert [record.message for record in caplog.records].count("presences_unread") == 1
    world.is_unread = False
    del world.machines["b"]
    await a.resize()
    assert world.sizes == {"a": 6}


async def test_while_redis_is_gone_nothing_changes() -> None:
    world = World(6)
    a = world.machine("a")
    await a.resize()
    world.wanted, world.is_down = None, True
    for _ in range(5):
        world.clock.advance(timedelta(minutes=10))
        await a.resize()
    assert world.sizes == {"a": 6}


async def test_the_default_bound_is_the_least_of_all_and_two_a_processor() -> None:
    world = World(10)
    a = world.machine("a", processors=2)
    await a.resize()
    assert world.sizes == {"a": 5}
    (resize,) = a.resizes
    assert resize.reason == "so; agent.max_processes: 5"


async def test_a_fleet_that_is_restarted_grows_but_does_not_shrink_meanwhile() -> None:
    world = World(3)
    a = world.machine("a")
    world.machines["a"].is_restarting = True
    await a.resize()
    assert world.sizes == {"a": 3}
    world.wanted = 1
    world.clock.advance(1_000)
    await a.resize()
    assert world.sizes == {"a": 3}
    world.machines["a"].is_restarting = False
    world.clock.advance(1_000)
    await a.resize()
    assert world.sizes == {"a": 1}
