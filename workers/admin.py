"""The platform's own upkeep: an ordinary actor that runs every minute, and the outbox's relay.

Any admin worker may run a sweep; sweeps at the same time take different rows. Each admin worker
relays the outbox: messages of tasks whose process died before it could send them itself.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import octoqueue
from octoqueue.errors import StoreError
from octoqueue.maintenance.relaying import relaying
from octoqueue.settings.root import Settings
from workers.intake import QUEUE as INTAKE_QUEUE
from workers.resources import DESK
from workers.sweeper import Sweeper

log = logging.getLogger(__name__)

ARM_QUEUES: Final = ("executor", "coder", "guardian", "retriever", "judge")


@asynccontextmanager
async def lifespan(settings: Settings) -> AsyncGenerator[None]:
    """Have the desk open and its outbox relayed."""
    async with DESK.lifespan(settings), relaying(DESK.get().pool, octoqueue.get_broker()):
        yield


@octoqueue.periodic(every=timedelta(minutes=1))
@octoqueue.actor(queue="admin", max_retries=0, time_limit=timedelta(seconds=50))
async def sweep_tasks() -> None:
    """Find tasks whose message is gone; what fails now is left to the next sweep."""
    desk = DESK.get()
    sweeper = Sweeper(
        desk.tasks,
        desk.accept.put_back,
        octoqueue.get_broker().store().stats,
        intake_queue=INTAKE_QUEUE,
        arm_queues=ARM_QUEUES,
    )
    try:
        await sweeper.sweep()
    except StoreError as exc:
        log.warning("sweep_cut_short", extra={"reason": str(exc)})
