"""`Rounds`: waiting for the end of the round under way of something that goes round and round."""

from __future__ import annotations

import asyncio


class Rounds:
    """Wakes who waits for a round to end."""

    def __init__(self) -> None:
        self._ending: asyncio.Future[None] | None = None

    async def end(self) -> None:
        """Return at the end of the round under way."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._ending)

    def over(self) -> None:
        """End the round."""
        ending, self._ending = self._ending, None
        if ending is not None and not ending.done():
            ending.set_result(None)
