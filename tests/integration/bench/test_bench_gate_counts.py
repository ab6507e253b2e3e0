"""The gate sees what it is there to see: a mutation that costs one call a message."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import uvloop

import octoqueue
from bench.gate import cases
from bench.gate.ceilings import as_ceiling, excesses
from bench.load import QUEUE, Actors, actors_on
from bench.server import private_server

if TYPE_CHECKING:
    import pytest

    from bench.gate.cases import Cost


def once_more() -> None:
    """What the mutation calls."""


def mutated_actors(broker: octoqueue.LaneBroker) -> Actors:
    actors = actors_on(octoqueue.LaneBroker("redis://127.0.0.1"))  # of which only one is wanted

    @octoqueue.actor(queue=QUEUE, broker=broker)
    async def noop() -> None:
        once_more()

    return replace(actors, noop=noop)


def exceeded(cost: Cost, accepted: Cost, reference: Cost) -> dict[str, tuple[str, ...]]:
    ceiling = as_ceiling(accepted, reference)
    found = excesses("drain", cost, reference, ceiling, same_python=True)
    return {excess.figure: excess.grown for excess in found}


async def counted(monkeypatch: pytest.MonkeyPatch) -> tuple[Cost, Cost, Cost, Cost]:
    async with private_server() as server:
        reference = await cases.bare_drain(server)
        accepted = await cases.drain(server)
        again = await cases.drain(server)
        monkeypatch.setattr(cases, "actors_on", mutated_actors)
        return reference, accepted, again, await cases.drain(server)


def test_one_call_more_a_message_is_above_the_ceiling_and_the_same_work_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # On uvloop, as the gate runs: the loop of asyncio is Python, and how often it turns is chance.
    reference, accepted, again, mutated = uvloop.run(counted(monkeypatch))
    assert exceeded(again, accepted, reference) == {}
    found = exceeded(mutated, accepted, reference)
    grown = found["calls of Python functions"]
    assert any("mutated_actors.<locals>.noop: +" in line for line in grown)
