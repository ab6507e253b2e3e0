"""`MemoryLaneStore`: a `LaneStore` in one process, with the promises of the Redis store.

It is for tests: nothing is durable and nothing is shared between processes. It is written for
plainness, not speed, because the property tests take it as the meaning of the protocol.

Split by verb: `memory_reading.py`, `memory_upkeep.py`, `memory_dead_letters.py`, and here what is
enqueued, claimed and settled.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from typing import TYPE_CHECKING

from octoqueue.errors import DelayedFull, EnvelopeError, LaneFull, SentTooLate
from octoqueue.lanes.protocol import Refusals
from octoqueue.primitives.closing import last_words, tells_events
from octoqueue.primitives.envelope import Flag, Header, is_plain, unpack_header
from octoqueue.primitives.events import Told
from octoqueue.primitives.extension import UniqueMode
from octoqueue.primitives.histogram import bucket_of
from octoqueue.primitives.ids import MessageId
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import (
    Announcement,
    Emission,
    Enqueue,
    Lease,
    LeaseToken,
    Outcome,
    ResultRecord,
    RunTime,
    SessionId,
    Settlement,
)
from octoqueue.primitives.schedules import Fired, Firing
from octoqueue.testing.memory_life import MemoryLife
from octoqueue.testing.memory_queue import Claim, MemoryQueue, restamped
from octoqueue.testing.memory_selection import gates_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from octoqueue.lanes.answers import EnqueueAnswer
    from octoqueue.primitives.once import Once
    from octoqueue.primitives.schedules import LastTick, Tick

_COUNTED = {
    Outcome.ACK: "acked",
    Outcome.RETRY: "retried",
    Outcome.DEAD_LETTER: "dead",
    Outcome.RELEASE: "released",
    Outcome.SNOOZE: "snoozed",
    Outcome.CANCEL: "cancelled",
    Outcome.EXPIRE: "expired",
}
_FINAL = (Outcome.ACK, Outcome.DEAD_LETTER, Outcome.CANCEL, Outcome.EXPIRE)


class MemoryLaneStore(MemoryLife):
    """Implements `LaneStore` with dictionaries."""

    # ── putting in ───────────────────────────────────────────────────────────────────────────────

    async def enqueue(self, groups: Sequence[Sequence[Enqueue]]) -> list[EnqueueAnswer]:
        """Store each group all or none, duplicates excepted."""
        self._used.update(message.queue for group in groups for message in group)
        return [self._enqueue(group) for group in groups]

    def _enqueue(self, group: Sequence[Enqueue]) -> EnqueueAnswer:
        wanted, duplicates = self._unique.divide(group, self._clock.now_ms())
        refusal = None if duplicates and duplicates.refused else self._refusal(wanted)
        if refusal is None:
            for message in wanted:
                self._put(message)
        return refusal or duplicates

    async def enqueue_once(self, messages: Sequence[Enqueue], once: Once) -> list[EnqueueAnswer]:
        """Store messages each by itself, those stored before excepted."""
        now = self._clock.now_ms()
        self._once.settle(once.settled, now)
        if now > once.not_after_ms:
            raise SentTooLate
        refusals: list[EnqueueAnswer] = []
        for message in messages:
            known = self._once.knows(message.message_id, now)
            refusals += [None] if known else await self.enqueue([[message]])
            if not known and not isinstance(refusals[-1], LaneFull):
                self._once.remember(message.message_id, now)
        return refusals

    async def now_ms(self) -> int:
        """Return the clock."""
        return self._clock.now_ms()

    async def last_tick(self, schedule: str, digest: str, *, begins: bool = True) -> LastTick:
        """Return where a schedule stands."""
        now = self._clock.now_ms()
        return self._schedules.last_tick(schedule, digest, begins=begins, now_ms=now)

    async def fire(self, tick: Tick, message: Enqueue) -> Firing:
        """Enqueue the message of a tick and record the tick, or do neither."""
        now = self._clock.now_ms()
        refused = self._schedules.refusal(tick, now)
        if refused is not None:
            return Firing(*refused, now)
        (answer,) = await self.enqueue([[message]])
        if isinstance(answer, LaneFull):
            raise answer
        self._schedules.record(tick)
        return Firing(Fired.FIRED if answer is None else Fired.DUPLICATE, tick.tick_ms, now)

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
                depth, bound = queue.depth(lane), self.options.bound(message.queue, lane)
                if depth + needs[message.queue, lane] > bound:
                    return LaneFull(message.queue, lane.label, depth=depth, bound=bound)
        return None

    def _put(self, message: Enqueue) -> None:
        queue = self._queue(message.queue)
        queue.counters["enqueued"] += 1
        queue.tallies.arrive(message.lane, self._clock.now_ms())
        self._unique.take(message.payload, self._clock.now_ms())
        self._place(queue, message.payload, message.delay_ms)

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
        taking = Claim(self._clock.now_ms())
        for lane, name in itertools.product(Lane, [*queues[turn:], *queues[:turn]]):
            queue = self._queue(name)
            while len(leases) < limit and queue.room(self._gates) > 0:
                payload = queue.take_next(lane, self._gates, taking)
                if payload is None:
                    break
                try:
                    token = LeaseToken(unpack_header(payload).message_id + number.to_bytes(4))
                except EnvelopeError:
                    queue.bury_undecodable(payload, self._clock.now_ms())
                    continue
                if token in queue.leased[session]:  # stored twice by its sender
                    twins.append((queue.ready[lane], payload))
                    continue
                lease = self._lease(queue, lane, payload, session, token)
                taking.taken[name].add(lease.message_id)
                if self._is_cancelled(lease.message_id):
                    self._settle(session, Settlement(lease=lease, outcome=Outcome.CANCEL))
                else:
                    leases.append(lease)
        for ready, payload in twins:
            ready.append(payload)
        if twins or 0 < limit <= len(leases):
            self._pass_bells_on(queues)
        return leases

    def _pass_bells_on(self, queues: Sequence[str]) -> None:
        for name in queues:
            if self._queue(name).waiting and self._queue(name).room(self._gates) > 0:
                self._ring(name)

    def _lease(
        self, queue: MemoryQueue, lane: Lane, payload: bytes, session: SessionId, token: LeaseToken
    ) -> Lease:
        now, header = self._clock.now_ms(), unpack_header(payload)
        queue.counters["claimed"] += 1
        queue.waits[bucket_of(now - header.ready_at_ms)] += 1
        queue.tallies.start(lane, now, waited_ms=now - header.ready_at_ms)
        queue.leased[session][token] = payload
        self._unique.release(payload, reached=UniqueMode.STARTED)
        extension = gates_of(payload)
        if extension.gated:
            self._gates.take(queue.name, extension, token, now)
        return Lease(queue.name, self._map.of_id(header.message_id), token, payload)

    async def held(self, session: SessionId, queues: Sequence[str]) -> list[Lease]:
        """Return all leases of a session."""
        return [
            Lease(name, self._map.of_id(MessageId(token[:16])), token, payload)
            for name in queues
            for token, payload in self._queue(name).leased[session].items()
        ]

    async def claim_when_rung(
        self, session: SessionId, queues: Sequence[str], *, limit: int, timeout: timedelta
    ) -> tuple[bool, list[Lease]]:
        """Wait for a bell, then claim."""
        rung = await self.wait_for_bell(queues, timeout=timeout)
        return rung, await self.claim(session, queues, limit=limit)

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
            if not is_plain(lease.payload):  # there is more to its end
                is_ended = self._settle(session, Settlement(lease=lease, outcome=Outcome.ACK))
                refused_acks += not is_ended
                continue
            payload = self._take(session, lease)
            if payload is None:
                refused_acks += 1
            else:
                queue = self._queue(lease.queue)
                self._leave_gates(queue, payload, lease.token, keeps_all=True)
                self._tombstones.pop(lease.message_id, None)
                self._history.drop(lease.message_id)
                queue.counters["acked"] += 1
                queue.tallies.end("completions", self._clock.now_ms())
        for name, run in (run_times or {}).items():
            queue = self._queue(name)
            sums = {"runs": run.count, "run_us": run.total_us, "run_ms2": run.squares_ms2}
            for kind, count in sums.items():
                queue.counters[kind] += count
                queue.tallies.end(kind, self._clock.now_ms(), count)
        # Releases last and backwards: each goes to the head, the first must end up there.
        released = [s for s in settlements if s.outcome is Outcome.RELEASE]
        others = [s for s in settlements if s.outcome is not Outcome.RELEASE]
        ordered = others + released[::-1]
        refused = [s.lease.token for s in ordered if not self._settle(session, s)]
        return Refusals(refused_acks, tuple(refused))

    async def emit(self, session: SessionId, emissions: Sequence[Emission]) -> list[LeaseToken]:
        """Append events of messages a session holds; return the leases that are gone."""
        refused: list[LeaseToken] = []
        for emission in emissions:
            lease = emission.lease
            if lease.token in self._queue(lease.queue).leased[session]:
                self._events.append(lease.message_id, emission.told)
            else:
                refused.append(lease.token)
        return refused

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        """Keep results and append events of ids that nobody holds a lease of."""
        for told in announcements:
            if told.result is not None:
                self._results.keep(told.message_id, told.result.body, told.result.ttl_ms)
            for number, event in told.events:
                one = Told(sender="announcer", first=number, events=(event,))
                self._events.append(told.message_id, one)

    def _take(self, session: SessionId, lease: Lease) -> bytes | None:
        return self._queue(lease.queue).leased[session].pop(lease.token, None)

    def _settle(self, session: SessionId, settlement: Settlement) -> bool:
        payload = self._take(session, settlement.lease)
        if payload is None:
            return False
        outcome, result = self._ending(settlement, unpack_header(payload))
        queue, now = self._queue(settlement.lease.queue), self._clock.now_ms()
        header = unpack_header(payload)
        queue.counters[_COUNTED[outcome]] += 1
        queue.tallies.settle(outcome, now)
        self._leave_gates(
            queue,
            payload,
            settlement.lease.token,
            used=settlement.used,
            keeps_all=outcome is Outcome.ACK,
        )
        if outcome is Outcome.RETRY:
            again = restamped(payload, deliveries=0, attempt=header.attempt + 1)
            self._place(queue, again, settlement.delay_ms)
        elif outcome is Outcome.SNOOZE:
            self._place(queue, restamped(payload, deliveries=0), settlement.delay_ms)
        elif outcome is Outcome.DEAD_LETTER:
            queue.bury(payload, settlement.reason, now)
        elif outcome is Outcome.RELEASE:
            queue.put(payload, self._gates, at_head=True)
            self._ring(queue.name)
        if outcome in _FINAL:
            self._unique.release(payload, reached=UniqueMode.DONE)
        if result is not None:
            self._results.keep(header.message_id, result.body, result.ttl_ms)
        self._used.update(message.queue for message in settlement.follow_ups)
        for message in settlement.follow_ups:
            if self._unique.holder(message.payload, now) is not None:
                self._queue(message.queue).counters["duplicates"] += 1
            else:
                self._put(message)  # over the bound if need be: the parent's ack cannot be refused
        self._history.remember(settlement, session, outcome)
        self._tell(settlement, session, is_cancelled=outcome is Outcome.CANCEL)
        return True

    def _tell(self, settlement: Settlement, session: SessionId, *, is_cancelled: bool) -> None:
        if tells_events(settlement.lease.payload):
            words = last_words(settlement, session, at_ms=self._clock.now_ms())
            told = words.events(is_cancelled=is_cancelled)
            self._events.append(settlement.lease.message_id, told)

    def _ending(
        self, settlement: Settlement, header: Header
    ) -> tuple[Outcome, ResultRecord | None]:
        """Return what becomes of a message that may have been cancelled."""
        outcome, result = settlement.outcome, settlement.result
        is_cancelled = self._is_cancelled(header.message_id)
        stone = self._tombstones.pop(header.message_id, None)
        if stone is None or not is_cancelled or outcome in (Outcome.ACK, Outcome.DEAD_LETTER):
            return outcome, result
        if result is None and header.flags & Flag.KEEP_RESULT:
            result = ResultRecord(body=stone.result, ttl_ms=stone.result_ttl_ms)
        return Outcome.CANCEL, result
