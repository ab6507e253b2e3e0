"""Dealing out partitions."""

from __future__ import annotations

from octoqueue.orchestrator.assignment import Wanted, wanted
from octoqueue.workflows.protocol import AgentId, Hold, Roster

ANN, BOB = AgentId("ann"), AgentId("bob")


def roster(*agents: AgentId, **holds: str) -> Roster:
    owners = {int(name.removeprefix("p")): AgentId(owner) for name, owner in holds.items()}
    return Roster(
        agents=agents, holds={each: Hold(owner=owner, epoch=3) for each, owner in owners.items()}
    )


def test_who_is_alone_takes_all() -> None:
    assert wanted(ANN, roster(ANN), partitions=3) == Wanted(take=(0, 1, 2))


def test_who_holds_all_gives_half_to_who_joins() -> None:
    seen = roster(ANN, BOB, p0="ann", p1="ann", p2="ann")
    assert wanted(ANN, seen, partitions=3) == Wanted(keep=(0, 1), release=(2,))
    assert wanted(BOB, seen, partitions=3) == Wanted()


def test_what_a_dead_one_held_goes_to_who_has_least() -> None:
    seen = roster(ANN, BOB, p0="ann", p1="ann", p2="dead")
    assert wanted(BOB, seen, partitions=4) == Wanted(take=(2, 3))
    assert wanted(ANN, seen, partitions=4) == Wanted(keep=(0, 1))


def test_more_orchestrators_than_partitions_leave_some_with_nothing() -> None:
    seen = roster(ANN, BOB, p0="bob")
    assert wanted(ANN, seen, partitions=1) == Wanted()
    assert wanted(BOB, seen, partitions=1) == Wanted(keep=(0,))
