from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from octoqueue.errors import Cancelled, DeclarationError, StepFailed
from octoqueue.workflows.states import StepStatus
from tests.workflow_desk import Actor, Desk

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from octoqueue.workflows.context import Context

A, B, C = Actor("a"), Actor("b"), Actor("c")


async def two(ctx: Context, number: int) -> list[int]:
    first: int = await ctx.call(A, number)
    return [first, await ctx.call(B, number)]


def test_what_is_gathered_begins_at_once_under_keys_of_its_own() -> None:
    async def f(ctx: Context) -> list[Any]:
        await ctx.call(C)
        return list(await ctx.gather(two(ctx, 1), ctx.call(B), two(ctx, 2)))

    desk = Desk(f)
    desk.begin()
    desk.end("1")
    assert desk.pending == ["2.0.1", "2.1.1", "2.2.1"]
    desk.end("2.2.1", 5)
    desk.end("2.1.1", 6)
    desk.end("2.0.1", 7)
    assert desk.pending == ["2.2.2", "2.0.2"]
    desk.end("2.0.2", 8)
    desk.end("2.2.2", 9)
    assert desk.output == [[7, 8], 6, [5, 9]]


def test_a_gather_in_a_branch_has_the_path_of_the_branch() -> None:
    async def inner(ctx: Context) -> object:
        return await ctx.gather(ctx.call(A), ctx.call(B))

    async def f(ctx: Context) -> object:
        return await ctx.gather(inner(ctx), ctx.gather(ctx.call(C)))

    desk = Desk(f)
    desk.begin()
    assert desk.pending == ["1.0.1.0.1", "1.0.1.1.1", "1.1.1.0.1"]


def test_nothing_gathered_is_nothing() -> None:
    async def f(ctx: Context) -> list[Any]:
        return [await ctx.gather(), await ctx.map(ctx.call, list[Any]())]

    desk = Desk(f)
    desk.begin()
    assert desk.output == [[], []]


def test_the_first_failure_cancels_the_others_and_is_raised() -> None:
    async def f(ctx: Context) -> str:
        try:
            await ctx.gather(ctx.call(A), two(ctx, 1), ctx.sleep(timedelta(days=1)))
        except StepFailed as error:
            return error.error
        return ""

    desk = Desk(f)
    desk.begin()
    turn = desk.fail("1.1.1", "Broken")
    assert turn is not None
    assert [(step.key, step.status) for step in turn.steps] == [
        ("1.1.1", StepStatus.FAILED),
        ("1.0.1", StepStatus.CANCELLED),
        ("1.2.1", StepStatus.CANCELLED),
    ]
    assert desk.output == "Broken"


def test_branches_that_are_given_up_may_clean_up_before_the_failure_is_raised() -> None:
    async def careful(ctx: Context) -> None:
        try:
            await ctx.call(A)
        except Cancelled:
            await ctx.call(C)
            raise

    async def f(ctx: Context) -> None:
        await ctx.gather(careful(ctx), ctx.call(B))

    desk = Desk(f)
    desk.begin()
    desk.fail("1.1.1", "Broken")
    assert desk.pending == ["1.0.2"]
    desk.end("1.0.2")
    assert (desk.status, desk.error["error"]) == ("failed", "StepFailed")


def test_a_branch_that_fails_before_the_others_began_keeps_them_from_beginning() -> None:
    async def broken() -> None:
        raise ValueError("at once")

    async def f(ctx: Context) -> None:
        await ctx.gather(broken(), two(ctx, 1), ctx.call(B))

    desk = Desk(f)
    desk.begin()
    assert (desk.error["message"], desk.steps) == ("at once", ())


def test_failures_may_be_among_the_results() -> None:
    async def f(ctx: Context) -> list[Any]:
        found = await ctx.gather(ctx.call(A), ctx.call(B), return_exceptions=True)
        return [type(each).__name__ for each in found]

    desk = Desk(f)
    desk.begin()
    desk.fail("1.0.1")
    desk.end("1.1.1", 1)
    assert desk.output == ["StepFailed", "int"]


def test_a_map_begins_as_many_as_it_may_and_gives_results_in_the_order_of_the_items() -> None:
    async def f(ctx: Context) -> list[int]:
        return await ctx.map(lambda item: ctx.call(A, item), range(4), concurrency=2)

    desk = Desk(f)
    desk.begin()
    assert desk.pending == ["1.0.1", "1.1.1"]
    desk.end("1.1.1", 1)
    assert desk.pending == ["1.0.1", "1.2.1"]
    desk.end("1.2.1", 2)
    desk.end("1.3.1", 3)
    desk.end("1.0.1", 0)
    assert desk.output == [0, 1, 2, 3]


def test_a_map_that_failed_begins_no_more_items() -> None:
    async def f(ctx: Context) -> None:
        await ctx.map(lambda item: two(ctx, item), range(4), concurrency=2)

    desk = Desk(f)
    desk.begin()
    desk.fail("1.0.1")
    assert desk.status == "failed"
    assert sorted(desk.journal) == ["1.0.1", "1.1.1"]


def test_a_function_of_map_that_raises_is_a_failed_item() -> None:
    def broken(item: int) -> Awaitable[int]:
        raise KeyError(item)

    async def f(ctx: Context) -> list[str]:
        found = await ctx.map(broken, [1, 2], return_exceptions=True)
        return [str(each) for each in found]

    desk = Desk(f)
    desk.begin()
    assert desk.output == ["1", "2"]


def test_an_impossible_concurrency_is_refused() -> None:
    async def f(ctx: Context) -> None:
        with pytest.raises(DeclarationError):
            await ctx.map(ctx.call, [A], concurrency=0)

    desk = Desk(f)
    desk.begin()
    assert desk.status == "completed"


def test_random_numbers_and_ids_differ_between_branches_and_are_equal_in_every_replay() -> None:
    async def draw(ctx: Context) -> list[Any]:
        before = [ctx.random().random(), str(ctx.uuid())]
        await ctx.call(A, before)
        return [*before, str(ctx.uuid())]

    async def f(ctx: Context) -> list[Any]:
        return list(await ctx.gather(draw(ctx), draw(ctx)))

    desk = Desk(f)
    desk.begin()
    desk.end("1.1.1")
    desk.end("1.0.1")
    drawn = [value for branch in desk.output for value in branch]
    assert len(set(drawn)) == 6


def test_signals_go_to_the_branch_that_waited_first() -> None:
    async def f(ctx: Context) -> object:
        return await ctx.gather(ctx.signal("go", int), ctx.signal("go", int))

    desk = Desk(f)
    desk.begin()
    desk.send("go", 1)
    desk.send("go", 2)
    assert desk.output == [1, 2]


def test_a_thousand_branches_are_one_turn_each() -> None:
    async def f(ctx: Context) -> int:
        return len(await ctx.map(lambda item: ctx.call(A, item), range(1_000)))

    desk = Desk(f)
    assert len(desk.begin().steps) == 1_000
