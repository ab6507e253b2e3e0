"""The platform's own upkeep: an ordinary actor that runs every minute.

Any admin worker may run a sweep; sweeps at the same time take different rows.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Final

import octoqueue
from octoqueue.errors import StoreError
from workers.intake import QUEUE as INTAKE_QUEUE
from workers.intake import Intake, PlannerQueue
from workers.resources import TASKS, lifespan_of
from workers.sweeper import Sweeper

log = logging.getLogger(__name__)

ARM_QUEUES: Final = ("executor", "coder", "guardian", "retriever", "judge")

lifespan = lifespan_of(TASKS)


@octoqueue.periodic(every=timedelta(minutes=1))
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
