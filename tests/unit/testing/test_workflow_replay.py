"""The kit for unit tests of workflows: run one in memory, replay the history of one."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import octoqueue
from octoqueue.broker.default import default_broker
from octoqueue.errors import (
    Cancelled,
    DeadlineExceeded,
    DeclarationError,
    DrainEndless,
    HistoryUnreadable,
    InputInvalid,
    SignalInvalid,
    SignalTimeout,
    SignalUnknown,
    StepFailed,
    WorkflowChanged,
    WorkflowFailed,
    WorkflowNotDeclared,
)
from octoqueue.testing import NEVER, Send, arun_workflow, replay, run_workflow
from octoqueue.workflows.definitions import DEFINITIONS
from octoqueue.workflows.exports import history_json
from octoqueue.workflows.states import ExecutionStatus, StepKind
from tests.workflow_desk import Actor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from octoqueue.workflows.context import Context

CHARGE, SHIP, REFUND = Actor("charge"), Actor("ship"), Actor("refund")
HOUR = timedelta(hours=1)


@dataclass
class Order:
    item: str
    price: int


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    before = DEFINITIONS.names()
    yield
    for name in set(DEFINITIONS.names()) - set(before):
        DEFINITIONS.remove(name)


async def buy(ctx: Context, order: Order) -> str:
    ctx.on_failure(REFUND, order.price)
    charged: int = await ctx.call(CHARGE, order.price)
    ctx.emit({"charged": charged})
    shipped = await ctx.call(SHIP, order.item, fast=True)
    return f"{charged} {shipped}"


# ── running ──────────────────────────────────────────────────────────────────────────────────────


def test_a_workflow_runs_with_fakes_and_says_what_it_did() -> None:
    run = run_workflow(
        octoqueue.workflow(buy),
        Order("tea", 5),
        actors={"charge": lambda price: price * 2, "ship": "on its way"},
    )
    assert run.status is ExecutionStatus.COMPLETED
    assert run.output == "10 on its way"
    assert [str(call) for call in run.calls] == ["charge(5)", "ship('tea', fast=True)"]
    assert [call.args for call in run.calls_of("charge")] == [(5,)]
    assert run.events == [{"charged": 10}]
    assert run.waits == []
    assert "1 call charge  10" in str(run)


def test_async_fakes_are_awaited() -> None:
    async def charge(price: int) -> int:
        return price

    assert run_workflow(
        octoqueue.workflow(buy), Order("t", 1), actors={"charge": charge, "ship": 0}
    ).output


def test_an_exception_for_an_actor_is_how_its_step_fails_and_compensations_run() -> None:
    run = run_workflow(
        octoqueue.workflow(buy),
        Order("tea", 5),
        actors={"charge": 5, "ship": ConnectionError("no van"), "refund": None},
    )
    assert run.status is ExecutionStatus.FAILED
    assert run.error == "StepFailed: step 3 (ship) failed: ConnectionError: no van"
    assert [call.args for call in run.calls_of("refund")] == [(5,)]
    with pytest.raises(WorkflowFailed, match="no van"):
        _ = run.output


def test_a_workflow_may_catch_what_an_actor_raised() -> None:
    async def patient(ctx: Context) -> str:
        try:
            await ctx.call(SHIP)
        except StepFailed as failed:
            return f"{failed.error}: {failed.detail}"
        return "shipped"

    run = run_workflow(octoqueue.workflow(patient), actors={"ship": ValueError("no")})
    assert run.output == "ValueError: no"


def test_an_actor_that_is_not_given_is_called_itself() -> None:
    broker = default_broker()

    class Real:
        actor_name = "charge"

        @staticmethod
        def fn(price: int) -> int:
            return -price

    broker.actors["charge"] = Real()  # type: ignore[assignment]
    try:
        assert (
            run_workflow(octoqueue.workflow(buy), Order("t", 3), actors={"ship": 0}).output
            == "-3 0"
        )
    finally:
        del broker.actors["charge"]


def test_an_actor_that_is_neither_given_nor_declared_is_named() -> None:
    with pytest.raises(DeclarationError, match="'charge', which is neither given"):
        run_workflow(octoqueue.workflow(buy), Order("t", 3))


def test_days_pass_in_no_time() -> None:
    async def slow(ctx: Context) -> list[str]:
        seen = [ctx.now().isoformat()]
        await ctx.sleep(timedelta(days=3))
        seen.append(ctx.now().isoformat())
        return seen

    begins = datetime(2026, 5, 4, tzinfo=UTC)
    run = run_workflow(octoqueue.workflow(slow), now=begins)
    assert run.output == ["2026-05-04T00:00:00+00:00", "2026-05-07T00:00:00+00:00"]
    assert run.elapsed == timedelta(days=3)


def test_branches_and_functions_run_too() -> None:
    tries: list[int] = []

    def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise OSError
        return 7

    async def many(ctx: Context) -> list[int]:
        from octoqueue.primitives.retry import RetryPolicy

        seven = await ctx.run(flaky, retry=RetryPolicy(max_retries=3))
        charged: list[int] = await ctx.map(lambda n: ctx.call(CHARGE, n), range(3), concurrency=2)
        return [seven, *charged]

    run = run_workflow(octoqueue.workflow(many), actors={"charge": lambda n: n * n})
    assert run.output == [7, 0, 1, 4]
    (flaked,) = [step for step in run.history.steps if step.kind is StepKind.RUN]
    assert flaked.attempts == 3


def test_a_child_runs_and_a_continuation_goes_on() -> None:
    async def leaf(ctx: Context, n: int) -> int:
        charged: int = await ctx.call(CHARGE, n)
        return charged

    child = octoqueue.workflow(leaf)

    async def root(ctx: Context, n: int) -> int:
        got = await ctx.child(child, n)
        if n < 3:
            ctx.continue_as_new(n + 1)
        return int(got)

    run = run_workflow(octoqueue.workflow(root), 1, actors={"charge": lambda n: n * 10})
    assert run.output == 30
    assert len(run.histories) == 3
    assert [call.args for call in run.calls] == [(1,), (2,), (3,)]


def test_a_child_that_fails_fails_the_step() -> None:
    async def leaf(ctx: Context) -> None:
        raise ValueError("bad leaf")

    child = octoqueue.workflow(leaf)

    async def root(ctx: Context) -> str:
        try:
            await ctx.child(child)
        except StepFailed as failed:
            return failed.detail
        return ""

    assert run_workflow(octoqueue.workflow(root)).output == "bad leaf"


# ── signals, time, the end from outside ──────────────────────────────────────────────────────────


async def approved(ctx: Context) -> str:
    try:
        said: bool = await ctx.signal("approve", bool, timeout=HOUR)
    except SignalTimeout:
        return "too late"
    return f"{said} after {ctx.now() - datetime(2026, 1, 1, tzinfo=UTC)}"


def test_signals_come_when_all_else_is_done_or_at_their_time() -> None:
    declared = octoqueue.workflow(signals={"approve": bool})(approved)
    assert run_workflow(declared, signals={"approve": True}).output == "True after 0:00:00"
    later = [Send("approve", value=False, after=HOUR / 2)]
    assert run_workflow(declared, signals=later).output == "False after 0:30:00"
    assert (
        run_workflow(declared, signals=[Send("approve", value=True, after=2 * HOUR)]).output
        == "too late"
    )
    run = run_workflow(declared)
    assert (run.output, run.elapsed) == ("too late", HOUR)


def test_a_signal_that_does_not_fit_is_refused_before_anything_runs() -> None:
    declared = octoqueue.workflow(signals={"approve": bool})(approved)
    with pytest.raises(SignalInvalid):
        run_workflow(declared, signals={"approve": "yes"})
    with pytest.raises(SignalUnknown):
        run_workflow(declared, signals={"aprove": True})


def test_one_that_waits_for_what_never_comes_says_what_for() -> None:
    async def forever(ctx: Context) -> None:
        await ctx.gather(ctx.signal("approve"), ctx.call(CHARGE))

    run = run_workflow(octoqueue.workflow(forever), actors={"charge": NEVER})
    assert run.status is ExecutionStatus.RUNNING
    assert run.waits[0] == "signal approve"
    assert run.waits[1].startswith("actor charge in queue default")
    with pytest.raises(WorkflowFailed, match="it waits: signal approve"):
        _ = run.output


def test_a_cancel_reaches_the_function_and_runs_compensations() -> None:
    cleaned: list[str] = []

    async def long(ctx: Context) -> None:
        ctx.on_failure(REFUND)
        try:
            await ctx.call(SHIP)
        except Cancelled:
            cleaned.append("up")
            raise

    run = run_workflow(
        octoqueue.workflow(long),
        actors={"ship": NEVER, "refund": 0},
        cancel_after=timedelta(minutes=5),
    )
    assert run.status is ExecutionStatus.CANCELLED
    assert run.elapsed == timedelta(minutes=5)
    assert len(run.calls_of("refund")) == 1
    assert cleaned


def test_a_cancel_reaches_children() -> None:
    async def leaf(ctx: Context) -> None:
        await ctx.call(SHIP)

    child = octoqueue.workflow(leaf)

    async def root(ctx: Context) -> None:
        await ctx.child(child)

    run = run_workflow(octoqueue.workflow(root), actors={"ship": NEVER}, cancel_after=HOUR)
    assert run.status is ExecutionStatus.CANCELLED


def test_a_deadline_ends_it() -> None:
    async def long(ctx: Context) -> str:
        try:
            await ctx.call(SHIP)
        except DeadlineExceeded:
            return "cleaned up"
        return "shipped"

    run = run_workflow(octoqueue.workflow(deadline=HOUR)(long), actors={"ship": NEVER})
    assert (run.output, run.elapsed) == ("cleaned up", HOUR)


def test_one_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def again(ctx: Context, n: int) -> None:
        ctx.continue_as_new(n + 1)

    monkeypatch.setattr("octoqueue.testing.workflow_play.MOST_TURNS", 50)
    endless = octoqueue.workflow(again)
    with pytest.raises(DrainEndless):
        run_workflow(endless, 1)


def test_an_input_of_another_type_is_refused() -> None:
    wrong: Any = {"item": "tea", "price": "dear"}
    with pytest.raises(InputInvalid, match="price"):
        run_workflow(octoqueue.workflow(buy), wrong)


async def test_on_an_event_loop_it_is_awaited() -> None:
    declared = octoqueue.workflow(signals={"approve": bool})(approved)
    with pytest.raises(DeclarationError, match="await arun_workflow"):
        run_workflow(declared)
    run = await arun_workflow(declared, signals={"approve": True})
    assert str(run.output).startswith("True")


# ── what does not do the same twice ──────────────────────────────────────────────────────────────


def test_a_function_that_differs_in_a_replay_fails_its_test() -> None:
    async def dice(ctx: Context) -> None:
        await ctx.call(CHARGE, random.getrandbits(64))

    with pytest.raises(WorkflowChanged, match="other arguments") as refused:
        run_workflow(octoqueue.workflow(dice), actors={"charge": 0})
    assert refused.value.step == "1"


def test_a_run_twice_is_the_same_run() -> None:
    async def lottery(ctx: Context) -> list[Any]:
        return [ctx.random().random(), str(ctx.uuid()), ctx.now().isoformat()]

    declared = octoqueue.workflow(lottery)
    assert run_workflow(declared).output == run_workflow(declared).output


# ── replaying a history ──────────────────────────────────────────────────────────────────────────


@pytest.fixture
def history() -> bytes:
    run = run_workflow(
        octoqueue.workflow(buy), Order("tea", 5), actors={"charge": 5, "ship": "on its way"}
    )
    DEFINITIONS.remove("buy")
    return history_json(run.history)


def test_a_history_fits_the_code_that_made_it(history: bytes, tmp_path: Path) -> None:
    declared = octoqueue.workflow(buy)
    file = tmp_path / "buy.json"
    file.write_bytes(history)
    for told in (history, history.decode(), file):
        replay(told, declared)
    replay(history, declared.definition)


def test_changed_code_is_refused_with_the_step(history: bytes) -> None:
    async def changed(ctx: Context, order: Order) -> str:
        ctx.on_failure(REFUND, order.price)
        await ctx.call(SHIP, order.item, fast=True)
        return str(await ctx.call(CHARGE, order.price))

    with pytest.raises(WorkflowChanged) as refused:
        replay(history, octoqueue.workflow(name="buy")(changed))
    assert refused.value.step == "1"
    assert "call 'charge'" in refused.value.reason


def test_a_patched_change_fits_old_histories(history: bytes) -> None:
    async def patched(ctx: Context, order: Order) -> str:
        ctx.on_failure(REFUND, order.price)
        charged: int = await ctx.call(CHARGE, order.price)
        ctx.emit({"charged": charged})
        if ctx.patched("insured"):
            await ctx.call(CHARGE, 1)
        return f"{charged} {await ctx.call(SHIP, order.item, fast=True)}"

    declared = octoqueue.workflow(name="buy")(patched)
    replay(history, declared)
    assert len(run_workflow(declared, Order("t", 2), actors={"charge": 0, "ship": 0}).calls) == 3


def test_the_history_of_another_workflow_or_version_is_refused(history: bytes) -> None:
    async def other(ctx: Context) -> None: ...

    with pytest.raises(WorkflowNotDeclared, match="buy version 1"):
        replay(history, octoqueue.workflow(other))
    with pytest.raises(WorkflowNotDeclared, match="buy version 2"):
        replay(history, octoqueue.workflow(version=2)(buy))


def test_what_is_no_history_is_refused_with_the_field(tmp_path: Path) -> None:
    with suppress(FileNotFoundError):
        replay(tmp_path / "none.json", octoqueue.workflow(buy))
    with pytest.raises(HistoryUnreadable) as refused:
        replay("{}", octoqueue.workflow(buy))
    assert refused.value.field == "format"
