from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.contract.lane_store import LaneStoreContract, WholeNamespaceContract
from tests.contract.world import NOBODY, OPTIONS, World

if TYPE_CHECKING:
    from octoqueue.lanes.options import LaneOptions
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.lane import Lane
    from tests.contract.world import MakesStores


async def memory_world(options: LaneOptions = OPTIONS) -> World:
    clock = FakeClock()
    store = MemoryLaneStore(options, clock=clock)

    async def inject(queue: str, lane: Lane, *payloads: bytes, beside: MessageId = NOBODY) -> None:
        await store.ring([queue])
        store._queue(queue).ready[lane].extend(payloads)

    async def inject_delayed(queue: str, due_ms: int, payload: bytes) -> None:
        store._queue(queue).delayed[payload] = due_ms

    return World(store, clock, inject, inject_delayed)


class TestMemoryLaneStore(LaneStoreContract, WholeNamespaceContract):
    @pytest.fixture
    def make(self) -> MakesStores:
        return memory_world

    @pytest.fixture
    async def world(self, make: MakesStores) -> World:
        return await make()
