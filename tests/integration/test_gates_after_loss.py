"""Gates of a Redis that has lost everything are defined again by the next session."""

from __future__ import annotations

from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.gates import Gates
from tests.contract.gated import gated
from tests.contract.redis_worlds import redis_worlds


async def test_gates_are_defined_again_after_redis_was_emptied(redis_url: str) -> None:
    async with redis_worlds(redis_url) as make:
        world = await make()
        store = world.store
        assert isinstance(store, RedisLaneStore)
        await store.define(Gates(caps={"one": 1}, queue_caps={"judge": 1}))
        keys = store._keys
        gates, *_ = store._scopes[0].gate_keys()
        await store._client.command(
            "DEL", gates, keys.workers(0), keys.queues(), keys.stats(0, "judge")
        )
        await world.put(*(gated(caps=("one",)) for _ in range(3)))
        await world.put(*(gated(queue="judge", tenant="a") for _ in range(3)))
        assert len(await world.claim(queues=["coder", "judge"])) == 2
