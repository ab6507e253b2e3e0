"""`Heartbeat`: keeps a worker's session alive from a thread of its own.

An actor that blocks the event loop stops that loop's timers, but not this thread: the leases of the
process live on, and the blocked loop is logged with the line it stands on. A session that turns out
to have expired (the process was stopped, or Redis was gone for longer than the lease) is reported
to the worker, which then asks which of its leases it still holds.

With each beat it says what the worker has to say of itself. When that worker becomes ready, busy,
idle or begins to drain, it says so soon, in a beat of its own, at most one a second.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.primitives.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.messages import SessionId
    from octoqueue.runtime.presence import WorkerPresence

log = logging.getLogger(__name__)

BEATS_A_LEASE = 4
_TICK_SECONDS = 0.5
_BLOCKED_SECONDS = 2.0
_LOOK_SECONDS = 0.25
_SAY_AGAIN_SECONDS = 1.0
_STACK_FRAMES = 3


class Heartbeat:
    """Extends one session; watches one event loop."""

    def __init__(
        self,
        open_store: Callable[[], Awaitable[LaneStore]],
        session: SessionId,
        *,
        lease: timedelta,
        on_expired: Callable[[], None],
        on_beat: Callable[[LaneStore], Awaitable[None]] | None = None,
        presence: WorkerPresence | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Prepare.

        Args:
            open_store: opens a store for the thread of the heartbeat.
            session: what is kept alive.
            lease: how long it lives without a beat.
            on_expired: called on the loop that starts the heartbeat.
            on_beat: called in the thread of the heartbeat, with its store, after each beat.
            presence: knows what the worker says of itself.
            clock: for tests.
        """
        self._open_store = open_store
        self._on_beat = on_beat
        self._presence = presence
        self._said: tuple[bool, ...] = ()
        self._said_at = 0.0
        self._speechless = False
        self._session = session
        self._lease_seconds = lease.total_seconds()
        self._every_seconds = self._lease_seconds / BEATS_A_LEASE
        self._on_expired = on_expired
        self._clock = clock or SystemClock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread_id = 0
        self._last_tick = 0.0
        self._renewed_at = 0.0
        self._is_known = False
        self._down = False
        self._tick_handle: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Begin to beat."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread_id = threading.get_ident()
        self._renewed_at = self._clock.monotonic()
        self._tick()
        self._thread = threading.Thread(target=self._serve, name="octoqueue-heartbeat", daemon=True)
        self._thread.start()

    def _tick(self) -> None:
        self._last_tick = self._clock.monotonic()
        assert self._loop is not None  # noqa: S101 - set by start
        self._tick_handle = self._loop.call_later(_TICK_SECONDS, self._tick)

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._beat())

    async def _beat(self) -> None:
        store = await self._open_store()
        pause_seconds = min(_LOOK_SECONDS, self._every_seconds)
        next_beat, blocked_since = 0.0, None
        try:
            while not self._stop.is_set():
                now = self._clock.monotonic()
                blocked_since = self._watch(now, blocked_since)
                if now >= next_beat or self._has_news(now):
                    next_beat = now + await self._extend(store)
                await asyncio.to_thread(self._stop.wait, pause_seconds)
        finally:
            await store.aclose()

    async def _extend(self, store: LaneStore) -> float:
        """Renew the session once; return in how many seconds to do it again."""
        began = self._clock.monotonic()
        try:
            alive = await self._say(store, began)
        except Exception as error:  # noqa: BLE001 - without this thread every lease is lost
            if not self._down:
                log.warning("heartbeat_failed", extra={"reason": str(error)})
            self._down = True
            return min(self._every_seconds, 1.0)
        await self._look_after(store)
        # A claim may have registered the session anew before this beat: silence tells, too.
        is_lost = self._is_known and not alive
        if is_lost or began - self._renewed_at >= self._lease_seconds:
            self._report_expired()
        self._renewed_at = self._clock.monotonic()
        self._is_known, self._down = True, False
        return self._every_seconds

    async def _say(self, store: LaneStore, now: float) -> bool:
        presence = self._presence
        if presence is None or not presence.is_ready:
            return await store.extend(self._session)
        self._said_at, self._said = now, presence.edge
        silent = now - self._last_tick
        blocked_seconds = silent if silent >= _BLOCKED_SECONDS else 0.0
        try:
            alive = await store.extend(
                self._session, presence.said(blocked_seconds=blocked_seconds)
            )
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever cannot be said, the leases live on
            if not self._speechless:
                log.warning("presence_unsayable", extra={"reason": repr(error)})
            self._speechless = True
            return await store.extend(self._session)
        self._speechless = False
        return alive

    def _has_news(self, now: float) -> bool:
        """Whether something is to be said before the next beat."""
        presence = self._presence
        if presence is None or self._down or now - self._said_at < _SAY_AGAIN_SECONDS:
            return False
        return presence.is_ready and presence.edge != self._said

    async def _look_after(self, store: LaneStore) -> None:
        """Do what belongs to a beat; a failure is logged, and the next beat tries again."""
        if self._on_beat is None:
            return
        try:
            await self._on_beat(store)
        except Exception as error:  # noqa: BLE001 - the lease is extended, whatever this was
            log.warning("heartbeat_task_failed", extra={"reason": str(error)})

    def _report_expired(self) -> None:
        log.warning("session_expired", extra={"session": self._session})
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_expired)

    def _watch(self, now: float, blocked_since: float | None) -> float | None:
        silent = now - self._last_tick
        if silent < _BLOCKED_SECONDS:
            if blocked_since is not None:
                log.warning(
                    "event_loop_recovered", extra={"seconds": round(now - blocked_since, 1)}
                )
            return None
        if blocked_since is None:
            frame = sys._current_frames().get(self._loop_thread_id)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the only way to see a thread's stack
            stack = traceback.extract_stack(frame)[-_STACK_FRAMES:] if frame else []
            log.warning(
                "event_loop_blocked",
                extra={
                    "seconds": round(silent, 1),
                    "where": " < ".join(f"{f.name} ({f.filename}:{f.lineno})" for f in stack[::-1]),
                },
            )
            return self._last_tick
        return blocked_since

    async def stop(self) -> None:
        """End the thread. Idempotent."""
        if self._tick_handle is not None:
            self._tick_handle.cancel()
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            await asyncio.to_thread(thread.join)
