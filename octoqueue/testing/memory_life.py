"""`MemoryLife`: pausing queues; cancelling, finding and moving messages of the memory store."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import EnvelopeError, LaneFull, NotWaiting
from octoqueue.lanes.answers import CancelOutcome
from octoqueue.lanes.cancelling import RESULT_TTL, STANDS_FOR, cancelled_result, reason_in
from octoqueue.lanes.finding import Circumstances, Explanation, Gate, State, Whereabouts, explain
from octoqueue.primitives.closing import last_words, tells_events
from octoqueue.primitives.envelope import HEADER_BYTES, Flag, pack_header, unpack_header
from octoqueue.primitives.extension import UniqueMode
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.lane import LANES
from octoqueue.primitives.messages import Lease, LeaseToken, Outcome, SessionId, Settlement
from octoqueue.testing.memory_dead_letters import MemoryDeadLetters
from octoqueue.testing.memory_selection import gates_of
from octoqueue.testing.memory_unique import Tombstone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.primitives.history import PastAttempt
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.lane import Lane
    from octoqueue.testing.memory_queue import MemoryQueue

_MILLISECOND = timedelta(milliseconds=1)


class MemoryLife(MemoryDeadLetters):
    """Decides about single messages and whole queues."""

    async def pause(self, queue: str) -> None:
        """Let nothing be claimed from a queue."""
        self._used.add(queue)
        self._queue(queue).paused = True

    async def resume(self, queue: str) -> None:
        """Let a paused queue be claimed from again."""
        self._queue(queue).paused = False
        self._ring(queue)

    # ── cancelling ───────────────────────────────────────────────────────────────────────────────

    async def cancel(
        self,
        message_id: MessageId,
        reason: str = "",
        *,
        queue: str | None = None,
        result_ttl: timedelta = RESULT_TTL,
    ) -> CancelOutcome:
        """Let a message never start, or stop it."""
        where = await self.find(message_id, queue=queue)
        if where.state in _DONE:
            return _DONE[where.state]
        assert where.queue is not None  # noqa: S101 - it was found there
        assert where.payload is not None  # noqa: S101 - it was found there
        result = cancelled_result(reason)
        ttl_ms = result_ttl // _MILLISECOND
        if where.state is State.RUNNING:
            expires_at_ms = self._clock.now_ms() + STANDS_FOR // _MILLISECOND
            self._tombstones[message_id] = Tombstone(expires_at_ms, ttl_ms, result)
            self._cancelled.set()
            return CancelOutcome.STOPPING
        here = self._queue(where.queue)
        _take_out(here, where)
        here.counters["withdrawn"] += 1
        self._ring(where.queue)
        self._history.drop(message_id)
        self._unique.release(where.payload, reached=UniqueMode.DONE)
        if unpack_header(where.payload).flags & Flag.KEEP_RESULT:
            self._results.keep(message_id, result, ttl_ms)
        if tells_events(where.payload):
            token = LeaseToken(message_id + bytes(4))
            lease = Lease(where.queue, self._map.of_id(message_id), token, where.payload)
            gone = Settlement(lease=lease, outcome=Outcome.CANCEL)
            words = last_words(gone, SessionId("cancel"), at_ms=self._clock.now_ms())
            self._events.append(message_id, words.events(is_cancelled=True))
        return CancelOutcome.REMOVED

    def _is_cancelled(self, message_id: MessageId) -> bool:
        stone = self._tombstones.get(message_id)
        return stone is not None and stone.expires_at_ms > self._clock.now_ms()

    async def cancelled(self, message_ids: Sequence[MessageId]) -> dict[MessageId, str]:
        """Return which of these messages have been cancelled, with the reasons."""
        here = [each for each in message_ids if self._is_cancelled(each)]
        return {each: reason_in(self._tombstones[each].result) for each in here}

    async def wait_for_cancel(self, queues: Sequence[str], *, timeout: timedelta) -> bool:  # noqa: ARG002 - one bell is enough here
        """Return True as soon as a running message of these queues may have been cancelled."""
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._cancelled.wait()
        except TimeoutError:
            return False
        self._cancelled.clear()
        return True

    # ── finding and moving ───────────────────────────────────────────────────────────────────────

    async def find(self, message_id: MessageId, *, queue: str | None = None) -> Whereabouts:
        """Return where a message is."""
        names = sorted(self._queues) if queue is None else [queue]
        for name in names:
            found = self._find_in(self._queue(name), message_id)
            if found is not None:
                return found
        is_kept = self._results.get(message_id) is not None
        state = State.FINISHED if is_kept else State.UNKNOWN
        return Whereabouts(message_id=message_id, state=state)

    def _find_in(self, here: MemoryQueue, message_id: MessageId) -> Whereabouts | None:
        found = self._find_leased(here, message_id) or _find_waiting(here, message_id)
        if found is not None:
            reason = None
            if self._is_cancelled(message_id):
                reason = reason_in(self._tombstones[message_id].result)
            return replace(found, cancelled=reason)
        dead = here.dead.get(message_id)
        if dead is None:
            return None
        return Whereabouts(
            message_id=message_id,
            state=State.DEAD,
            queue=here.name,
            died_at_ms=dead.died_at_ms,
            payload=dead.payload,
        )

    def _find_leased(self, here: MemoryQueue, message_id: MessageId) -> Whereabouts | None:
        for session, leases in here.leased.items():
            for token, payload in leases.items():
                if token[:16] == message_id:
                    return Whereabouts(
                        message_id=message_id,
                        state=State.RUNNING,
                        queue=here.name,
                        lane=unpack_header(payload).lane,
                        session=session,
                        lease_expires_at_ms=self._sessions.get(session),
                        payload=payload,
                    )
        return None

    async def explain(self, message_id: MessageId, *, queue: str | None = None) -> Explanation:
        """Return where a message is and why it does not run."""
        where = await self.find(message_id, queue=queue)
        now_ms = self._clock.now_ms()
        if where.queue is None or where.state not in (State.WAITING, State.DELAYED):
            return explain(where, Circumstances(now_ms=now_ms))
        stats, lane = await self.stats(where.queue), where.lane
        higher = beside = 0
        if where.state is State.WAITING and lane is not None:
            here = self._queue(where.queue)
            own = len(here.lines[lane]) if where.is_gated else len(here.ready[lane])
            higher = sum(stats.depth[each] for each in LANES if each < lane)
            beside = stats.depth[lane] - own
        gates: tuple[Gate, ...] = ()
        if where.state is State.WAITING and where.payload is not None:
            extension = gates_of(where.payload)
            gates = self._gates.told(where.queue, extension, now_ms)
        around = Circumstances(
            now_ms=now_ms,
            is_paused=stats.paused,
            in_flight=stats.in_flight,
            queue_cap=self._gates.defined.queue_caps.get(where.queue),
            higher=higher,
            beside=beside,
            gates=gates,
            sessions=sum(expires > now_ms for expires in self._sessions.values()),
        )
        return explain(where, around)

    async def history(self, message_id: MessageId) -> list[PastAttempt]:
        """Return how the attempts of a message ended that were tried again."""
        return self._history.of(message_id)

    async def move(
        self, message_id: MessageId, lane: Lane, *, queue: str | None = None
    ) -> Whereabouts:
        """Give a message that waits or is delayed another lane."""
        where = await self.find(message_id, queue=queue)
        if where.state not in (State.WAITING, State.DELAYED):
            raise NotWaiting(text_from_id(message_id), state=where.state.value)
        assert where.queue is not None  # noqa: S101 - it waits
        assert where.payload is not None  # noqa: S101 - it waits
        header = unpack_header(where.payload)
        if where.lane is lane and header.lane is lane:
            return where
        here = self._queue(where.queue)
        changed = pack_header(header._replace(lane=lane)) + where.payload[HEADER_BYTES:]
        if where.due_at_ms is not None:
            del here.delayed[where.payload]
            here.delayed[changed] = where.due_at_ms
            return await self.find(message_id, queue=where.queue)
        depth, bound = here.depth(lane), self.options.bound(where.queue, lane)
        if depth >= bound:
            raise LaneFull(where.queue, lane.label, depth=depth, bound=bound)
        _take_out(here, where)
        here.put(changed, self._gates)
        here.counters["moved"] += 1
        self._ring(where.queue)
        return await self.find(message_id, queue=where.queue)


_DONE = {
    State.DEAD: CancelOutcome.DEAD,
    State.FINISHED: CancelOutcome.FINISHED,
    State.UNKNOWN: CancelOutcome.UNKNOWN,
}


def _find_waiting(here: MemoryQueue, message_id: MessageId) -> Whereabouts | None:
    for payload, due_at_ms in here.delayed.items():
        if _id_of(payload) == message_id:
            return Whereabouts(
                message_id=message_id,
                state=State.DELAYED,
                queue=here.name,
                lane=unpack_header(payload).lane,
                due_at_ms=due_at_ms,
                payload=payload,
            )
    for lane, is_gated in itertools.product(LANES, (False, True)):
        payloads = here.lines[lane] if is_gated else here.ready[lane]
        for position, payload in enumerate(payloads):
            if _id_of(payload) == message_id:
                return Whereabouts(
                    message_id=message_id,
                    state=State.WAITING,
                    queue=here.name,
                    lane=lane,
                    position=position,
                    is_gated=is_gated,
                    payload=payload,
                )
    return None


def _take_out(here: MemoryQueue, where: Whereabouts) -> None:
    assert where.lane is not None  # noqa: S101 - it waits
    assert where.payload is not None  # noqa: S101 - it waits
    if where.due_at_ms is not None:
        del here.delayed[where.payload]
    elif where.is_gated:
        here.lines[where.lane].remove(where.payload)
    else:
        here.ready[where.lane].remove(where.payload)


def _id_of(payload: bytes) -> MessageId | None:
    try:
        return unpack_header(payload).message_id
    except EnvelopeError:
        return None
