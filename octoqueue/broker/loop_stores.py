"""`LoopStores`: one store for each event loop that needs one.

A broker belongs to a process, a connection to the loop that made it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

from octoqueue.broker.coalescer import Coalescer
from octoqueue.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from octoqueue.lanes.protocol import LaneStore

Place = tuple["LaneStore", Coalescer]


class LoopStores:
    """Opens a store a loop, when it is first needed there."""

    def __init__(self, open_store: Callable[[], Awaitable[LaneStore]]) -> None:
        self._open_store = open_store
        self._places: WeakKeyDictionary[asyncio.AbstractEventLoop, Place] = WeakKeyDictionary()
        self._blocks: WeakKeyDictionary[asyncio.AbstractEventLoop, int] = WeakKeyDictionary()
        self._opening: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
        self._opening = WeakKeyDictionary()
        self._last: tuple[ref[asyncio.AbstractEventLoop] | None, Place | None] = None, None
        """What was found last: most programs have one loop."""

    @asynccontextmanager
    async def open_here(self) -> AsyncGenerator[None]:
        """Keep the store of the running loop open; the end of the outermost block closes it."""
        loop = asyncio.get_running_loop()
        self._blocks[loop] = self._blocks.get(loop, 0) + 1
        try:
            await self.here()
            yield
        finally:
            self._blocks[loop] -= 1
            if not self._blocks[loop]:
                await self.aclose()

    def opened(self) -> LaneStore:
        """Return the store of the running loop.

        Raises:
            DeclarationError: none is open on this loop.
        """
        place = self._places.get(asyncio.get_running_loop())
        if place is None:
            raise DeclarationError(
                "the broker is not connected on this loop: use `async with broker.connected()`"
            )
        return place[0]

    def found(self) -> Place | None:
        """Return store and coalescer of the running loop, when they are open."""
        loop = asyncio.get_running_loop()
        known, place = self._last
        if known is not None and known() is loop:
            return place
        place = self._places.get(loop)
        if place is not None:
            self._last = ref(loop), place
        return place

    async def here(self) -> Place:
        """Return store and coalescer of the running loop, opening them when needed."""
        loop = asyncio.get_running_loop()
        place = self._places.get(loop)
        if place is not None:
            return place
        async with self._opening.setdefault(loop, asyncio.Lock()):
            place = self._places.get(loop)
            if place is None:
                store = await self._open_store()
                place = self._places[loop] = (store, Coalescer(store))
            return place

    async def aclose(self) -> None:
        """Close the store of the running loop when all it was given is sent. Idempotent."""
        self._last = None, None
        place = self._places.pop(asyncio.get_running_loop(), None)
        if place is not None:
            store, coalescer = place
            try:
                await coalescer.sent()
            finally:
                await store.aclose()
