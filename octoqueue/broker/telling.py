"""`Telling`: what one attempt tells, kept here until the store has it.

Telling never waits for the store. While the store cannot be reached events collect, up to as many
as a stream keeps; then the oldest make room and the loss is told as a gap, as it is to a follower
who comes too late. `atell` waits, and so slows down an actor that tells faster than can be stored.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import deque
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING, cast

from octoqueue.errors import EventsNotKept, EventTooLarge, InvalidMessage, LeaseLost
from octoqueue.primitives.events import EventKind, Told, encoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.primitives.body_json import Json
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.messages import Lease

Waiting = tuple[int, "Future[None]"]

_MOST_BYTES = 4 << 20
"""Of what waits to be stored: it is committed in one call if it must be."""


class Telling:
    """The events of one attempt, in order; any thread may add some."""

    def __init__(
        self,
        lease: Lease,
        *,
        message_id: str,
        actor: str,
        attempt: int,
        bound: int,
        max_bytes: int,
        clock: Clock,
        on_news: Callable[[Telling], None],
    ) -> None:
        """Begin.

        Args:
            lease: under which the events are stored.
            message_id: as its sender knows it.
            actor: the name of the running actor.
            attempt: which attempt this is.
            bound: how many events may wait to be stored.
            max_bytes: how large one may be.
            clock: tells when.
            on_news: called when there is something to store, in the thread that tells it.
        """
        self.lease = lease
        self._message_id = message_id
        self._actor = actor
        self._attempt = attempt
        self._bound = bound
        self._max_bytes = max_bytes
        self._clock = clock
        self._on_news = on_news
        self._sender = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._unstored: deque[bytes] = deque()
        self._bytes = 0
        self._first = 1
        """The number of the first of them."""
        self._lost = 0
        """How many had to make room since the last that were stored."""
        self._waiting: list[Waiting] = []
        self._has_ended = False

    # ── telling ──────────────────────────────────────────────────────────────────────────────────

    def tell(self, kind: EventKind, data: Json) -> None:
        """Add an event; it is stored soon.

        Raises:
            PayloadNotSerializable: it has no JSON form.
            EventTooLarge: it is over the limit.
            EventsNotKept: the attempt has ended.
        """
        self._add(kind, data, None)

    async def atell(self, kind: EventKind, data: Json) -> None:
        """Add an event and return when it is stored; raises like `tell`.

        Raises:
            LeaseLost: the message belongs to another worker now.
        """
        stored: Future[None] = Future()
        self._add(kind, data, stored)
        await asyncio.wrap_future(stored)

    def _add(self, kind: EventKind, data: Json, stored: Future[None] | None) -> None:
        now_ms = self._clock.now_ms()
        body = encoded(kind, attempt=self._attempt, at_ms=now_ms, data=data, actor=self._actor)
        if len(body) > self._max_bytes:
            raise EventTooLarge(self._actor, event_bytes=len(body), limit_bytes=self._max_bytes)
        with self._lock:
            if self._has_ended:
                raise EventsNotKept(
                    f"message {self._message_id} has ended here, nothing more can be told",
                    message_id=self._message_id,
                )
            self._unstored.append(body)
            self._bytes += len(body)
            while len(self._unstored) > self._bound or self._bytes > _MOST_BYTES:
                self._forget_first()
                self._lost += 1
            if stored is not None:
                self._waiting.append((self._first + len(self._unstored) - 1, stored))
        self._on_news(self)

    def _forget_first(self) -> None:
        self._bytes -= len(self._unstored.popleft())
        self._first += 1

    # ── storing; on the loop of the worker ───────────────────────────────────────────────────────

    def unstored(self, limit: int) -> Told | None:
        """Return the next events to store, that many at most; None when there are none."""
        with self._lock:
            return self._told(limit)

    def _told(self, limit: int) -> Told | None:
        if not self._unstored:
            return None
        first, events = self._first, tuple(islice(self._unstored, limit))
        if self._lost:  # it takes the place of the last that is lost
            first, events = first - 1, (self._gap(), *events)
        return Told(sender=self._sender, first=first, events=events)

    def _gap(self) -> bytes:
        return encoded(
            EventKind.GAP,
            attempt=self._attempt,
            at_ms=self._clock.now_ms(),
            data={"missed": self._lost},
            actor=self._actor,
        )

    def stored(self, told: Told) -> None:
        """Forget what the store has now."""
        with self._lock:
            after = told.first + len(told.events)
            while self._first < after and self._unstored:
                self._forget_first()
            self._lost = max(self._first - after, 0)  # what made room meanwhile
            ready = [future for number, future in self._waiting if number < self._first]
            self._waiting = [entry for entry in self._waiting if entry[0] >= self._first]
        for future in ready:
            _resolve(future)

    def seal(self) -> Told | None:
        """End it; return what is to be committed with the end of the attempt."""
        with self._lock:
            self._has_ended = True
            told = self._told(len(self._unstored))
            waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            _resolve(future)
        return told

    def refuse(self) -> None:
        """End it: the lease is gone, nothing more can be stored."""
        with self._lock:
            self._has_ended = True
            self._unstored.clear()
            self._bytes = 0
            waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(LeaseLost(self._message_id))


def _resolve(future: Future[None]) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(None)


def progress_data(fraction: float, note: str | None) -> Json:
    """Return the data of a progress event.

    Raises:
        InvalidMessage: the fraction is not between 0 and 1.
    """
    given = cast("object", fraction)
    if not isinstance(given, (int, float)) or not 0 <= given <= 1:
        raise InvalidMessage("fraction", f"{given!r} is not between 0 and 1")
    return {"fraction": fraction, "note": note}
