"""What both type checkers must accept of workflows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

import octoqueue
from octoqueue.workflows.announcing import WorkflowEvent
from octoqueue.workflows.executions import Execution
from octoqueue.workflows.protocol import Loaded
from octoqueue.workflows.states import ExecutionStatus

MINUTE = timedelta(minutes=1)


@dataclass
class Order:
    """What is ordered."""

    number: int


@octoqueue.actor
async def pack(number: int, *, gift: bool = False) -> str:
    """Pack an order."""
    return f"{number} {gift}"


@octoqueue.actor
def weigh(number: int) -> float:
    """Weigh an order, in a thread."""
    return number / 2


@octoqueue.workflow
async def order(ctx: octoqueue.WorkflowContext, wanted: Order) -> str:
    """Take all that a ctx gives."""
    parcel = await ctx.call(pack, wanted.number, gift=True)
    assert_type(parcel, str)
    heavy = await ctx.call(weigh.using(max_retries=0, time_limit=MINUTE), wanted.number)
    assert_type(heavy, float)
    both = await ctx.gather(ctx.call(pack, 1), ctx.call(weigh, 2))
    assert_type(both, tuple[str, float])
    assert_type(await ctx.child(report, 1), int)
    assert_type(await ctx.signal("approve", bool), bool)
    return parcel


@octoqueue.workflow(name="reports", version=2, signals={"stop": bool}, lane="low", deadline=MINUTE)
async def report(ctx: octoqueue.WorkflowContext, day: int) -> int:
    """Declare with options."""
    await ctx.sleep(MINUTE)
    return day


@octoqueue.workflow(complexity="high")
async def tidy(ctx: octoqueue.WorkflowContext) -> None:
    """Take no input."""
    await ctx.sleep(MINUTE)


async def caller() -> None:
    """Start, wait, signal."""
    assert_type(order, octoqueue.Workflow[Order, str])
    assert_type(tidy, octoqueue.Workflow[None, None])
    started = await order.start(Order(1), id="order-1", lane="high", tenant="acme")
    assert_type(started, octoqueue.WorkflowHandle[str])
    assert_type(await started.result(timeout=MINUTE), str)
    assert_type(await started.status(), ExecutionStatus)
    assert_type(await started.execution(), Execution)
    assert_type(report.send(1, id="reports"), octoqueue.WorkflowHandle[int])
    assert_type(await started.history(), Loaded)
    await started.signal("approve", True)  # noqa: FBT003 - a value
    await started.cancel("enough")
    async for event in started.events():
        assert_type(event, WorkflowEvent)
    plain = await tidy.start(deadline=datetime.now(UTC), complexity="low")
    assert_type(plain, octoqueue.WorkflowHandle[None])
    assert_type(await report.handle_of("reports").result(), int)
    known: octoqueue.WorkflowHandle[Any] = octoqueue.WorkflowHandle("order-1")
    await known.result()
    async with octoqueue.WorkflowClient.connected() as client:
        assert_type(client, octoqueue.WorkflowClient)


async def direct(ctx: octoqueue.WorkflowContext) -> None:
    """Call a workflow function as what it is."""
    assert_type(await order(ctx, Order(1)), str)
