"""How much one call to a server carries."""

from __future__ import annotations

from typing import Any

import octoqueue
from octoqueue.workflows.context import Context  # noqa: TC001 - types of workflows are read at run time
from tests.running import WatchedStore
from tests.workflow_world import memory_world

LARGE = "x" * 700_000
MOST_BYTES = 9 * 2**20


async def test_a_write_and_a_commit_are_bounded_by_bytes() -> None:
    async with memory_world() as world:

        @octoqueue.actor(broker=world.broker)
        async def length(text: str) -> int:
            return len(text)

        @world.workflow()
        async def large(ctx: Context) -> int:
            return await ctx.call(length, LARGE)

        started = [await world.start(large, nudged=n % 2 == 0) for n in range(60)]
        store: Any = WatchedStore(world.store)  # type: ignore[arg-type]  # it watches any
        lanes: Any = WatchedStore(world.lanes)
        async with world.orchestrating(store=store, lanes=lanes), world.working():
            for execution in started:
                assert await world.result(execution) == len(LARGE)
    written = [
        sum(len(step.input or b"") for turn in turns for step in turn.steps)
        for (_, turns, _), _ in store.called("write")
    ]
    sent = [
        sum(len(each.payload) for settled in call["settlements"] for each in settled.follow_ups)
        for _, call in lanes.called("commit")
    ]
    enqueued = [
        sum(len(each.payload) for group in groups for each in group)
        for (groups,), _ in lanes.called("enqueue")
    ]
    assert len(LARGE) < max(written) <= MOST_BYTES
    assert len(LARGE) < max(sent) <= MOST_BYTES
    assert max(enqueued, default=0) <= MOST_BYTES
