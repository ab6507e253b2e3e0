"""Executions in memory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from octoqueue.orchestrator.loaded import LoadedExecutions, Resident
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.executions import NewExecution, WorkflowId, new_execution_id
from octoqueue.workflows.starts import queued_from

if TYPE_CHECKING:
    from octoqueue.workflows.machine import Machine


class FakeMachine:
    closed = False

    def close(self) -> None:
        self.closed = True


def resident(name: str, *, partition: int = 0) -> Resident:
    ident = WorkflowId(name)
    new = NewExecution(
        workflow_id=ident,
        execution_id=new_execution_id(ident),
        partition=partition,
        name="flow",
        input=b"null",
        lane=Lane.NORMAL,
    )
    execution = queued_from(new, created_at=datetime(2026, 1, 1, tzinfo=UTC))
    return Resident(execution, cast("Machine", FakeMachine()))


def names(residents: Any) -> list[str]:  # noqa: ANN401 - whatever holds them
    return [each.execution.workflow_id for each in residents]


def holding(*residents: Resident, bound: int = 2) -> LoadedExecutions:
    loaded = LoadedExecutions(bound=bound)
    for each in residents:
        loaded.add(each)
    return loaded


def test_the_least_recently_used_is_thrown_out() -> None:
    first, second, third = (resident(name) for name in "abc")
    loaded = holding(first, second, third)
    assert loaded.get(first.execution.execution_id) is first
    assert loaded.trim() == [second]
    assert names(loaded) == ["c", "a"]
    assert loaded.get(second.execution.execution_id) is None


def test_what_is_busy_stays_although_it_is_too_much() -> None:
    first, second, third = (resident(name) for name in "abc")
    first.unwritten = second.functions = third.reads = 1
    loaded = holding(first, second, third)
    assert loaded.trim() == []
    assert len(loaded) == 3
    second.functions = 0
    assert loaded.trim() == [second]


def test_a_partition_is_dropped_as_a_whole() -> None:
    mine, theirs = resident("a"), resident("b", partition=7)
    loaded = holding(mine, theirs)
    assert loaded.drop(7) == [theirs]
    assert names(loaded) == ["a"]


def test_one_that_is_closed_is_parked() -> None:
    one = resident("a")
    machine = cast("Any", one.machine)
    one.close()
    one.close()
    assert machine.closed
    assert one.machine is None
