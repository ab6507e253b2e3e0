"""Laws of the machine: whatever a workflow does, a replay brings it to the same place."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from octoqueue.errors import StepFailed, WorkflowChanged
from octoqueue.workflows.states import StepKind
from tests.workflow_desk import Actor, Desk

if TYPE_CHECKING:
    from octoqueue.workflows.context import Context

Node: TypeAlias = Any
"""What to do: a list that begins with a word."""
Value: TypeAlias = Any

LEAVES = st.one_of(
    st.tuples(st.just("call"), st.integers(0, 9)),
    st.tuples(st.just("run"), st.integers(0, 9)),
    st.tuples(st.just("sleep"), st.sampled_from([0, 1, 5_000])),
    st.tuples(st.just("signal"), st.sampled_from("ab"), st.sampled_from([None, 1_000])),
    st.tuples(st.just("undo"), st.integers(0, 9)),
    st.tuples(st.just("emit")),
    st.tuples(st.just("patched"), st.sampled_from("xy")),
    st.tuples(st.just("child"), st.integers(0, 9)),
    st.tuples(st.just("facts")),
    st.tuples(st.just("raise")),
    st.tuples(st.just("map"), st.integers(0, 4), st.integers(1, 3)),
)


def _grow(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    some = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.tuples(st.just("seq"), some),
        st.tuples(st.just("gather"), some),
        st.tuples(st.just("all"), some),
        st.tuples(st.just("try"), inner, inner),
        st.tuples(st.just("stubborn"), inner, inner),
        st.tuples(st.just("finally"), inner, inner),
    )


PROGRAMS = st.tuples(
    st.just("seq"), st.lists(st.recursive(LEAVES, _grow, max_leaves=10), min_size=1, max_size=4)
)
MOVES = st.lists(
    st.tuples(
        st.sampled_from(("end", "end", "end", "end", "end", "end", "send", "cancel", "late")),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    max_size=30,
)
Move = tuple[str, int, int]


def add(number: int) -> int:
    return number + 1


async def child(ctx: Context, number: int) -> int:
    return number


async def carry_out(ctx: Context, node: Node) -> Value:  # noqa: PLR0911 - one a word
    match node:
        case ["seq", nodes]:
            return [await carry_out(ctx, each) for each in nodes]
        case ["gather", nodes]:
            return await ctx.gather(*(carry_out(ctx, each) for each in nodes))
        case ["all", nodes]:
            found = await ctx.gather(
                *(carry_out(ctx, each) for each in nodes), return_exceptions=True
            )
            return [str(each) if isinstance(each, Exception) else each for each in found]
        case ["try", body, otherwise]:
            try:
                return await carry_out(ctx, body)
            except (StepFailed, ValueError):
                return await carry_out(ctx, otherwise)
        case ["stubborn", body, otherwise]:
            try:
                return await carry_out(ctx, body)
            except Exception:  # noqa: BLE001 - it goes on even when it was cancelled
                return await carry_out(ctx, otherwise)
        case ["finally", body, otherwise]:
            try:
                return await carry_out(ctx, body)
            finally:
                await carry_out(ctx, otherwise)
        case ["map", size, concurrency]:
            return await ctx.map(
                lambda item: ctx.call(Actor("mapped"), item), range(size), concurrency=concurrency
            )
        case _:
            return await carry_out_one(ctx, node)


async def carry_out_one(ctx: Context, node: Node) -> Value:  # noqa: PLR0911 - one a word
    match node:
        case ["call", number]:
            return await ctx.call(Actor("called"), number, at=ctx.now().isoformat())
        case ["run", number]:
            return await ctx.run(add, number)
        case ["sleep", length_ms]:
            return await ctx.sleep(timedelta(milliseconds=length_ms))
        case ["signal", name, timeout_ms]:
            timeout = None if timeout_ms is None else timedelta(milliseconds=timeout_ms)
            return await ctx.signal(name, int, timeout=timeout)
        case ["undo", number]:
            return ctx.on_failure(Actor("undone"), number)
        case ["emit"]:
            return ctx.emit(str(ctx.uuid()))
        case ["patched", name]:
            return await ctx.call(Actor("patched"), 1) if ctx.patched(name) else None
        case ["child", number]:
            return await ctx.child(CHILD, number)
        case ["facts"]:
            return [ctx.random().random(), str(ctx.uuid()), ctx.now().isoformat()]
        case _:
            raise ValueError("as the program says")


async def program(ctx: Context, node: Node) -> Value:
    return await carry_out(ctx, node)


CHILD = Desk(child, 1).definition


def play(desk: Desk, moves: list[Move]) -> None:
    """Let things happen, one after the other."""
    desk.begin()
    for move, which, number in moves:
        if desk.machine.is_final:
            return
        desk.now_ms += number
        match move:
            case "cancel":
                desk.cancel("enough")
            case "late":
                desk.ring()
            case "send":
                desk.send("ab"[which % 2], "no number" if number == 9 else number)
            case _:
                finish_one(desk, desk.pending[which % len(desk.pending)], number)


def finish_one(desk: Desk, key: str, number: int = 0) -> None:
    """Let one pending step end somehow."""
    step = desk.machine.pending[key]
    failing = number >= 8
    match step.kind:
        case StepKind.CALL:
            if failing:
                desk.fail(key)
            else:
                desk.end(key, number)
        case StepKind.RUN:
            if failing:
                desk.fail(key)
            else:
                desk.end(key, desk.run_here(key))
        case StepKind.CHILD:
            desk.child_ends(key, number, status="failed" if failing else "completed")
        case StepKind.SIGNAL if step.due_at_ms is None or not failing:
            desk.send(step.name, number)
        case _:
            desk.ring(key)


@settings(max_examples=300, deadline=None)
@given(PROGRAMS, MOVES)
def test_every_turn_is_the_same_for_a_machine_in_memory_and_for_one_that_was_replayed(
    node: Node, moves: list[Move]
) -> None:
    desk = Desk(program, node)
    play(desk, moves)
    for _ in range(200):
        if desk.machine.is_final:
            break
        finish_one(desk, desk.pending[0])
    assert desk.machine.is_final
    event(f"ended as {desk.status}")


@settings(max_examples=150, deadline=None)
@given(PROGRAMS, MOVES, st.integers(0, 30))
def test_a_function_that_begins_with_another_step_is_refused_naming_the_step(
    node: Node, moves: list[Move], cut: int
) -> None:
    desk = Desk(program, node)
    play(desk, moves[:cut])
    if desk.machine.is_final or not any(step.kind is not StepKind.PATCH for step in desk.steps):
        return

    async def changed(ctx: Context, node: Node) -> Value:
        await ctx.call(Actor("new"))
        return await carry_out(ctx, node)

    with pytest.raises(WorkflowChanged) as caught:
        desk.replay_as(changed)
    desk.close()
    assert caught.value.step
    assert caught.value.execution_id == desk.execution.execution_id


@settings(max_examples=150, deadline=None)
@given(PROGRAMS, MOVES, st.integers(0, 99))
def test_a_retry_from_any_step_goes_on_from_what_ended_before_it(
    node: Node, moves: list[Move], pick: int
) -> None:
    desk = Desk(program, node)
    play(desk, moves)
    for _ in range(200):
        if desk.machine.is_final:
            break
        finish_one(desk, desk.pending[0], number=8)
    if not desk.steps:
        return
    stops = [step.order for step in desk.steps if step.kind is StepKind.CANCEL]
    cut = min([1 + pick % len(desk.steps), *stops])
    copied = [step for step in desk.steps if step.order < cut]
    again = Desk(desk.definition, node, journal=copied, registry=desk.registry)
    again.now_ms = desk.now_ms + 10_000
    again.begin()
    for _ in range(200):
        if again.machine.is_final:
            break
        finish_one(again, again.pending[0])
    assert again.machine.is_final
    assert list(again.steps[: len(copied)]) == copied
