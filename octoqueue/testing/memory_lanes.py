"""`MemoryLaneStore`: a `LaneStore` in one process, with the promises of the Redis store.

It is for tests: nothing is durable and nothing is shared between processes. It is written for
plainness, not speed, because the property tests take it as the meaning of the protocol.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import DelayedFull, EnvelopeError, LaneFull
from octoqueue.lanes.options import LaneOptions
from octoqueue.lanes.protocol import Promotion, Refusals
from octoqueue.lanes.reading import in_flight
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.envelope import Header, unpack_header
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
from octoqueue.testing.memory_queue import MemoryQueue, ready_at_of, restamped
from octoqueue.testing.memory_results import MemoryResults

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
        self._results = MemoryResults(self._clock)
        self._bell_waiters: deque[tuple[frozenset[str], asyncio.Future[bool]]] = deque()
        self._numbers = itertools.count(1)
        self._used: set[str] = set()

    def _queue(self, name: str) -> MemoryQueue:
        return self._queues.setdefault(name, MemoryQueue(name))

    # ── putting in ───────────────────────────────────────────────────────────────────────────────

    async def enqueue(self, groups: Sequence[Sequence[Enqueue]]) -> list[LaneFull | None]:
        """Store each group all or none."""
        refusals: list[LaneFull | None] = []
        self._used.update(message.queue for group in groups for message in group)
        for group in groups:
            refusal = self._refusal(group)
            refusals.append(refusal)
            if refusal is None:
                for message in group:
                    self._put(message)
        return refusals

    def _refusal(self, group: Sequence[Enqueue]) -> LaneFull | None:
        needs = Counter[tuple[str, Lane | None]]()
        for message in group:
            queue, lane = self._queue(message.queue), message.lane
            if message.delay_ms:  # the lanes of a queue share the room for its delayed messages
                needs[message.queue, None] += 1
                depth, bound = len(queue.delayed), self.options.delayed_bound
                if depth + needs[message.queue, None] > bound:
                    return DelayedFull(message.queue, lane.label, depth=depth, bound=bound)
            else:
                needs[message.queue, lane] += 1
                depth, bound = len(queue.ready[lane]), self.options.bound(message.queue, lane)
                if depth + needs[message.queue, lane] > bound:
                    return LaneFull(message.queue, lane.label, depth=depth, bound=bound)
        return None

    def _put(self, message: Enqueue) -> None:
        queue = self._queue(message.queue)
        queue.counters["enqueued"] += 1
        self._place(queue, message.lane, message.payload, message.delay_ms)

    def _place(self, queue: MemoryQueue, lane: Lane, payload: bytes, delay_ms: int) -> None:
        now = self._clock.now_ms()
        if not delay_ms:
            queue.ready[lane].append(restamped(payload, ready_at_ms=now))
        elif not queue.delay(payload, now + delay_ms):
            return
        self._ring(queue.name)

    # ── taking out ───────────────────────────────────────────────────────────────────────────────

    async def claim(self, session: SessionId, queues: Sequence[str], *, limit: int) -> list[Lease]:
        """Lease up to `limit` messages, strictly in lane order."""
        self._used.update(queues)
        if self._sessions.get(session, 0) <= self._clock.now_ms():
            await self.extend(session)
        number = next(self._numbers)
        turn = number % len(queues) if queues else 0
        leases: list[Lease] = []
        twins: list[tuple[deque[bytes], bytes]] = []
        for lane, name in itertools.product(Lane, [*queues[turn:], *queues[:turn]]):
            queue = self._queue(name)
            while queue.ready[lane] and len(leases) < limit:
                payload = queue.ready[lane].popleft()
                try:
                    token = LeaseToken(unpack_header(payload).message_id + number.to_bytes(4))
                except EnvelopeError:
                    queue.bury_undecodable(payload, self._clock.now_ms())
                    continue
                if token in queue.leased[session]:  # stored twice by its sender
                    twins.append((queue.ready[lane], payload))
                else:
                    leases.append(self._lease(queue, payload, session, token))
        for ready, payload in twins:
            ready.append(payload)
        if twins or 0 < limit <= len(leases):
            for name in queues:
                if self._queue(name).waiting:
                    self._ring(name)
        return leases

    def _lease(
        self, queue: MemoryQueue, payload: bytes, session: SessionId, token: LeaseToken
    ) -> Lease:
        now, header = self._clock.now_ms(), unpack_header(payload)
        queue.counters["claimed"] += 1
        queue.waits[bucket_of(now - header.ready_at_ms)] += 1
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
        # Releases last and backwards: each goes to the head, the first must end up there.
        released = [s for s in settlements if s.outcome is Outcome.RELEASE]
        others = [s for s in settlements if s.outcome is not Outcome.RELEASE]
        ordered = others + released[::-1]
        refused = [s.lease.token for s in ordered if not self._settle(session, s)]
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
            self._results.keep(header.message_id, settlement.result.body, settlement.result.ttl_ms)
        self._used.update(message.queue for message in settlement.follow_ups)
        for message in settlement.follow_ups:
            self._put(message)  # over the bound if need be: the parent's ack cannot be refused
        return True

    def _retry(self, queue: MemoryQueue, payload: bytes, header: Header, delay_ms: int) -> None:
        again = restamped(payload, deliveries=0, attempt=header.attempt + 1)
        self._place(queue, header.lane, again, delay_ms)

    # ── sessions and bells ───────────────────────────────────────────────────────────────────────

    async def extend(self, session: SessionId) -> bool:
        """Renew a session and all it holds."""
        now = self._clock.now_ms()
        alive = self._sessions.get(session, 0) > now
        self._sessions[session] = now + self.options.lease_ms
        return alive

    async def retire(self, session: SessionId) -> None:
        """End a session at its own wish."""
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
        ends = sorted((expires, session) for session, expires in self._sessions.items())
        for session in [session for expires, session in ends if expires <= now]:
            for queue in self._queues.values():
                held = queue.leased.pop(session, {})
                queue.give_back(held.values())
                if held:
                    queue.counters["reclaimed"] += len(held)
                    self._ring(queue.name)
                total += len(held)
            del self._sessions[session]
        return total

    # ── dead letters ─────────────────────────────────────────────────────────────────────────────

    async def replay(
        self, queue: str, message_ids: Sequence[MessageId], *, over_bound: bool = False
    ) -> list[MessageId]:
        """Put dead letters back at the tail of their lanes."""
        here = self._queue(queue)
        letters = here.replayable(message_ids)
        needs = Counter(unpack_header(letter.payload).lane for letter in letters)
        for lane in Lane:
            depth, bound = len(here.ready[lane]), self.options.bound(queue, lane)
            if needs[lane] and depth + needs[lane] > bound and not over_bound:
                raise LaneFull(queue, lane.label, depth=depth, bound=bound)
        for letter in letters:
            here.replay(letter, self._clock.now_ms())
            self._results.drop(letter.message_id)
            self._ring(queue)
        return [letter.message_id for letter in letters]

    async def purge(
        self,
        queue: str,
        message_ids: Sequence[MessageId] = (),
        *,
        older_than: timedelta | None = None,
    ) -> int:
        """Remove dead letters for good."""
        age_ms = None if older_than is None else older_than // timedelta(milliseconds=1)
        return self._queue(queue).purge(message_ids, age_ms, self._clock.now_ms())

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def stats(self, queue: str) -> QueueStats:
        """Return what is true of a queue now."""
        here, now = self._queue(queue), self._clock.now_ms()
        heads = [ready_at_of(lane[0]) for lane in here.ready.values() if lane]
        oldest = min([at for at in heads if at is not None], default=now)
        return QueueStats(
            queue=queue,
            depth={lane: len(here.ready[lane]) for lane in Lane},
            delayed=len(here.delayed),
            dead=len(here.dead),
            in_flight=in_flight(here.counters),
            oldest_age_seconds=max(now - oldest, 0) / 1000,
            counters={name: count for name, count in here.counters.items() if count},
            waits=tuple(here.waits[bucket] for bucket in range(WAIT_BUCKETS)),
        )

    async def queues(self) -> list[str]:
        """Return the names of all queues ever used."""
        return sorted(self._used)

    async def result(self, message_id: MessageId) -> bytes | None:
        """Return the kept result of a message."""
        return self._results.get(message_id)

    async def wait_for_result(self, message_id: MessageId, *, timeout: timedelta) -> bytes | None:
        """Return the result as soon as it is kept."""
        return await self._results.wait(message_id, timeout=timeout)

    async def dead_letters(self, queue: str, *, limit: int = 100) -> list[DeadLetter]:
        """Return the newest dead letters of a queue."""
        dead = self._queue(queue).dead.values()
        return sorted(dead, key=lambda letter: letter.died_at_ms, reverse=True)[:limit]

    async def dead_letter(self, queue: str, message_id: MessageId) -> DeadLetter | None:
        """Return one dead letter of a queue."""
        return self._queue(queue).dead.get(message_id)

    async def flush(self, queue: str) -> None:
        """Drop all waiting, delayed and dead messages of a queue."""
        here = self._queue(queue)
        for lane in here.ready.values():
            lane.clear()
        here.delayed.clear()
        here.dead.clear()

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release, and tests look inside afterwards."""
