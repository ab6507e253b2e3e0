"""`RedisSignals`: what scaling decides on, read from Redis."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from octoqueue.errors import StoreProtocolError
from octoqueue.lanes.minutes import minutes_from
from octoqueue.lanes.reading import counters_from
from octoqueue.lanes.redis_reading import RedisReading, good, pairs
from octoqueue.lanes.signal_reading import Workers, joined, reading_from
from octoqueue.lanes.tallies import tally_from
from octoqueue.redis.calls.signals import MOST_QUEUES, minutes_calls, signals_calls

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
        calls = [
            signals_calls(scope, names, due_within_ms=due_within_ms, now_ms=now_ms)
            for scope in self._scopes
        ]
        # Who works is read as it is: in a script 10,000 presences took the server 150 ms, so 2.
        first = self._scopes[0]  # where everything about workers is told
        answers, alive, said = await asyncio.gather(
            self._client.call_each(list(itertools.chain.from_iterable(calls))),
            self._client.command("ZRANGE", first.workers(), 0, -1, "WITHSCORES"),
            self._client.command("HGETALL", first.presences()),
        )
        by_scope = [joined(parts) for parts in _slices(good(answers), len(calls[0]))]
        workers = Workers(
            until_ms={session: float(until_ms) for session, until_ms in pairs(alive)},
            said=pairs(said),
        )
        due_within_seconds = due_within_ms // 1000
        return reading_from(names, fleet, by_scope, workers, due_within_seconds=due_within_seconds)

    async def arrival_minutes(self, queues: Sequence[str]) -> list[QueueMinute]:
        """Return the last whole minutes of each queue."""
        names, now_ms = tuple(dict.fromkeys(queues)), self._now()
        if not names:
            return []
        calls = [minutes_calls(scope, names, now_ms=now_ms) for scope in self._scopes]
        answers = good(await self._client.call_each(list(itertools.chain.from_iterable(calls))))
        by_scope = _slices(answers, len(calls[0]))
        minutes: list[QueueMinute] = []
        for number, queue in enumerate(names):
            part, at = number // MOST_QUEUES, 1 + 2 * (number % MOST_QUEUES)
            try:
                tallies = [
                    tally_from(answer[at], counters_from(answer[at + 1]), int(answer[0]))
                    for answer in (parts[part] for parts in by_scope)
                ]
            except (ValueError, TypeError) as error:
                raise StoreProtocolError(f"tallies of {queue!r} are unreadable: {error}") from None
            minutes += minutes_from(queue, tallies)
        return minutes


def _slices(answers: list[Any], size: int) -> list[list[Any]]:
    return [answers[first : first + size] for first in range(0, len(answers), size)]
