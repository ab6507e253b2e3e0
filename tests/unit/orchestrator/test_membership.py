"""Who holds what, seen from one orchestrator; time is told."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.orchestrator.membership import Membership
from octoqueue.orchestrator.totals import OrchestratorTotals
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_workflows import MemoryWorkflowStore
from octoqueue.workflows.protocol import Agent, AgentId

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LEASE = timedelta(seconds=4)
PARTITIONS = 4


class Member:
    """A membership, and what it was told to do."""

    def __init__(self, name: str, store: MemoryWorkflowStore, clock: FakeClock) -> None:
        self.taken: list[int] = []
        self.lost: list[int] = []
        self.rested: list[int] = []
        self.membership = Membership(
            store,
            Agent(agent_id=AgentId(name)),
            partitions=PARTITIONS,
            lease=LEASE,
            taken=self.taken.extend,
            lost=self._lose,
            giving_up=self._rest,
            totals=OrchestratorTotals(),
            clock=clock,
        )

    def _lose(self, partitions: Iterable[int]) -> None:
        self.lost.extend(partitions)

    async def _rest(self, partitions: Sequence[int]) -> None:
        assert set(partitions) <= set(self.membership.epochs), "still held while it comes to rest"
        self.rested.extend(partitions)

    @property
    def held(self) -> list[int]:
        return sorted(self.membership.epochs)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(clock: FakeClock) -> MemoryWorkflowStore:
    return MemoryWorkflowStore(clock=clock)


async def settle(*members: Member) -> None:
    for member in members:
        await member.membership.settle()


async def test_who_is_alone_holds_all_and_shares_with_who_joins(
    store: MemoryWorkflowStore, clock: FakeClock
) -> None:
    ann, bob = Member("ann", store, clock), Member("bob", store, clock)
    await settle(ann)
    assert ann.taken == ann.held == [0, 1, 2, 3]
    await settle(bob, ann, bob)
    assert (ann.held, bob.held) == ([0, 1], [2, 3])
    assert ann.rested == ann.lost == [2, 3]
    assert bob.membership.epochs == {2: 2, 3: 2}


async def test_who_says_nothing_for_a_lease_is_replaced_and_learns_it(
    store: MemoryWorkflowStore, clock: FakeClock
) -> None:
    ann, bob = Member("ann", store, clock), Member("bob", store, clock)
    await settle(ann)
    clock.advance(LEASE)
    await settle(bob)
    assert bob.held == [0, 1, 2, 3]
    await ann.membership.attend()
    assert ann.held == []
    assert ann.lost == [0, 1, 2, 3]


async def test_who_comes_back_before_anybody_took_its_partitions_keeps_them(
    store: MemoryWorkflowStore, clock: FakeClock
) -> None:
    ann = Member("ann", store, clock)
    await settle(ann)
    clock.advance(LEASE)
    await settle(ann)
    assert ann.held == [0, 1, 2, 3]
    assert not ann.lost


async def test_partitions_beyond_those_configured_are_told_once_and_left_alone(
    store: MemoryWorkflowStore, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    before = AgentId("before")
    await store.attend(Agent(agent_id=before), lease=LEASE)
    await store.take(before, [1, 7])
    await store.leave(before)
    ann = Member("ann", store, clock)
    await settle(ann, ann)
    assert ann.held == [0, 1, 2, 3]
    told = [record for record in caplog.records if record.message == "partitions_unknown"]
    assert [vars(record)["partitions"] for record in told] == ["7"]


async def test_who_leaves_is_replaced_at_once(store: MemoryWorkflowStore, clock: FakeClock) -> None:
    ann, bob = Member("ann", store, clock), Member("bob", store, clock)
    await settle(ann)
    await ann.membership.leave()
    await settle(bob)
    assert bob.held == [0, 1, 2, 3]
