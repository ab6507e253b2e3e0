from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from octoqueue.errors import InvalidMessage, SignalTimeout, SignalUnknown, StepFailed
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.definitions import Registry, define
from octoqueue.workflows.journal import Signal, SignalId
from octoqueue.workflows.states import (
    Complexity,
    ExecutionStatus,
    SignalKind,
    StepKind,
    StepStatus,
)
from tests.workflow_desk import BEGAN_MS, WORKFLOW, Actor, Desk

if TYPE_CHECKING:
    from octoqueue.workflows.context import Context

A, UNDO = Actor("a"), Actor("undo")


@dataclass
class Answer:
    yes: bool


# ── names and messages that no store can keep ────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["", "a\0b", "a\ud800", "a" * 201], ids=ascii)
def test_a_name_that_cannot_be_kept_is_refused_where_it_is_used(name: str) -> None:
    async def f(ctx: Context) -> list[str]:
        refused: list[str] = []
        for use in (
            lambda: ctx.signal(name),
            lambda: ctx.patched(name),
            lambda: ctx.run(int, name=name),
        ):
            try:
                use()
            except InvalidMessage as error:
                refused.append(error.field)
        return refused

    desk = Desk(f)
    assert desk.begin().steps == ()
    assert desk.output == ["the name of a signal", "the name of a patch", "the name of a step"]


def test_a_message_with_half_a_character_or_nul_is_kept_as_json() -> None:
    async def f(ctx: Context) -> None:
        raise ValueError("odd \0 \ud800 end")

    turn = Desk(f).begin()
    assert orjson.loads(turn.error or b"")["message"] == "odd \0 ? end"


# ── time ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_sleep_ends_when_its_timer_rings() -> None:
    async def f(ctx: Context) -> float:
        await ctx.sleep(timedelta(hours=1))
        return ctx.now().timestamp()

    desk = Desk(f)
    desk.begin()
    assert desk.journal["1"].due_at_ms == BEGAN_MS + 3_600_000
    desk.ring("1")
    assert desk.output == BEGAN_MS / 1000 + 3_600


def test_a_changed_length_of_a_sleep_is_no_changed_program() -> None:
    async def f(ctx: Context) -> None:
        await ctx.sleep(timedelta(hours=1))

    async def longer(ctx: Context) -> None:
        await ctx.sleep(timedelta(hours=2))

    desk = Desk(f)
    desk.begin()
    assert desk.replay_as(longer).pending["1"].due_at_ms == BEGAN_MS + 3_600_000


def test_a_sleep_until_a_moment_that_is_over_ends_in_the_same_turn() -> None:
    async def f(ctx: Context) -> None:
        await ctx.sleep_until(datetime(2020, 1, 1, tzinfo=UTC))

    desk = Desk(f)
    assert desk.begin().status is ExecutionStatus.COMPLETED
    assert desk.journal["1"].status is StepStatus.COMPLETED


def test_a_moment_without_a_zone_is_refused() -> None:
    async def f(ctx: Context) -> None:
        await ctx.sleep_until(datetime(2020, 1, 1))  # noqa: DTZ001

    desk = Desk(f)
    desk.begin()
    assert "no time zone" in desk.error["message"]


# ── signals ──────────────────────────────────────────────────────────────────────────────────────


async def asks(ctx: Context) -> str:
    try:
        answer = await ctx.signal("answer", Answer, timeout=timedelta(minutes=1))
    except SignalTimeout as error:
        return f"late: {error.signal}"
    return f"yes: {answer.yes}"


def test_a_signal_has_the_type_that_is_waited_for() -> None:
    desk = Desk(asks)
    desk.begin()
    turn = desk.send("answer", {"yes": True})
    assert turn is not None
    assert len(turn.taken) == 1
    assert desk.output == "yes: True"


def test_a_signal_that_came_before_is_taken_when_the_wait_begins() -> None:
    async def f(ctx: Context) -> str:
        await ctx.call(A)
        return await asks(ctx)

    desk = Desk(f)
    desk.begin()
    assert desk.send("answer", {"yes": False}) is None
    turn = desk.end("1")
    assert turn is not None
    assert len(turn.taken) == 1
    assert desk.output == "yes: False"


def test_a_signal_of_the_wrong_type_is_refused_with_the_reason_and_the_wait_goes_on() -> None:
    desk = Desk(asks)
    desk.begin()
    turn = desk.send("answer", {"yes": "perhaps not"})
    assert turn is not None
    (reason,) = turn.refused.values()
    assert orjson.loads(reason)["error"] == "SignalInvalid"
    assert (turn.steps, turn.taken, desk.pending) == ((), (), ["1"])
    desk.send("answer", {"yes": True})
    assert desk.output == "yes: True"


def test_no_signal_in_time_is_an_error_where_the_function_waits() -> None:
    desk = Desk(asks)
    desk.begin()
    desk.ring("1")
    assert desk.output == "late: answer"
    assert desk.journal["1"].status is StepStatus.FAILED


def test_signals_of_one_name_are_taken_in_the_order_they_came() -> None:
    async def f(ctx: Context) -> list[int]:
        await ctx.call(A)
        return [await ctx.signal("n", int) for _ in range(3)]

    desk = Desk(f)
    desk.begin()
    for number in (1, 2, 3):
        desk.send("n", number)
    desk.end("1")
    assert desk.output == [1, 2, 3]


def test_a_declared_signal_has_its_declared_type_and_others_are_unknown() -> None:
    async def f(ctx: Context) -> bool:
        answer: Answer = await ctx.signal("answer")
        with pytest.raises(SignalUnknown):
            await ctx.signal("other")
        return answer.yes

    desk = Desk(f, signals={"answer": Answer})
    desk.begin()
    desk.send("answer", {"yes": True})
    assert desk.output is True


# ── children ─────────────────────────────────────────────────────────────────────────────────────


async def doubled(ctx: Context, number: int) -> int:
    return 2 * number


CHILD = define(doubled, deadline=timedelta(minutes=5), registry=Registry())


def test_a_child_is_begun_with_the_turn_and_gives_its_output() -> None:
    async def f(ctx: Context) -> int:
        return await ctx.child(CHILD, 4)

    desk = Desk(f, lane=Lane.HIGH, tenant="t", complexity=Complexity.HIGH)
    turn = desk.begin()
    (child,) = turn.children
    assert (child.workflow_id, child.name, child.input) == ("order-17/1", "doubled", b"4")
    assert (child.partition, child.lane, child.tenant, child.complexity) == (3, 0, "t", "high")
    assert child.deadline_at_ms == BEGAN_MS + 300_000
    assert child.parent is not None
    assert (child.parent.execution_id, child.parent.step) == (desk.execution.execution_id, "1")
    assert desk.journal["1"].child_id == child.execution_id
    desk.child_ends("1", 8)
    assert desk.output == 8


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


def test_a_child_that_failed_is_a_failed_step() -> None:
    async def f(ctx: Context) -> str:
        try:
            await ctx.child(CHILD, 4, id="mine")
        except StepFailed as error:
            return f"{error.name} {error.error}"
        return ""

    desk = Desk(f)
    (child,) = desk.begin().children
    assert child.workflow_id == "order-17/mine"
    desk.child_ends("1", status="failed", error={"error": "ValueError", "message": "", "types": []})
    assert desk.output == "doubled ValueError"


def test_a_child_that_nobody_waits_for_any_more_is_taken_note_of() -> None:
    async def f(ctx: Context) -> None:
        try:
            await ctx.gather(ctx.child(CHILD, 1), ctx.call(A))
        except StepFailed:
            await ctx.signal("go on")

    desk = Desk(f)
    desk.begin()
    desk.fail("1.1.1")
    turn = desk.child_ends("1.0.1", 2)
    assert turn is not None
    assert (turn.steps, len(turn.taken)) == ((), 1)


def test_an_input_a_child_does_not_take_is_refused_where_it_is_begun() -> None:
    async def f(ctx: Context) -> None:
        await ctx.child(CHILD, "four")

    desk = Desk(f)
    desk.begin()
    assert (desk.error["error"], desk.journal) == ("InputInvalid", {})


# ── compensations ────────────────────────────────────────────────────────────────────────────────


def test_compensations_run_one_by_one_the_last_first_and_all_of_them() -> None:
    async def f(ctx: Context) -> None:
        for number in (1, 2, 3):
            ctx.on_failure(UNDO, number)
        await ctx.call(A)

    desk = Desk(f)
    desk.begin()
    desk.fail("1", "Broken")
    assert (desk.pending, desk.args("compensate.1")) == (["compensate.1"], [3])
    desk.end("compensate.1")
    desk.fail("compensate.2")
    assert desk.args("compensate.3") == [1]
    desk.end("compensate.3")
    assert (desk.status, desk.error["error"]) == ("failed", "StepFailed")
    assert desk.journal["compensate.2"].status is StepStatus.FAILED


def test_a_function_that_succeeds_compensates_nothing() -> None:
    async def f(ctx: Context) -> None:
        ctx.on_failure(UNDO)

    desk = Desk(f)
    desk.begin()
    assert (desk.status, desk.steps) == ("completed", ())


# ── events, continuing, patches ──────────────────────────────────────────────────────────────────


def test_events_are_told_once_in_their_order() -> None:
    async def f(ctx: Context) -> None:
        ctx.emit({"step": 1})
        await ctx.call(A)
        ctx.emit("done")

    desk = Desk(f)
    desk.begin()
    turn = desk.end("2")
    assert desk.events == [{"step": 1}, "done"]
    assert turn is not None
    assert [step.kind for step in turn.steps] == [StepKind.CALL, StepKind.EVENT]


def test_an_event_without_a_json_form_is_refused() -> None:
    async def f(ctx: Context) -> None:
        ctx.emit(object())

    desk = Desk(f)
    desk.begin()
    assert desk.error["error"] == "InputInvalid"


def test_an_event_that_the_journal_does_not_have_is_refused_even_if_the_code_catches_it() -> None:
    async def f(ctx: Context) -> None:
        await ctx.call(A)

    async def changed(ctx: Context) -> None:
        with suppress(Exception):
            ctx.emit("new")
        await ctx.call(A)

    desk = Desk(f)
    desk.begin()
    with pytest.raises(Exception, match="event"):
        desk.replay_as(changed)


async def counting(ctx: Context, number: int) -> None:
    await ctx.call(A)
    try:
        ctx.continue_as_new(number + 1)
    except Exception:  # noqa: BLE001 - nothing of this kind stops it
        await ctx.call(A)


def test_continuing_begins_the_next_execution_of_the_newest_version() -> None:
    desk = Desk(counting, 1, deadline_at_ms=BEGAN_MS + 60_000)
    newest = define(counting, version=3, registry=desk.registry)
    desk.begin()
    desk.now_ms += 1_000
    desk.end("1")
    new = desk.last.continued
    assert desk.status == "continued"
    assert new is not None
    assert (new.workflow_id, new.run, new.input) == (WORKFLOW, 2, b"2")
    assert (new.version, new.partition) == (newest.version, 3)
    assert new.deadline_at_ms == BEGAN_MS + 61_000
    assert new.execution_id != desk.execution.execution_id


def test_continuing_from_a_branch_ends_the_other_branches() -> None:
    async def f(ctx: Context, number: int) -> None:
        await ctx.gather(counting(ctx, number), ctx.signal("never"))

    desk = Desk(f, 1)
    desk.begin()
    desk.end("1.0.1")
    assert desk.status == "continued"
    assert desk.journal["1.1.1"].status is StepStatus.CANCELLED


@pytest.mark.parametrize("waits", [True, False])
def test_a_function_that_swallows_continuing_has_misused_it(waits: bool) -> None:  # noqa: FBT001
    async def f(ctx: Context, number: int) -> str:
        try:
            ctx.continue_as_new(number)
        except BaseException:  # noqa: BLE001
            if waits:
                await ctx.call(A)
        return "went on"

    desk = Desk(f, 1)
    desk.begin()
    assert (desk.status, desk.error["error"]) == ("failed", "WorkflowMisused")
    assert "ctx.continue_as_new" in desk.error["message"]


async def patchable(ctx: Context) -> list[Any]:
    done = [await ctx.call(A, 1)]
    if ctx.patched("more"):
        done.append(await ctx.call(A, 2))
    done.append(await ctx.call(A, 3))
    return done


def test_an_execution_that_comes_to_a_patch_for_the_first_time_has_it() -> None:
    desk = Desk(patchable)
    desk.begin()
    desk.end("1")
    assert desk.journal["patch.more"].kind is StepKind.PATCH
    desk.end("2")
    desk.end("3")
    assert len(desk.output) == 3


def test_an_execution_that_was_further_has_it_not_in_any_replay() -> None:
    async def before(ctx: Context) -> list[Any]:
        return [await ctx.call(A, 1), await ctx.call(A, 3)]

    desk = Desk(before)
    desk.begin()
    desk.end("1")
    machine = desk.replay_as(patchable)
    assert list(machine.pending) == ["2"]
    turn = machine.step_ended(
        "2", status=StepStatus.COMPLETED, output=b"1", error=None, attempts=1, now_ms=0
    )
    assert turn is not None
    assert turn.status is ExecutionStatus.COMPLETED


def test_a_patch_may_go_once_all_executions_have_it() -> None:
    desk = Desk(patchable)
    desk.begin()
    desk.end("1")

    async def after(ctx: Context) -> list[Any]:
        return [await ctx.call(A, number) for number in (1, 2, 3)]

    assert list(desk.replay_as(after).pending) == ["2"]


# ── facts ────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_function_may_know_about_its_execution() -> None:
    async def f(ctx: Context) -> list[Any]:
        deadline = ctx.deadline
        assert deadline is not None
        return [
            *(ctx.workflow_id, ctx.execution_id, ctx.run_number, ctx.name, ctx.version),
            *(ctx.lane.label, ctx.tenant, ctx.complexity, deadline.timestamp()),
            ctx.is_replaying,
        ]

    desk = Desk(
        f, lane=Lane.LOW, tenant="t", complexity=Complexity.LOW, deadline_at_ms=BEGAN_MS + 1_000
    )
    desk.begin()
    ident = desk.execution.execution_id
    assert desk.output == [
        *(WORKFLOW, ident, 1, "f", 1, "low", "t", "low", BEGAN_MS / 1000 + 1, False)
    ]


def test_a_replay_is_one_to_whoever_asks() -> None:
    seen: list[bool] = []

    async def f(ctx: Context) -> None:
        seen.append(ctx.is_replaying)
        await ctx.call(A)

    desk = Desk(f)
    desk.begin()
    desk.replayed()
    assert seen == [False, True, True]
