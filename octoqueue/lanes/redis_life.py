"""`RedisLife`: pausing queues; cancelling and moving single messages.

To cancel, a tombstone is set first: from then on whoever comes across the message ends it (a claim,
a retry), so it cannot start while it is looked for. Then it is looked for, and taken out of where
it waits, or the worker that runs it is told.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import LaneFull, NotWaiting
from octoqueue.lanes.answers import CancelOutcome
from octoqueue.lanes.cancelling import RESULT_TTL, STANDS_FOR, cancelled_result, reason_in
from octoqueue.lanes.finding import State, Whereabouts
from octoqueue.lanes.redis_finding import Found, RedisFinding
from octoqueue.primitives.closing import last_words, tells_events
from octoqueue.primitives.envelope import Flag, unpack_header
from octoqueue.primitives.ids import text_from_id
from octoqueue.primitives.messages import Lease, LeaseToken, Outcome, SessionId, Settlement
from octoqueue.redis.calls.life import (
    ENDED,
    GONE,
    IN_LINE,
    MOVED,
    STILL_CANCELLED,
    cancel_call,
    move_call,
    pause_call,
    result_in,
    tombstone,
    withdraw_call,
)
from octoqueue.redis.cancel_bell import CancelBell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from octoqueue.lanes.options import LaneOptions
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.lane import Lane
    from octoqueue.redis.calls.scope import Scope
    from octoqueue.redis.client import RedisClient

_MILLISECOND = timedelta(milliseconds=1)
_TRIES = 5
"""A message may move while it is being taken out; then it is looked for again."""
_CANCELLER = SessionId("cancel")


class RedisLife(RedisFinding):
    """Decides about single messages and whole queues."""

    def __init__(
        self,
        client: RedisClient,
        options: LaneOptions | None = None,
        *,
        per_partition: bool | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(client, options, per_partition=per_partition, now_ms=now_ms)
        self._cancel_bell = CancelBell(self._hub, self._keys)

    async def pause(self, queue: str) -> None:
        """Let nothing be claimed from a queue."""
        await self._remember({queue})
        await self._everywhere(lambda scope: pause_call(scope, queue, pause=True))

    async def resume(self, queue: str) -> None:
        """Let a paused queue be claimed from again."""
        await self._everywhere(lambda scope: pause_call(scope, queue, pause=False))
        if not self._scopes[0].bells:
            await self.ring([queue])

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
        if await self.result(message_id) is not None:
            return CancelOutcome.FINISHED
        scope = self._scope_of[self._map.of_id(message_id)]
        stone = tombstone(cancelled_result(reason), ttl_ms=result_ttl // _MILLISECOND)
        call = cancel_call(
            scope,
            message_id,
            stone=stone,
            life_ms=STANDS_FOR // _MILLISECOND,
            now_ms=self._now(),
        )
        if await self._client.call(call) == ENDED:
            return CancelOutcome.REMOVED
        for _ in range(_TRIES):
            found = await self._find(message_id, queue)
            if found is None:
                break
            outcome = await self._cancel_found(scope, found)
            if outcome is not None:
                return outcome
        return await self._was_not_found(scope, message_id)

    async def _cancel_found(self, scope: Scope, found: Found) -> CancelOutcome | None:
        """Do what is to be done where a message was found; None when it moved meanwhile."""
        where = found.where
        assert where.queue is not None  # noqa: S101 - it was found there
        if where.state is State.RUNNING:
            channel = self._keys.cancel_channel(where.queue)
            await self._client.command("PUBLISH", channel, where.message_id)
            return CancelOutcome.STOPPING
        if where.state is State.DEAD:
            await self._client.call(cancel_call(scope, where.message_id))
            return CancelOutcome.DEAD
        return CancelOutcome.REMOVED if await self._withdraw(scope, found) else None

    async def _withdraw(self, scope: Scope, found: Found) -> bool:
        where, place = found.where, found.place
        assert place is not None  # noqa: S101 - it waits
        assert where.queue is not None  # noqa: S101 - it waits
        assert where.payload is not None  # noqa: S101 - it waits
        ident, now_ms = where.message_id, self._now()
        partition = self._map.of_id(ident)
        keeps_result = unpack_header(where.payload).flags & Flag.KEEP_RESULT
        call = withdraw_call(
            scope,
            where.queue,
            ident,
            partition=partition,
            place=place.key,
            kind=place.kind,
            member=place.member,
            payload=where.payload,
            result_channel=self._keys.done_channel(ident) if keeps_result else "",
            events=await self._last_event(where.queue, partition, ident, where.payload),
            now_ms=now_ms,
        )
        is_gone = bool(await self._client.call(call))
        if is_gone and place.kind >= IN_LINE and not scope.bells:
            await self.ring([where.queue])  # whom it held up at a gate
        return is_gone

    async def _last_event(
        self, queue: str, partition: int, message_id: MessageId, payload: bytes
    ) -> tuple[str, int, int, str, bytes]:
        if not tells_events(payload):
            return "", 0, 0, "", b""
        lease = Lease(queue, partition, LeaseToken(message_id + bytes(4)), payload)
        gone = Settlement(lease=lease, outcome=Outcome.CANCEL)
        words = last_words(gone, _CANCELLER, at_ms=await self.now_ms())
        keeping = self.options.events
        channel = self._keys.events_channel(message_id)
        return channel, keeping.bound, keeping.ttl_ms, words.told.sender, words.closing

    async def _was_not_found(self, scope: Scope, message_id: MessageId) -> CancelOutcome:
        """Take the tombstone back; by what became of it, say what became of the message."""
        answer = await self._client.call(cancel_call(scope, message_id, now_ms=self._now()))
        if answer == ENDED:
            return CancelOutcome.REMOVED
        if answer != STILL_CANCELLED or await self.result(message_id) is not None:
            return CancelOutcome.FINISHED
        return CancelOutcome.UNKNOWN

    async def cancelled(self, message_ids: Sequence[MessageId]) -> dict[MessageId, str]:
        """Return which of these messages have been cancelled, with the reasons."""
        by_scope: defaultdict[Scope, list[MessageId]] = defaultdict(list)
        for message_id in message_ids:
            by_scope[self._scope_of[self._map.of_id(message_id)]].append(message_id)
        reasons: dict[MessageId, str] = {}
        for scope, here in by_scope.items():
            stones = await self._client.command("HMGET", scope.tombstones(), *here)
            for message_id, stone in zip(here, stones, strict=True):
                if stone:
                    reasons[message_id] = reason_in(result_in(stone))
        return reasons

    async def wait_for_cancel(self, queues: Sequence[str], *, timeout: timedelta) -> bool:
        """Return True as soon as a running message of these queues may have been cancelled."""
        return await self._cancel_bell.wait(queues, timeout=timeout)

    # ── moving ───────────────────────────────────────────────────────────────────────────────────

    async def move(
        self, message_id: MessageId, lane: Lane, *, queue: str | None = None
    ) -> Whereabouts:
        """Give a message that waits or is delayed another lane."""
        scope = self._scope_of[self._map.of_id(message_id)]
        for _ in range(_TRIES):
            found = await self._find(message_id, queue)
            if found is None or found.place is None:
                break
            if found.where.lane is lane and unpack_header(found.place_payload).lane is lane:
                return found.where
            if await self._move(scope, found, lane):
                return await self.find(message_id, queue=found.where.queue)
        where = await self.find(message_id, queue=queue)
        raise NotWaiting(text_from_id(message_id), state=where.state.value)

    async def _move(self, scope: Scope, found: Found, lane: Lane) -> bool:
        where, place = found.where, found.place
        assert place is not None  # noqa: S101 - it waits
        assert where.queue is not None  # noqa: S101 - it waits
        call = move_call(
            scope,
            where.queue,
            lane,
            partition=self._map.of_id(where.message_id),
            place=place.key,
            kind=place.kind,
            member=place.member,
            payload=found.place_payload,
            bound=self._bounds(where.queue, lane).lane,
        )
        outcome, *full = await self._client.call(call)
        if full:
            raise LaneFull(where.queue, lane.label, depth=full[0], bound=full[1])
        if outcome == MOVED:
            await self._mark(where.queue)
            if not scope.bells:
                await self.ring([where.queue])
        return bool(outcome != GONE)
