"""`RedisEnqueuing`: putting messages in.

What is plain and for one lane goes through a script of its own, which is shorter: that is most of
what is sent. Everything else, and all of it on Redis Cluster, goes through `enqueue.lua`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from octoqueue.errors import DelayedFull, LaneFull, SentTooLate
from octoqueue.lanes.answers import Duplicates
from octoqueue.lanes.redis_dead_letters import RedisDeadLetters
from octoqueue.redis.calls.enqueue import TOO_LATE, duplicates, enqueue_call, refused_groups
from octoqueue.redis.calls.enqueue_plain import (
    PlainLane,
    enqueue_plain_call,
    plain_lane,
    plain_place,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from octoqueue.lanes.answers import EnqueueAnswer
    from octoqueue.lanes.options import LaneOptions
    from octoqueue.primitives.lane import Lane
    from octoqueue.primitives.messages import Enqueue
    from octoqueue.primitives.once import Once
    from octoqueue.redis.calls.scope import Scope
    from octoqueue.redis.client import RedisClient


class RedisEnqueuing(RedisDeadLetters):
    """Puts messages into lanes."""

    def __init__(
        self,
        client: RedisClient,
        options: LaneOptions | None = None,
        *,
        per_partition: bool | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(client, options, per_partition=per_partition, now_ms=now_ms)
        self._plain_lanes: dict[tuple[str, Lane], PlainLane] = {}

    async def enqueue(self, groups: Sequence[Sequence[Enqueue]]) -> list[EnqueueAnswer]:
        """Store each group all or none, duplicates excepted."""
        place = plain_place(groups) if self.spans_partitions else None
        if place is None:
            return await self._enqueue(groups, None)
        return await self._enqueue_plain(*place, groups)

    async def _enqueue_plain(
        self, queue: str, lane: Lane, groups: Sequence[Sequence[Enqueue]]
    ) -> list[EnqueueAnswer]:
        if queue not in self._known_queues:
            await self._remember({queue})
        prepared = self._plain_lanes.get((queue, lane))
        if prepared is None:
            bound = self._bounds(queue, lane).lane
            prepared = plain_lane(self._scopes[0], queue, lane, bound=bound)
            self._plain_lanes[queue, lane] = prepared
        answers: list[EnqueueAnswer] = [None] * len(groups)
        refused = await self._client.call(
            enqueue_plain_call(prepared, groups, places=self._map.places, now_ms=self._now())
        )
        for group, depth in zip(refused[::2], refused[1::2], strict=True):
            answers[group] = LaneFull(queue, lane.label, depth=depth, bound=prepared.bound)
        return answers

    async def enqueue_once(self, messages: Sequence[Enqueue], once: Once) -> list[EnqueueAnswer]:
        """Store messages each by itself, those stored before excepted."""
        return await self._enqueue([[message] for message in messages], once)

    async def _enqueue(
        self, groups: Sequence[Sequence[Enqueue]], once: Once | None
    ) -> list[EnqueueAnswer]:
        await self._remember({message.queue for group in groups for message in group})
        placed = [[(self._map.of_id(m.message_id), m) for m in group] for group in groups]
        refusals: list[EnqueueAnswer] = [None] * len(groups)
        if self.spans_partitions:
            await self._enqueue_in(self._scopes[0], placed, range(len(groups)), refusals, once)
        else:
            await self._enqueue_apart(placed, refusals, once)
        return refusals

    async def _enqueue_apart(
        self,
        placed: Sequence[Sequence[tuple[int, Enqueue]]],
        refusals: list[EnqueueAnswer],
        once: Once | None,
    ) -> None:
        """Enqueue in each partition by itself, also when another one fails."""
        by_scope: defaultdict[Scope, list[int]] = defaultdict(list)
        for number, group in enumerate(placed):
            # On Cluster a group that spans slots is stored slot by slot; the manual says so.
            for scope in {self._scope_of[partition] for partition, _ in group}:
                by_scope[scope].append(number)
        for message_id in once.settled if once else ():
            by_scope[self._scope_of[self._map.of_id(message_id)]]  # a call of its own if need be
        endings = await asyncio.gather(
            *(
                self._enqueue_in(
                    scope,
                    [[pm for pm in placed[n] if pm[0] in scope.partitions] for n in numbers],
                    numbers,
                    refusals,
                    once,
                )
                for scope, numbers in by_scope.items()
            ),
            return_exceptions=True,
        )
        await self.ring(sorted({message.queue for group in placed for _, message in group}))
        for ending in endings:
            if ending is not None:
                raise ending

    async def _enqueue_in(
        self,
        scope: Scope,
        groups: Sequence[Sequence[tuple[int, Enqueue]]],
        numbers: Sequence[int],
        refusals: list[EnqueueAnswer],
        once: Once | None,
    ) -> None:
        call, blocks = enqueue_call(
            scope,
            groups,
            bounds=self._bounds,
            now_ms=self._now(),
            once=b"" if once is None else self._packed(once, scope),
        )
        answer = await self._client.call(call)
        if answer == TOO_LATE:
            raise SentTooLate
        for found in duplicates(answer):
            number = numbers[found.group]
            told = Duplicates({found.message_id: found.holder}, refused=found.refused)
            before = refusals[number]
            if not isinstance(before, LaneFull):
                refusals[number] = told if before is None else before.joined(told)
        for refused in refused_groups(answer, blocks):
            kind = DelayedFull if refused.delayed else LaneFull
            refusals[numbers[refused.group]] = kind(
                refused.queue, refused.lane.label, depth=refused.depth, bound=refused.bound
            )

    def _packed(self, once: Once, scope: Scope) -> bytes:
        here = scope.partitions
        return once.packed(tuple(i for i in once.settled if self._map.of_id(i) in here))
