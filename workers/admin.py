"""The platform's own upkeep, as ordinary messages on the admin queue.

Each admin worker enqueues a sweep a minute, so any of them may run it; sweeps at the same time take
different rows. Until actors can be periodic, the minute is kept here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import octoqueue
from octoqueue.errors import StoreError
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.settings.root import Settings
from workers.intake import QUEUE as INTAKE_QUEUE
from workers.intake import Intake, PlannerQueue
from workers.resources import TASKS
from workers.sweeper import Sweeper

log = logging.getLogger(__name__)

ARM_QUEUES: Final = ("executor", "coder", "guardian", "retriever", "judge")
SWEEP_EVERY: Final = timedelta(minutes=1)


@octoqueue.actor(queue="admin", max_retries=0, time_limit=timedelta(seconds=50))
async def sweep_tasks() -> None:
    """Find tasks whose message is gone; what fails now is left to the next sweep."""
    broker = octoqueue.get_broker()
    sweeper = Sweeper(
        TASKS.get(),
        Intake(TASKS.get(), PlannerQueue(broker)),
        broker.store().stats,
        intake_queue=INTAKE_QUEUE,
        arm_queues=ARM_QUEUES,
    )
    try:
        await sweeper.sweep()
    except StoreError as exc:
        log.warning("sweep_cut_short", extra={"reason": str(exc)})


@asynccontextmanager
async def lifespan(settings: Settings) -> AsyncGenerator[None]:
    """Have the task store open, and a sweep enqueued every minute."""
    async with TASKS.lifespan(settings):
        ticking = asyncio.create_task(_tick(SystemClock()))
        try:
            yield
        finally:
            ticking.cancel()
            await asyncio.wait([ticking])


async def _tick(clock: Clock) -> None:
    while True:
        await clock.sleep(SWEEP_EVERY.total_seconds())
        try:
            await sweep_tasks.asend()
        except Exception as exc:  # noqa: BLE001 - whatever it was, the next minute may be better
            log.warning("sweep_not_enqueued", extra={"reason": repr(exc)})
