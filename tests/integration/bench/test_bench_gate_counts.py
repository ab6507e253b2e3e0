"""The gate sees what it is there to see: a mutation that costs one call a message."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import uvloop

import octoqueue
from bench.gate import cases
from bench.gate.ceilings import as_ceiling, excesses, grown
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
    ceiling = as_ceiling(accepted, reference)
    assert not list(excesses("drain", again, reference, ceiling, same_python=True))
    found = excesses("drain", mutated, reference, ceiling, same_python=True)
    assert "calls of Python functions" in {excess.figure for excess in found}
    assert any("mutated_actors.<locals>.noop" in line for line in grown(mutated, ceiling))
