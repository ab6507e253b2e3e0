"""The contract of `WorkflowStore`, for orchestrators: who is there and who holds what."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from octoqueue.workflows.protocol import Agent, Hold
from octoqueue.workflows.states import ExecutionStatus
from tests.contract.workflow_values import (
    ALL,
    Holder,
    a_signal,
    a_step,
    an_agent,
    begins,
    completes,
    fails,
    loaded,
    read,
    started,
    turn,
)

if TYPE_CHECKING:
    from octoqueue.workflows.protocol import WorkflowStore

Ages = Callable[[timedelta], Awaitable[None]]

LEASE = timedelta(seconds=4)


class WorkflowHoldsContract:
    """What membership and fencing promise."""

    async def test_who_attends_is_there_until_the_lease_is_over(
        self, store: WorkflowStore, age: Ages
    ) -> None:
        one, other = an_agent(), an_agent()
        assert (await store.attend(Agent(agent_id=one), lease=LEASE)).agents == (one,)
        await age(timedelta(seconds=3))
        roster = await store.attend(Agent(agent_id=other), lease=LEASE)
        assert roster.agents == tuple(sorted((one, other)))
        assert roster.holds == {}
        await age(timedelta(seconds=2))
        assert (await store.attend(Agent(agent_id=other), lease=LEASE)).agents == (other,)
        await store.attend(Agent(agent_id=one), lease=LEASE)
        await store.leave(other)
        await store.leave(other)
        assert (await store.attend(Agent(agent_id=one), lease=LEASE)).agents == (one,)

    async def test_who_holds_a_partition_is_told_as_long_as_he_is_alive(
        self, store: WorkflowStore, age: Ages
    ) -> None:
        one = Agent(agent_id=an_agent(), host="here")
        assert await store.holder(3) is None
        await store.attend(one, lease=LEASE)
        await store.take(one.agent_id, [3])
        assert (await store.holder(3), await store.holder(1)) == (one, None)
        await age(timedelta(seconds=5))
        assert await store.holder(3) is None
        await store.attend(one, lease=LEASE)
        await store.leave(one.agent_id)
        assert await store.holder(3) is None

    async def test_a_partition_is_taken_once_and_again_by_its_holder_at_the_same_epoch(
        self, store: WorkflowStore
    ) -> None:
        one, other = an_agent(), an_agent()
        for each in (one, other):
            await store.attend(Agent(agent_id=each), lease=LEASE)
        assert await store.take(one, [3, 1]) == {1: 1, 3: 1}
        assert await store.take(other, [1, 2, 3]) == {2: 1}
        assert await store.take(one, [1, 2, 3, 4]) == {1: 1, 3: 1, 4: 1}
        roster = await store.attend(Agent(agent_id=one), lease=LEASE)
        assert roster.holds == {
            partition: Hold(owner=other if partition == 2 else one, epoch=1)
            for partition in (1, 2, 3, 4)
        }
        assert await store.take(one, []) == {}

    async def test_of_many_who_take_at_once_each_partition_goes_to_one(
        self, store: WorkflowStore
    ) -> None:
        agents = [an_agent() for _ in range(5)]
        for each in agents:
            await store.attend(Agent(agent_id=each), lease=timedelta(minutes=5))
        orders = [ALL, ALL[::-1], ALL[5:] + ALL[:5], ALL[::2] + ALL[1::2], ALL]
        got = await asyncio.gather(
            *(store.take(each, order) for each, order in zip(agents, orders, strict=True))
        )
        assert sorted(partition for each in got for partition in each) == list(ALL)

    async def test_what_was_released_or_left_is_free_at_once_at_a_higher_epoch(
        self, store: WorkflowStore
    ) -> None:
        one, other = an_agent(), an_agent()
        for each in (one, other):
            await store.attend(Agent(agent_id=each), lease=LEASE)
        await store.take(one, [1, 2, 3])
        await store.release(one, {1: 1, 2: 9})
        await store.release(other, {3: 1})
        roster = await store.attend(Agent(agent_id=one), lease=LEASE)
        assert roster.holds[1] == Hold(owner=None, epoch=1)
        assert await store.take(other, [1, 2, 3]) == {1: 2}
        await store.leave(one)
        assert await store.take(other, [1, 2, 3]) == {1: 2, 2: 2, 3: 2}
        await store.release(one, {})

    async def test_who_is_not_there_takes_nothing(self, store: WorkflowStore, age: Ages) -> None:
        gone = an_agent()
        assert await store.take(gone, [1]) == {}
        await store.attend(Agent(agent_id=gone), lease=LEASE)
        await age(timedelta(seconds=5))
        assert await store.take(gone, [1]) == {}

    async def test_a_holder_that_was_paused_for_longer_than_its_lease_writes_until_it_is_replaced(
        self, store: WorkflowStore, age: Ages
    ) -> None:
        new = await started(store)
        paused = await Holder.of(store, lease=LEASE)
        await age(timedelta(seconds=5))
        other = an_agent()
        roster = await store.attend(Agent(agent_id=other), lease=LEASE)
        assert roster.holds[new.partition] == Hold(owner=None, epoch=1)
        assert roster.agents == (other,)
        assert await paused.write(begins(new)) == frozenset()

        successor = await Holder.of(store, lease=LEASE, agent_id=other, partitions=[new.partition])
        assert successor.epochs == {new.partition: 2}
        assert await paused.write(turn(new, a_step("1"))) == {new.partition}
        assert (await loaded(store, new)).steps == ()
        assert await successor.write(turn(new, a_step("2"))) == frozenset()

        back = await store.attend(Agent(agent_id=paused.agent_id), lease=LEASE)
        assert back.holds[new.partition] == Hold(owner=other, epoch=2)
        await store.release(paused.agent_id, paused.epochs)
        assert await successor.write(turn(new, a_step("3"))) == frozenset()
        assert await paused.write(turn(new, a_step("4"))) == {new.partition}

    async def test_pruning_forgets_what_ended_long_ago_and_nothing_else(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=timedelta(minutes=5))
        old = [await started(store, deadline_at_ms=1) for _ in range(3)]
        running, queued, blocked = [await started(store) for _ in range(3)]
        await holder.wrote(begins(running), turn(blocked, status=ExecutionStatus.BLOCKED))
        await holder.wrote(*(completes(each, a_step("1")) for each in old[:2]), fails(old[2]))
        ended_at = (await read(store, old[2])).finished_at
        assert ended_at is not None
        day = timedelta(days=1)
        assert await store.prune(older_than=day) == 0
        assert await store.prune(older_than=day, now=ended_at + day / 2) == 0
        assert len(await store.load([each.execution_id for each in old])) == 3

        assert await store.prune(older_than=day, now=ended_at + 2 * day) == 3
        assert await store.load([each.execution_id for each in old]) == []
        for each in old:
            assert await store.newest(each.workflow_id) is None
        for each in (running, queued, blocked):
            assert await store.newest(each.workflow_id) == await read(store, each)
        assert (await store.start(old[0])).is_new
        assert (await loaded(store, old[0])).steps == ()
        assert await store.prune(older_than=day, now=datetime.now(UTC)) == 0

    async def test_a_year_later_only_what_has_not_ended_is_left(self, store: WorkflowStore) -> None:
        holder = await Holder.of(store, lease=timedelta(minutes=5))
        done, running = await started(store), await started(store)
        await store.signal(running.workflow_id, a_signal())
        await holder.wrote(completes(done), begins(running, a_step("1")))
        ended_at = (await read(store, done)).finished_at
        assert ended_at is not None
        year = timedelta(days=365)
        before = await loaded(store, running)
        assert await store.prune(older_than=timedelta(days=90), now=ended_at + year) == 1
        assert await loaded(store, running) == before
        assert await store.execution(done.execution_id) is None
        await holder.wrote(completes(running))
        assert await store.prune(older_than=timedelta(days=90), now=ended_at + 2 * year) == 1

    async def test_the_store_answers_that_it_is_there(self, store: WorkflowStore) -> None:
        await store.check()
