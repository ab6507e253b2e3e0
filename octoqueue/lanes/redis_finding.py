"""`RedisFinding`: where a message is, and what is true around it.

A message is looked for in bounded pieces, never in one long call, while the queues go on. So places
are looked at in the order in which messages move (delayed, leased, lines, lanes from low to high,
dead), each from its end on, which is where messages come in; pieces overlap, because others may be
taken out meanwhile. Of a message that moves against this order (a retry, a `move`) the second look
finds what the first has missed.

Weakness: to look for a message nobody knows reads every message of its partition twice.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from octoqueue.lanes.cancelling import reason_in
from octoqueue.lanes.finding import (
    Circumstances,
    Explanation,
    Gate,
    State,
    Whereabouts,
    explain,
)
from octoqueue.lanes.reading import CAP
from octoqueue.lanes.redis_dead_letters import RedisDeadLetters
from octoqueue.lanes.redis_reading import pairs
from octoqueue.primitives.envelope import extension_of
from octoqueue.primitives.history import PastAttempt, past_attempt_from
from octoqueue.primitives.lane import LANES, Lane
from octoqueue.primitives.messages import SessionId
from octoqueue.redis.calls.life import IN_LINE, IN_LIST, IN_ZSET, result_in, seek_call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from octoqueue.primitives.extension import Extension
    from octoqueue.primitives.ids import MessageId
    from octoqueue.redis.calls.scope import Scope

_SOUGHT_AT_ONCE = 200
_OVERLAP = 50
_LOOKS = 2
_SESSIONS_AT_ONCE = 50
_FLOW_AND_AGE = 16


@dataclass(frozen=True, slots=True)
class Place:
    """Where a message waits, as the scripts are told it."""

    key: str
    kind: int
    member: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """A message and, when it waits, its place."""

    where: Whereabouts
    place: Place | None = None

    @property
    def place_payload(self) -> bytes:
        """The payload of a message that waits."""
        assert self.where.payload is not None  # noqa: S101 - what waits was read
        return self.where.payload


class RedisFinding(RedisDeadLetters):
    """Finds messages."""

    async def find(self, message_id: MessageId, *, queue: str | None = None) -> Whereabouts:
        """Return where a message is."""
        found = await self._find(message_id, queue)
        if found is not None:
            return found.where
        is_kept = await self.result(message_id) is not None
        state = State.FINISHED if is_kept else State.UNKNOWN
        return Whereabouts(message_id=message_id, state=state)

    async def explain(self, message_id: MessageId, *, queue: str | None = None) -> Explanation:
        """Return where a message is and why it does not run."""
        where = await self.find(message_id, queue=queue)
        return explain(where, await self._circumstances(where))

    async def history(self, message_id: MessageId) -> list[PastAttempt]:
        """Return how the attempts of a message ended that were tried again."""
        key = self._keys.history(self._map.of_id(message_id), message_id)
        return [past_attempt_from(one) for one in await self._client.command("LRANGE", key, 0, -1)]

    async def _find(self, message_id: MessageId, queue: str | None) -> Found | None:
        queues = await self.queues() if queue is None else [queue]
        for _ in range(_LOOKS):
            for name in queues:
                found = await self._find_in(name, message_id)
                if found is not None:
                    return found
        return None

    async def _find_in(self, queue: str, message_id: MessageId) -> Found | None:
        found = await self._find_delayed(queue, message_id)
        if found is None:
            found = await self._find_leased(queue, message_id)
        if found is None:
            found = await self._find_waiting(queue, message_id)
        if found is None:
            found = await self._find_dead(queue, message_id)
        return found

    # ── where it waits ───────────────────────────────────────────────────────────────────────────

    async def _find_delayed(self, queue: str, message_id: MessageId) -> Found | None:
        key = self._keys.delayed(self._map.of_id(message_id), queue)
        sought = await self._seek(key, message_id, IN_ZSET)
        if sought is None:
            return None
        member, _, score = sought
        where = Whereabouts(
            message_id=message_id,
            state=State.DELAYED,
            queue=queue,
            lane=LANES[member[2]],
            due_at_ms=int(float(score)),
            payload=member,
            cancelled=await self._cancelled_reason(message_id),
        )
        return Found(where, Place(key, IN_ZSET, member))

    async def _find_waiting(self, queue: str, message_id: MessageId) -> Found | None:
        for key, kind, lane in self._waiting_places(queue, message_id):
            sought = await self._seek(key, message_id, kind)
            if sought is not None:
                member, position, _ = sought
                where = Whereabouts(
                    message_id=message_id,
                    state=State.WAITING,
                    queue=queue,
                    lane=lane,
                    position=position,
                    is_gated=kind != IN_LIST,
                    payload=member if kind == IN_LIST else member[_FLOW_AND_AGE:],
                    cancelled=await self._cancelled_reason(message_id),
                )
                return Found(where, Place(key, kind, member))
        return None

    def _waiting_places(self, queue: str, message_id: MessageId) -> Iterator[tuple[str, int, Lane]]:
        partition = self._map.of_id(message_id)
        home = self._scope_of[partition].home
        for lane in reversed(LANES):
            yield self._keys.gated(home, queue, lane), IN_LINE + lane, lane
        for lane in reversed(LANES):
            yield self._keys.lane(partition, queue, lane), IN_LIST, lane

    async def _seek(
        self, key: str, message_id: MessageId, kind: int
    ) -> tuple[bytes, int, bytes] | None:
        """Return the member of a message, how many stand before it, and its score."""
        skip = 0
        while True:
            call = seek_call(key, message_id, kind=kind, skip=skip, count=_SOUGHT_AT_ONCE)
            count, *found = await self._client.call(call)
            if found:
                return found[0], int(found[1]), found[2]
            if count < _SOUGHT_AT_ONCE:
                return None
            skip += _SOUGHT_AT_ONCE - _OVERLAP

    # ── where it does not ────────────────────────────────────────────────────────────────────────

    async def _find_leased(self, queue: str, message_id: MessageId) -> Found | None:
        scope = self._scope_of[self._map.of_id(message_id)]
        answer = await self._client.command("ZRANGE", scope.workers(), 0, -1, "WITHSCORES")
        sessions = [(SessionId(name.decode()), int(float(ends))) for name, ends in pairs(answer)]
        for first in range(0, len(sessions), _SESSIONS_AT_ONCE):
            some = sessions[first : first + _SESSIONS_AT_ONCE]
            payloads = await asyncio.gather(
                *(
                    self._payload_leased(scope.leased(queue, session), message_id)
                    for session, _ in some
                )
            )
            for (session, ends), payload in zip(some, payloads, strict=True):
                if payload is not None:
                    where = Whereabouts(
                        message_id=message_id,
                        state=State.RUNNING,
                        queue=queue,
                        lane=LANES[payload[2]],
                        session=session,
                        lease_expires_at_ms=ends,
                        payload=payload,
                        cancelled=await self._cancelled_reason(message_id),
                    )
                    return Found(where)
        return None

    async def _payload_leased(self, key: str, message_id: MessageId) -> bytes | None:
        for token in await self._client.command("HKEYS", key):
            if token.startswith(message_id):
                payload: bytes | None = await self._client.command("HGET", key, token)
                return payload
        return None

    async def _find_dead(self, queue: str, message_id: MessageId) -> Found | None:
        letter = await self.dead_letter(queue, message_id)
        if letter is None:
            return None
        where = Whereabouts(
            message_id=message_id,
            state=State.DEAD,
            queue=queue,
            died_at_ms=letter.died_at_ms,
            payload=letter.payload,
        )
        return Found(where)

    async def _cancelled_reason(self, message_id: MessageId) -> str | None:
        scope = self._scope_of[self._map.of_id(message_id)]
        stone = await self._client.command("HGET", scope.tombstones(), message_id)
        return reason_in(result_in(stone)) if stone else None

    # ── what is true around it ───────────────────────────────────────────────────────────────────

    async def _circumstances(self, where: Whereabouts) -> Circumstances:
        now_ms = await self.now_ms()
        if where.queue is None or where.state not in (State.WAITING, State.DELAYED):
            return Circumstances(now_ms=now_ms)
        scope = self._scope_of[self._map.of_id(where.message_id)]
        stats = await self.stats(where.queue)
        cap = await self._client.command("HGET", scope.stats(where.queue), CAP)
        lane, higher, beside = where.lane, 0, 0
        if where.state is State.WAITING and lane is not None:
            higher = sum(stats.depth[each] for each in LANES if each < lane)
            size = await self._part_size(scope, where)
            beside = max(stats.depth[lane] - size, 0)
        gates = await self._gates_of(scope, where, now_ms) if where.state is State.WAITING else ()
        return Circumstances(
            now_ms=now_ms,
            is_paused=stats.paused,
            in_flight=stats.in_flight,
            queue_cap=None if cap is None else int(cap) * len(self._scopes),
            higher=higher,
            beside=beside,
            gates=gates,
            sessions=await self._client.command("ZCOUNT", scope.workers(), f"({now_ms}", "+inf"),
        )

    async def _part_size(self, scope: Scope, where: Whereabouts) -> int:
        assert where.queue is not None  # noqa: S101 - it waits
        assert where.lane is not None  # noqa: S101 - it waits
        if where.is_gated:
            key = self._keys.gated(scope.home, where.queue, where.lane)
            size: int = await self._client.command("ZCARD", key)
        else:
            key = self._keys.lane(self._map.of_id(where.message_id), where.queue, where.lane)
            size = await self._client.command("LLEN", key)
        return size

    async def _gates_of(self, scope: Scope, where: Whereabouts, now_ms: int) -> tuple[Gate, ...]:
        assert where.queue is not None  # noqa: S101 - it waits
        if not where.is_gated or where.payload is None:
            return ()
        extension = extension_of(where.payload)
        held_key, defined = scope.line_keys(where.queue)[-1], scope.gate_keys()[0]
        gates = [
            await self._cap_of(held_key, defined, kind, name) for kind, name in _caps_of(extension)
        ]
        for use in extension.limits:
            known = await self._client.command("HGET", defined, f"l{use.name}")
            if known is None:
                continue
            unit_ms, burst = map(float, known.split())
            arrival = await self._client.command(
                "ZSCORE", scope.gate_keys()[1], f"{use.name}\0{use.key}"
            )
            opens = float(arrival or 0) - (max(burst, use.units) - use.units) * unit_ms
            whose = f" for {use.key}" if use.key else ""
            gates.append(
                Gate(
                    name=f"limit {use.name}{whose}",
                    opens_at_ms=round(opens) if opens > now_ms else None,
                )
            )
        return tuple(gates)

    async def _cap_of(self, held_key: str, defined: str, kind: str, name: str) -> Gate:
        held = int(await self._client.command("HGET", held_key, kind + name) or 0)
        own, default = await self._client.command("HMGET", defined, kind + name, _TENANT)
        if kind == _TENANT:
            share = own or default
            slots = int(share.split()[1]) if share else 0
            return Gate(name=f"tenant {name}", held=held, slots=slots or None)
        return Gate(name=f"cap {name}", held=held, slots=int(own) if own else None)


_TENANT, _CAP = "t", "c"


def _caps_of(extension: Extension) -> list[tuple[str, str]]:
    caps = [(_CAP, cap) for cap in extension.caps]
    return [(_TENANT, extension.tenant), *caps] if extension.tenant else caps
