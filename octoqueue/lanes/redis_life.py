"""`RedisLife`: pausing queues; cancelling, finding and moving single messages."""

from __future__ import annotations

from octoqueue.lanes.redis_dead_letters import RedisDeadLetters
from octoqueue.redis.calls.life import pause_call


class RedisLife(RedisDeadLetters):
    """Decides about single messages and whole queues."""

    async def pause(self, queue: str) -> None:
        """Let nothing be claimed from a queue."""
        await self._remember({queue})
        await self._everywhere(lambda scope: pause_call(scope, queue, pause=True))

    async def resume(self, queue: str) -> None:
        """Let a paused queue be claimed from again."""
        await self._everywhere(lambda scope: pause_call(scope, queue, pause=False))
        if not self._scopes[0].bells:
            await self.ring([queue])
