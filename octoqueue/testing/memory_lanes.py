"""`MemoryLaneStore`: a `LaneStore` in one process, with the promises of the Redis store.

It is for tests: nothing is durable and nothing is shared between processes. It is written for
plainness, not speed, because the property tests take it as the meaning of the protocol.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict, deque
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import DelayedFull, EnvelopeError, LaneFull
from octoqueue.lanes.options import LaneOptions
from octoqueue.lanes.protocol import Promotion, Refusals
from octoqueue.lanes.reading import in_flight
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.envelope import (
    HEADER_BYTES,
    Header,
    unpack_header,
)
from octoqueue.primitives.histogram import WAIT_BUCKETS, bucket_of
from octoqueue.primitives.ids import MessageId
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import (
    DeadLetter,
    Enqueue,
    Lease,
    LeaseToken,
    Outcome,
    QueueStats,
    RunTime,
    SessionId,
    Settlement,
)
from octoqueue.routing.partitions import PartitionMap
from octoqueue.testing.memory_queue import MemoryQueue, restamped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class MemoryLaneStore:
    """Implements `LaneStore` with dictionaries."""

    def __init__(self, options: LaneOptions | None = None, *, clock: Clock | None = None) -> None:
        """Start empty."""
        self.options = options or LaneOptions()
        self._clock = clock or SystemClock()
        self._map = PartitionMap(self.options.partitions)
        self._queues: dict[str, MemoryQueue] = {}
        self._sessions: dict[SessionId, int] = {}
        self._results: dict[MessageId, tuple[int, bytes]] = {}
        self._result_waiters: dict[MessageId, list[asyncio.Future[bytes]]] = defaultdict(list)
        self._bell_waiters: deque[tuple[frozenset[str], asyncio.Future[bool]]] = deque()
        self._numbers = itertools.count(1)

    def _queue(self, name: str) -> MemoryQueue:
        return self._queues.setdefault(name, MemoryQueue(name))

    # ── putting in ───────────────────────────────────────────────────────────────────────────────

    async def enqueue(self, groups: Sequence[Sequence[Enqueue]]) -> list[LaneFull | None]:
        """Store each group all or none."""
        refusals: list[LaneFull | None] = []
        for group in groups:
            refusal = self._refusal(group)
            refusals.append(refusal)
            if refusal is None:
                for message in group:
                    self._put(message)
        return refusals

    def _refusal(self, group: Sequence[Enqueue]) -> LaneFull | None:
        ready = Counter((m.queue, m.lane) for m in group if not m.delay_ms)
        for (queue, lane), count in ready.items():
            depth, bound = len(self._queue(queue).ready[lane]), self.options.bound(queue, lane)
            if depth + count > bound:
                return LaneFull(queue, lane.label, depth=depth, bound=bound)
        delayed = Counter((m.queue, m.lane) for m in group if m.delay_ms)
        for (queue, lane), count in delayed.items():
            depth, bound = len(self._queue(queue).delayed), self.options.delayed_bound
            if depth + count > bound:
                return DelayedFull(queue, lane.label, depth=depth, bound=bound)
        return None

    def _put(self, message: Enqueue) -> None:
        queue, now = self._queue(message.queue), self._clock.now_ms()
        queue.counters["enqueued"] += 1
        if message.delay_ms:
            queue.delayed[message.payload] = now + message.delay_ms
        else:
            queue.ready[message.lane].append(restamped(message.payload, ready_at_ms=now))
        self._ring(message.queue)

    # ── taking out ───────────────────────────────────────────────────────────────────────────────

    async def claim(self, session: SessionId, queues: Sequence[str], *, limit: int) -> list[Lease]:
        """Lease up to `limit` messages, strictly in lane order."""
        if session not in self._sessions:
            await self.extend(session)
        number = (next(self._numbers) & 0xFFFFFFFF).to_bytes(4)
        leases: list[Lease] = []
        for lane, name in itertools.product(Lane, queues):
            queue = self._queue(name)
            while queue.ready[lane] and len(leases) < limit:
                lease = self._lease(queue, queue.ready[lane].popleft(), session, number)
                if lease is not None:
                    leases.append(lease)
        if len(leases) >= limit:
            for name in {lease.queue for lease in leases}:
                self._ring(name)
        return leases

    def _lease(
        self, queue: MemoryQueue, payload: bytes, session: SessionId, number: bytes
    ) -> Lease | None:
        now = self._clock.now_ms()
        try:
            header = unpack_header(payload)
        except EnvelopeError:
            queue.bury_undecodable(payload, now)
            return None
        queue.counters["claimed"] += 1
        queue.waits[bucket_of(now - header.ready_at_ms)] += 1
        token = LeaseToken(header.message_id + number)
        queue.leased[session][token] = payload
        return Lease(queue.name, self._map.of_id(header.message_id), token, payload)

    async def held(self, session: SessionId, queues: Sequence[str]) -> list[Lease]:
        """Return all leases of a session."""
        return [
            Lease(name, self._map.of_id(MessageId(token[:16])), token, payload)
            for name in queues
            for token, payload in self._queue(name).leased[session].items()
        ]

    # ── ending ───────────────────────────────────────────────────────────────────────────────────

    async def commit(
        self,
        session: SessionId,
        *,
        acks: Sequence[Lease] = (),
        settlements: Sequence[Settlement] = (),
        run_times: Mapping[str, RunTime] | None = None,
    ) -> Refusals:
        """End leases."""
        refused_acks = 0
        for lease in acks:
            if self._take(session, lease) is None:
                refused_acks += 1
            else:
                self._queue(lease.queue).counters["acked"] += 1
        for name, run in (run_times or {}).items():
            counters = self._queue(name).counters
            counters["runs"] += run.count
            counters["run_us"] += run.total_us
            counters["run_ms2"] += run.squares_ms2
        refused = [s.lease.token for s in settlements if not self._settle(session, s)]
        return Refusals(refused_acks, tuple(refused))

    def _take(self, session: SessionId, lease: Lease) -> bytes | None:
        return self._queue(lease.queue).leased[session].pop(lease.token, None)

    def _settle(self, session: SessionId, settlement: Settlement) -> bool:
        payload = self._take(session, settlement.lease)
        if payload is None:
            return False
        queue, now = self._queue(settlement.lease.queue), self._clock.now_ms()
        header = unpack_header(payload)
        if settlement.outcome is Outcome.ACK:
            queue.counters["acked"] += 1
        elif settlement.outcome is Outcome.RETRY:
            queue.counters["retried"] += 1
            self._retry(queue, payload, header, settlement.delay_ms)
        elif settlement.outcome is Outcome.DEAD_LETTER:
            queue.counters["dead"] += 1
            queue.bury(payload, settlement.reason, now)
        else:
            queue.counters["released"] += 1
            queue.ready[header.lane].appendleft(payload)
            self._ring(queue.name)
        if settlement.result is not None:
            self._keep(header.message_id, settlement.result.body, settlement.result.ttl_ms)
        for message in settlement.follow_ups:
            self._put(message)  # over the bound if need be: the parent's ack cannot be refused
        return True

    def _retry(self, queue: MemoryQueue, payload: bytes, header: Header, delay_ms: int) -> None:
        now = self._clock.now_ms()
        again = restamped(payload, deliveries=0, attempt=header.attempt + 1)
        if delay_ms:
            queue.delayed[again] = now + delay_ms
        else:
            queue.ready[header.lane].append(restamped(again, ready_at_ms=now))
        self._ring(queue.name)

    def _keep(self, message_id: MessageId, body: bytes, ttl_ms: int) -> None:
        self._results[message_id] = (self._clock.now_ms() + ttl_ms, body)
        for future in self._result_waiters.pop(message_id, ()):
            if not future.done():
                future.set_result(body)

    # ── sessions and bells ───────────────────────────────────────────────────────────────────────

    async def extend(self, session: SessionId) -> bool:
        """Renew a session and all it holds."""
        now = self._clock.now_ms()
        alive = self._sessions.get(session, 0) > now
        self._sessions[session] = now + self.options.lease_ms
        return alive

    async def retire(self, session: SessionId) -> None:
        """Forget a session at its own wish."""
        self._sessions.pop(session, None)

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
            return False
        finally:
            if waiter in self._bell_waiters:
                self._bell_waiters.remove(waiter)

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
            lane = unpack_header(payload).lane
            here.ready[lane].append(restamped(payload, ready_at_ms=at))
        if due:
            here.counters["promoted"] += len(due)
            self._ring(queue)
        wait = min(here.delayed.values(), default=None)
        next_due = None if wait is None else timedelta(milliseconds=wait - now)
        return Promotion(len(due), next_due)

    async def reclaim(self) -> int:
        """Give back what expired sessions hold."""
        now, total = self._clock.now_ms(), 0
        for session in [s for s, expires in self._sessions.items() if expires <= now]:
            for queue in self._queues.values():
                held = queue.leased.pop(session, {})
                for payload in held.values():
                    header = unpack_header(payload)
                    back = restamped(payload, deliveries=header.deliveries + 1)
                    queue.ready[header.lane].appendleft(back)
                if held:
                    queue.counters["reclaimed"] += len(held)
                    self._ring(queue.name)
                total += len(held)
            del self._sessions[session]
        return total

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def stats(self, queue: str) -> QueueStats:
        """Return what is true of a queue now."""
        here, now = self._queue(queue), self._clock.now_ms()
        heads = [
            int.from_bytes(lane[0][8:16])
            for lane in here.ready.values()
            if lane and len(lane[0]) >= HEADER_BYTES
        ]
        return QueueStats(
            queue=queue,
            depth={lane: len(here.ready[lane]) for lane in Lane},
            delayed=len(here.delayed),
            dead=len(here.dead),
            in_flight=in_flight(here.counters),
            oldest_age_seconds=(now - min(heads, default=now)) / 1000,
            counters={name: count for name, count in here.counters.items() if count},
            waits=tuple(here.waits[bucket] for bucket in range(WAIT_BUCKETS)),
        )

    async def queues(self) -> list[str]:
        """Return the names of all queues ever used."""
        return sorted(self._queues)

    async def result(self, message_id: MessageId) -> bytes | None:
        """Return the kept result of a message."""
        expires_at, body = self._results.get(message_id, (0, b""))
        return body if expires_at > self._clock.now_ms() else None

    async def wait_for_result(self, message_id: MessageId, *, timeout: timedelta) -> bytes | None:
        """Return the result as soon as it is kept."""
        found = await self.result(message_id)
        if found is not None:
            return found
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._result_waiters[message_id].append(future)
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await future
        except TimeoutError:
            return None

    async def dead_letters(self, queue: str, *, limit: int = 100) -> list[DeadLetter]:
        """Return the newest dead letters of a queue."""
        newest = sorted(self._queue(queue).dead.values(), key=lambda d: d.died_at_ms, reverse=True)
        return newest[:limit]

    async def flush(self, queue: str) -> None:
        """Drop all waiting, delayed and dead messages of a queue."""
        here = self._queue(queue)
        for lane in here.ready.values():
            lane.clear()
        here.delayed.clear()
        here.dead.clear()

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release, and tests look inside afterwards."""
