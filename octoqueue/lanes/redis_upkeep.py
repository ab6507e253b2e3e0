"""`RedisUpkeep`: sessions, doorbells, and what keeps the lanes tidy."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import EnvelopeError, StoreError
from octoqueue.lanes.presences import presence_text
from octoqueue.lanes.protocol import Promotion
from octoqueue.lanes.redis_events import RedisEvents
from octoqueue.lanes.redis_reading import good, pairs
from octoqueue.primitives.envelope import ID_SLICE, extension_of, is_extended
from octoqueue.primitives.extension import FLOW_BYTES
from octoqueue.primitives.ids import MessageId
from octoqueue.primitives.lane import LANES
from octoqueue.primitives.messages import Lease, LeaseToken, SessionId
from octoqueue.redis.calls.gates import MORE, define_call
from octoqueue.redis.calls.upkeep import (
    expired_call,
    expiry_call,
    extend_call,
    promote_call,
    reclaim_call,
    retire_call,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from octoqueue.lanes.options import LaneOptions
    from octoqueue.primitives.gates import Gates
    from octoqueue.primitives.signals import Presence
    from octoqueue.redis.calls.scope import Scope
    from octoqueue.redis.client import RedisClient

_PROMOTE_AT_ONCE = 500
"""Messages one call moves at most, out of all its partitions together."""
_EXPIRED_AT_ONCE = 100


class RedisUpkeep(RedisEvents):
    """Keeps sessions alive and lanes tidy."""

    def __init__(
        self,
        client: RedisClient,
        options: LaneOptions | None = None,
        *,
        per_partition: bool | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(client, options, per_partition=per_partition, now_ms=now_ms)
        self._known_queues: set[str] = set()
        self._heard: set[str] = set()
        """Queues whose bell was heard here; claimed from before others, and so passed on."""
        self._gates: Gates | None = None

    async def _remember(self, queues: set[str]) -> None:
        new = queues - self._known_queues
        if new:
            await self._client.command("SADD", self._keys.queues(), *sorted(new))
            self._known_queues |= new

    # ── sessions and bells ───────────────────────────────────────────────────────────────────────

    async def extend(self, session: SessionId, presence: Presence | None = None) -> bool:
        """Renew a session and all it holds."""
        lease_ms, now_ms = self.options.lease_ms, self._now()
        said = b"" if presence is None else presence_text(presence)
        first = self._scopes[0]  # where everything about workers is told, once
        alive = all(
            await self._everywhere(
                lambda scope: extend_call(
                    scope,
                    session,
                    lease_ms=lease_ms,
                    presence=said if scope is first else b"",
                    now_ms=now_ms,
                )
            )
        )
        if not alive:
            # New, expired, or the server was emptied: then the queue names are gone too.
            known, self._known_queues = self._known_queues, set()
            await self._remember(known)
            if self._gates is not None:
                await self.define(self._gates)
        return alive

    async def define(self, gates: Gates) -> None:
        """Define gates; written again whenever a session turns out to be new."""
        self._gates = gates
        queues = sorted({*await self.queues(), *self._known_queues, *gates.queue_caps})
        shares, go_on, somebody_goes_on = len(self._scopes), False, False
        unfinished = list(enumerate(self._scopes))
        while unfinished:
            answers = good(
                await self._client.call_each(
                    [
                        define_call(scope, gates, queues, index=n, shares=shares, go_on=go_on)
                        for n, scope in unfinished
                    ]
                )
            )
            somebody_goes_on = somebody_goes_on or any(answers)
            unfinished = [one for one, n in zip(unfinished, answers, strict=True) if n == MORE]
            go_on = True
        if somebody_goes_on and not self._scopes[0].bells:
            await self.ring(queues)

    @property
    def _capped(self) -> Collection[str]:
        """Queues with a cap, as far as this process knows."""
        return () if self._gates is None else self._gates.queue_caps

    async def retire(self, session: SessionId) -> None:
        """End a session at its own wish."""
        now_ms = self._now()
        await self._everywhere(
            lambda scope: retire_call(scope, session, own_wish=True, now_ms=now_ms)
        )

    async def held(self, session: SessionId, queues: Sequence[str]) -> list[Lease]:
        """Return all leases of a session."""
        leases: list[Lease] = []
        for scope, queue in itertools.product(self._scopes, queues):
            answer = await self._client.command("HGETALL", scope.leased(queue, session))
            leases += [
                Lease(queue, self._place_of(scope, payload), LeaseToken(token), payload)
                for token, payload in pairs(answer)
            ]
        return leases

    def _place_of(self, scope: Scope, payload: bytes) -> int:
        """Return the partition a message was claimed from: lines stand in the first of a call."""
        with contextlib.suppress(EnvelopeError):  # then it never stood in a line
            if is_extended(payload) and extension_of(payload).gated:
                return scope.home
        return self._map.of_id(MessageId(payload[ID_SLICE]))

    async def wait_for_bell(self, queues: Sequence[str], *, timeout: timedelta) -> bool:
        """Return True as soon as one of the queues may have work."""
        bells = {self._keys.bell(queue): queue for queue in queues}
        try:
            rung = await self._client.wait_for_push(list(bells), timeout=timeout)
        except asyncio.CancelledError:
            # The token may have been taken in this very instant: pass it on.
            with contextlib.suppress(Exception):
                await asyncio.shield(self.ring(queues))
            raise
        if rung is not None:
            self._heard.add(bells[rung])
        return rung is not None

    async def _mark(self, queue: str) -> None:
        """Tell who works for many queues that this one may have something to claim.

        After it was put there, so that no claim takes the marks away before. When this fails, they
        are found out by a look.
        """
        scope = self._scopes[0]
        if scope.bells:
            with contextlib.suppress(StoreError):
                marks = [scope.mark(queue, lane) for lane in LANES]
                await self._client.command("SADD", scope.marks(), *marks)

    async def ring(self, queues: Sequence[str]) -> None:
        """Wake somebody who waits for one of the queues."""
        for queue in queues:
            bell = self._keys.bell(queue)
            await self._client.command("RPUSH", bell, "1")
            await self._client.command("LTRIM", bell, 0, 0)

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────

    async def promote(self, queue: str) -> Promotion:
        """Move delayed messages that are due into their lanes."""
        answers = await self._client.call_each(
            [
                promote_call(
                    scope,
                    queue,
                    limit=max(1, _PROMOTE_AT_ONCE // len(scope.partitions)),
                    aging=self.options.aging,
                    first_line=secrets.token_bytes(FLOW_BYTES),
                    now_ms=self._now(),
                )
                for scope in self._scopes
            ]
        )
        reached = [answer for answer in answers if not isinstance(answer, StoreError)]
        moved = sum(answer[0] for answer in reached)
        if any(answer[0] + answer[2] for answer in reached):
            await self._mark(queue)
            if not self._scopes[0].bells:
                await self.ring([queue])
        waits = [wait_ms for _, wait_ms, _ in good(answers) if wait_ms >= 0]
        return Promotion(moved, timedelta(milliseconds=min(waits)) if waits else None)

    async def reclaim(self) -> int:
        """Give back what expired sessions hold."""
        now_ms, lease_ms, total = self._now(), self.options.lease_ms, 0
        answers = await self._client.call_each(
            [
                expired_call(scope, limit=_EXPIRED_AT_ONCE, lease_ms=lease_ms, now_ms=now_ms)
                for scope in self._scopes
            ]
        )
        for scope, expired in zip(self._scopes, answers, strict=True):
            if expired and not isinstance(expired, StoreError):
                queues = sorted(set(await self.queues()) | self._known_queues)
                for name in expired:
                    session = SessionId(name.decode())
                    total += await self._reclaim_session(scope, session, queues)
        good(answers)
        return total

    async def next_expiry(self) -> timedelta | None:
        """Return when the next session expires."""
        now_ms = self._now()
        waits = await self._everywhere(lambda scope: expiry_call(scope, now_ms=now_ms))
        return min((timedelta(milliseconds=wait) for wait in waits if wait >= 0), default=None)

    async def _reclaim_session(self, scope: Scope, session: SessionId, queues: list[str]) -> int:
        total, places = 0, b"".join(self._map.places)
        for queue in queues:
            count = await self._client.call(
                reclaim_call(scope, session, queue, places=places, now_ms=self._now())
            )
            if count < 0:
                return total  # it renewed itself meanwhile
            total += count
            if count:
                await self._mark(queue)
                if not scope.bells:
                    await self.ring([queue])
        await self._client.call(retire_call(scope, session, own_wish=False, now_ms=self._now()))
        return total
