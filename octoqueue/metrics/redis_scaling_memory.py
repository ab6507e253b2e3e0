"""`RedisScalingMemory`: what scaling remembers, in Redis. The keys of one fleet share a slot."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from octoqueue.errors import StoreProtocolError
from octoqueue.metrics.scaling_memory import Kept, Remembered, checked_ms, mark_of
from octoqueue.metrics.scaling_records import (
    decision_from,
    forecast_from,
    lead_from,
    lead_record_of,
    override_from,
    override_record_of,
    record_of,
)
from octoqueue.redis.calls.scaling import (
    WISH,
    Fate,
    lead_call,
    override_call,
    publish_call,
    recall_call,
    recent_parts,
    remember_call,
)
from octoqueue.redis.keys import Keys
from octoqueue.scaling.override import Override
from octoqueue.scaling.wishes import MOST_LEADS, Wish, WishChanges

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from octoqueue.primitives.signals import ArrivalForecast
    from octoqueue.redis.client import RedisClient
    from octoqueue.scaling.decision import Decision

T = TypeVar("T")

log = logging.getLogger(__name__)

_NOTHING = WishChanges()


class RedisScalingMemory:
    """A `ScalingMemory` on a single Redis or on Redis Cluster."""

    def __init__(
        self,
        client: RedisClient,
        *,
        namespace: str = "oq",
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """Use `client`, which stays the caller's.

        Args:
            client: the connection.
            namespace: first part of every key.
            now_ms: a clock for tests; the server's own when None.
        """
        self._client = client
        self._keys = Keys(namespace)
        self._now = now_ms or (lambda: 0)
        self._unreadable: set[str] = set()

    async def recall(self, fleet: str) -> Remembered:
        """Return all that is remembered of a fleet."""
        call = recall_call(self._keys, fleet, leads=MOST_LEADS, now_ms=self._now())
        now, flat, leads = await self._client.call(call)
        found: dict[bytes, bytes] = dict(zip(flat[::2], flat[1::2], strict=True))
        until_ms = int(found.get(b"override_until", 0))
        decision, forecast = found.get(b"decision"), found.get(b"forecast")
        active_at = found.get(b"active_at")
        wishes = [
            Wish(int(field.removeprefix(WISH)), int(value))
            for field, value in found.items()
            if field.startswith(WISH)
        ]
        return Remembered(
            fleet=fleet,
            now_ms=now,
            override=override_from(found[b"override"], until_ms) if now < until_ms else None,
            decision=None if decision is None else self._readable(fleet, decision_from, decision),
            active_at_ms=None if active_at is None else int(active_at),
            wishes=tuple(sorted(wishes)),
            leads=self._all_readable(fleet, lead_from, leads),
            forecast=None if forecast is None else self._readable(fleet, forecast_from, forecast),
        )

    async def remember(self, decision: Decision, changes: WishChanges = _NOTHING) -> Kept:
        """Keep a decision, and what becomes of the wishes."""
        fates = [
            *(Fate("true", lead.workers, lead_record_of(lead)) for lead in changes.came_true),
            *(Fate("drop", wish.workers) for wish in changes.dropped),
            *(Fate("open", wish.workers, b"%d" % wish.since_ms) for wish in changes.opened),
        ]
        call = remember_call(
            self._keys,
            decision.fleet,
            decided_at_ms=decision.at_ms,
            decision=record_of(decision),
            mark=mark_of(decision),
            active_at_ms=decision.last_active_at_ms or 0,
            leads=MOST_LEADS,
            fates=fates,
            now_ms=self._now(),
        )
        answer: tuple[int, list[int]] = await self._client.call(call)
        is_last, places = answer
        return Kept(bool(is_last), tuple(changes.came_true[place] for place in places))

    async def recent(self, fleet: str, *, limit: int = 20) -> tuple[Decision, ...]:
        """Return the last decisions that differed from the one before, the last one first."""
        records = await self._client.command(*recent_parts(self._keys, fleet, limit=limit))
        return self._all_readable(fleet, decision_from, records)

    async def set_override(
        self,
        fleet: str,
        workers: int,
        *,
        lasting: timedelta,
        said_by: str,
        beyond_max: bool = False,
    ) -> Override:
        """Let `workers` stand in for a fleet's demand; replaces the override there is."""
        for_ms = checked_ms(workers, lasting)
        said = override_record_of(workers=workers, said_by=said_by, beyond_max=beyond_max)
        call = override_call(self._keys, fleet, for_ms=for_ms, said=said, now_ms=self._now())
        _, until_ms = await self._client.call(call)
        return Override(workers=workers, until_ms=until_ms, said_by=said_by, beyond_max=beyond_max)

    async def clear_override(self, fleet: str) -> bool:
        """End the override of a fleet; return whether there was one that still counted."""
        call = override_call(self._keys, fleet, for_ms=0, now_ms=self._now())
        _, until_ms = await self._client.call(call)
        return bool(until_ms)

    async def lead(self, fleet: str, agent: str, *, lasting: timedelta) -> str:
        """Return which agent leads a fleet: `agent`, if no other does."""
        call = lead_call(
            self._keys,
            fleet,
            agent=agent,
            for_ms=lasting // timedelta(milliseconds=1),
            now_ms=self._now(),
        )
        leader: bytes = await self._client.call(call)
        return leader.decode()

    async def publish(self, fleet: str, forecast: ArrivalForecast) -> bool:
        """Keep a forecast; return False when a later one is kept already."""
        call = publish_call(
            self._keys,
            fleet,
            made_at_ms=forecast.made_at_ms,
            forecast=record_of(forecast),
            now_ms=self._now(),
        )
        return bool(await self._client.call(call))

    def _all_readable(
        self, fleet: str, read: Callable[[bytes], T], records: Sequence[bytes]
    ) -> tuple[T, ...]:
        found = (self._readable(fleet, read, record) for record in records)
        return tuple(one for one in found if one is not None)

    def _readable(self, fleet: str, read: Callable[[bytes], T], record: bytes) -> T | None:
        """Return what can be decided without: None of what another version wrote, told once.

        An error would be one for good: who cannot read never decides, so never writes anew.
        """
        try:
            return read(record)
        except StoreProtocolError as error:
            if fleet not in self._unreadable:
                self._unreadable.add(fleet)
                log.warning("memory_unreadable", extra={"fleet": fleet, "reason": str(error)})
            return None
