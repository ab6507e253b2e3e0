"""The contract of `WorkflowStore`, for callers: starting, signalling, reading, retrying."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import (
    SignalUnknown,
    StepUnknown,
    WorkflowFinished,
    WorkflowIdTaken,
    WorkflowNotFinished,
    WorkflowUnknown,
)
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.executions import Parent, WorkflowId, new_execution_id
from octoqueue.workflows.protocol import Filter
from octoqueue.workflows.states import (
    Complexity,
    ExecutionStatus,
    SignalKind,
    StepKind,
    StepStatus,
)
from tests.contract.workflow_values import (
    ODD,
    Holder,
    a_signal,
    a_step,
    a_workflow,
    begins,
    completes,
    ended,
    fails,
    loaded,
    read,
    started,
    turn,
)

if TYPE_CHECKING:
    from octoqueue.workflows.protocol import WorkflowStore

LEASE = timedelta(minutes=5)


class WorkflowStartsContract:
    """What callers can rely on."""

    async def test_a_start_keeps_all_that_was_given(self, store: WorkflowStore) -> None:
        new = a_workflow(
            version=3,
            input=ODD,
            lane=Lane.HIGH,
            tenant="acme ☃",
            complexity=Complexity.LOW,
            signals=("go", "stop"),
            deadline_at_ms=123_456_789,
        )
        made = await store.start(new)
        assert made.is_new
        kept = made.execution
        assert kept == await store.execution(new.execution_id)
        assert kept == await store.newest(new.workflow_id)
        assert (kept.name, kept.version, kept.run, kept.input) == ("order", 3, 1, ODD)
        assert (kept.lane, kept.tenant, kept.complexity) == (Lane.HIGH, "acme ☃", "low")
        assert (kept.signals, kept.deadline_at_ms) == (("go", "stop"), 123_456_789)
        assert (kept.status, kept.partition, kept.parent) == ("queued", new.partition, None)
        assert (kept.output, kept.error, kept.started_at, kept.finished_at) == (None,) * 4
        assert kept.created_at.tzinfo is not None

    async def test_an_equal_start_is_the_same_start_whatever_became_of_it(
        self, store: WorkflowStore
    ) -> None:
        new = a_workflow()
        again = replace(new, execution_id=new_execution_id(new.workflow_id))
        both = await asyncio.gather(store.start(new), store.start(again))
        assert sorted(each.is_new for each in both) == [False, True]
        assert both[0].execution == both[1].execution

        holder = await Holder.of(store, lease=LEASE)
        await holder.wrote(completes(both[0].execution))
        third = await store.start(again)
        assert (third.is_new, third.execution.status) == (False, "completed")
        assert third.execution.execution_id == both[0].execution.execution_id

    async def test_an_id_that_belongs_to_another_start_is_refused(
        self, store: WorkflowStore
    ) -> None:
        new = await started(store)
        for other in (
            replace(new, name="invoice", execution_id=new_execution_id(new.workflow_id)),
            replace(new, input=b'{"n": 1}', execution_id=new_execution_id(new.workflow_id)),
        ):
            with pytest.raises(WorkflowIdTaken, match=new.workflow_id):
                await store.start(other)
            assert await store.execution(other.execution_id) is None

    async def test_concurrent_starts_are_each_answered(self, store: WorkflowStore) -> None:
        news = [a_workflow(f"many-{n % 20}", input=b"%d" % (n % 21)) for n in range(100)]
        made = await asyncio.gather(*map(store.start, news), return_exceptions=True)
        for new, each in zip(news, made, strict=True):
            kept = await store.newest(new.workflow_id)
            assert kept is not None
            if isinstance(each, BaseException):
                assert isinstance(each, WorkflowIdTaken)
                assert kept.input != new.input
            else:
                assert each.execution == kept
                assert kept.input == new.input

    async def test_withdrawing_forgets_a_queued_start_and_no_other(
        self, store: WorkflowStore
    ) -> None:
        queued = await started(store, deadline_at_ms=5)
        assert await store.withdraw(queued.execution_id)
        assert await store.withdraw(queued.execution_id)
        assert await store.execution(queued.execution_id) is None
        assert await store.newest(queued.workflow_id) is None
        assert await store.timers([queued.partition], until_ms=10) == []
        assert (await store.start(queued)).is_new

        holder = await Holder.of(store, lease=LEASE)
        running = await started(store)
        await holder.wrote(begins(running))
        assert not await store.withdraw(running.execution_id)
        assert (await read(store, running)).status is ExecutionStatus.RUNNING

    async def test_signals_wait_in_the_order_of_their_times(self, store: WorkflowStore) -> None:
        new = await started(store)
        late = a_signal("late", sent_at_ms=9, value=ODD)
        early = a_signal("early", sent_at_ms=3, kind=SignalKind.CANCEL)
        told = [await store.signal(new.workflow_id, each) for each in (late, early)]
        assert {each.execution_id for each in told} == {new.execution_id}
        assert (await loaded(store, new)).signals == (early, late)

    async def test_the_same_signal_twice_is_once_also_when_it_was_taken_meanwhile(
        self, store: WorkflowStore
    ) -> None:
        new, signal = await started(store), a_signal()
        await asyncio.gather(*(store.signal(new.workflow_id, signal) for _ in range(3)))
        assert (await loaded(store, new)).signals == (signal,)
        holder = await Holder.of(store, lease=LEASE)
        await holder.wrote(begins(new, taken=(signal.signal_id,)))
        await store.signal(new.workflow_id, signal)
        assert (await loaded(store, new)).signals == ()

        after = replace(new, execution_id=new_execution_id(new.workflow_id), run=2)
        await holder.wrote(turn(new, status=ExecutionStatus.CONTINUED, continued=after))
        assert (await store.signal(new.workflow_id, signal)).execution_id == after.execution_id
        assert (await loaded(store, after)).signals == ()
        await holder.wrote(completes(after))
        assert (await store.signal(new.workflow_id, signal)).status == "completed"

    async def test_signals_nobody_can_take_are_refused(self, store: WorkflowStore) -> None:
        with pytest.raises(WorkflowUnknown, match="nobody"):
            await store.signal(WorkflowId("nobody"), a_signal())
        declared = await started(store, signals=("go",))
        with pytest.raises(SignalUnknown, match="stop"):
            await store.signal(declared.workflow_id, a_signal("stop"))
        await store.signal(declared.workflow_id, a_signal("stop", kind=SignalKind.CANCEL))
        await store.signal(declared.workflow_id, a_signal("go"))
        silent = await started(store, signals=())
        with pytest.raises(SignalUnknown, match="go"):
            await store.signal(silent.workflow_id, a_signal("go"))
        holder = await Holder.of(store, lease=LEASE)
        await holder.wrote(completes(declared))
        with pytest.raises(WorkflowFinished, match="completed"):
            await store.signal(declared.workflow_id, a_signal("go"))

    async def test_a_group_of_signals_is_answered_one_by_one(self, store: WorkflowStore) -> None:
        new = await started(store, signals=("go",))
        answers = await asyncio.gather(
            store.signal(new.workflow_id, a_signal("go")),
            store.signal(new.workflow_id, a_signal("stop")),
            store.signal(WorkflowId("nobody"), a_signal("go")),
            store.signal(new.workflow_id, a_signal("go")),
            return_exceptions=True,
        )
        assert [type(each).__name__ for each in answers] == [
            "Execution",
            "SignalUnknown",
            "WorkflowUnknown",
            "Execution",
        ]
        assert len((await loaded(store, new)).signals) == 2

    async def test_executions_are_listed_newest_first_by_any_filter_and_page(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        made = [
            await started(store, name=f"n{n % 2}", tenant=("a", "b", None)[n % 3])
            for n in range(12)
        ]
        made.sort(key=lambda each: each.execution_id)
        await holder.wrote(*(fails(each) for each in made[:3]), *map(begins, made[3:6]))

        async def listed(limit: int = 100, **fields: object) -> list[str]:
            found = await store.executions(Filter(**fields), limit=limit)  # type: ignore[arg-type]
            return [each.execution_id for each in found]

        ids = [each.execution_id for each in reversed(made)]
        assert await listed() == ids
        assert await listed(5) == ids[:5]
        assert await listed(5, before=ids[4]) == ids[5:10]
        assert await listed(status=ExecutionStatus.FAILED) == ids[9:]
        assert await listed(status=ExecutionStatus.RUNNING, before=ids[6]) == ids[7:9]
        assert await listed(status=ExecutionStatus.BLOCKED) == []
        for tenant in ("a", "b"):
            mine = [each.execution_id for each in reversed(made) if each.tenant == tenant]
            assert await listed(tenant=tenant) == mine
            assert await listed(2, tenant=tenant, before=mine[0]) == mine[1:3]
        named = [each.execution_id for each in reversed(made) if each.name == "n1"]
        assert await listed(name="n1") == named
        assert await listed(name="n1", tenant="a", status=ExecutionStatus.QUEUED) == [
            each.execution_id
            for each in reversed(made[6:])
            if (each.name, each.tenant) == ("n1", "a")
        ]
        one = made[4]
        assert await listed(workflow_id=one.workflow_id) == [one.execution_id]
        assert await listed(workflow_id=one.workflow_id, tenant="nobody") == []

    async def test_a_history_is_the_whole_journal(self, store: WorkflowStore) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new = await started(store)
        steps = [a_step("10"), a_step("9"), a_step("2"), a_step("1.0.1")]
        signal = a_signal()
        await store.signal(new.workflow_id, signal)
        await holder.wrote(begins(new, *steps))
        await holder.wrote(turn(new, ended(steps[2], 2), ended(steps[0], 1)))
        history = await store.history(new.execution_id)
        assert history is not None
        assert history.execution == await read(store, new)
        assert [step.key for step in history.steps] == ["10", "2", "1.0.1", "9"]
        assert history.signals == (signal,)
        assert history == await loaded(store, new)
        unknown = new_execution_id(new.workflow_id)
        assert await store.history(unknown) is None
        assert await store.load([unknown]) == []
        assert await store.execution(unknown) is None

    async def test_a_failed_execution_is_retried_from_a_step_with_what_ended_before_it(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new = await started(store, tenant="a", lane=Lane.LOW, signals=("go",), input=ODD)
        first, second, third = a_step("1", message_id=None), a_step("2"), a_step("3")
        never = a_step("4", StepKind.SLEEP, due_at_ms=10**13)
        bad = second._replace(
            status=StepStatus.FAILED, order=2, error=b'{"error":"E"}', ended_at_ms=7, attempts=3
        )
        await holder.wrote(
            begins(new, first, second, third, never),
            fails(new, ended(first, 1, ODD), bad, ended(third, 3)),
        )
        again = await store.retry_from(new.execution_id, "2")
        assert again == await store.newest(new.workflow_id)
        assert again.execution_id != new.execution_id
        assert (again.status, again.run, again.input) == ("queued", 2, ODD)
        assert (again.tenant, again.lane, again.signals) == ("a", Lane.LOW, ("go",))
        assert (await loaded(store, again)).steps == (ended(first, 1, ODD),)
        assert again.execution_id in await store.open_executions(again.partition)
        assert (await read(store, new)).status is ExecutionStatus.FAILED

        await holder.wrote(fails(again, status=ExecutionStatus.CANCELLED))
        last = await store.retry_from(new.execution_id, "4")
        assert [step.key for step in (await loaded(store, last)).steps] == ["1", "2", "3"]
        assert last.run == 3

    async def test_what_cannot_be_retried_is_refused(self, store: WorkflowStore) -> None:
        holder = await Holder.of(store, lease=LEASE)
        unknown = a_workflow()
        with pytest.raises(WorkflowUnknown):
            await store.retry_from(unknown.execution_id, "1")
        new = await started(store)
        with pytest.raises(WorkflowNotFinished, match="queued"):
            await store.retry_from(new.execution_id, "1")
        await holder.wrote(fails(new, ended(a_step("1"), 1)))
        with pytest.raises(StepUnknown, match="'2'"):
            await store.retry_from(new.execution_id, "2")
        await store.retry_from(new.execution_id, "1")
        with pytest.raises(WorkflowNotFinished, match="queued"):
            await store.retry_from(new.execution_id, "1")
        done = await started(store)
        await holder.wrote(completes(done, ended(a_step("1"), 1)))
        with pytest.raises(WorkflowFinished, match="completed"):
            await store.retry_from(done.execution_id, "1")

    async def test_a_retried_deadline_is_as_far_away_as_it_was_and_nobody_waits(
        self, store: WorkflowStore
    ) -> None:
        holder = await Holder.of(store, lease=LEASE)
        new = await started(store)
        created_ms = round((await read(store, new)).created_at.timestamp() * 1000)
        child = a_workflow(
            f"{new.workflow_id}/1",
            parent=Parent(execution_id=new.execution_id, step="1"),
            deadline_at_ms=created_ms + 3_600_000,
        )
        await holder.wrote(begins(new, children=(child,)))
        await holder.wrote(fails(child, ended(a_step("1"), 1)))
        again = await store.retry_from(child.execution_id, "1")
        assert again.parent is None
        assert again.deadline_at_ms is not None
        again_ms = round(again.created_at.timestamp() * 1000)
        assert abs(again.deadline_at_ms - again_ms - 3_600_000) < 5_000
        due = await store.timers([again.partition], until_ms=again.deadline_at_ms)
        assert [(each.execution_id, each.step) for each in due] == [(again.execution_id, "")]
