"""Letters that are claimed reach whom they are for, whatever becomes of the answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from octoqueue.orchestrator.claiming import LetterClaimer
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import SessionId
from octoqueue.testing.memory_lanes import MemoryLaneStore
from octoqueue.workflows.executions import new_execution_id, workflow_id_from
from octoqueue.workflows.letters import nudge_message, queue_of
from tests.running import WatchedStore, gone, until

if TYPE_CHECKING:
    from octoqueue.primitives.messages import Lease


async def test_a_letter_whose_claim_was_not_answered_is_found_although_its_partition_has_gone() -> (
    None
):
    store: Any = WatchedStore(MemoryLaneStore())
    held, opened = {3}, list["Lease"]()
    session = SessionId("me")
    await store.extend(session)
    letter = nudge_message(
        new_execution_id(workflow_id_from("w")),
        to=queue_of(3),
        lane=Lane.NORMAL,
        beside=new_message_id(),
        now_ms=0,
    )
    await store.enqueue([[letter]])

    async def lose() -> None:
        if held:
            held.clear()
            raise gone()

    async def room() -> None:
        return None

    store.after["claim"] = lose
    claimer = LetterClaimer(
        store,
        session,
        partitions=lambda: held,
        opened=opened.extend,
        room=room,
        clock=SystemClock(),
    )
    claiming = asyncio.create_task(claimer.run())
    await until(lambda: opened)
    claiming.cancel()
    assert [lease.message_id for lease in opened] == [letter.message_id]
