"""The message of a workflow's step: what its step, its execution and its complexity say of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import octoqueue
from octoqueue.broker.step_places import StepPlace, option_of, step_place
from octoqueue.errors import EnqueueError, InvalidMessage
from octoqueue.primitives.envelope import decode_body, extension_of, unpack_header
from octoqueue.primitives.extension import UniqueMode
from octoqueue.primitives.lane import Lane
from octoqueue.settings.workflows import ComplexityTable, HighComplexity
from octoqueue.workflows.executions import ExecutionId
from octoqueue.workflows.letters import OPTION
from octoqueue.workflows.states import Complexity
from tests.running import broker_on, running, until
from tests.steps import LETTERS, a_call, an_execution, send_step, sent

if TYPE_CHECKING:
    from octoqueue.primitives.messages import Enqueue

MINUTE = timedelta(minutes=1)


def options_of(message: Enqueue) -> dict[str, Any]:
    return decode_body(message.payload).options


async def test_a_step_goes_as_its_execution_goes_unless_it_says_otherwise() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, queue="q", lane="low")
    async def work() -> None: ...

    execution = an_execution(lane=Lane.HIGH, tenant="acme", deadline_at_ms=9_000)
    plain = sent(broker, execution, a_call(execution, work))
    assert (plain.queue, plain.lane) == ("q", Lane.HIGH)
    assert extension_of(plain.payload).tenant == "acme"
    assert options_of(plain)["deadline_at"] == 9_000
    own = sent(broker, execution, a_call(execution, work.using(lane="low", tenant="other")))
    assert (own.lane, unpack_header(own.payload).lane) == (Lane.LOW, Lane.LOW)
    assert extension_of(own.payload).tenant == "other"


async def test_a_step_has_the_id_of_its_journal_and_a_key_of_its_own() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, unique=octoqueue.Unique(until="started"), concurrency=2)
    async def work(number: int) -> None: ...

    execution = an_execution()
    first, second = a_call(execution, work, 1, key="1"), a_call(execution, work, 1, key="2")
    messages = [sent(broker, execution, step, now_ms=5) for step in (first, second, first)]
    assert [m.message_id for m in messages[:2]] == [first.message_id, second.message_id]
    keys = [extension_of(message.payload).unique for message in messages]
    assert keys[0] == keys[2] != keys[1]
    assert keys[0] is not None
    assert keys[0].mode is UniqueMode.DONE
    assert extension_of(messages[0].payload).caps == ("actor:work",)


async def test_a_message_says_whose_step_it_is_and_whom_to_tell() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    execution = an_execution(complexity=Complexity.HIGH)
    place = step_place(options_of(sent(broker, execution, a_call(execution, work, key="3.0"))))
    assert place == StepPlace(
        execution.execution_id,
        "3.0",
        LETTERS,
        workflow_id="order-17",
        complexity="high",
        model_tier="large",
    )


@pytest.mark.parametrize(
    ("using", "complexity", "expected_ms"),
    [
        ({}, Complexity.MEDIUM, None),
        ({}, Complexity.LOW, 60_000),
        ({}, Complexity.HIGH, 7_000),
        ({"time_limit": timedelta(seconds=2)}, Complexity.HIGH, 2_000),
        ({"complexity": "high"}, Complexity.LOW, 7_000),
    ],
)
async def test_the_complexity_gives_the_time_limit_that_a_step_does_not_say(
    using: dict[str, Any], complexity: Complexity, expected_ms: int | None
) -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    rules = ComplexityTable(high=HighComplexity(time_limit=timedelta(seconds=7)))
    execution = an_execution(complexity=complexity)
    message = sent(broker, execution, a_call(execution, work.using(**using)), rules=rules)
    assert options_of(message).get("time_limit") == expected_ms
    if expected_ms is not None:
        options = broker.executable("work").options_for(options_of(message))
        assert options.time_limit == timedelta(milliseconds=expected_ms)


async def test_a_delay_counts_from_when_the_step_began() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    execution = an_execution()
    step = a_call(execution, work.using(delay=MINUTE))._replace(began_at_ms=1_000)
    assert sent(broker, execution, step, now_ms=1_000).delay_ms == 60_000
    assert sent(broker, execution, step, now_ms=31_000).delay_ms == 30_000
    assert sent(broker, execution, step, now_ms=99_000).delay_ms == 0


async def test_a_deadline_of_the_steps_own_counts_when_it_is_the_earlier_one() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    execution = an_execution(deadline_at_ms=9_000)
    step = a_call(execution, work)
    for own_ms, expected_ms in ((5_000, 5_000), (20_000, 9_000)):
        text = b'{"queue":"default","args":[],"kwargs":{},"options":{"deadline_at":%d}}' % own_ms
        message = sent(broker, execution, step._replace(input=text))
        assert options_of(message)["deadline_at"] == expected_ms


@pytest.mark.parametrize(
    "options",
    [b'{"delay":"x"}', b'{"lane":"top"}', b'{"deadline_at":"x"}', b'{"complexity":"odd"}'],
)
async def test_a_step_with_an_impossible_option_is_refused(options: bytes) -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker)
    async def work() -> None: ...

    execution = an_execution(deadline_at_ms=9_000)
    text = b'{"queue":"default","args":[],"kwargs":{},"options":%b}' % options
    step = a_call(execution, work)._replace(input=text)
    with pytest.raises(EnqueueError):
        sent(broker, execution, step)


async def test_a_step_of_an_actor_declared_elsewhere_is_sent_all_the_same() -> None:
    broker, elsewhere = broker_on(), broker_on()

    @octoqueue.actor(broker=elsewhere, queue="far")
    async def work() -> None: ...

    execution = an_execution()
    assert sent(broker, execution, a_call(execution, work)).queue == "far"


async def test_an_actor_knows_of_which_step_it_is_the_run() -> None:
    broker, seen = broker_on(), list[tuple[str | None, ...]]()

    @octoqueue.actor(broker=broker)
    async def look() -> None:
        context = octoqueue.current_message()
        assert context is not None
        seen.append(
            (
                context.workflow_id,
                context.execution_id,
                context.step,
                context.complexity,
                context.model_tier,
                context.resource_class,
            )
        )

    execution = an_execution(complexity=Complexity.LOW)
    async with running(broker):
        await look.asend()
        await until(lambda: len(seen) == 1)
        await send_step(broker, execution, look, key="7")
        await until(lambda: len(seen) == 2)
    assert seen[0] == (None,) * 6
    assert seen[1] == ("order-17", execution.execution_id, "7", "low", "small", None)


@pytest.mark.parametrize(
    "odd", ["order-17", {}, {"execution": "e", "step": 1, "to": "orchestrator.1"}, None]
)
def test_an_option_of_that_name_that_says_nothing_of_a_step_is_left_alone(odd: object) -> None:
    assert step_place({OPTION: odd}) is None


def test_only_queues_of_orchestrators_are_told() -> None:
    place = StepPlace(ExecutionId("e"), "1", "default")
    assert step_place({OPTION: option_of(place)}) is None


@pytest.mark.parametrize(
    ("using", "named"),
    [
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": True}, "max_retries"),
        ({"time_limit": 5}, "time_limit"),
        ({"time_limit": timedelta(0)}, "time_limit"),
        ({"complexity": "odd"}, "complexity"),
    ],
)
def test_using_refuses_what_is_impossible(using: dict[str, Any], named: str) -> None:
    @octoqueue.actor(broker=broker_on())
    async def work() -> None: ...

    with pytest.raises(InvalidMessage, match=named):
        work.using(**using)


async def test_one_message_has_its_own_retries_and_its_own_time_limit() -> None:
    broker = broker_on()

    @octoqueue.actor(broker=broker, max_retries=5)
    async def work() -> None: ...

    message = work.using(max_retries=1, time_limit=timedelta(seconds=2)).message()
    options = broker.executable("work").options_for(message.options)
    assert (options.retry.max_retries, options.time_limit) == (1, timedelta(seconds=2))
    assert message.options == {"max_retries": 1, "time_limit": 2_000}
