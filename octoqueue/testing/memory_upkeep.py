"""`MemoryUpkeep`: sessions, doorbells, and what keeps the lanes of the memory store tidy."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.lanes.protocol import Promotion
from octoqueue.primitives.lane import Lane
from octoqueue.testing.memory_queue import MemoryQueue, ready_at_of, restamped
from octoqueue.testing.memory_reading import MemoryReading
from octoqueue.testing.memory_selection import gates_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from octoqueue.primitives.gates import Gates
    from octoqueue.primitives.messages import LeaseToken, SessionId
    from octoqueue.primitives.signals import Presence


class MemoryUpkeep(MemoryReading):
    """Keeps sessions alive and lanes tidy."""

    def _place(self, queue: MemoryQueue, payload: bytes, delay_ms: int) -> None:
        now = self._clock.now_ms()
        if not delay_ms:
            queue.put(restamped(payload, ready_at_ms=now), self._gates)
        elif not queue.delay(payload, now + delay_ms):
            return
        self._ring(queue.name)

    def _leave_gates(
        self,
        queue: MemoryQueue,
        payload: bytes,
        token: LeaseToken,
        *,
        used: Mapping[tuple[str, str], int] | None = None,
        keeps_all: bool = False,
    ) -> None:
        """Give back what a lease took from the gates of its message."""
        extension, now = gates_of(payload), self._clock.now_ms()
        if extension.gated:
            self._gates.give_back(
                queue.name, extension, token, used=used or {}, keeps_all=keeps_all, now_ms=now
            )
        if extension.gated or queue.name in self._gates.defined.queue_caps:
            self._ring(queue.name)

    # ── sessions and bells ───────────────────────────────────────────────────────────────────────

    async def extend(self, session: SessionId, presence: Presence | None = None) -> bool:
        """Renew a session and all it holds."""
        now = self._clock.now_ms()
        if presence is not None:
            self._presences[session] = replace(presence, session=session, said_at_ms=now)
        alive = self._sessions.get(session, 0) > now
        self._sessions[session] = now + self.options.lease_ms
        return alive

    async def define(self, gates: Gates) -> None:
        """Define gates."""
        self._gates.define(gates)
        for queue in self._queues:
            self._ring(queue)

    async def retire(self, session: SessionId) -> None:
        """End a session at its own wish."""
        self._presences.pop(session, None)
        if session in self._sessions:
            now = self._clock.now_ms()
            self._sessions[session] = min(self._sessions[session], now)

    async def wait_for_bell(self, queues: Sequence[str], *, timeout: timedelta) -> bool:
        """Return True as soon as one of the queues may have work."""
        for name in queues:
            if self._queue(name).rung:
                self._queue(name).rung = False
                return True
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiter = (frozenset(queues), future)
        self._bell_waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await future
        except TimeoutError:
            self._pass_on(waiter)
            return False
        except asyncio.CancelledError:
            self._pass_on(waiter)
            raise
        finally:
            self._bell_waiters.remove(waiter)

    def _pass_on(self, waiter: tuple[frozenset[str], asyncio.Future[bool]]) -> None:
        """Ring for somebody else when this waiter was woken in the instant it gave up."""
        queues, future = waiter
        if future.done() and not future.cancelled():
            for name in queues:
                self._ring(name)

    async def ring(self, queues: Sequence[str]) -> None:
        """Wake somebody who waits for one of the queues."""
        for name in queues:
            self._ring(name)

    def _ring(self, name: str) -> None:
        for waiter in self._bell_waiters:
            if name in waiter[0] and not waiter[1].done():
                waiter[1].set_result(True)
                return
        self._queue(name).rung = True

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────

    async def promote(self, queue: str) -> Promotion:
        """Move delayed messages that are due into their lanes."""
        here, now = self._queue(queue), self._clock.now_ms()
        due = sorted((at, payload) for payload, at in here.delayed.items() if at <= now)
        for at, payload in due:
            del here.delayed[payload]
            if ready_at_of(payload) is None:
                here.ready[Lane.LOW].append(payload)  # where a claim buries it
            else:
                here.put(restamped(payload, ready_at_ms=at), self._gates)
        aged = self._age(here, now)
        if due:
            here.counters["promoted"] += len(due)
        if aged:
            here.counters["aged"] += aged
        opens = self._openings(here, now)
        if due or aged or len(opens) < here.closed_before:
            self._ring(queue)
        here.closed_before = len(opens)
        wait = min([*here.delayed.values(), *opens], default=None)
        next_due = None if wait is None else timedelta(milliseconds=max(wait - now, 0))
        return Promotion(len(due), next_due)

    def _age(self, queue: MemoryQueue, now: int) -> int:
        aging, moved = self.options.aging, 0
        for lane, age_ms in ((Lane.NORMAL, aging.normal_ms), (Lane.LOW, aging.low_ms)):
            moved += queue.age(lane, now - age_ms, self._gates) if age_ms else 0
        return moved

    def _openings(self, queue: MemoryQueue, now: int) -> list[int]:
        """Return when the limits open that lines of a queue wait for."""
        heads = [line[0] for lines in queue.lines.values() for line in lines.waiting.values()]
        closed = [self._gates.closed_limit(gates_of(payload), now) for payload in heads]
        return [math.ceil(limit[1]) for limit in closed if limit is not None]

    async def next_expiry(self) -> timedelta | None:
        """Return when the next session expires."""
        first = min(self._sessions.values(), default=None)
        if first is None:
            return None
        return timedelta(milliseconds=max(first - self._clock.now_ms(), 0))

    async def reclaim(self) -> int:
        """Give back what expired sessions hold."""
        now, total = self._clock.now_ms(), 0
        self._unique.prune(now)
        for message_id in [m for m, t in self._tombstones.items() if t.expires_at_ms <= now]:
            del self._tombstones[message_id]
        ends = sorted((expires, session) for session, expires in self._sessions.items())
        for session in [session for expires, session in ends if expires <= now]:
            for queue in self._queues.values():
                held = queue.leased.pop(session, {})
                for token, payload in held.items():
                    self._leave_gates(queue, payload, token)
                queue.give_back(held.values(), self._gates)
                if held:
                    queue.counters["reclaimed"] += len(held)
                    self._ring(queue.name)
                total += len(held)
            del self._sessions[session]
            self._presences.pop(session, None)
        return total
