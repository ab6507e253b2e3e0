"""What callers and workflow functions may get wrong, on real servers: errors with the ids."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

import octoqueue
from octoqueue.errors import (
    InputInvalid,
    InputTooLarge,
    SignalInvalid,
    SignalUnknown,
    StepFailed,
    WorkflowFailed,
    WorkflowUnknown,
)
from octoqueue.orchestrator.orchestrator import OrchestratorOptions
from octoqueue.producer.workflow_client import WorkflowClient
from octoqueue.producer.workflow_handles import WorkflowHandle
from octoqueue.settings.root import Settings
from octoqueue.workflows.definitions import Registry
from octoqueue.workflows.limits import Limits
from octoqueue.workflows.protocol import Filter
from octoqueue.workflows.states import ExecutionStatus, StepStatus
from tests.running import SHORTLY
from tests.workflow_world import PARTITIONS, real_world

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.broker.actors import Actor
    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.protocol import Loaded
    from tests.workflow_world import WorkflowWorld

MOST_STEPS = 20
MEGABYTE = 2**20
AROUND = len('""')
"""What JSON adds to a text."""
HOUR = timedelta(hours=1)
OPTIONS = OrchestratorOptions(partitions=PARTITIONS, limits=Limits(max_steps=MOST_STEPS))
SETTINGS = Settings.load(environ={}, overrides={"workflows.partitions": PARTITIONS})


@pytest.fixture
async def world(postgres_dsn: str, redis_url: str) -> AsyncGenerator[WorkflowWorld]:
    async with real_world(postgres_dsn, redis_url, options=OPTIONS) as world:
        client = WorkflowClient(
            world.store, world.broker, settings=SETTINGS, definitions=world.registry
        )
        with client.in_use():
            yield world


@pytest.fixture
def echo(world: WorkflowWorld) -> Actor[[str, int], str]:
    @octoqueue.actor(broker=world.broker, queue="steps", max_retries=0)
    async def echo(text: str, times: int) -> str:
        return text * times

    return echo


def error_of(execution: Execution) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(execution.error or b"{}")
    return told


# ── unknown ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_workflow_that_nobody_has_started_is_unknown_to_every_verb(
    world: WorkflowWorld,
) -> None:
    del world
    handle: WorkflowHandle[Any] = WorkflowHandle("nobody")
    for ask in (handle.status, handle.execution, handle.history, handle.result, handle.cancel):
        with pytest.raises(WorkflowUnknown, match="'nobody'"):
            await ask()
    with pytest.raises(WorkflowUnknown, match="'nobody'"):
        await handle.signal("go", 1)


async def test_an_unknown_signal_and_one_of_the_wrong_type_name_the_workflow(
    world: WorkflowWorld,
) -> None:
    @octoqueue.workflow(registry=world.registry, signals={"amount": int})
    async def waits(ctx: octoqueue.WorkflowContext) -> int:
        return await ctx.signal("amount", int)

    handle = await waits.start(id="w")
    with pytest.raises(SignalUnknown, match=r"'w' takes no signal 'amuont' \(it takes: amount\)"):
        await handle.signal("amuont", 1)
    with pytest.raises(SignalInvalid, match="signal 'amount' of workflow 'w'"):
        await handle.signal("amount", "much")
    async with world.orchestrating():
        await handle.signal("amount", 17)
        assert await handle.result(timeout=SHORTLY) == 17


async def test_a_signal_of_the_wrong_type_from_who_does_not_know_better_is_refused_and_kept(
    world: WorkflowWorld,
) -> None:
    """The function goes on waiting, for one that fits."""

    @octoqueue.workflow(registry=world.registry, signals={"amount": int})
    async def waits(ctx: octoqueue.WorkflowContext) -> int:
        return await ctx.signal("amount", int)

    handle = await waits.start()
    execution = await handle.execution()
    async with world.orchestrating():
        await world.until(execution, lambda each: bool(each.steps))
        await world.signal(execution.workflow_id, "amount", "much")
        await world.until(execution, lambda each: not each.signals)
        assert not (await handle.execution()).is_final
        await world.signal(execution.workflow_id, "amount", 17)
        assert await handle.result(timeout=SHORTLY) == 17


# ── too large ────────────────────────────────────────────────────────────────────────────────────


async def test_an_input_of_a_mebibyte_is_taken_and_one_byte_more_is_refused_with_the_id(
    world: WorkflowWorld,
) -> None:
    @octoqueue.workflow(registry=world.registry)
    async def length(ctx: octoqueue.WorkflowContext, text: str) -> int:
        del ctx
        return len(text)

    most = MEGABYTE - AROUND
    async with world.orchestrating():
        handle = await length.start("x" * most, id="w")
        assert await handle.result(timeout=SHORTLY) == most
    with pytest.raises(InputTooLarge, match=r"'v'.*1048577 bytes, the limit is 1048576"):
        await length.start("x" * (most + 1), id="v")
    with pytest.raises(WorkflowUnknown):
        await length.handle_of("v").status()


@pytest.mark.parametrize("what", ["arguments", "result", "child", "event", "output", "next"])
async def test_whatever_grows_over_a_mebibyte_fails_the_workflow_and_says_so(
    world: WorkflowWorld, echo: Actor[[str, int], str], what: str
) -> None:
    @octoqueue.workflow(registry=world.registry)
    async def takes(ctx: octoqueue.WorkflowContext, text: str) -> int:
        del ctx
        return len(text)

    @octoqueue.workflow(registry=world.registry)
    async def grows(ctx: octoqueue.WorkflowContext, what: str) -> str:
        large = "x" * (MEGABYTE + 1)
        match what:
            case "arguments":
                await ctx.call(echo, large, 1)
            case "result":
                await ctx.call(echo, "x", MEGABYTE + 1)
            case "child":
                await ctx.child(takes, large)
            case "event":
                ctx.emit(large)
            case "next":
                ctx.continue_as_new(large)
            case _:
                return large
        return ""

    async with world.orchestrating(), world.working("steps"):
        handle = await grows.start(what, id="w")
        with pytest.raises(WorkflowFailed, match="'w' ended as failed") as raised:
            await handle.result(timeout=SHORTLY)
    assert "1048576" in str(raised.value)
    assert len(str(raised.value)) < 1_000


async def test_a_result_that_is_too_large_can_be_caught(
    world: WorkflowWorld, echo: Actor[[str, int], str]
) -> None:
    @octoqueue.workflow(registry=world.registry)
    async def careful(ctx: octoqueue.WorkflowContext) -> str:
        try:
            return await ctx.call(echo, "x", MEGABYTE + 1)
        except StepFailed as error:
            return error.error

    async with world.orchestrating(), world.working("steps"):
        handle = await careful.start()
        assert await handle.result(timeout=SHORTLY) in {"ResultTooLarge", "InputTooLarge"}


# ── too long ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_history_over_its_limit_fails_with_the_ids_after_its_compensations(
    world: WorkflowWorld, echo: Actor[[str, int], str]
) -> None:
    @octoqueue.workflow(registry=world.registry)
    async def endless(ctx: octoqueue.WorkflowContext) -> None:
        ctx.on_failure(echo, "undone", 1)
        while True:
            await ctx.run(int)

    async with world.orchestrating(), world.working("steps"):
        handle = await endless.start(id="w")
        with pytest.raises(WorkflowFailed, match="HistoryTooLong") as raised:
            await handle.result(timeout=SHORTLY)
    loaded = await handle.history()
    assert loaded.execution.execution_id in raised.value.detail
    assert "'w' has reached 20 steps" in raised.value.detail
    assert [step.name for step in loaded.steps][MOST_STEPS:] == ["history", "echo"]
    assert {step.status for step in loaded.steps} == {StepStatus.COMPLETED}


# ── values that are hard to keep ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "\u2028", '"', "\\u0000", "\N{GRINNING FACE}", "", "x" * 70_000]
)
async def test_any_text_travels_unchanged(
    world: WorkflowWorld, echo: Actor[[str, int], str], text: str
) -> None:
    @octoqueue.workflow(registry=world.registry)
    async def carries(ctx: octoqueue.WorkflowContext, text: str) -> list[str]:
        ctx.emit(text)
        there = await ctx.call(echo, text, 1)
        return [there, await ctx.signal("text", str), await ctx.run(str, text)]

    async with world.orchestrating(), world.working("steps"):
        handle = await carries.start(text, tenant="acme")
        await handle.signal("text", text)
        assert await handle.result(timeout=SHORTLY) == [text] * 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**70, {1: 2}, {"a", "b"}, object()])
async def test_a_value_without_a_json_form_is_refused_where_it_is_given(
    world: WorkflowWorld, value: object
) -> None:
    @octoqueue.workflow(registry=world.registry)
    async def anything(ctx: octoqueue.WorkflowContext, value: Any) -> Any:  # noqa: ANN401
        del ctx
        return value

    with pytest.raises(InputInvalid, match=r"'anything'.*input"):
        await anything.start(value)


@pytest.mark.parametrize("expression", ["float('nan')", "2**70", "{1: 2}", "{1, 2}", "'\\ud800'"])
async def test_a_result_without_a_json_form_fails_and_does_not_block(
    world: WorkflowWorld, expression: str
) -> None:
    def value_of(text: str) -> Any:  # noqa: ANN401
        return eval(text)

    @octoqueue.workflow(registry=world.registry)
    async def runs(ctx: octoqueue.WorkflowContext, text: str) -> Any:  # noqa: ANN401
        return await ctx.run(value_of, text)

    @octoqueue.workflow(registry=world.registry)
    async def returns(ctx: octoqueue.WorkflowContext, text: str) -> Any:  # noqa: ANN401
        del ctx
        return value_of(text)

    async with world.orchestrating():
        for workflow in (runs, returns):
            handle = await workflow.start(expression)
            with pytest.raises(WorkflowFailed, match="ended as failed"):
                await handle.result(timeout=SHORTLY)


# ── code that is not there, or another one ───────────────────────────────────────────────────────


def is_blocked(loaded: Loaded) -> bool:
    return loaded.execution.status is ExecutionStatus.BLOCKED


async def test_without_code_an_execution_is_blocked_and_listed_until_somebody_has_the_code(
    world: WorkflowWorld,
) -> None:
    @octoqueue.workflow(registry=world.registry)
    async def here(ctx: octoqueue.WorkflowContext) -> str:
        await ctx.sleep(timedelta(0))
        return "done"

    async with world.orchestrating(registry=Registry()):
        handle = await here.start(id="w")
        loaded = await world.until(await handle.execution(), is_blocked)
        assert error_of(loaded.execution)["error"] == "WorkflowNotDeclared"
        assert "'here'" in error_of(loaded.execution)["message"]
        assert not loaded.execution.is_final
        (listed,) = await world.store.executions(Filter(status=ExecutionStatus.BLOCKED))
        assert listed.execution_id == loaded.execution.execution_id
    async with world.orchestrating():
        assert await handle.result(timeout=SHORTLY) == "done"
    assert error_of(await handle.execution()) == {}


async def test_changed_code_blocks_with_the_step_named_and_restored_code_goes_on(
    world: WorkflowWorld, echo: Actor[[str, int], str]
) -> None:
    """What ended meanwhile is not lost: the signal came while the code was wrong."""

    async def old(ctx: octoqueue.WorkflowContext) -> list[str]:
        first = await ctx.call(echo, "a", 1)
        return [first, await ctx.signal("go", str), await ctx.call(echo, "b", 2)]

    async def new(ctx: octoqueue.WorkflowContext) -> list[str]:
        first = await ctx.call(echo, "a", 3)
        return [first, await ctx.signal("go", str)]

    changed = Registry()
    workflow = octoqueue.workflow(registry=world.registry, name="changes")(old)
    octoqueue.workflow(registry=changed, name="changes")(new)
    handle = await workflow.start(id="w")
    execution = await handle.execution()
    async with world.working("steps"):
        async with world.orchestrating():
            await world.until(execution, lambda each: len(each.steps) == 2)
        async with world.orchestrating(registry=changed):
            await handle.signal("go", "now")
            loaded = await world.until(execution, is_blocked)
            told = error_of(loaded.execution)
            assert told["error"] == "WorkflowChanged"
            assert "step 1" in told["message"]
            assert execution.execution_id in told["message"]
        async with world.orchestrating():
            assert await handle.result(timeout=SHORTLY) == ["a", "now", "bb"]
    assert [step.order for step in (await handle.history()).steps] == [1, 2, 3]
