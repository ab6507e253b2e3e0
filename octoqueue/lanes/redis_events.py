"""`RedisEvents`: what messages tell while they run, in streams of Redis.

Thousands may follow on one connection: a follower costs a channel, one read of the history, and
nothing while nothing happens.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.lanes.event_feed import EventChannel, EventFeed
from octoqueue.lanes.redis_reading import RedisReading, good, pairs
from octoqueue.primitives.events import EventKind, Keeping, Kept, Position, position_from
from octoqueue.primitives.messages import Announcement, Emission, LeaseToken, SessionId
from octoqueue.redis.calls.events import announce_call, emit_call
from octoqueue.redis.hub import AGAIN_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from octoqueue.lanes.options import LaneOptions
    from octoqueue.primitives.events import Event
    from octoqueue.primitives.ids import MessageId
    from octoqueue.redis.calls.scope import Scope
    from octoqueue.redis.client import RedisClient

log = logging.getLogger(__name__)

_ANNOUNCED_MS = 60_000
"""How long announced events are kept at most."""


class RedisEvents(RedisReading):
    """Appends events and follows them."""

    def __init__(
        self,
        client: RedisClient,
        options: LaneOptions | None = None,
        *,
        per_partition: bool | None = None,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(client, options, per_partition=per_partition, now_ms=now_ms)
        self._scope_at = {p: scope for scope in self._scopes for p in scope.partitions}
        self._channels: dict[str, EventChannel] = {}

    async def emit(self, session: SessionId, emissions: Sequence[Emission]) -> list[LeaseToken]:
        """Append events of messages a session holds; return the leases that are gone."""
        here: defaultdict[Scope, list[tuple[int, Emission]]] = defaultdict(list)
        for emission in emissions:
            scope = self._scope_at[emission.lease.partition]
            here[scope].append((self._map.of_id(emission.lease.message_id), emission))
        answers = await self._client.call_each(
            [
                emit_call(
                    scope,
                    session=session,
                    emissions=placed,
                    keeping=self.options.events,
                    now_ms=self._now(),
                )
                for scope, placed in here.items()
            ]
        )
        return [LeaseToken(token) for refused in good(answers) for token in refused]

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        """Keep results and append events of ids that nobody holds a lease of.

        Not for as long as the events of messages: these stand elsewhere, too, and each of the many
        executions a second leaves a stream behind.
        """
        here: defaultdict[Scope, list[tuple[int, Announcement]]] = defaultdict(list)
        for told in announcements:
            partition = self._map.of_id(told.message_id)
            here[self._scope_at[partition]].append((partition, told))
        kept = self.options.events
        keeping = Keeping(bound=kept.bound, ttl_ms=min(kept.ttl_ms, _ANNOUNCED_MS))
        calls = [
            announce_call(scope, announcements=placed, keeping=keeping, now_ms=self._now())
            for scope, placed in here.items()
        ]
        good(await self._client.call_each(calls))

    async def events(
        self, message_id: MessageId, *, since: Position | None = None
    ) -> AsyncGenerator[Event]:
        """Follow what a message tells, from the first event that is kept, or after one."""
        stream = self._keys.events(self._map.of_id(message_id), message_id)
        name = self._keys.events_channel(message_id)

        async def read(seen: Position | None, limit: int) -> list[Kept]:
            return await self._kept(stream, seen, limit)

        feed = EventFeed(read, since=since)
        channel = self._joined(name, feed)
        try:
            while True:
                event = await feed.next_event()
                yield event
                if event.kind is EventKind.ENDED:
                    return
        finally:
            channel.feeds.discard(feed)
            if not channel.feeds and self._channels.get(name) is channel:
                del self._channels[name]
                self._hub.leave(name, channel)

    def _joined(self, name: str, feed: EventFeed) -> EventChannel:
        channel = self._channels.get(name)
        if channel is None:
            channel = EventChannel()
            self._hub.listen(name, channel)
            self._channels[name] = channel
        elif self._hub.is_heard(name):
            feed.confirmed()
        channel.feeds.add(feed)
        return channel

    async def _kept(self, stream: str, seen: Position | None, limit: int) -> list[Kept]:
        """Return what stands in a stream after a place, however long an outage lasts."""
        after = "-" if seen is None else f"({seen}"
        while True:
            try:
                async with self._hub.reading:
                    found = await self._client.command("XRANGE", stream, after, "+", "COUNT", limit)
            except StoreError as error:
                if not error.retryable:
                    raise
                log.debug("events_not_read", extra={"reason": str(error)})
                await self._hub.clock.sleep(AGAIN_SECONDS)
                continue
            return [Kept(position_from(ident.decode()), _body(fields)) for ident, fields in found]


def _body(fields: object) -> bytes:
    body: bytes = next(value for name, value in pairs(fields) if name == b"e")
    return body
