"""`RedisSignals`: what scaling decides on, read from Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import StoreProtocolError
from octoqueue.lanes.minutes import minutes_from
from octoqueue.lanes.presences import texts_to_look_for
from octoqueue.lanes.reading import counters_from
from octoqueue.lanes.redis_reading import RedisReading
from octoqueue.lanes.signal_reading import reading_from
from octoqueue.lanes.tallies import tally_from
from octoqueue.redis.calls.signals import minutes_call, signals_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.primitives.signals import QueueMinute, SignalReading


class RedisSignals(RedisReading):
    """Reads signals."""

    async def read_signals(
        self, queues: Sequence[str], *, due_within: timedelta, fleet: str = ""
    ) -> SignalReading:
        """Read all scaling signals of some queues, and who works for them."""
        names, now_ms = tuple(dict.fromkeys(queues)), self._now()
        due_within_ms = max(due_within, timedelta(0)) // timedelta(milliseconds=1)
        texts = texts_to_look_for(names, fleet)
        answers = await self._everywhere(
            lambda scope: signals_call(
                scope, names, due_within_ms=due_within_ms, texts=texts, now_ms=now_ms
            )
        )
        return reading_from(names, fleet, answers, due_within_seconds=due_within_ms // 1000)

    async def arrival_minutes(self, queues: Sequence[str]) -> list[QueueMinute]:
        """Return the last whole minutes of each queue."""
        names, now_ms = tuple(dict.fromkeys(queues)), self._now()
        if not names:
            return []
        answers = await self._everywhere(lambda scope: minutes_call(scope, names, now_ms=now_ms))
        minutes: list[QueueMinute] = []
        for number, queue in enumerate(names):
            at = 1 + 2 * number
            try:
                tallies = [
                    tally_from(answer[at], counters_from(answer[at + 1]), int(answer[0]))
                    for answer in answers
                ]
            except (ValueError, TypeError) as error:
                raise StoreProtocolError(f"tallies of {queue!r} are unreadable: {error}") from None
            minutes += minutes_from(queue, tallies)
        return minutes
