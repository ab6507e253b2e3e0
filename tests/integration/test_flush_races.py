"""Messages that are sent while their queue is flushed are dropped whole or kept whole."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.envelope import Flag, Header, pack_header
from octoqueue.primitives.extension import Extension, UniqueKey, UniqueMode, pack_extension
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue
from octoqueue.redis.client import RedisClient
from tests.contract.world import ONE_PARTITION, A, fresh_namespace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Interrupted(RedisClient):
    """Does something before each command that removes keys whatever they hold."""

    before_removing: Callable[[], Awaitable[object]] | None = None

    async def command(self, *parts: object) -> object:
        if parts[0] == "UNLINK" and self.before_removing is not None:
            await self.before_removing()
        return await super().command(*parts)


def guarded() -> Enqueue:
    """A message of a tenant that holds a key until it is done."""
    header = Header(lane=Lane.HIGH, flags=Flag.EXTENDED, message_id=new_message_id(beside=None))
    extension = Extension(UniqueKey(UniqueMode.DONE, bytes(16)), tenant="acme")
    payload = pack_header(header) + pack_extension(extension) + b"{}"
    return Enqueue(queue="coder", lane=Lane.HIGH, payload=payload)


async def test_a_flush_never_leaves_a_key_with_nobody_who_holds_it(redis_url: str) -> None:
    client = Interrupted(redis_url)
    store = RedisLaneStore(client, replace(ONE_PARTITION, namespace=fresh_namespace()))
    try:
        client.before_removing = lambda: store.enqueue([[guarded()]])
        await store.flush("coder")
        client.before_removing = None
        leases = await store.claim(A, ["coder"], limit=10)
        await store.commit(A, acks=leases)
        assert await store.enqueue([[guarded()]]) == [None]
    finally:
        await store.aclose()
