"""Scripts that decide about single messages and unique keys touch the keys they are given alone."""

from __future__ import annotations

import pytest

from octoqueue.errors import KeyTaken
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Outcome, Settlement
from octoqueue.redis.scripts import SCRIPT_NAMES, script
from tests.contract.cancelling import of_tenant
from tests.contract.redis_worlds import redis_worlds
from tests.contract.unique import STARTED, WINDOW, unique
from tests.contract.world import A, B, World, ack, bury, message, retry
from tests.integration.test_lua_keys import KEYLESS, LINE, WORD, watched

USED = {
    "cancel", "claim", "commit", "enqueue", "expired", "flush", "move", "pause", "promote",
    "reclaim", "replay", "seek", "withdraw",
}  # fmt: skip


@pytest.mark.parametrize("per_partition", [False, True])
async def test_they_touch_no_other_key(
    redis_url: str,
    per_partition: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    with watched(redis_url) as lines:
        async with redis_worlds(redis_url, per_partition=per_partition) as make:
            await use_life(await make())
    names = {script(name).sha: name for name in SCRIPT_NAMES}
    keys, running, used = set[str](), "", set[str]()
    for line in lines:
        found = LINE.match(line)
        assert found, line
        command, *words = WORD.findall(found[2])
        if found[1] != "lua":
            if command in {"EVALSHA", "EVAL"}:
                running = names.get(words[0], running)
                keys = set(words[2 : 2 + int(words[1])])
                used.add(running)
        elif command.upper() not in KEYLESS:
            assert words[0] in keys, (running, command, words[0])
    assert used >= USED


async def use_life(world: World) -> None:
    store = world.store
    first = unique("a")
    await world.put(first, unique("b", STARTED), unique("c", WINDOW), unique("d", delay_ms=9))
    await store.enqueue([[unique("a"), message()], [unique("c", refuse=True)]])
    leases = await world.claim()
    await world.settle(
        ack(leases[0], unique("b", beside=leases[0].message_id)), *map(bury, leases[1:])
    )
    await world.put(unique("a"))
    for lease in leases[1:]:
        try:
            await store.replay("coder", [lease.message_id])
        except KeyTaken:
            continue
    for sent in (message(), message(delay_ms=9), of_tenant()):
        await world.put(sent)
        await store.move(sent.message_id, Lane.HIGH)
        await store.explain(sent.message_id)
        await store.cancel(sent.message_id, "enough")
    await store.pause("coder")
    await store.resume("coder")
    one, two, *_ = [message(), message()]
    await world.put(one, two)
    held = {lease.message_id: lease for lease in await world.claim()}
    await store.cancel(one.message_id)
    await store.cancel(two.message_id)
    await world.settle(retry(held[one.message_id]))
    world.clock.advance(20_000)
    await store.promote("coder")
    await store.reclaim()
    for lease in await world.claim(session=B):
        await world.settle(Settlement(lease=lease, outcome=Outcome.CANCEL), session=B)
    await world.put(unique("e"), unique("f", delay_ms=5), of_tenant())
    await store.flush("coder")
    world.clock.advance(100_000_000)
    await store.reclaim()
    await store.extend(A)
