from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from octoqueue.errors import (
    Cancelled,
    DeadlineExceeded,
    InputTooLarge,
    StepFailed,
    WorkflowChanged,
)
from octoqueue.primitives.ids import affinity
from octoqueue.workflows.executions import message_id_of
from octoqueue.workflows.limits import Limits
from octoqueue.workflows.states import ExecutionStatus, StepKind, StepStatus
from tests.workflow_desk import BEGAN_MS, Actor, Desk, execution_of

if TYPE_CHECKING:
    from octoqueue.workflows.context import Context

CHARGE, SHIP, REFUND = Actor("charge"), Actor("ship"), Actor("refund")


async def order(ctx: Context, number: int) -> list[int]:
    paid: int = await ctx.call(CHARGE, number)
    return [paid, await ctx.call(SHIP, number, fast=True)]


# ── turns ────────────────────────────────────────────────────────────────────────────────────────


def test_the_first_turn_makes_it_run_and_begins_the_first_step() -> None:
    desk = Desk(order, 5)
    turn = desk.begin()
    (step,) = turn.steps
    assert (turn.status, turn.partition) == (ExecutionStatus.RUNNING, 3)
    assert (step.key, step.kind, step.name, step.status) == ("1", "call", "charge", "pending")
    assert step.input == b'{"queue":"default","args":[5],"kwargs":{},"options":{}}'
    assert step.message_id is not None
    assert affinity(step.message_id) == affinity(message_id_of(desk.execution.execution_id))


def test_a_step_that_ends_begins_the_next_one_in_the_same_turn() -> None:
    desk = Desk(order, 5)
    desk.begin()
    turn = desk.end("1", 7)
    assert turn is not None
    assert [(step.key, step.status, step.order) for step in turn.steps] == [
        ("1", StepStatus.COMPLETED, 1),
        ("2", StepStatus.PENDING, 0),
    ]
    assert turn.status is None


def test_what_the_function_returns_is_the_output() -> None:
    desk = Desk(order, 5)
    desk.begin()
    desk.end("1", 7)
    desk.end("2", 8)
    assert desk.output == [7, 8]
    assert desk.machine.is_final


def test_a_function_that_waits_for_nothing_ends_in_the_first_turn() -> None:
    async def quick(ctx: Context) -> str:
        return ctx.workflow_id

    desk = Desk(quick)
    assert desk.begin().status is ExecutionStatus.COMPLETED
    assert desk.output == "order-17"


def test_a_step_that_ends_twice_or_late_changes_nothing() -> None:
    desk = Desk(order, 5)
    desk.begin()
    desk.end("1", 7)
    assert desk.end("1", 9) is None
    assert desk.end("9") is None
    desk.end("2", 8)
    assert desk.machine.step_ended(
        "2", status=StepStatus.COMPLETED, output=b"1", error=None, attempts=1, now_ms=0
    ) is None  # fmt: skip


def test_what_an_actor_raised_is_raised_where_the_function_waits() -> None:
    async def f(ctx: Context) -> list[object]:
        try:
            await ctx.call(CHARGE)
        except StepFailed as error:
            return [error.step, error.name, error.error, error.detail, error.types]
        return []

    desk = Desk(f)
    desk.begin()
    desk.fail("1", "CardRefused", "no money")
    assert desk.output == ["1", "charge", "CardRefused", "no money", ["CardRefused", "Exception"]]


def test_what_the_function_raises_is_how_it_failed() -> None:
    async def f(ctx: Context) -> None:
        raise KeyError("x")

    desk = Desk(f)
    desk.begin()
    assert desk.status == "failed"
    assert desk.error == {
        "error": "KeyError",
        "message": "'x'",
        "types": ["KeyError", "LookupError", "Exception", "BaseException"],
    }


def test_a_step_whose_message_was_cancelled_has_failed() -> None:
    async def f(ctx: Context) -> None:
        await ctx.call(CHARGE)

    desk = Desk(f)
    desk.begin()
    desk.fail("1", "Cancelled", "by hand", status=StepStatus.CANCELLED)
    assert desk.status == "failed"
    assert desk.journal["1"].status is StepStatus.FAILED


def test_an_output_of_the_wrong_type_fails_it() -> None:
    async def f(ctx: Context) -> int:
        return "five"  # type: ignore[return-value]

    desk = Desk(f)
    desk.begin()
    assert (desk.status, desk.error["error"]) == ("failed", "InputInvalid")


def test_an_input_that_its_code_does_not_take_any_more_fails_it() -> None:
    desk = Desk(order, 5)
    desk.execution = execution_of(desk.definition, 5, input=b'"five"')
    desk.machine = desk._machine()
    desk.begin()
    assert (desk.status, desk.error["error"]) == ("failed", "InputInvalid")


@dataclass
class Receipt:
    number: int


async def receipt() -> Receipt:
    return Receipt(1)


def test_what_an_actor_returns_has_the_type_it_declares() -> None:
    async def f(ctx: Context) -> int:
        given = await ctx.call(Actor("receipt", receipt))
        assert isinstance(given, Receipt)
        return given.number

    desk = Desk(f)
    desk.begin()
    desk.end("1", {"number": 9})
    assert desk.output == 9


def test_a_message_has_the_options_of_using_and_may_be_built_with_others_in_a_replay() -> None:
    class Using(Actor):
        calls = 0

        def message(self, *args: object, **kwargs: object):  # type: ignore[no-untyped-def]  # noqa: ANN202
            self.calls += 1
            message = super().message(*args, **kwargs)
            message.options = {"lane": "high", "expires": self.calls}
            return message

    actor = Using("urgent")

    async def f(ctx: Context) -> None:
        await ctx.call(actor)

    desk = Desk(f)
    desk.begin()
    assert b'"options":{"lane":"high","expires":1}' in (desk.journal["1"].input or b"")
    desk.end("1")
    assert desk.status == "completed"


# ── replaying ────────────────────────────────────────────────────────────────────────────────────


def test_another_actor_is_refused_naming_the_step() -> None:
    desk = Desk(order, 5)
    desk.begin()
    desk.end("1", 7)

    async def changed(ctx: Context, number: int) -> None:
        await ctx.call(CHARGE, number)
        await ctx.call(REFUND, number)

    with pytest.raises(WorkflowChanged, match=r"step 2: .*call 'ship' there.*call 'refund'"):
        desk.replay_as(changed)


def test_other_arguments_are_refused() -> None:
    desk = Desk(order, 5)
    desk.begin()

    async def changed(ctx: Context, number: int) -> None:
        await ctx.call(CHARGE, number + 1)

    with pytest.raises(WorkflowChanged, match=r"step 1: .*other arguments"):
        desk.replay_as(changed)


def test_the_order_of_keyword_arguments_means_nothing() -> None:
    async def f(ctx: Context) -> None:
        await ctx.call(CHARGE, a=1, b=2)

    async def turned(ctx: Context) -> None:
        await ctx.call(CHARGE, b=2, a=1)

    desk = Desk(f)
    desk.begin()
    assert list(desk.replay_as(turned).pending) == ["1"]


def test_one_step_more_is_refused() -> None:
    desk = Desk(order, 5)
    desk.begin()

    async def changed(ctx: Context, number: int) -> None:
        await ctx.gather(ctx.call(SHIP), order(ctx, number))

    with pytest.raises(WorkflowChanged, match=r"step 1\.0\.1: .*the journal has nothing there"):
        desk.replay_as(changed)


def test_one_step_less_is_refused() -> None:
    desk = Desk(order, 5)
    desk.begin()
    desk.end("1", 7)

    async def changed(ctx: Context, number: int) -> None:
        await ctx.signal("go")

    with pytest.raises(WorkflowChanged, match="step 1"):
        desk.replay_as(changed)

    async def shorter(ctx: Context, number: int) -> list[int]:
        return [await ctx.call(CHARGE, number)]

    with pytest.raises(WorkflowChanged, match=r"step 2|step end"):
        desk.replay_as(shorter)


def test_a_function_that_ends_where_it_waited_is_refused() -> None:
    desk = Desk(order, 5)
    desk.begin()

    async def broken(ctx: Context, number: int) -> None:
        raise ValueError

    with pytest.raises(WorkflowChanged):
        desk.replay_as(broken)


def test_a_replay_takes_no_signal_and_calls_nothing() -> None:
    async def f(ctx: Context) -> list[int]:
        first = await ctx.signal("go", int)
        await ctx.call(CHARGE)
        return [first, await ctx.signal("go", int)]

    desk = Desk(f)
    desk.begin()
    desk.send("go", 1)
    assert desk.send("go", 2) is None
    machine = desk.replayed()
    assert list(machine.pending) == ["2"]
    desk.end("2")
    assert desk.output == [1, 2]


def test_a_blocked_execution_runs_again_with_its_next_turn() -> None:
    desk = Desk(order, 5)
    desk.begin()
    desk.status = ExecutionStatus.BLOCKED
    desk.execution = execution_of(desk.definition, 5, status=ExecutionStatus.BLOCKED)
    machine = desk._machine()
    machine.replay(desk.loaded())
    turn = machine.step_ended(
        "1", status=StepStatus.COMPLETED, output=b"1", error=None, attempts=1, now_ms=0
    )
    assert turn is not None
    assert turn.status is ExecutionStatus.RUNNING


def test_time_never_goes_back_for_the_function() -> None:
    async def f(ctx: Context) -> list[float]:
        await ctx.call(CHARGE)
        first = ctx.now()
        await ctx.call(CHARGE)
        return [first.timestamp(), ctx.now().timestamp()]

    desk = Desk(f)
    desk.begin()
    desk.now_ms += 5_000
    desk.end("1")
    desk.now_ms -= 4_000
    desk.end("2")
    assert desk.output == [BEGAN_MS / 1000 + 5, BEGAN_MS / 1000 + 5]


# ── cancelling, deadlines, limits ────────────────────────────────────────────────────────────────


async def guarded(ctx: Context) -> str:
    ctx.on_failure(REFUND, 1)
    try:
        await ctx.call(CHARGE)
    except Cancelled as error:
        await ctx.call(Actor("tidy"), error.reason)
        raise
    return "paid"


def test_a_cancel_is_thrown_where_the_function_waits_and_it_may_clean_up() -> None:
    desk = Desk(guarded)
    desk.begin()
    turn = desk.cancel("not wanted")
    assert turn is not None
    assert [(step.key, step.kind, step.status) for step in turn.steps] == [
        ("stop.1", StepKind.CANCEL, StepStatus.COMPLETED),
        ("1", StepKind.CALL, StepStatus.CANCELLED),
        ("2", StepKind.CALL, StepStatus.PENDING),
    ]
    assert desk.args("2") == ["not wanted"]
    desk.end("2")
    assert desk.pending == ["compensate.1"]
    desk.end("compensate.1")
    assert (desk.status, desk.error["error"]) == ("cancelled", "Cancelled")


def test_a_function_may_go_on_after_a_cancel_once() -> None:
    async def stubborn(ctx: Context) -> str:
        for _ in range(5):
            try:
                await ctx.signal("never")
            except Cancelled:
                continue
        return "done"

    desk = Desk(stubborn)
    desk.begin()
    desk.cancel()
    assert desk.pending == ["2"]
    desk.cancel("really")
    assert (desk.status, desk.error["message"]) == ("cancelled", "really")


def test_a_function_that_returns_after_a_cancel_has_completed() -> None:
    async def saved(ctx: Context) -> str:
        try:
            await ctx.signal("never")
        except Cancelled:
            return "saved"
        return ""

    desk = Desk(saved)
    desk.begin()
    desk.cancel()
    assert desk.output == "saved"


def test_a_cancel_reaches_every_branch() -> None:
    async def branch(ctx: Context, number: int) -> None:
        try:
            await ctx.call(CHARGE, number)
        except Cancelled:
            await ctx.call(REFUND, number)
            raise

    async def f(ctx: Context) -> None:
        await ctx.gather(branch(ctx, 0), branch(ctx, 1), ctx.sleep(timedelta(days=1)))

    desk = Desk(f)
    desk.begin()
    desk.cancel("stop")
    assert desk.pending == ["1.0.2", "1.1.2"]
    desk.end("1.1.2")
    desk.end("1.0.2")
    assert desk.status == "cancelled"


def test_a_cancel_during_compensations_is_taken_and_changes_nothing() -> None:
    async def f(ctx: Context) -> None:
        ctx.on_failure(REFUND)
        raise ValueError

    desk = Desk(f)
    desk.begin()
    turn = desk.cancel()
    assert turn is not None
    assert (turn.steps, len(turn.taken)) == ((), 1)
    desk.end("compensate.1")
    assert (desk.status, desk.error["error"]) == ("failed", "ValueError")


def test_a_deadline_fails_it_after_its_compensations() -> None:
    desk = Desk(guarded, deadline_at_ms=BEGAN_MS + 10)
    desk.begin()
    desk.ring()
    desk.end("compensate.1")
    assert (desk.status, desk.error["error"]) == ("failed", "DeadlineExceeded")


def test_a_deadline_is_told_once_and_its_timer_may_ring_again() -> None:
    async def f(ctx: Context) -> str:
        try:
            await ctx.signal("never")
        except DeadlineExceeded:
            await ctx.call(REFUND)
        return "refunded"

    desk = Desk(f)
    desk.begin()
    desk.ring()
    assert desk.ring() is None
    desk.end("2")
    assert desk.output == "refunded"


def test_too_many_steps_fail_it_and_leave_room_for_compensations() -> None:
    async def f(ctx: Context) -> None:
        for number in range(3):
            ctx.on_failure(REFUND, number)
        while True:
            await ctx.call(CHARGE)

    desk = Desk(f, limits=Limits(max_steps=2))
    desk.begin()
    desk.end("1")
    desk.end("2")
    assert desk.pending == ["compensate.1"]
    for key in ("compensate.1", "compensate.2", "compensate.3"):
        desk.end(key)
    assert (desk.status, desk.error["error"]) == ("failed", "HistoryTooLong")


def test_a_function_that_goes_on_after_too_many_steps_is_closed() -> None:
    async def f(ctx: Context) -> None:
        while True:
            try:
                await ctx.call(CHARGE)
            except Exception:  # noqa: BLE001
                continue

    desk = Desk(f, limits=Limits(max_steps=1))
    desk.begin()
    desk.end("1")
    assert (desk.status, desk.error["error"]) == ("failed", "HistoryTooLong")


def test_events_beyond_the_limit_fail_it_too() -> None:
    async def f(ctx: Context) -> None:
        for number in range(5):
            ctx.emit(number)
        await ctx.call(CHARGE)

    desk = Desk(f, limits=Limits(max_steps=3))
    desk.begin()
    assert desk.events == [0, 1, 2]
    assert desk.error["error"] == "HistoryTooLong"


def test_a_journal_that_ended_at_the_limit_is_replayed_under_a_higher_one() -> None:
    async def f(ctx: Context) -> None:
        ctx.on_failure(REFUND)
        while True:
            await ctx.call(CHARGE)

    desk = Desk(f, limits=Limits(max_steps=1))
    desk.begin()
    desk.end("1")
    desk.limits = Limits()
    assert list(desk.replayed().pending) == ["compensate.1"]


@pytest.mark.parametrize("size", [90, 110])
def test_values_over_the_limit_are_refused(size: int) -> None:
    async def f(ctx: Context) -> None:
        await ctx.call(CHARGE, "x" * 10)

    desk = Desk(f, limits=Limits(max_value_bytes=100))
    desk.begin()
    desk.end("1", "x" * size)
    if size < 100:
        assert desk.status == "completed"
    else:
        assert desk.status == "failed"
        assert "the result of step 1 (charge) has 112 bytes" in desk.error["message"]


def test_arguments_over_the_limit_are_refused_where_the_function_waits() -> None:
    async def f(ctx: Context) -> None:
        await ctx.call(CHARGE, "x" * 200)

    desk = Desk(f, limits=Limits(max_value_bytes=100))
    desk.begin()
    assert desk.error["error"] == "InputTooLarge"


def test_values_over_the_limit_pass_when_they_are_put_elsewhere() -> None:
    async def f(ctx: Context) -> str:
        return await ctx.call(CHARGE, 1)

    desk = Desk(f, limits=Limits(max_value_bytes=100, over_limit="claim_check"))
    desk.begin()
    desk.end("1", "y" * 200)
    assert desk.status == "completed"


def test_arguments_and_events_over_the_limit_are_refused_wherever_others_are_put() -> None:
    async def f(ctx: Context) -> str:
        with pytest.raises(InputTooLarge):
            ctx.emit("x" * 200)
        return await ctx.call(CHARGE, "x" * 200)

    desk = Desk(f, limits=Limits(max_value_bytes=100, over_limit="claim_check"))
    desk.begin()
    assert desk.error["error"] == "InputTooLarge"


# ── misuse ───────────────────────────────────────────────────────────────────────────────────────


async def test_asyncio_inside_of_a_workflow_function_says_what_to_use_instead() -> None:
    async def f(ctx: Context) -> None:
        await asyncio.sleep(1)

    desk = Desk(f)
    desk.begin()
    assert desk.error["error"] == "WorkflowMisused"
    assert "ctx.sleep instead of asyncio.sleep" in desk.error["message"]
    assert asyncio.get_running_loop().is_running()


async def test_a_future_of_somebody_else_is_no_step() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def f(ctx: Context) -> None:
        await future

    desk = Desk(f)
    desk.begin()
    assert desk.error["error"] == "WorkflowMisused"
    assert "a Future" in desk.error["message"]


def test_a_function_that_swallows_the_misuse_is_closed() -> None:
    async def f(ctx: Context) -> None:
        while True:
            try:
                await asyncio.sleep(0)
            except Exception:  # noqa: BLE001
                continue

    desk = Desk(f)
    desk.begin()
    assert desk.error["error"] == "WorkflowMisused"


def test_a_step_that_is_awaited_twice_is_refused() -> None:
    async def f(ctx: Context) -> None:
        step = ctx.call(CHARGE)
        await step
        await step

    desk = Desk(f)
    desk.begin()
    desk.end("1")
    assert "awaited twice" in desk.error["message"]


def test_a_step_of_another_execution_is_refused() -> None:
    kept: list[Context] = []

    async def first(ctx: Context) -> None:
        kept.append(ctx)
        await ctx.signal("never")

    async def second(ctx: Context) -> None:
        await kept[0].call(CHARGE)

    Desk(first).begin()
    desk = Desk(second)
    desk.begin()
    assert desk.error["error"] == "WorkflowMisused"


def test_a_function_that_waits_while_it_is_closed_is_closed_nevertheless() -> None:
    async def f(ctx: Context) -> None:
        try:
            await ctx.signal("never")
        finally:
            await ctx.gather(ctx.call(CHARGE), order(ctx, 1))

    desk = Desk(f)
    desk.begin()
    machine = desk.replayed()
    machine.close()
    machine.close()
    desk.close()


def test_what_a_run_step_runs_is_there_before_and_after_a_replay() -> None:
    def add(number: int) -> int:
        return number + 1

    async def f(ctx: Context) -> int:
        return await ctx.run(add, 4)

    desk = Desk(f)
    desk.begin()
    found = desk.replayed().function_of("1")
    assert found is not None
    assert (found(), found.retry, found.encoded(5)) == (5, None, b"5")
    with pytest.raises(ValueError, match="no int"):
        found.encoded("x")
    assert desk.machine.function_of("2") is None
    desk.end("1", desk.run_here("1"))
    assert desk.output == 5


def test_a_retry_goes_on_behind_the_steps_it_was_given() -> None:
    async def f(ctx: Context) -> list[object]:
        began = ctx.now()
        ident = ctx.uuid()
        await ctx.call(CHARGE, began, ident)
        ctx.emit("charged")
        return [str(ident), await ctx.call(SHIP, ident)]

    desk = Desk(f)
    desk.begin()
    desk.now_ms += 1_000
    desk.end("1")
    desk.fail("3")
    assert desk.status == "failed"
    kept = [step for step in desk.steps if step.order < desk.journal["3"].order]
    again = Desk(desk.definition, journal=kept)
    again.now_ms = desk.now_ms + 3_600_000
    turn = again.begin()
    assert [(step.key, step.began_at_ms) for step in turn.steps] == [("3", again.now_ms)]
    assert again.args("3") == desk.args("3")
    again.end("3", 5)
    assert again.output[1] == 5


@pytest.mark.parametrize("fact", ["execution_id", "run_number"])
def test_a_retry_is_refused_at_a_kept_step_that_was_given_what_a_retry_has_anew(fact: str) -> None:
    async def f(ctx: Context) -> None:
        await ctx.call(CHARGE, getattr(ctx, fact))
        await ctx.call(SHIP, ctx.workflow_id)

    desk = Desk(f)
    desk.begin()
    desk.end("1")
    desk.fail("2")
    again = Desk(desk.definition, journal=[desk.journal["1"]], run=2)
    with pytest.raises(WorkflowChanged) as caught:
        again.begin()
    assert caught.value.step == "1"


def test_a_moment_of_the_journal_is_an_aware_one() -> None:
    async def f(ctx: Context) -> bool:
        return ctx.now() == datetime.fromtimestamp(BEGAN_MS / 1000, UTC)

    desk = Desk(f)
    desk.begin()
    assert desk.output is True
