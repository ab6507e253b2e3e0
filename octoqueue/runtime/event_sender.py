"""`EventSender`: stores what running messages tell, one call at a time.

All that is told in one turn of the event loop leaves in one call, and what is told while a call
travels collects for the next: streaming tokens costs a few calls a second, however many there are.
A call that failed is sent again; what it had stored is not stored twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from octoqueue.broker.telling import Telling
from octoqueue.errors import OctoqueueError
from octoqueue.primitives.envelope import Flag
from octoqueue.primitives.events import EventKind
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.messages import Emission, LeaseToken, SessionId, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.clock import Clock
    from octoqueue.runtime.attempt import Attempt

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.2
_MOST_AT_ONCE = 2_000
"""Events in one call."""
_MOST_BYTES = 1 << 20
"""In one call, unless the events of a single message are more."""
_OF_ITS_OWN = 2
"""A gap and the end must find room beside what an attempt could not store before."""


class EventSender:
    """Owns what is told in this process and not stored yet."""

    def __init__(
        self,
        store: LaneStore,
        session: Callable[[], SessionId],
        *,
        max_event_bytes: int,
        clock: Clock,
    ) -> None:
        self._store = store
        self._session = session
        self._max_bytes = max_event_bytes
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._tellings: WeakValueDictionary[LeaseToken, Telling] = WeakValueDictionary()
        self._news: dict[Telling, None] = {}
        """Who has something to store, in the order in which they said so."""
        self._sending: asyncio.Task[None] | None = None

    def begin(self, attempt: Attempt) -> None:
        """Let an attempt tell events; it begins with that it has started."""
        if not attempt.header.flags & Flag.EVENTS:
            return
        context = attempt.context
        telling = Telling(
            attempt.lease,
            message_id=context.message_id,
            actor=context.actor,
            attempt=context.attempt,
            bound=max(self._store.options.events.bound - _OF_ITS_OWN, 1),
            max_bytes=self._max_bytes,
            clock=self._clock,
            on_news=self._notice,
        )
        context.telling = self._tellings[attempt.lease.token] = telling
        telling.tell(EventKind.STARTED, {"deliveries": context.deliveries})

    def sealed(self, settlement: Settlement) -> Settlement:
        """Return a settlement with what its attempt has told and may not be stored."""
        telling = self._tellings.pop(settlement.lease.token, None)
        if telling is None:
            return settlement
        self._news.pop(telling, None)
        told = telling.seal()
        return settlement if told is None else replace(settlement, events=told)

    def _notice(self, telling: Telling) -> None:
        if threading.get_ident() == self._thread:
            self._mark(telling)
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody stores any more
                self._loop.call_soon_threadsafe(self._mark, telling)

    def _mark(self, telling: Telling) -> None:
        self._news[telling] = None
        if self._sending is None:
            self._sending = self._loop.create_task(self._send())

    # ── storing ──────────────────────────────────────────────────────────────────────────────────

    async def _send(self) -> None:
        try:
            is_down = False
            while emissions := self._next():
                try:
                    told = [emission for _, emission in emissions]
                    gone = set(await self._store.emit(self._session(), told))
                except Exception as error:
                    if not (isinstance(error, OctoqueueError) and error.retryable):
                        log.exception("events_refused")
                        self._give_up(emissions)
                        continue
                    if not is_down:
                        log.warning("emit_failed", extra={"reason": str(error)})
                    is_down = True
                    self._again(emissions)
                    await self._clock.sleep(_AGAIN_SECONDS)
                    continue
                is_down = False
                self._settle(emissions, gone)
        finally:
            self._sending = None

    def _next(self) -> list[tuple[Telling, Emission]]:
        """Take what one call can carry."""
        emissions: list[tuple[Telling, Emission]] = []
        room, room_bytes = _MOST_AT_ONCE, _MOST_BYTES
        for telling in tuple(self._news):
            if room <= 0 or room_bytes <= 0:
                break
            del self._news[telling]
            told = telling.unstored(room)
            if told is not None:
                room -= len(told.events)
                room_bytes -= sum(map(len, told.events))
                emissions.append((telling, Emission(lease=telling.lease, told=told)))
        return emissions

    def _settle(self, emissions: list[tuple[Telling, Emission]], gone: set[LeaseToken]) -> None:
        for telling, emission in emissions:
            if emission.lease.token in gone:
                self._lose(telling)
                continue
            telling.stored(emission.told)
            if telling.unstored(1) is not None:
                self._news[telling] = None

    def _lose(self, telling: Telling) -> None:
        if self._tellings.get(telling.lease.token) is telling:  # not just settled
            facts = {"message_id": text_from_id(telling.lease.message_id)}
            log.info("events_of_lost_lease", extra=facts)
        telling.refuse()

    def _again(self, emissions: list[tuple[Telling, Emission]]) -> None:
        for telling, _ in emissions:
            if telling.unstored(1) is not None and telling.lease.token in self._tellings:
                self._news[telling] = None

    def _give_up(self, emissions: list[tuple[Telling, Emission]]) -> None:
        """Forget what the store will never take, rather than send it for ever."""
        for telling, emission in emissions:
            telling.stored(emission.told)

    def close(self) -> None:
        """Store nothing more."""
        if self._sending is not None:
            self._sending.cancel()
