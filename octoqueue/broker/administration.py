"""`AdministeredBroker`: the verbs of operators, about queues and single messages.

Each has an async form, whose name begins with `a`, and one that blocks. An actor may use them too:
they take effect at once and are not kept for its commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from octoqueue.broker.stock_broker import StockBroker

if TYPE_CHECKING:
    from octoqueue.lanes.protocol import LaneStore


class AdministeredBroker(StockBroker):
    """Pauses queues; cancels, explains, finds and moves messages."""

    async def apause(self, queue: str) -> None:
        """Let nothing be claimed from a queue until it is resumed; what runs goes on."""
        await (await self._administered()).pause(queue)

    def pause(self, queue: str) -> None:
        """Let nothing be claimed from a queue until it is resumed; what runs goes on."""
        self._portal.run(self.apause(queue))

    async def aresume(self, queue: str) -> None:
        """Let a paused queue be claimed from again."""
        await (await self._administered()).resume(queue)

    def resume(self, queue: str) -> None:
        """Let a paused queue be claimed from again."""
        self._portal.run(self.aresume(queue))

    async def _administered(self) -> LaneStore:
        return await self.opened_store()
