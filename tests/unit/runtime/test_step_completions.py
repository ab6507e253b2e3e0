# ruff: noqa: ANN401 - actors and stores of any kind
"""How steps of workflows end: what orchestrators are told, and only with an end that counts."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import dramatiq
import pytest

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.options import Defaults
from octoqueue.errors import PoisonMessage
from octoqueue.lanes.answers import CancelOutcome
from octoqueue.lanes.options import LaneOptions
from octoqueue.primitives.envelope import decode_body, pack_header, unpack_header
from octoqueue.primitives.messages import Enqueue, SessionId
from tests.running import SHORTLY, Gate, WatchedStore, broker_on, running, until
from tests.steps import a_call, an_execution, completions, no_completion, send_step, sent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from octoqueue.workflows.letters import Completion

AT_ONCE = timedelta(0)


@pytest.fixture(params=["memory", "redis"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[LaneBroker]:
    if request.param == "memory":
        yield broker_on()
        return
    url = request.getfixturevalue("redis_url")
    options = LaneOptions(namespace=f"t{uuid4().hex[:8]}")
    made = LaneBroker(url, options=options)
    async with made.connected():
        yield made


async def told_by(broker: LaneBroker, actor: Any, *args: Any) -> Completion:
    """Run an actor as a step and return what is told of it."""
    execution = an_execution()
    async with running(broker):
        await send_step(broker, execution, actor, *args, key="2.0.1")
        (told,) = await completions(broker)
    assert (told.execution_id, told.step) == (execution.execution_id, "2.0.1")
    return told


async def test_what_an_async_actor_returns_is_told_although_its_results_are_not_kept(
    broker: LaneBroker,
) -> None:
    @octoqueue.actor(broker=broker)
    async def add(one: int, other: int) -> dict[str, int]:
        return {"sum": one + other}

    told = await told_by(broker, add, 1, 2)
    assert (told.outcome, told.value, told.error, told.attempts) == (
        "completed",
        {"sum": 3},
        None,
        1,
    )


async def test_a_sync_actor_that_keeps_its_result_tells_it_too() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, results=True)
    def add(one: int, other: int) -> int:
        return one + other

    assert (await told_by(broker, add, 1, 2)).value == 3


async def test_each_message_of_a_batch_tells_its_own_result() -> None:
    broker, execution = broker_on(), an_execution()

    @octoqueue.actor(broker=broker, batch=octoqueue.Batch(max_size=2, max_wait=SHORTLY))
    async def double(items: list[int]) -> list[int | BaseException]:
        return [item * 2 if item > 1 else ValueError("small") for item in items]

    async with running(broker):
        await send_step(broker, execution, double.using(max_retries=0), 1, key="1")
        await send_step(broker, execution, double, 2, key="2")
        told = {each.step: each for each in await completions(broker, 2)}
    assert (told["1"].outcome, told["2"].outcome, told["2"].value) == ("failed", "completed", 4)


async def test_a_retry_tells_nothing_and_the_success_after_it_how_often_it_was_tried(
    broker: LaneBroker,
) -> None:
    tries: list[bool] = []

    @octoqueue.actor(broker=broker, min_backoff=AT_ONCE, max_backoff=timedelta(milliseconds=1))
    async def third_time_lucky() -> str:
        tries.append(await no_completion(broker))
        if len(tries) < 3:
            raise octoqueue.Retry("again", delay=AT_ONCE)
        return "done"

    told = await told_by(broker, third_time_lucky)
    assert (told.outcome, told.value, told.attempts, tries) == ("completed", "done", 3, [True] * 3)


async def test_a_dead_message_tells_its_error_with_all_its_classes(broker: LaneBroker) -> None:
    @octoqueue.actor(broker=broker, max_retries=0)
    async def fail() -> None:
        raise KeyError("gone")

    told = await told_by(broker, fail)
    assert told.error is not None
    assert (told.outcome, told.value, told.error["error"]) == ("failed", None, "KeyError")
    assert {"builtins.KeyError", "builtins.LookupError"} <= set(told.error["types"])
    assert "traceback" not in told.error


async def test_a_discarded_message_is_a_completed_step_without_a_value(broker: LaneBroker) -> None:
    @octoqueue.actor(broker=broker)
    async def no_need() -> int:
        raise octoqueue.Discard

    told = await told_by(broker, no_need)
    assert (told.outcome, told.value) == ("completed", None)


@pytest.mark.parametrize("value", [object(), float("nan"), {1: 2}, 2**70])
async def test_a_value_that_is_no_json_makes_the_step_fail(value: object) -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker)
    async def odd() -> object:
        return value

    told = await told_by(broker, odd)
    assert told.error is not None
    assert (told.outcome, told.error["error"]) == ("failed", "PayloadNotSerializable")
    assert "'odd'" in told.error["message"]


async def test_a_value_over_the_limit_makes_the_step_fail() -> None:
    broker = broker_on(defaults=Defaults(max_value_bytes=10_000))

    @octoqueue.actor(broker=broker)
    async def much() -> str:
        return "x" * 20_000

    told = await told_by(broker, much)
    assert told.error is not None
    assert told.error["error"] == "ResultTooLarge"
    assert "workflows.max_value_bytes" in told.error["message"]


async def test_what_a_step_sends_is_committed_with_what_it_tells(broker: LaneBroker) -> None:
    @octoqueue.actor(broker=broker, queue="later")
    async def follow() -> None: ...

    @octoqueue.actor(broker=broker)
    async def lead() -> int:
        await follow.asend()
        return 1

    assert (await told_by(broker, lead)).value == 1
    assert (await (await broker.opened_store()).stats("later")).waiting == 1


async def test_a_step_of_an_unknown_actor_fails_with_the_reason(broker: LaneBroker) -> None:
    @octoqueue.actor(broker=broker)
    async def known() -> None: ...

    execution = an_execution()
    step = a_call(execution, known)._replace(name="unknown")
    store = await broker.opened_store()
    async with running(broker):
        await store.enqueue([[sent(broker, execution, step, now_ms=await store.now_ms())]])
        (told,) = await completions(broker)
    assert told.error is not None
    assert (told.outcome, told.error["error"], told.attempts) == ("failed", "ActorUnknown", 0)


async def test_a_step_that_no_worker_can_decode_fails_with_the_reason(broker: LaneBroker) -> None:
    @octoqueue.actor(broker=broker)
    async def add(one: int) -> int:
        return one

    execution, before = an_execution(), dramatiq.get_encoder()
    dramatiq.set_encoder(dramatiq.PickleEncoder())
    try:
        await send_step(broker, execution, add, 1)
    finally:
        dramatiq.set_encoder(before)
    async with running(broker):
        (told,) = await completions(broker)
    assert told.error is not None
    assert (told.outcome, told.error["error"]) == ("failed", "EnvelopeError")


async def test_a_copy_of_a_step_s_message_ends_nobody_s_step(broker: LaneBroker) -> None:
    @octoqueue.actor(broker=broker)
    async def answer(number: int) -> int:
        return number

    @octoqueue.actor(broker=broker, max_retries=0)
    async def fail() -> int:
        raise ValueError

    done: list[int] = []

    @octoqueue.actor(broker=broker)
    async def note() -> None:
        done.append(1)

    execution = an_execution()
    stolen = decode_body(sent(broker, execution, a_call(execution, answer, 1)).payload).options
    async with running(broker):
        for actor, args in ((answer, (2,)), (fail, ())):
            await broker.aenqueue(actor.message_with_options(args=args, **stolen))
        await note.asend()
        await until(lambda: done)
        await send_step(broker, execution, answer, 3)
        (told,) = await completions(broker)
    assert told.value == 3


async def test_a_poisonous_step_fails_instead_of_taking_down_another_worker() -> None:
    broker, execution = broker_on(), an_execution()

    @octoqueue.actor(broker=broker)
    async def deadly() -> None: ...

    message = sent(broker, execution, a_call(execution, deadly))
    header = unpack_header(message.payload)._replace(deliveries=5)
    payload = pack_header(header) + message.payload[32:]
    async with running(broker):
        store = await broker.opened_store()
        await store.enqueue([[Enqueue(message.queue, message.lane, payload)]])
        (told,) = await completions(broker)
    assert told.error is not None
    assert told.error["error"] == PoisonMessage.__name__


async def test_a_step_that_came_too_late_is_told_as_expired() -> None:
    broker = broker_on()
    store = await broker.opened_store()
    execution = an_execution(deadline_at_ms=await store.now_ms() + 1)

    @octoqueue.actor(broker=broker)
    async def slow() -> None: ...

    await send_step(broker, execution, slow)
    await until(lambda: _is_past(store, execution.deadline_at_ms))
    async with running(broker):
        (told,) = await completions(broker)
    assert told.error is not None
    assert (told.outcome, told.error["error"]) == ("expired", "DeadlineExceeded")


async def _is_past(store: Any, moment_ms: int | None) -> bool:
    return bool(moment_ms is not None and await store.now_ms() > moment_ms)


async def test_a_step_cancelled_while_it_runs_is_told_as_cancelled(broker: LaneBroker) -> None:
    gate, execution = Gate(), an_execution()

    @octoqueue.actor(broker=broker)
    async def wait() -> None:
        await gate.pass_through()

    async with running(broker):
        step = await send_step(broker, execution, wait)
        await gate.entered.wait()
        assert step.message_id is not None
        await (await broker.opened_store()).cancel(step.message_id, "enough")
        (told,) = await completions(broker)
    assert told.error is not None
    assert (told.outcome, told.error["message"]) == ("cancelled", "enough")


async def test_an_ack_that_comes_too_late_tells_nothing() -> None:
    store = WatchedStore()
    broker, gate, execution = broker_on(store), Gate(), an_execution()

    @octoqueue.actor(broker=broker)
    async def slow() -> None:
        await gate.pass_through()

    async with running(broker):
        await send_step(broker, execution, slow)
        await gate.entered.wait()
        (session, queues), limit = store.called("claim")[0][0][:2], 10
        leases = await store.lanes.held(SessionId(session), queues)
        # Somebody else has settled it, as the next worker does after a reclaim.
        await store.lanes.commit(SessionId(session), acks=leases)
        before = len(store.called("commit"))
        gate.opened.set()
        await until(lambda: len(store.called("commit")) > before)
        assert limit
    refused = store.called("commit")[before][1]["settlements"][0]
    assert len(refused.follow_ups) == 1
    assert await no_completion(broker)


async def test_a_step_that_is_handed_back_tells_nothing() -> None:
    broker, gate, execution = broker_on(), Gate(), an_execution()

    @octoqueue.actor(broker=broker)
    async def slow() -> None:
        await gate.pass_through()

    async with running(broker, drain=timedelta(milliseconds=1)):
        await send_step(broker, execution, slow)
        await gate.entered.wait()
    assert await no_completion(broker)
    assert (await (await broker.opened_store()).stats("default")).waiting == 1


async def test_a_step_sent_again_while_it_runs_is_left_out(broker: LaneBroker) -> None:
    gate, execution, runs = Gate(), an_execution(), list[int]()

    @octoqueue.actor(broker=broker)
    async def once() -> None:
        runs.append(1)
        await gate.pass_through()

    store = await broker.opened_store()
    async with running(broker):
        step = await send_step(broker, execution, once)
        await gate.entered.wait()
        again = sent(broker, execution, step, now_ms=await store.now_ms())
        assert (await store.enqueue([[again]]))[0] is not None
        gate.opened.set()
        await completions(broker)
        await asyncio.sleep(0)
    assert runs == [1]


async def test_a_step_whose_waiting_message_was_cancelled_runs_when_it_is_sent_again(
    broker: LaneBroker,
) -> None:
    @octoqueue.actor(broker=broker)
    async def work() -> int:
        return 1

    execution = an_execution()
    step = await send_step(broker, execution, work)
    store = await broker.opened_store()
    assert step.message_id is not None
    assert await store.cancel(step.message_id, "by hand") is CancelOutcome.REMOVED
    assert await no_completion(broker)
    again = sent(broker, execution, step, now_ms=await store.now_ms())
    assert await store.enqueue([[again]]) == [None]
    async with running(broker):
        (told,) = await completions(broker)
    assert told.value == 1
