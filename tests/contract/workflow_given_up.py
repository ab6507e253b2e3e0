"""The contract of `WorkflowStore`, for orchestrators: children nobody waits for must end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.workflows.states import ExecutionStatus, SignalKind, StepKind, StepStatus
from octoqueue.workflows.turns import GIVEN_UP
from tests.contract.workflow_turns import child_of, next_of
from tests.contract.workflow_values import (
    Holder,
    a_step,
    begins,
    completes,
    fails,
    loaded,
    started,
    turn,
)

if TYPE_CHECKING:
    from octoqueue.workflows.executions import Execution, NewExecution
    from octoqueue.workflows.journal import Step
    from octoqueue.workflows.protocol import WorkflowStore

LEASE = timedelta(minutes=5)


def waits_for(child: NewExecution) -> Step:
    assert child.parent is not None
    return a_step(child.parent.step, StepKind.CHILD, child_id=child.execution_id)


def given_up(step: Step, order: int = 1) -> Step:
    return step._replace(status=StepStatus.CANCELLED, order=order, ended_at_ms=2_000)


async def kinds(store: WorkflowStore, of: NewExecution | Execution) -> list[SignalKind]:
    return [signal.kind for signal in (await loaded(store, of)).signals]


class WorkflowGivenUpContract:
    """What a write promises of children that a turn gives up."""

    async def test_a_child_is_asked_to_end_by_the_write_that_gives_it_up(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        parent = await started(store)
        child, other = child_of(parent, "1"), child_of(parent, "2")
        steps = [waits_for(each) for each in (child, other)]
        await holder.wrote(begins(parent, *steps, children=(child, other)))
        await holder.wrote(begins(child), begins(other))
        assert await store.open_executions(parent.partition) == []

        for _ in range(2):  # the answer of the first one may have been lost
            await holder.wrote(turn(parent, given_up(steps[0])))
            assert await store.open_executions(parent.partition) == [child.execution_id]
        (signal,) = (await loaded(store, child)).signals
        assert (signal.kind, signal.value) == (SignalKind.CANCEL, GIVEN_UP)
        await holder.wrote(turn(child, taken=(signal.signal_id,)))
        await holder.wrote(turn(parent, given_up(steps[0])))
        assert await store.open_executions(parent.partition) == []

    async def test_children_are_asked_to_end_by_the_end_of_their_parent(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        parent = await started(store)
        child = child_of(parent)
        await holder.wrote(begins(parent, waits_for(child), children=(child,)))
        await holder.wrote(fails(parent, given_up(waits_for(child))))
        assert await kinds(store, child) == [SignalKind.CANCEL]

    async def test_a_child_that_one_write_begins_and_gives_up_is_asked_to_end(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        parent = await started(store)
        child = child_of(parent)
        step = waits_for(child)
        await holder.wrote(begins(parent, step, children=(child,)), turn(parent, given_up(step)))
        assert await kinds(store, child) == [SignalKind.CANCEL]

    async def test_a_child_that_has_continued_is_asked_to_end_where_it_is_now(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        parent = await started(store)
        child = child_of(parent)
        step = waits_for(child)
        await holder.wrote(begins(parent, step, children=(child,)))
        second = next_of(child)
        third = next_of(second)
        goes_on = ExecutionStatus.CONTINUED
        await holder.wrote(turn(child, status=goes_on, continued=second))
        await holder.wrote(
            turn(second, status=goes_on, continued=third), turn(parent, given_up(step))
        )
        assert await kinds(store, child) == await kinds(store, second) == []
        assert await kinds(store, third) == [SignalKind.CANCEL]

    async def test_a_child_that_continues_while_it_is_given_up_again_is_asked_once(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        parent = await started(store)
        child = child_of(parent)
        step = waits_for(child)
        await holder.wrote(begins(parent, step, children=(child,)))
        await holder.wrote(begins(child))
        await holder.wrote(turn(parent, given_up(step)))  # the answer of this one was lost
        second = next_of(child)
        await holder.wrote(
            turn(child, status=ExecutionStatus.CONTINUED, continued=second),
            turn(parent, given_up(step)),
        )
        assert await kinds(store, child) == []
        assert await kinds(store, second) == [SignalKind.CANCEL]

    async def test_only_children_that_are_there_and_have_not_ended_are_asked(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        parent = await started(store)
        other = await started(store, workflow_id=f"{parent.workflow_id}/other")
        over, failed, here = (child_of(parent, key) for key in ("1", "2", "3"))
        unknown = child_of(parent, "4")
        steps = [waits_for(each) for each in (over, failed, here, unknown)]
        await holder.wrote(begins(parent, *steps, children=(over, failed, here)))
        await holder.wrote(completes(over), fails(failed))
        await holder.wrote(
            turn(parent, *(given_up(step, n) for n, step in enumerate((*steps[:2], steps[3]), 1))),
            # who does not wait for a child has no say in its life
            begins(other, given_up(waits_for(here))),
        )
        for each in (over, failed, here):
            assert await kinds(store, each) == []

    async def test_a_retry_of_a_child_is_nobodys_child_and_goes_on(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        parent = await started(store)
        child = child_of(parent)
        step = waits_for(child)
        await holder.wrote(begins(parent, step, children=(child,)))
        await holder.wrote(fails(child, a_step("1")))
        retry = await store.retry_from(child.execution_id, "1")
        await holder.wrote(turn(parent, given_up(step)))
        assert await kinds(store, retry) == []
