"""Actors that begin in the turn in which they came: to them it must be a task like any other."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import octoqueue
from tests.running import Gate, broker_on, running, until, until_done

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from octoqueue.primitives.messages import QueueStats

MARK: ContextVar[str] = ContextVar("mark", default="")


@contextlib.asynccontextmanager
async def worked(
    body: Callable[[], Awaitable[object]], *, times: int = 1
) -> AsyncGenerator[QueueStats]:
    """Run an actor so often, and give what the store counted."""
    broker = broker_on()

    @octoqueue.actor(broker=broker, max_retries=0)
    async def act() -> None:
        await body()

    await octoqueue.asend_many([act.message() for _ in range(times)], broker=broker)
    async with running(broker):
        yield await until_done(broker.store(), "default", times)


async def test_the_current_task_is_the_same_before_and_after_waiting() -> None:
    tasks = list[Any]()

    async def body() -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0.001)
        tasks.append(asyncio.current_task())

    async with worked(body):
        pass
    assert tasks[0] is not None
    assert len(set(tasks)) == 1


async def test_actors_that_wait_at_the_same_time_have_tasks_of_their_own() -> None:
    tasks, gate = set[Any](), Gate()

    async def body() -> None:
        tasks.add(asyncio.current_task())
        if len(tasks) == 20:
            gate.opened.set()
        await gate.opened.wait()

    async with worked(body, times=20):
        pass
    assert len(tasks) == 20


@pytest.mark.parametrize("seconds", [0, 0.001])
async def test_a_timeout_entered_in_the_first_instruction_ends_what_it_surrounds(
    seconds: float,
) -> None:
    ended = list[str]()

    async def body() -> None:
        try:
            async with asyncio.timeout(seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            ended.append("in time")
        assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]

    async with worked(body) as stats:
        assert stats.counters["acked"] == 1
    assert ended == ["in time"]


async def test_a_task_group_in_the_first_instruction_cancels_its_parent_for_a_child() -> None:
    seen = list[str]()

    async def fail() -> None:
        raise LookupError

    async def body() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                await asyncio.Event().wait()
        except* LookupError:
            seen.append("told")

    async with worked(body) as stats:
        assert stats.counters["acked"] == 1
    assert seen == ["told"]


@pytest.mark.parametrize("waits_before", [False, True])
async def test_an_actor_that_cancels_itself_is_cancelled_where_it_waits_next(
    *, waits_before: bool
) -> None:
    seen = list[str]()

    async def body() -> None:
        if waits_before:
            await asyncio.sleep(0)
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        seen.append("goes on")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async with worked(body, times=3) as stats:
        assert stats.dead == 3
    assert sorted(seen) == ["cancelled"] * 3 + ["goes on"] * 3


async def test_an_actor_that_cancels_itself_and_returns_harms_nobody_after_it() -> None:
    count = 0

    async def body() -> None:
        nonlocal count
        count += 1
        if count % 2:
            asyncio.current_task().cancel()  # type: ignore[union-attr]
        else:
            await asyncio.sleep(0)

    async with worked(body, times=10) as stats:
        assert stats.counters["acked"] == 10


async def test_a_cancel_reaches_the_task_that_an_actor_waits_for() -> None:
    inner = list[asyncio.Task[object]]()

    async def body() -> None:
        me = asyncio.current_task()
        assert me is not None
        asyncio.get_running_loop().call_soon(me.cancel)  # before the task itself has its turn
        inner.append(asyncio.create_task(asyncio.Event().wait()))
        await inner[-1]

    async with worked(body, times=2) as stats:
        assert stats.dead == 2
    assert all(task.cancelled() for task in inner)


async def test_many_actors_may_wait_for_the_same_future_from_their_first_instruction_on() -> None:
    shared: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    seen = list[str]()

    async def body() -> None:
        if len(seen) == 0:
            asyncio.get_running_loop().call_later(0.01, set_once)
        seen.append("")
        seen.append(await shared)

    def set_once() -> None:
        if not shared.done():
            shared.set_result("done")

    async with worked(body, times=20) as stats:
        assert stats.counters["acked"] == 20
    assert seen.count("done") == 20


async def test_a_task_that_somebody_kept_belongs_to_that_actor_alone() -> None:
    kept = list[asyncio.Task[Any]]()

    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None
        assert task not in kept
        kept.append(task)

    async with worked(body, times=5) as stats:
        assert stats.counters["acked"] == 5
        await until(lambda: all(task.done() for task in kept))
    assert not any(task.cancelled() for task in kept)


async def test_what_an_actor_puts_into_a_context_variable_reaches_no_other() -> None:
    before = list[str]()

    async def body() -> None:
        before.append(MARK.get())
        MARK.set("mine")
        if len(before) % 2:
            await asyncio.sleep(0)
        assert MARK.get() == "mine"

    async with worked(body, times=6) as stats:
        assert stats.counters["acked"] == 6
    assert before == [""] * 6


async def test_a_task_an_actor_leaves_behind_still_knows_its_message() -> None:
    seen, gate = list[object](), Gate()

    async def later() -> None:
        await gate.opened.wait()
        message = octoqueue.current_message()
        seen.append(None if message is None else message.actor)

    tasks = set[asyncio.Task[None]]()

    async def body() -> None:
        tasks.add(asyncio.create_task(later()))

    async with worked(body):
        gate.opened.set()
        await asyncio.gather(*tasks)
    assert seen == ["act"]
    assert octoqueue.current_message() is None


async def test_an_error_before_the_first_wait_is_an_error_like_any_other() -> None:
    async def body() -> None:
        raise LookupError("nowhere")

    async with worked(body, times=3) as stats:
        assert stats.dead == 3


async def test_a_function_that_only_calls_itself_a_coroutine_function_is_awaited() -> None:
    seen = list[str]()

    class Later:
        def __await__(self) -> Generator[Any, None, None]:
            yield from asyncio.sleep(0).__await__()
            seen.append("awaited")

    broker = broker_on()

    @octoqueue.actor(broker=broker)
    async def act() -> None:
        raise AssertionError

    # As a decorator would that marks what it makes as a coroutine function.
    executable = replace(broker.executable("act"), function=Later)
    broker.executable = lambda _: executable  # type: ignore[method-assign, assignment]
    async with running(broker):
        await act.asend()
        stats = await until_done(broker.store(), "default", 1)
    assert (seen, stats.counters["acked"]) == (["awaited"], 1)


async def test_actors_that_never_wait_make_no_tasks() -> None:
    made = list[object]()
    loop = asyncio.get_running_loop()

    def count(loop: asyncio.AbstractEventLoop, coroutine: Any) -> asyncio.Task[Any]:  # noqa: ANN401
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop)

    async def body() -> None:
        pass

    loop.set_task_factory(count)
    try:
        async with worked(body, times=1_000) as stats:
            assert stats.counters["acked"] == 1_000
    finally:
        loop.set_task_factory(None)
    assert len(made) < 300


async def test_a_function_that_raises_stop_iteration_has_failed() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, max_retries=0)
    async def act() -> None:
        raise AssertionError

    def ended() -> None:
        next(iter(()))

    executable = replace(broker.executable("act"), function=ended)
    broker.executable = lambda _: executable  # type: ignore[method-assign, assignment]
    async with running(broker):
        await act.asend()
        stats = await until_done(broker.store(), "default", 1)
    assert stats.dead == 1


async def test_what_a_cancel_says_is_heard_also_before_the_task_has_had_its_turn() -> None:
    broker, said = broker_on(), list[object]()

    @octoqueue.actor(broker=broker)
    async def act(*, waits: bool) -> None:
        me = asyncio.current_task()
        assert me is not None
        if not waits:
            return
        asyncio.get_running_loop().call_soon(me.cancel, "why")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            said.extend(error.args)

    async with running(broker):
        await act.asend(waits=False)  # the task has begun, and waits for work
        await until_done(broker.store(), "default", 1)
        await act.asend(waits=True)
        await until_done(broker.store(), "default", 2)
    assert said == ["why"]


async def test_what_an_actor_first_waited_for_is_not_kept_while_it_runs_on() -> None:
    kept = list[object]()

    class Large:
        """What a weak reference can be made to."""

    async def body() -> None:
        future: asyncio.Future[Large] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, Large())
        large = await future
        reference = weakref.ref(large)
        del future, large
        await asyncio.sleep(0)
        kept.append(reference())

    async with worked(body):
        pass
    assert kept == [None]


async def test_a_task_that_somebody_cancels_while_it_has_no_work_gets_none() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker)
    async def act(*, waits: bool) -> None:
        if waits:
            await asyncio.sleep(0)

    async with running(broker):
        await act.asend(waits=False)
        await until_done(broker.store(), "default", 1)
        (spare,) = (t for t in asyncio.all_tasks() if "Slots" in repr(t.get_coro()))
        spare.cancel()
        await asyncio.wait([spare])
        await act.asend(waits=True)
        stats = await until_done(broker.store(), "default", 2)
    assert stats.counters["acked"] == 2
