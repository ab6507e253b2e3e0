"""`RedisSchedules`: where schedules stand, and firing their ticks.

What a schedule stands at lives where its messages do: with the affinity of its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.errors import DelayedFull, LaneFull
from octoqueue.lanes.redis_dead_letters import RedisDeadLetters
from octoqueue.primitives.schedules import Fired, Firing, LastTick
from octoqueue.redis.calls.enqueue import duplicates, enqueue_call, refused_groups
from octoqueue.redis.calls.schedules import begin_call, fire_call

if TYPE_CHECKING:
    from octoqueue.primitives.messages import Enqueue
    from octoqueue.primitives.schedules import Tick


class RedisSchedules(RedisDeadLetters):
    """Fires ticks."""

    async def last_tick(self, schedule: str, digest: str, *, begins: bool = True) -> LastTick:
        """Return where a schedule stands."""
        scope = self._scope_of[self._map.of_key(schedule)]
        call = begin_call(scope, schedule, digest, begins=begins, now_ms=self._now())
        last, fired, now = await self._client.call(call)
        return LastTick(None if last < 0 else last, None if fired < 0 else fired, now)

    async def fire(self, tick: Tick, message: Enqueue) -> Firing:
        """Enqueue the message of a tick and record the tick, or do neither."""
        await self._remember({message.queue})
        partition = self._map.of_id(message.message_id)
        scope = self._scope_of[partition]
        call, blocks = enqueue_call(
            scope, [[(partition, message)]], bounds=self._bounds, now_ms=self._now()
        )
        outcome, last, now, answer = await self._client.call(fire_call(scope, call, tick))
        for refused in refused_groups(answer, blocks):
            kind = DelayedFull if refused.delayed else LaneFull
            raise kind(refused.queue, refused.lane.label, depth=refused.depth, bound=refused.bound)
        if duplicates(answer):
            outcome = Fired.DUPLICATE
        elif outcome == Fired.FIRED and not scope.bells:
            await self.ring([message.queue])
        return Firing(Fired(outcome), last, now)
