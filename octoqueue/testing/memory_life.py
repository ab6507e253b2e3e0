"""`MemoryLife`: pausing queues; cancelling, finding and moving messages of the memory store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.testing.memory_dead_letters import MemoryDeadLetters

if TYPE_CHECKING:
    from octoqueue.primitives.ids import MessageId


class MemoryLife(MemoryDeadLetters):
    """Decides about single messages and whole queues."""

    async def pause(self, queue: str) -> None:
        """Let nothing be claimed from a queue."""
        self._used.add(queue)
        self._queue(queue).paused = True

    async def resume(self, queue: str) -> None:
        """Let a paused queue be claimed from again."""
        self._queue(queue).paused = False
        self._ring(queue)

    def _is_cancelled(self, message_id: MessageId) -> bool:
        stone = self._tombstones.get(message_id)
        return stone is not None and stone.expires_at_ms > self._clock.now_ms()
