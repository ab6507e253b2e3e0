"""`Scheduler`: periodic actors are enqueued when their ticks are due.

Every worker process follows the schedules its modules declare. It sleeps until the next tick is due
by the store's clock and then asks the store to fire it; the store lets the first who asks do so and
tells the others how far the schedule is. An idle schedule costs no command at all: the clock of the
store is known from its last answer, and asked again only when this machine's clocks have jumped.

Weakness: a schedule costs one script call a tick from every process that declares it, so one of a
second in a fleet of a hundred processes costs a hundred calls a second.
"""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import LaneFull, StoreError
from octoqueue.maintenance.store_clock import StoreClock
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.cron import next_tick
from octoqueue.primitives.schedules import Due, Fired

if TYPE_CHECKING:
    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.broker.schedules import Periodic
    from octoqueue.lanes.protocol import LaneStore

log = logging.getLogger(__name__)

LOOK_EVERY = timedelta(seconds=30)
"""How long a jump of the clocks may go unnoticed; looking costs no command."""
AGAIN = timedelta(seconds=2)
"""How long to wait when a lane is full or the store is gone, up to twice as long by chance."""

_FAR_BEHIND_MS = 60_000


class Scheduler:
    """Follows the schedules declared on a broker."""

    def __init__(
        self,
        broker: LaneBroker,
        *,
        look_every: timedelta = LOOK_EVERY,
        again: timedelta = AGAIN,
        clock: Clock | None = None,
        spread: random.Random | None = None,
    ) -> None:
        self._broker = broker
        self._random = spread or random.Random()  # noqa: S311 - it spreads calls, it hides nothing
        self._look_every_seconds = look_every.total_seconds()
        self._again_seconds = again.total_seconds()
        self._clock = clock or SystemClock()
        self._time = StoreClock(self._clock)
        self._delayed: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to follow what is declared by now."""
        self._tasks = [asyncio.create_task(self._follow(each)) for each in self._broker.schedules]

    async def stop(self) -> None:
        """End. Idempotent."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, periodic: Periodic) -> None:
        last_ms = await self._begun(periodic)
        while (tick_ms := next_tick(periodic.schedule.ticks, last_ms)) is not None:
            await self._wait_until(tick_ms)
            last_ms = await self._fired(periodic, last_ms)
        log.warning("schedule_ended", extra={"schedule": periodic.schedule.name})

    async def _begun(self, periodic: Periodic) -> int:
        """Return from where to count, once the store can be asked."""
        schedule = periodic.schedule
        while True:
            try:
                store = await self._broker.opened_store()
                stands = await store.last_tick(schedule.name, schedule.ticks.digest)
            except StoreError as error:
                facts = {"schedule": schedule.name, "reason": str(error)}
                log.debug("schedule_not_read", extra=facts)
            except Exception:
                log.exception("schedule_not_read", extra={"schedule": schedule.name})
            else:
                self._time.set(stands.now_ms)
                return stands.now_ms if stands.last_ms is None else stands.last_ms
            await self._pause()

    async def _wait_until(self, tick_ms: int) -> None:
        while (left_ms := tick_ms - self._time.now_ms()) > 0:
            await self._clock.sleep(min(left_ms / 1000, self._look_every_seconds))
            if self._time.is_doubtful:
                await self._ask_the_time()

    async def _ask_the_time(self) -> None:
        """Ask the store; when it cannot be asked, the next look does."""
        try:
            self._time.set(await (await self._broker.opened_store()).now_ms())
        except StoreError as error:
            log.debug("time_unknown", extra={"reason": str(error)})
        except Exception:
            log.exception("time_unknown")

    async def _fired(self, periodic: Periodic, last_ms: int) -> int:
        """Fire what is due; return the last tick as far as is known then."""
        name = periodic.schedule.name
        try:
            last_ms = await self._fire(await self._broker.opened_store(), periodic, last_ms)
        except LaneFull as full:
            if name not in self._delayed:
                log.warning("schedule_delayed", extra={"schedule": name, "reason": str(full)})
            self._delayed.add(name)
        except StoreError as error:
            log.debug("schedule_not_fired", extra={"schedule": name, "reason": str(error)})
        except Exception:
            log.exception("schedule_not_fired", extra={"schedule": name})
        else:
            self._delayed.discard(name)
            return last_ms
        await self._pause()
        return last_ms

    async def _fire(self, store: LaneStore, periodic: Periodic, last_ms: int) -> int:
        due = await self._due(periodic, last_ms)
        for number, tick_ms in enumerate(due.ticks):
            firing = await self._broker.schedules.fire(
                store, periodic, after_ms=last_ms, tick_ms=tick_ms
            )
            self._time.set(firing.now_ms)
            if firing.outcome in (Fired.MOVED_ON, Fired.EARLY):
                return firing.last_ms
            last_ms = firing.last_ms
            facts = {"schedule": periodic.schedule.name, "tick": _moment(tick_ms)}
            if due.drops_older and number == 0:
                limit = periodic.schedule.catch_up_limit
                log.warning("schedule_ticks_dropped", extra=facts | {"limit": limit})
            is_duplicate = firing.outcome is Fired.DUPLICATE
            event = "schedule_skipped" if is_duplicate else "schedule_fired"
            log.info(event, extra=facts | {"late_ms": firing.now_ms - tick_ms})
        return last_ms

    async def _due(self, periodic: Periodic, last_ms: int) -> Due:
        schedule, now_ms = periodic.schedule, self._time.now_ms()
        if now_ms - last_ms <= _FAR_BEHIND_MS:
            return schedule.due(last_ms=last_ms, now_ms=now_ms)
        # Counting what a long outage has missed must not hold up the loop.
        return await asyncio.to_thread(schedule.due, last_ms=last_ms, now_ms=now_ms)

    async def _pause(self) -> None:
        await self._clock.sleep(self._again_seconds * (1 + self._random.random()))


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC).isoformat()
