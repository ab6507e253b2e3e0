"""What workflow functions may do wrong without harm to anybody but themselves."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.sending_clock import SENDING_CLOCK
from octoqueue.errors import InputInvalid, InvalidMessage, WorkflowMisused
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.workflows import branches
from octoqueue.workflows.callees import returned_type
from octoqueue.workflows.definitions import Registry, define
from octoqueue.workflows.journal import Signal, SignalId
from octoqueue.workflows.states import SignalKind
from tests.workflow_desk import BEGAN_MS, Actor, Desk

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from octoqueue.workflows.context import Context

A, B = Actor("a"), Actor("b")


@octoqueue.actor(name="charge_of_hostile_functions", broker=LaneBroker())
def charge() -> int:
    return 1


def test_an_error_that_cannot_be_shown_fails_the_execution_by_its_class() -> None:
    class UnshownError(RuntimeError):
        def __str__(self) -> str:
            raise ValueError

    async def f(ctx: Context) -> None:
        raise UnshownError

    desk = Desk(f)
    desk.begin()
    assert desk.error["error"] == "UnshownError"
    assert "ValueError" in desk.error["message"]


@pytest.mark.parametrize("nested", [False, True])
def test_one_coroutine_in_two_branches_is_refused(nested: bool) -> None:  # noqa: FBT001
    async def one(ctx: Context) -> object:
        return await ctx.call(A)

    async def f(ctx: Context) -> object:
        shared = one(ctx)
        if nested:
            return await ctx.gather(ctx.gather(shared), ctx.gather(shared))
        return await ctx.gather(shared, shared)

    desk = Desk(f)
    desk.begin()
    assert desk.error["error"] == "WorkflowMisused"


def test_one_step_in_two_branches_is_refused() -> None:
    async def f(ctx: Context) -> object:
        step = ctx.call(A)
        return await ctx.gather(step, step)

    desk = Desk(f)
    desk.begin()
    assert desk.error["error"] == "WorkflowMisused"


def test_whatever_a_function_raises_while_it_is_closed_reaches_nobody() -> None:
    async def f(ctx: Context) -> None:
        try:
            await ctx.call(A)
        finally:
            raise SystemExit(3)

    desk = Desk(f)
    desk.begin()
    desk.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_function_that_will_not_be_closed_is_left_where_it_waits() -> None:
    async def f(ctx: Context) -> None:
        while True:
            try:
                await ctx.call(A)
            except BaseException:  # noqa: BLE001
                continue

    desk = Desk(f)
    desk.machine.begin(now_ms=BEGAN_MS)
    desk.close()
    del desk
    gc.collect()


@pytest.mark.parametrize("is_empty", [False, True])
def test_going_round_without_waiting_is_ended(
    is_empty: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(branches, "_MOST_IN_VAIN", 100)

    async def f(ctx: Context) -> None:
        step = ctx.call(A)
        while True:
            if is_empty:
                await ctx.gather()
                continue
            try:
                await step
            except WorkflowMisused:
                continue

    desk = Desk(f)
    desk.begin()
    if not is_empty:
        desk.end("1")
    assert desk.error["error"] == "WorkflowMisused"
    assert "round" in desk.error["message"]


def test_context_variables_belong_to_one_execution() -> None:
    seen: ContextVar[int] = ContextVar("seen", default=0)

    async def f(ctx: Context) -> int:
        seen.set(seen.get() + 1)
        await ctx.call(A)
        return seen.get()

    first, second = Desk(f), Desk(f)
    first.begin()
    second.begin()
    first.end("1")
    second.end("1")
    assert (first.output, second.output, seen.get()) == (1, 1, 0)


async def test_an_async_generator_left_behind_is_not_finished_by_the_loop() -> None:
    async def numbers(ctx: Context) -> AsyncGenerator[object]:
        while True:
            yield await ctx.call(A)

    async def f(ctx: Context) -> object:
        async for number in numbers(ctx):
            return number
        return None

    desk = Desk(f)
    desk.begin()
    before = asyncio.all_tasks()
    desk.end("1", 5)
    gc.collect()
    await asyncio.sleep(0)
    assert desk.output == 5
    assert asyncio.all_tasks() == before


def test_a_compensation_that_could_never_be_called_is_refused_when_it_is_registered() -> None:
    async def f(ctx: Context) -> str:
        try:
            ctx.on_failure(A, object())
        except InputInvalid as error:
            return str(error)
        return ""

    desk = Desk(f)
    desk.begin()
    assert "compensate (a)" in desk.output


def test_what_a_callable_object_returned_is_given_although_it_cannot_be_hashed() -> None:
    @dataclass
    class Reads:
        number: int

        def __call__(self) -> int:
            return self.number

    async def f(ctx: Context) -> int:
        return await ctx.run(Reads(3))

    desk = Desk(f)
    desk.begin()
    desk.end("1", desk.run_here("1"))
    assert desk.output == 3


def test_the_types_of_functions_do_not_keep_what_these_have_closed_over() -> None:
    class Large: ...

    def make() -> Callable[[], int]:
        large = Large()
        kept.append(weakref.ref(large))

        def reads() -> int:
            return id(large)

        return reads

    kept: list[weakref.ref[Large]] = []

    class Holder:
        function = staticmethod(make())

    assert returned_type(Holder) is int
    del Holder
    gc.collect()
    assert kept[0]() is None


def test_a_deadline_of_a_step_is_judged_by_the_time_the_function_is_told() -> None:
    async def f(ctx: Context) -> int:
        soon = ctx.now() + timedelta(minutes=5)
        charged = await ctx.call(charge.using(deadline=soon, expires=soon))
        await ctx.call(A)
        return charged

    long_after = FakeClock(BEGAN_MS)
    with SENDING_CLOCK.replaced_by(long_after):
        desk = Desk(f)
        desk.begin()
        long_after.advance(10**9)
        desk.end("1", 1)
        assert desk.pending == ["2"]


def test_a_deadline_that_was_over_is_over_in_every_replay() -> None:
    async def f(ctx: Context) -> str:
        over = datetime.fromtimestamp(BEGAN_MS / 1000, UTC)
        try:
            await ctx.call(charge.using(deadline=over))
        except InvalidMessage:
            await ctx.call(B)
        return "late"

    before = FakeClock(BEGAN_MS - 1_000)
    with SENDING_CLOCK.replaced_by(before):
        desk = Desk(f)
        desk.begin()
        assert desk.pending == ["1"]
        desk.end("1")
        assert desk.output == "late"


def test_a_long_number_of_a_child_is_told_as_it_is() -> None:
    @dataclass
    class Long:
        number: int

    async def inner(ctx: Context) -> Long:
        return Long(2**70)

    registry = Registry()
    definition = define(inner, registry=registry)

    async def f(ctx: Context) -> bool:
        return (await ctx.child(definition)).number == 2**70

    desk = Desk(f, registry=registry)
    desk.begin()
    told = b'{"status":"completed","output":{"number":%d},"error":null}' % 2**70
    turn = desk.machine.signal_came(
        Signal(SignalId("1"), SignalKind.CHILD, "1", told), now_ms=desk.now_ms
    )
    assert turn is not None
    assert turn.output == b"true"
