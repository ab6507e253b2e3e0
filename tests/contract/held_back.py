"""What waits and could not be started by more workers is told: they must not be asked for."""

from __future__ import annotations

from datetime import timedelta

from octoqueue.primitives.gates import Gates, TenantShare
from octoqueue.primitives.lane import LANES, Lane
from tests.contract.gated import gated, per_second, uses
from tests.contract.gating import Gated
from tests.contract.world import World, ack, message, messages


async def held_back(world: World, queue: str = "coder", *, within_seconds: float = 0) -> list[int]:
    """Return how many are held back in each lane; as many wait, or more."""
    within = timedelta(seconds=within_seconds)
    (found,) = (await world.store.read_signals([queue], due_within=within)).queues
    held = [found.lanes[lane].held_back for lane in LANES]
    assert all(0 <= held[lane] <= found.lanes[lane].waiting for lane in LANES)
    return held


class HoldingBack(Gated):
    async def test_nothing_is_held_back_where_nothing_is_defined(self, one: World) -> None:
        await one.put(*messages(3), gated("acme"), gated(caps=("x",)), gated(limits=uses()))
        assert await held_back(one) == [0, 0, 0]

    async def test_a_tenant_holds_back_what_its_concurrency_does_not_let_start(
        self, one: World
    ) -> None:
        await one.store.define(Gates(tenants={"acme": TenantShare(concurrency=3)}))
        await one.put(*(gated("acme") for _ in range(10)), *(gated("other") for _ in range(4)))
        assert await held_back(one) == [0, 7, 0]
        first, *_ = await one.claim(2)
        assert await held_back(one) == [0, 7, 0], "what runs has its slots"
        await one.claim(9)
        await one.settle(ack(first))
        assert sum(await held_back(one)) in {6, 7}

    async def test_lanes_share_the_slots_of_a_cap_the_highest_first(self, one: World) -> None:
        await one.store.define(Gates(caps={"two": 2}))
        for lane in (Lane.LOW, Lane.NORMAL, Lane.HIGH):
            await one.put(*(gated(caps=("two",), lane=lane) for _ in range(2)))
        assert await held_back(one) == [0, 2, 2]
        assert len(await one.claim(9)) == 2
        assert await held_back(one) == [0, 2, 2]

    async def test_a_limit_holds_back_what_it_does_not_let_start_in_the_time_looked_ahead(
        self, one: World
    ) -> None:
        await one.store.define(Gates(limits={"openai": per_second(2, burst=4)}))
        await one.put(*(gated(limits=uses()) for _ in range(30)))
        assert await held_back(one) == [0, 26, 0]
        assert await held_back(one, within_seconds=5) == [0, 16, 0]
        assert len(await one.claim(30)) == 4
        assert await held_back(one) == [0, 26, 0]
        assert await held_back(one, within_seconds=5) == [0, 16, 0]
        one.clock.advance(1_000)
        assert await held_back(one) == [0, 24, 0]
        assert await held_back(one, within_seconds=60) == [0, 0, 0]

    async def test_units_count_and_each_key_has_a_limit_of_its_own(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(1, burst=4)}))
        await one.put(*(gated(limits=uses(2, key="a")) for _ in range(5)))
        await one.put(*(gated(limits=uses(1, key="b")) for _ in range(5)))
        assert await held_back(one) == [0, 3 + 1, 0]

    async def test_a_limit_that_is_used_up_opens_again(self, one: World) -> None:
        await one.store.define(Gates(limits={"openai": per_second(0.1, burst=1)}))
        await one.put(*(gated(limits=uses()) for _ in range(3)))
        await one.claim(1)
        assert await held_back(one, within_seconds=9) == [0, 2, 0]
        one.clock.advance(10_000)
        assert await held_back(one) == [0, 1, 0]

    async def test_what_has_no_gates_is_never_held_back_by_those_of_others(
        self, one: World
    ) -> None:
        await one.store.define(Gates(caps={"one": 1}))
        await one.put(*(gated(caps=("one",)) for _ in range(4)), *messages(6))
        assert await held_back(one) == [0, 3, 0]

    async def test_a_queue_holds_back_what_its_own_concurrency_does_not_let_start(
        self, one: World
    ) -> None:
        await one.store.define(Gates(queue_caps={"judge": 3}))
        for lane in (Lane.HIGH, Lane.LOW):
            await one.put(*(message(queue="judge", lane=lane) for _ in range(4)))
        assert await held_back(one, "judge") == [1, 0, 4]
        leases = await one.claim(9, queues=["judge"])
        assert await held_back(one, "judge") == [1, 0, 4]
        await one.settle(*map(ack, leases))
        assert await held_back(one, "judge") == [0, 0, 2]

    async def test_reading_does_not_open_or_close_anything(self, one: World) -> None:
        await one.store.define(Gates(caps={"one": 1}, limits={"openai": per_second(1, burst=1)}))
        await one.put(*(gated(caps=("one",), limits=uses()) for _ in range(3)))
        for _ in range(3):
            await held_back(one, within_seconds=60)
        (lease,) = await one.claim(9)
        await held_back(one)
        await one.settle(ack(lease))
        one.clock.advance(1_000)
        assert len(await one.claim(9)) == 1
