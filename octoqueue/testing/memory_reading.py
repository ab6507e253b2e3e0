"""`MemoryReading`: what is true of the queues of the memory store."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.lanes.minutes import minutes_from
from octoqueue.lanes.options import LaneOptions
from octoqueue.lanes.presences import is_wanted
from octoqueue.lanes.reading import in_flight
from octoqueue.lanes.signal_reading import queue_signals
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.extension import UniqueMode
from octoqueue.primitives.histogram import WAIT_BUCKETS
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import DeadLetter, QueueStats, SessionId
from octoqueue.primitives.signals import SignalReading
from octoqueue.routing.partitions import PartitionMap
from octoqueue.testing.memory_events import MemoryEvents
from octoqueue.testing.memory_gates import MemoryGates
from octoqueue.testing.memory_held_back import held_back
from octoqueue.testing.memory_history import MemoryHistory
from octoqueue.testing.memory_once import MemoryOnce
from octoqueue.testing.memory_queue import MemoryQueue, ready_at_of
from octoqueue.testing.memory_results import MemoryResults
from octoqueue.testing.memory_schedules import MemorySchedules
from octoqueue.testing.memory_unique import MemoryUnique, Tombstone

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from octoqueue.primitives.events import Event, Position
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.signals import Presence, QueueMinute, QueueSignals


class MemoryReading:
    """Reads; what changes messages stands on it."""

    def __init__(self, options: LaneOptions | None = None, *, clock: Clock | None = None) -> None:
        """Start empty."""
        self.options = options or LaneOptions()
        self.spans_partitions = True
        self._clock = clock or SystemClock()
        self._map = PartitionMap(self.options.partitions)
        self._queues: dict[str, MemoryQueue] = {}
        self._sessions: dict[SessionId, int] = {}
        self._presences: dict[SessionId, Presence] = {}
        self._results = MemoryResults(self._clock)
        self._events = MemoryEvents(self._clock, self.options.events)
        self._history = MemoryHistory(self._clock, self.options.history_ttl_ms)
        self._bell_waiters: deque[tuple[frozenset[str], asyncio.Future[bool]]] = deque()
        self._numbers = itertools.count(1)
        self._used: set[str] = set()
        self._schedules = MemorySchedules()
        self._once = MemoryOnce()
        self._unique = MemoryUnique()
        self._gates = MemoryGates()
        self._tombstones: dict[MessageId, Tombstone] = {}
        self._cancelled = asyncio.Event()

    def _queue(self, name: str) -> MemoryQueue:
        return self._queues.setdefault(name, MemoryQueue(name))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def stats(self, queue: str) -> QueueStats:
        """Return what is true of a queue now."""
        here, now = self._queue(queue), self._clock.now_ms()
        heads = [ready_at_of(lane[0]) for lane in here.ready.values() if lane]
        heads += [ready_at_of(payload) for lines in here.lines.values() for payload in lines]
        oldest = min([at for at in heads if at is not None], default=now)
        return QueueStats(
            queue=queue,
            depth={lane: here.depth(lane) for lane in Lane},
            delayed=len(here.delayed),
            dead=len(here.dead),
            in_flight=in_flight(here.counters),
            oldest_age_seconds=max(now - oldest, 0) / 1000,
            counters={name: count for name, count in here.counters.items() if count},
            waits=tuple(here.waits[bucket] for bucket in range(WAIT_BUCKETS)),
            paused=here.paused,
        )

    async def read_signals(
        self, queues: Sequence[str], *, due_within: timedelta, fleet: str = ""
    ) -> SignalReading:
        """Read all scaling signals of some queues, and who works for them."""
        names, now = tuple(dict.fromkeys(queues)), self._clock.now_ms()
        within_ms = max(due_within, timedelta(0)) // timedelta(milliseconds=1)
        alive = [self._presences[s] for s in self._presences if self._sessions.get(s, 0) > now]
        workers = [worker for worker in alive if is_wanted(worker, names, fleet)]
        return SignalReading(
            taken_at_ms=now,
            queues=tuple(self._signals(self._queue(name), now, within_ms) for name in names),
            workers=tuple(sorted(workers, key=lambda worker: (worker.name, worker.session))),
        )

    def _signals(self, queue: MemoryQueue, now: int, within_ms: int) -> QueueSignals:
        ages: list[int] = []
        for lane in Lane:
            heads = [ready_at_of(payload) for payload in list(queue.ready[lane])[:1]]
            heads += [ready_at_of(payload) for payload in queue.lines[lane]]
            ages.append(now - min([at for at in heads if at is not None], default=now))
        return queue_signals(
            queue.name,
            [queue.tallies.tally(now)],
            waiting=[queue.depth(lane) for lane in Lane],
            held_back=held_back(queue, self._gates, now_ms=now, until_ms=now + within_ms),
            oldest_ms=ages,
            delayed=len(queue.delayed),
            due_soon=sum(due <= now + within_ms for due in queue.delayed.values()),
            due_within_seconds=within_ms // 1000,
            leased=in_flight(queue.counters),
            paused=queue.paused,
            taken_at_ms=now,
        )

    async def arrival_minutes(self, queues: Sequence[str]) -> list[QueueMinute]:
        """Return the last whole minutes of each queue."""
        now = self._clock.now_ms()
        names = tuple(dict.fromkeys(queues))
        tallies = [(name, self._queue(name).tallies.tally(now)) for name in names]
        return [minute for name, tally in tallies for minute in minutes_from(name, [tally])]

    def waiting(self) -> list[tuple[bytes, int | None]]:
        """Return all that waits or is delayed, with the time it is due."""
        return [each for name in sorted(self._queues) for each in self._queues[name].messages()]

    async def queues(self) -> list[str]:
        """Return the names of all queues ever used."""
        return sorted(self._used)

    async def result(self, message_id: MessageId) -> bytes | None:
        """Return the kept result of a message."""
        return self._results.get(message_id)

    async def wait_for_result(self, message_id: MessageId, *, timeout: timedelta) -> bytes | None:
        """Return the result as soon as it is kept."""
        return await self._results.wait(message_id, timeout=timeout)

    def events(
        self, message_id: MessageId, *, since: Position | None = None
    ) -> AsyncGenerator[Event]:
        """Follow what a message tells."""
        return self._events.follow(message_id, since)

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
        waiting = itertools.chain(*here.ready.values(), *here.lines.values())
        for payload in [*here.delayed, *waiting]:
            if ready_at_of(payload) is not None:
                self._unique.release(payload, reached=UniqueMode.DONE)
        for lane in Lane:
            here.ready[lane].clear()
            here.lines[lane].clear()
        here.delayed.clear()
        here.dead.clear()

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release, and tests look inside afterwards."""
