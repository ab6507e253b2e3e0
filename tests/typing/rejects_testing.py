"""What both type checkers must refuse: every line that ends in `# refused`, and no other."""

from __future__ import annotations

from datetime import timedelta

import octoqueue
from octoqueue.testing import LaneQueue, in_memory


@octoqueue.actor(results=True)
async def welcome(user_id: int) -> str:
    """An async actor."""
    return str(user_id)


def misuse(lane_queue: LaneQueue) -> None:
    """Use the kit wrongly."""
    lane_queue.advance(60)  # refused
    lane_queue.drain("mail")  # refused
    lane_queue.drain(concurrency="2")  # refused
    lane_queue.drain(raises=False)  # refused
    lane_queue.require_enqueued("welcome")  # refused
    lane_queue.require_enqueued(welcome, 7)  # refused
    lane_queue.require_enqueued(welcome, user_id=7)  # refused
    lane_queue.require_enqueued(welcome, lane=3)  # refused
    lane_queue.require_enqueued(welcome, due_in=3)  # refused
    lane_queue.enqueued(lambda: None)  # refused
    number: int = lane_queue.result(welcome.send(1))  # refused
    lane_queue.drain().acked[0].outcome = 3  # refused
    with in_memory("redis://") as other:  # refused
        print(other, number)


async def misuse_on_a_loop(lane_queue: LaneQueue) -> None:
    """Use the kit wrongly on an event loop."""
    await lane_queue.adrain(timeout=5)  # refused
    ran: list[str] = (await lane_queue.adrain()).acked  # refused
    print(ran)


LIMIT = timedelta(seconds=1)
