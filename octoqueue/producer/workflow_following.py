"""Following what an execution tells: the journal first, then announcements, nothing twice.

Whenever nothing was announced for a while, or something may have been missed, and once more at the
end, the journal is read again: it has all that was told.

Weakness: an event whose announcement was lost comes late, after others with greater numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from octoqueue.errors import StoreError, WorkflowUnknown
from octoqueue.workflows.announcing import event_from_announced, events_in
from octoqueue.workflows.executions import message_id_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.events import Event
    from octoqueue.producer.workflow_client import WorkflowClient
    from octoqueue.workflows.announcing import WorkflowEvent
    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.protocol import Loaded

LOOK_EVERY: Final = timedelta(seconds=5)
"""How often a waiting caller looks into PostgreSQL, in case an announcement was lost."""
AGAIN_SECONDS: Final = 0.5
"""How long it waits when Redis cannot be reached."""


def until_next_look(clock: Clock) -> float:
    """Return how many seconds there are until a waiting caller looks into PostgreSQL.

    All that wait in a process look at the same moments, so that they are read together.
    """
    every = LOOK_EVERY.total_seconds()
    return every - clock.monotonic() % every


async def followed(
    opened: Callable[[], Awaitable[tuple[WorkflowClient, Loaded]]], *, since: int
) -> AsyncGenerator[WorkflowEvent]:
    """Give the events of an execution after a number, up to its end.

    Raises:
        WorkflowUnknown: it is not kept any more.
    """
    client, loaded = await opened()
    execution_id = loaded.execution.execution_id
    follower = _Follower(await client.lanes(), loaded.execution, client.clock, since)
    try:
        while True:
            for event in follower.fresh(events_in(loaded.execution, loaded.steps)):
                yield event
            if loaded.execution.is_final:
                return
            while (told := await follower.heard()) is not None and not told.is_end:
                for event in follower.fresh([told]):
                    yield event
            try:
                again = await client.store.history(execution_id)
            except StoreError as error:
                if not error.retryable:
                    raise
                await client.clock.sleep(AGAIN_SECONDS)
                continue
            if again is None:
                raise WorkflowUnknown(execution_id)
            loaded = again
    finally:
        await follower.aclose()


class _Follower:
    """Listens for the announcements of one execution."""

    def __init__(self, lanes: LaneStore, execution: Execution, clock: Clock, since: int) -> None:
        self._lanes = lanes
        self._clock = clock
        self._ident = message_id_of(execution.execution_id)
        self._following = lanes.events(self._ident)
        self._next: asyncio.Task[Event] | None = None
        self._since = since
        self._given: set[int] = set()

    def fresh(self, events: Iterable[WorkflowEvent]) -> Iterator[WorkflowEvent]:
        """Give those that were not given before."""
        for event in events:
            if event.number > self._since and event.number not in self._given:
                self._given.add(event.number)
                yield event

    async def heard(self) -> WorkflowEvent | None:
        """Wait for what is announced next; None when it is time to look into the journal."""
        if self._next is None:
            self._next = asyncio.ensure_future(anext(self._following))
        pause = asyncio.ensure_future(self._clock.sleep(until_next_look(self._clock)))
        try:
            await asyncio.wait((self._next, pause), return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
        if not self._next.done():
            return None
        done, self._next = self._next, None
        try:
            return event_from_announced(done.result())
        except (StoreError, StopAsyncIteration):
            self._following = self._lanes.events(self._ident)
            await self._clock.sleep(AGAIN_SECONDS)
            return None

    async def aclose(self) -> None:
        """Stop listening."""
        if self._next is not None:
            self._next.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._next
        await self._following.aclose()
