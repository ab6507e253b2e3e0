"""Replaying the journal of an execution that has ended: the code must come to the same end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from octoqueue.errors import WorkflowChanged
from octoqueue.workflows.definitions import Registry, define
from octoqueue.workflows.machine import Machine
from octoqueue.workflows.protocol import Loaded
from octoqueue.workflows.states import FINAL_STATUSES, ExecutionStatus, StepKind, StepStatus
from tests.workflow_desk import Actor, Desk

if TYPE_CHECKING:
    from collections.abc import Callable

    from octoqueue.workflows.context import Context
    from octoqueue.workflows.journal import Turn

CHARGE, REFUND = Actor("charge"), Actor("refund")


async def order(ctx: Context, price: int) -> int:
    ctx.on_failure(REFUND, price)
    charged: int = await ctx.call(CHARGE, price)
    await ctx.sleep(timedelta(seconds=1))
    if charged < 0:
        raise ValueError("negative")
    return charged + ctx.random().randrange(1000)


def ended(function: Callable[..., Any], value: int, *, charged: int) -> Loaded:
    """Play an execution to its end; return its journal."""
    desk = Desk(function, value)
    desk.begin()
    for _ in range(10):
        for key, step in list(desk.machine.pending.items()):
            if step.kind is StepKind.CALL:
                _tell(desk, key, charged)
            else:
                desk.now_ms = step.due_at_ms or 0
                _note(desk, desk.machine.timer_rang(key, now_ms=desk.now_ms))
        if desk.machine.is_final:
            break
    last = desk.turns[-1]
    assert last.status in FINAL_STATUSES
    execution = replace(desk.execution, status=last.status, output=last.output, error=last.error)
    return Loaded(execution=execution, steps=tuple(desk.journal.values()), signals=())


def _tell(desk: Desk, key: str, value: int) -> None:
    turn = desk.machine.step_ended(
        key,
        status=StepStatus.COMPLETED,
        output=b"%d" % value,
        error=None,
        attempts=1,
        now_ms=desk.now_ms,
    )
    _note(desk, turn)


def _note(desk: Desk, turn: Turn | None) -> None:
    assert turn is not None
    desk.turns.append(turn)
    desk.journal.update({step.key: step for step in turn.steps})


def replayed(loaded: Loaded, function: Callable[..., Any]) -> None:
    definition = define(function, name="order", registry=Registry())
    Machine(definition, loaded.execution).replay(loaded)


@pytest.mark.parametrize("charged", [5, -5], ids=["completed", "failed and compensated"])
def test_the_same_code_comes_to_the_same_end(charged: int) -> None:
    loaded = ended(order, 5, charged=charged)
    assert (loaded.execution.status is ExecutionStatus.COMPLETED) == (charged > 0)
    replayed(loaded, order)


def test_another_result_is_a_change_of_the_code() -> None:
    async def changed(ctx: Context, price: int) -> int:
        return 1 + await order(ctx, price)

    with pytest.raises(WorkflowChanged, match="not what the journal has") as refused:
        replayed(ended(order, 5, charged=5), changed)
    assert refused.value.step == "end"


def test_another_ending_is_a_change_of_the_code() -> None:
    async def changed(ctx: Context, price: int) -> int:
        await order(ctx, price)
        raise KeyError(price)

    with pytest.raises(WorkflowChanged) as refused:
        replayed(ended(order, 5, charged=5), changed)
    assert refused.value.step == "compensate.1", "it begins what the journal does not have"


def test_a_step_more_than_the_journal_has_is_named() -> None:
    async def changed(ctx: Context, price: int) -> int:
        charged = await order(ctx, price)
        await ctx.call(CHARGE, price)
        return charged

    with pytest.raises(WorkflowChanged, match="the journal has nothing there") as refused:
        replayed(ended(order, 5, charged=5), changed)
    assert refused.value.step == "3"


def test_a_step_less_than_the_journal_has_is_named() -> None:
    async def changed(ctx: Context, price: int) -> int:
        charged: int = await ctx.call(CHARGE, price)
        return charged

    with pytest.raises(WorkflowChanged, match="the code ends before it") as refused:
        replayed(ended(order, 5, charged=5), changed)
    assert refused.value.step == "2"
