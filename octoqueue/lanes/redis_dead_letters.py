"""`RedisDeadLetters`: what somebody decides about messages that will not run again by themselves.

What is no envelope has no partition of its own: it is dead where it was found. So each id is looked
up in all partitions first; whether it is still there is for the script to say.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from octoqueue.errors import KeyTaken, LaneFull, NotReplayable
from octoqueue.lanes.redis_reading import good
from octoqueue.lanes.redis_upkeep import RedisUpkeep
from octoqueue.primitives.ids import MessageId, text_from_id
from octoqueue.primitives.lane import LANES, Lane
from octoqueue.redis.calls.dead_letters import (
    DONE,
    NO_ENVELOPE,
    TAKEN,
    UNBOUNDED,
    purge_call,
    replay_call,
)
from octoqueue.redis.calls.enqueue import Bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from octoqueue.lanes.options import LaneOptions
    from octoqueue.redis.calls.scope import Scope
    from octoqueue.redis.client import RedisClient

Places = dict[MessageId, int]
"""In which partition each message is dead."""

_PURGED_AT_ONCE = 500


class RedisDeadLetters(RedisUpkeep):
    """Replays and purges."""

    def __init__(
        self,
        client: RedisClient,
        options: LaneOptions | None = None,
        *,
        per_partition: bool | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(client, options, per_partition=per_partition, now_ms=now_ms)
        self._scope_of = {p: scope for scope in self._scopes for p in scope.partitions}

    def _bounds(self, queue: str, lane: Lane) -> Bounds:
        shares = len(self._scopes)
        return Bounds(
            lane=-(-self.options.bound(queue, lane) // shares),
            delayed=-(-self.options.delayed_bound // shares),
        )

    async def _places(
        self, queue: str, message_ids: Sequence[MessageId]
    ) -> defaultdict[Scope, Places]:
        """Return which of these are dead, and where; they keep their order in each scope."""
        wanted = list(dict.fromkeys(message_ids))
        partition_of: Places = {}
        for partition in range(self.options.partitions) if wanted else ():
            dead = self._keys.dead(partition, queue)
            scores = await self._client.command("ZMSCORE", dead, *wanted)
            for ident, score in zip(wanted, scores, strict=True):
                if score is not None:
                    partition_of[ident] = partition
        places: defaultdict[Scope, Places] = defaultdict(dict)
        for ident in wanted:
            if ident in partition_of:
                partition = partition_of[ident]
                places[self._scope_of[partition]][ident] = partition
        return places

    async def replay(
        self, queue: str, message_ids: Sequence[MessageId], *, over_bound: bool = False
    ) -> list[MessageId]:
        """Put dead letters back at the tail of their lanes."""
        bounds = UNBOUNDED if over_bound else [self._bounds(queue, lane).lane for lane in LANES]
        places = await self._places(queue, message_ids)
        answers = await self._client.call_each(
            [
                replay_call(scope, queue, here, bounds=bounds, now_ms=self._now())
                for scope, here in places.items()
            ]
        )
        if answers:
            await self._mark(queue)
            if not self._scopes[0].bells:
                await self.ring([queue])
        for answer in good(answers):
            _raise_refusal(queue, answer)
        moved = {ident for answer in answers for ident in answer[1:]}
        return [ident for ident in dict.fromkeys(message_ids) if ident in moved]

    async def purge(
        self,
        queue: str,
        message_ids: Sequence[MessageId] = (),
        *,
        older_than: timedelta | None = None,
    ) -> int:
        """Remove dead letters for good."""
        places = await self._places(queue, message_ids)
        calls = [
            purge_call(scope, queue, here, now_ms=self._now()) for scope, here in places.items()
        ]
        purged: int = sum(count for count, _ in good(await self._client.call_each(calls)))
        if older_than is not None:
            age_ms = older_than // timedelta(milliseconds=1)
            for scope in self._scopes:
                purged += await self._purge_older(scope, queue, age_ms)
        return purged

    async def _purge_older(self, scope: Scope, queue: str, age_ms: int) -> int:
        purged, more = 0, True
        while more:
            count, more = await self._client.call(
                purge_call(
                    scope, queue, {}, age_ms=age_ms, limit=_PURGED_AT_ONCE, now_ms=self._now()
                )
            )
            purged += count
        return purged


def _raise_refusal(queue: str, answer: list[Any]) -> None:
    """Raise what an answer of `replay.lua` means when it is not that all is done."""
    if answer[0] == DONE:
        return
    if answer[0] == NO_ENVELOPE:
        raise NotReplayable(queue, text_from_id(MessageId(answer[1])))
    if answer[0] == TAKEN:
        ident, holder = (text_from_id(MessageId(each)) for each in answer[1:])
        raise KeyTaken(queue, ident, existing=holder)
    _, lane, depth, bound = map(int, answer)
    raise LaneFull(queue, LANES[lane].label, depth=depth, bound=bound)
