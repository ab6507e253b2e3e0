"""`Grouped`: the calls of one tick become one statement.

    calls   ──┬──►  waiting  ──(end of the tick, a free turn)──►  one statement for all of them
              └──◄  each caller gets its own answer or error

One round trip and one commit serve everybody who asked in the same turn of the loop; while the
allowed number of statements is under way, newcomers gather for the next one. So a lone call waits
for nobody, and a thousand concurrent calls cost a handful of statements.

The weakness: callers share a fate. When the server refuses a whole group, its items are tried one
by one so that only the guilty one fails; an outage fails all of them, as it would anyway.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from octoqueue.errors import StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")


class Grouped(Generic[ItemT, AnswerT]):
    """One kind of call, grouped; for one event loop."""

    def __init__(
        self,
        send: Callable[[Sequence[ItemT]], Awaitable[Sequence[AnswerT]]],
        *,
        key: Callable[[ItemT], Hashable] | None = None,
        max_items: int = 500,
        max_under_way: int = 2,
    ) -> None:
        self._send = send
        """Takes the items of one statement, gives one answer for each, in order."""
        self._key = key
        """Items with equal keys never share a statement; None when that may happen."""
        self._max_items = max_items
        self._max_under_way = max_under_way
        self._waiting: deque[tuple[ItemT, asyncio.Future[AnswerT]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._is_scheduled = False
        self._is_closed = False

    async def __call__(self, item: ItemT) -> AnswerT:
        """Return the answer for `item`; raises what its statement raised.

        A caller who is cancelled before its statement is sent takes its item back.
        """
        if self._is_closed:
            raise StoreUnavailable("PostgreSQL", reason="the store is closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[AnswerT] = loop.create_future()
        self._waiting.append((item, answer))
        self._schedule(loop)
        return await answer

    async def aclose(self) -> None:
        """Refuse new calls and return when those under way have been answered."""
        self._is_closed = True
        while self._waiting or self._under_way:
            self._launch()
            if self._under_way:
                await asyncio.wait(self._under_way)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._is_scheduled and len(self._under_way) < self._max_under_way:
            self._is_scheduled = True
            loop.call_soon(self._launch)

    def _launch(self) -> None:
        self._is_scheduled = False
        while self._waiting and len(self._under_way) < self._max_under_way:
            if group := self._take_group():
                task = asyncio.create_task(self._answer(group))
                self._under_way.add(task)
                task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._launch()

    def _take_group(self) -> list[tuple[ItemT, asyncio.Future[AnswerT]]]:
        group: list[tuple[ItemT, asyncio.Future[AnswerT]]] = []
        keys: set[Hashable] = set()
        while self._waiting and len(group) < self._max_items:
            item, answer = self._waiting[0]
            if not answer.done():
                if self._key is not None:
                    key = self._key(item)
                    if key in keys:
                        break
                    keys.add(key)
                group.append((item, answer))
            self._waiting.popleft()
        return group

    async def _answer(self, group: list[tuple[ItemT, asyncio.Future[AnswerT]]]) -> None:
        try:
            answers = await self._send([item for item, _ in group])
            for (_, answer), value in zip(group, answers, strict=True):
                if not answer.done():
                    answer.set_result(value)
        except StoreRefused as exc:
            if len(group) == 1:
                _fail(group[0][1], exc)
                return
            for each in group:
                await self._answer([each])
        except BaseException as exc:  # noqa: BLE001 - whatever it was belongs to the callers
            for _, answer in group:
                _fail(answer, exc)


def _fail(answer: asyncio.Future[AnswerT], exc: BaseException) -> None:
    if not answer.done():
        answer.set_exception(exc)
