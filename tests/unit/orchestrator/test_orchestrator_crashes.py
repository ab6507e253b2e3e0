"""An orchestrator dies between any two writes, servers go away, code is missing or broken."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest

import octoqueue
from octoqueue.errors import LaneFull, StoreRefused
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.context import Context  # noqa: TC001 - types of workflows are read at run time
from octoqueue.workflows.definitions import Registry, define
from octoqueue.workflows.executions import message_id_of, new_execution_id, workflow_id_from
from octoqueue.workflows.letters import Completion, completion_message, queue_of
from octoqueue.workflows.machine import Machine
from octoqueue.workflows.states import ExecutionStatus, StepStatus
from tests.running import WatchedStore, gone, until
from tests.workflow_world import OPTIONS, memory_world

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.workflows.definitions import Definition
    from octoqueue.workflows.protocol import Loaded, WorkflowStore
    from tests.workflow_world import WorkflowWorld

LEASE = timedelta(seconds=1)
HOUR = timedelta(hours=1)


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture
async def world() -> AsyncGenerator[WorkflowWorld]:
    async with memory_world(options=replace(OPTIONS, lease=LEASE), lease=LEASE) as world:
        yield world


def watched(store: Any) -> Any:  # noqa: ANN401 - it stands in for what it watches
    return WatchedStore(store)


def adding(world: WorkflowWorld) -> tuple[Definition, Counter[int]]:
    """A workflow of two steps and a function, and how often each step ran."""
    ran: Counter[int] = Counter()

    @octoqueue.actor(broker=world.broker)
    async def add(number: int) -> int:
        ran[number] += 1
        return number + 1

    async def local() -> int:
        return 10

    @world.workflow()
    async def sums(ctx: Context, number: int) -> int:
        number = await ctx.call(add, number)
        number += await ctx.run(local)
        return await ctx.call(add, number)

    return sums, ran


@pytest.mark.parametrize("lost_answer", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", [1, 2, 3, 4])
@pytest.mark.parametrize("verb", ["write", "commit", "enqueue", "load"])
async def test_a_death_before_or_after_any_call_loses_nothing(
    world: WorkflowWorld, verb: str, call: int, *, lost_answer: bool
) -> None:
    sums, ran = adding(world)
    is_ours = verb in {"write", "load"}
    store, lanes = watched(world.store), watched(world.lanes)
    spied = store if is_ours else lanes
    calls = 0

    async def crash_at_last() -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise Crash

    (spied.after if lost_answer else spied.before)[verb] = crash_at_last
    async with world.working():
        execution = await world.start(sums, 1)
        first = world.orchestrator(store=store, lanes=lanes)
        running = asyncio.create_task(first.run())
        ending = asyncio.create_task(world.ended(execution))
        await asyncio.wait((running, ending), return_when=asyncio.FIRST_COMPLETED)
        if ending.done():  # it makes fewer calls of that kind
            first.stop()
            await asyncio.wait([running])
        if not running.cancelled() and isinstance(running.exception(), Crash):
            async with world.orchestrating():
                await ending
        assert orjson.loads((await ending).output or b"") == 13
    assert ran[1] >= 1
    assert ran[12] >= 1
    assert calls >= min(call, 3) or verb in {"enqueue", "load"}


async def test_a_step_whose_message_was_not_sent_is_sent_by_the_next_one(
    world: WorkflowWorld,
) -> None:
    sums, ran = adding(world)
    lanes = watched(world.lanes)

    async def crash() -> None:
        raise Crash

    execution = await world.start(sums, 1)
    lanes.before["commit"] = crash
    async with world.mortal(lanes=lanes) as (_, task):
        await asyncio.wait([task])
    loaded = await world.store.history(execution.execution_id)
    assert loaded is not None
    assert [step.status for step in loaded.steps] == [StepStatus.PENDING]
    async with world.orchestrating() as second, world.working():
        assert await world.result(execution) == 13
        assert second.totals.resent == 1
    assert ran == {1: 1, 12: 1}


async def test_both_servers_may_go_away_for_a_while(world: WorkflowWorld) -> None:
    sums, ran = adding(world)
    store, lanes = watched(world.store), watched(world.lanes)
    store.fail("write", gone(), gone(), lost_answer=True)
    store.fail("load", gone())
    store.fail("attend", gone())
    lanes.fail("commit", gone(), gone(), lost_answer=True)
    lanes.fail("claim_when_rung", gone())
    lanes.fail("extend", gone())
    async with world.orchestrating(store=store, lanes=lanes), world.working():
        assert await world.result(await world.start(sums, 1)) == 13
    assert set(ran) == {1, 12}


async def test_a_full_lane_holds_up_its_own_messages_until_there_is_room(
    world: WorkflowWorld,
) -> None:
    @octoqueue.actor(broker=world.broker)
    async def same(number: int) -> int:
        return number

    @world.workflow()
    async def slow(ctx: Context) -> int:
        await ctx.sleep(timedelta(milliseconds=1))
        return await ctx.call(same, 3)

    lanes = watched(world.lanes)
    enqueue, refusals = world.lanes.enqueue, [LaneFull("default", "normal", bound=1, depth=1)]

    async def enqueue_or_refuse(groups: Any) -> Any:  # noqa: ANN401
        return [refusals.pop()] if refusals else await enqueue(groups)

    lanes.enqueue = enqueue_or_refuse
    async with world.orchestrating(lanes=lanes), world.working():
        assert await world.result(await world.start(slow)) == 3
    assert not refusals


async def test_an_execution_without_code_is_blocked_until_the_code_is_there(
    world: WorkflowWorld,
) -> None:
    sums, _ = adding(world)
    async with world.orchestrating(registry=Registry()):
        execution = await world.start(sums, 1)
        loaded = await world.until(execution, is_blocked)
        assert orjson.loads(loaded.execution.error or b"")["error"] == "WorkflowNotDeclared"
    async with world.orchestrating(), world.working():
        assert await world.result(execution) == 13


async def test_an_execution_whose_code_has_changed_is_blocked_and_its_results_are_kept(
    world: WorkflowWorld,
) -> None:
    sums, ran = adding(world)
    execution = await world.start(sums, 1)
    async with world.mortal():
        await world.until(execution, lambda loaded: bool(loaded.steps))
    changed = Registry()

    async def other(ctx: Context, number: int) -> int:
        await ctx.sleep(HOUR)
        return number

    define(other, name="sums", registry=changed)
    async with world.orchestrating(registry=changed), world.working():
        loaded = await world.until(execution, is_blocked)
        assert orjson.loads(loaded.execution.error or b"")["error"] == "WorkflowChanged"
        await until(lambda: ran[1] == 1)
        assert [step.status for step in loaded.steps] == [StepStatus.PENDING]
    async with world.orchestrating(), world.working():
        assert (await world.until(execution, is_running)).execution.error is None


async def test_a_blocked_execution_can_be_cancelled(world: WorkflowWorld) -> None:
    sums, _ = adding(world)
    async with world.orchestrating(registry=Registry()):
        execution = await world.start(sums, 1)
        await world.until(execution, is_blocked)
        await world.cancel(execution.workflow_id, "enough")
        ended = await world.ended(execution)
    assert ended.status is ExecutionStatus.CANCELLED
    assert orjson.loads(ended.error or b"")["message"] == "enough"


async def test_an_execution_the_store_refuses_is_parked_and_the_others_go_on(
    world: WorkflowWorld,
) -> None:
    sums, _ = adding(world)
    poisoned = await world.start(sums, 5)
    store = watched(world.store)
    write = world.store.write

    class Refusing:
        def __getattr__(self, name: str) -> Any:  # noqa: ANN401
            return getattr(store, name)

        async def write(self, agent_id: Any, turns: Any, epochs: Any) -> Any:  # noqa: ANN401
            if any(
                turn.execution_id == poisoned.execution_id
                and turn.status is not ExecutionStatus.BLOCKED
                for turn in turns
            ):
                raise StoreRefused("write_turns", sqlstate="23514", reason="the test says so")
            return await write(agent_id, turns, epochs)

    others = [await world.start(sums, 1) for _ in range(5)]
    async with world.orchestrating(store=cast("WorkflowStore", Refusing())), world.working():
        for other in others:
            assert await world.result(other) == 13
        loaded = await world.until(poisoned, is_blocked)
        assert orjson.loads(loaded.execution.error or b"")["error"] == "StoreRefused"


async def test_a_machine_that_breaks_parks_its_execution_only(
    world: WorkflowWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    sums, _ = adding(world)
    poisoned, other = await world.start(sums, 5), await world.start(sums, 1)
    step_ended = Machine.step_ended

    def breaking(machine: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if machine._drive.execution.execution_id == poisoned.execution_id:
            raise RuntimeError("a mistake of ours")
        return step_ended(machine, *args, **kwargs)

    monkeypatch.setattr(Machine, "step_ended", breaking)
    async with world.orchestrating(), world.working():
        assert await world.result(other) == 13
        await world.until(poisoned, is_blocked)
    monkeypatch.undo()
    async with world.orchestrating(), world.working():
        assert await world.result(poisoned) == 17


async def test_one_that_is_stopped_while_functions_run_and_nothing_can_be_written_ends(
    world: WorkflowWorld,
) -> None:
    begun: list[int] = []

    async def hangs_once() -> int:
        begun.append(1)
        if len(begun) == 1:
            await asyncio.sleep(60)
        return len(begun)

    @world.workflow()
    async def local(ctx: Context) -> int:
        return await ctx.run(hangs_once)

    @world.workflow()
    async def nothing(ctx: Context) -> str:
        return "done"

    store = watched(world.store)

    async def fail() -> None:
        raise gone()

    world.options = replace(world.options, drain=timedelta(milliseconds=100))
    async with world.orchestrating(store=store):
        hanging = await world.start(local)
        await until(lambda: begun)
        store.before["write"] = fail
        unwritten = await world.start(nothing)
        await until(lambda: len(store.called("write")) > 3)
    async with world.orchestrating():
        assert await world.result(hanging) == 2
        assert await world.result(unwritten) == "done"


async def test_a_completion_of_an_execution_nobody_knows_is_told_once(
    world: WorkflowWorld, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = new_execution_id(workflow_id_from("theirs"))
    letters = [
        completion_message(
            Completion(stranger, str(number), "completed"),
            to=queue_of(0),
            lane=Lane.NORMAL,
            beside=message_id_of(stranger),
            now_ms=0,
            limit_bytes=1_000,
        )
        for number in range(3)
    ]
    await world.lanes.enqueue([[letter] for letter in letters])
    async with world.orchestrating() as orchestrator:
        await until(lambda: orchestrator.totals.letters == 3)
        await until(lambda: _is_empty(world))
    told = [record for record in caplog.records if record.message == "letter_of_unknown"]
    assert len(told) == 1


async def _is_empty(world: WorkflowWorld) -> bool:
    stats = await world.lanes.stats(queue_of(0))
    return stats.waiting == stats.in_flight == 0


def is_blocked(loaded: Loaded) -> bool:
    return loaded.execution.status is ExecutionStatus.BLOCKED


def is_running(loaded: Loaded) -> bool:
    return loaded.execution.status is ExecutionStatus.RUNNING
