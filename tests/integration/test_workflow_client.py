"""Callers of workflows: starting, waiting, signalling, cancelling; in memory and on servers."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

import octoqueue
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.errors import (
    DeclarationError,
    InputInvalid,
    InputTooLarge,
    InvalidMessage,
    LaneFull,
    ResultTimeout,
    SignalInvalid,
    SignalUnknown,
    WorkflowFailed,
    WorkflowFinished,
    WorkflowIdTaken,
    WorkflowUnknown,
)
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import SessionId
from octoqueue.producer import workflow_following
from octoqueue.producer.workflow_client import WorkflowClient
from octoqueue.routing.partitions import PartitionMap
from octoqueue.settings.root import Settings
from octoqueue.testing.memory_lanes import MemoryLaneStore
from octoqueue.workflows.definitions import Registry
from octoqueue.workflows.executions import WorkflowId, partition_of
from octoqueue.workflows.letters import Nudge, letter_from, queue_of
from octoqueue.workflows.states import Complexity, ExecutionStatus
from tests.databases import fresh_database
from tests.running import SHORTLY, WatchedStore, broker_on, gone, until
from tests.workflow_world import PARTITIONS, memory_world, real_world

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from octoqueue.producer.workflows import Workflow
    from tests.workflow_world import WorkflowWorld

PARTITIONS_MAP = PartitionMap(PARTITIONS)
SESSION = SessionId("orchestrator")
MINUTE = timedelta(minutes=1)
AT_ONCE = timedelta(0)
SETTINGS = Settings.load(
    environ={}, overrides={"workflows.partitions": PARTITIONS, "workflows.max_value_bytes": "10KiB"}
)


@dataclass(frozen=True)
class Order:
    number: int
    customer: str = "ada"


@pytest.fixture(params=["memory", "servers"])
async def world(request: pytest.FixtureRequest) -> AsyncGenerator[WorkflowWorld]:
    if request.param == "memory":
        opening = memory_world()
    else:
        urls = (request.getfixturevalue(name) for name in ("postgres_dsn", "redis_url"))
        opening = real_world(*urls)
    async with opening as opened:
        with client_of(opened).in_use():
            yield opened


@pytest.fixture
async def quiet() -> AsyncGenerator[WorkflowWorld]:
    """In memory, without an orchestrator."""
    async with memory_world() as opened:
        with client_of(opened).in_use():
            yield opened


def client_of(world: WorkflowWorld) -> WorkflowClient:
    return WorkflowClient(
        world.store,
        world.broker,
        settings=SETTINGS,
        definitions=world.registry,
        clock=world.clock,
    )


def ordering(world: WorkflowWorld) -> Workflow[Order, str]:
    """A workflow that waits for a signal and tells events."""

    @octoqueue.workflow(registry=world.registry, signals={"approve": bool})
    async def order(ctx: octoqueue.WorkflowContext, wanted: Order) -> str:
        ctx.emit({"order": wanted.number})
        if not await ctx.signal("approve", bool):
            raise PermissionError("not approved")
        ctx.emit("approved")
        return f"{wanted.customer} gets {wanted.number}"

    return order


async def nudges(world: WorkflowWorld, workflow_id: str) -> list[str]:
    queue = queue_of(partition_of(WorkflowId(workflow_id), PARTITIONS_MAP))
    lanes = await world.broker.opened_store()
    leases = await lanes.claim(SESSION, [queue], limit=100)
    letters = [letter_from(lease.payload) for lease in leases]
    return [letter.execution_id for letter in letters if isinstance(letter, Nudge)]


# ── together with an orchestrator ────────────────────────────────────────────────────────────────


async def test_a_workflow_is_started_signalled_and_its_result_comes_typed(
    world: WorkflowWorld,
) -> None:
    order = ordering(world)
    async with world.orchestrating():
        started = await order.start(Order(17), id="order-17", tenant="acme", lane="high")
        assert (await started.execution()).tenant == "acme"
        await started.signal("approve", True)  # noqa: FBT003 - a value
        assert await started.result(timeout=SHORTLY) == "ada gets 17"
        again = order.handle_of("order-17")
        assert await again.result(timeout=SHORTLY) == "ada gets 17"
        assert await again.status() is ExecutionStatus.COMPLETED
        assert [step.name for step in (await again.history()).steps if step.name == "approve"]


async def test_a_result_is_there_after_redis_has_forgotten_all(world: WorkflowWorld) -> None:
    order = ordering(world)
    async with world.orchestrating():
        started = await order.start(Order(1))
        await started.signal("approve", True)  # noqa: FBT003 - a value
        await started.result(timeout=SHORTLY)
    forgetful = WorkflowClient(
        world.store, broker_on(), settings=SETTINGS, definitions=world.registry
    )
    with forgetful.in_use():
        handle = order.handle_of(started.workflow_id)
        assert await handle.result(timeout=AT_ONCE) == "ada gets 1"
        told = [event.value async for event in handle.events()]
    assert told == [{"order": 1}, "approved", "completed"]


async def test_who_waits_finds_the_result_although_nothing_is_announced(
    world: WorkflowWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow_following, "LOOK_EVERY", timedelta(milliseconds=50))
    order = ordering(world)
    deaf = WorkflowClient(world.store, broker_on(), settings=SETTINGS, definitions=world.registry)
    async with world.orchestrating():
        started = await order.start(Order(2))
        with deaf.in_use():
            waiter = asyncio.create_task(started.result(timeout=SHORTLY))
            await asyncio.wait((waiter,), timeout=0.01)
        await client_of(world).lanes()
        await started.signal("approve", True)  # noqa: FBT003 - a value
        assert await waiter == "ada gets 2"


async def test_what_a_workflow_tells_is_followed_as_it_is_told(world: WorkflowWorld) -> None:
    order, told = ordering(world), list[Any]()
    async with world.orchestrating():
        started = await order.start(Order(3))

        async def follow() -> None:
            async for event in started.events():
                told.append(event.value)
                assert event.is_end == (event.value == "completed")

        follower = asyncio.create_task(follow())
        await until(lambda: told)
        await started.signal("approve", True)  # noqa: FBT003 - a value
        async with asyncio.timeout(SHORTLY.total_seconds()):
            await follower
    assert told == [{"order": 3}, "approved", "completed"]


async def test_a_failure_is_raised_with_its_class_and_message(world: WorkflowWorld) -> None:
    order = ordering(world)
    async with world.orchestrating():
        started = await order.start(Order(4), id="order-4")
        await started.signal("approve", False)  # noqa: FBT003 - a value
        with pytest.raises(WorkflowFailed, match="not approved") as raised:
            await started.result(timeout=SHORTLY)
        with pytest.raises(WorkflowFinished):
            await started.signal("approve", True)  # noqa: FBT003 - a value
    assert (raised.value.status, raised.value.error) == ("failed", "PermissionError")
    with pytest.raises(WorkflowFailed, match="not approved"):
        await order.handle_of("order-4").result(timeout=AT_ONCE)


async def test_a_cancelled_workflow_says_so_to_who_waits(world: WorkflowWorld) -> None:
    order = ordering(world)
    async with world.orchestrating():
        started = await order.start(Order(5))
        waiter = asyncio.create_task(started.result(timeout=SHORTLY))
        await started.cancel("ordered twice")
        with pytest.raises(WorkflowFailed) as raised:
            await waiter
    assert raised.value.status == "cancelled"


async def test_a_result_is_waited_for_over_all_that_a_workflow_continues_as(
    world: WorkflowWorld,
) -> None:
    @octoqueue.workflow(registry=world.registry)
    async def count(ctx: octoqueue.WorkflowContext, left: int) -> str:
        await ctx.sleep(timedelta(milliseconds=1))
        if left:
            ctx.continue_as_new(left - 1)
        return f"run {ctx.run_number}"

    async with world.orchestrating():
        started = await count.start(2)
        assert await started.result(timeout=SHORTLY) == "run 3"


async def test_steps_of_a_workflow_run_in_workers(world: WorkflowWorld) -> None:
    @octoqueue.actor(broker=world.broker)
    async def double(number: int) -> int:
        return 2 * number

    @octoqueue.actor(broker=world.broker, max_retries=5)
    def refuse(number: int) -> None:
        raise LookupError(str(number))

    @octoqueue.workflow(registry=world.registry)
    async def work(ctx: octoqueue.WorkflowContext, number: int) -> int:
        doubled = await ctx.call(double.using(lane="high"), number)
        try:
            await ctx.call(refuse.using(max_retries=0), doubled)
        except octoqueue.StepFailed as error:
            return int(error.detail)
        return -1

    async with world.orchestrating(), world.working():
        assert await (await work.start(4)).result(timeout=SHORTLY) == 8


# ── what is written and sent ─────────────────────────────────────────────────────────────────────


async def test_a_start_is_written_and_nudged_and_the_same_start_again_changes_nothing(
    quiet: WorkflowWorld,
) -> None:
    order = ordering(quiet)
    first = await order.start(Order(1), id="order-1")
    second = await order.start(Order(1), id="order-1")
    execution = await first.execution()
    assert (await second.execution()).execution_id == execution.execution_id
    assert execution.status is ExecutionStatus.QUEUED
    assert set(await nudges(quiet, "order-1")) == {execution.execution_id}


async def test_what_a_start_says_holds_instead_of_what_was_declared(quiet: WorkflowWorld) -> None:
    @octoqueue.workflow(
        registry=quiet.registry, lane="low", complexity="high", deadline=MINUTE, name="named"
    )
    async def plain(ctx: octoqueue.WorkflowContext) -> None: ...

    declared = await (await plain.start()).execution()
    assert (declared.lane, declared.complexity, declared.name) == (
        Lane.LOW,
        Complexity.HIGH,
        "named",
    )
    assert declared.deadline_at_ms is not None
    moment = datetime.now(UTC) + timedelta(hours=1)
    own = await (
        await plain.start(lane="high", complexity="low", deadline=moment, tenant="acme")
    ).execution()
    assert (own.lane, own.complexity, own.tenant) == (Lane.HIGH, Complexity.LOW, "acme")
    assert own.deadline_at_ms == round(moment.timestamp() * 1000)


async def test_another_start_under_the_same_id_is_refused(quiet: WorkflowWorld) -> None:
    order = ordering(quiet)
    await order.start(Order(1), id="order-1")
    with pytest.raises(WorkflowIdTaken, match="another input"):
        await order.start(Order(2), id="order-1")


async def test_an_input_of_the_wrong_type_or_size_is_refused_before_anything_is_written(
    quiet: WorkflowWorld,
) -> None:
    order = ordering(quiet)
    wrong: Any = {"number": "many"}
    with pytest.raises(InputInvalid, match="number"):
        await order.start(wrong, id="order-1")
    with pytest.raises(InputTooLarge, match="max_value_bytes") as raised:
        await order.start(Order(1, "x" * 20_000), id="order-1")
    assert raised.value.workflow_id == "order-1"
    with pytest.raises(WorkflowUnknown):
        await order.handle_of("order-1").status()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"id": "order-1/2"}, "workflow_id"),
        ({"id": ""}, "workflow_id"),
        ({"lane": "top"}, "lane"),
        ({"tenant": "x" * 500}, "tenant"),
        ({"complexity": "odd"}, "complexity"),
        ({"deadline": timedelta(0)}, "deadline"),
        ({"deadline": datetime(2030, 1, 1)}, "deadline"),  # noqa: DTZ001 - that is what is wrong
    ],
)
async def test_an_impossible_option_is_refused_by_name(
    quiet: WorkflowWorld, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidMessage, match=named):
        await ordering(quiet).start(Order(1), **options)


async def test_a_full_lane_takes_the_start_back() -> None:
    async with memory_world() as world:
        options = LaneOptions(default_bounds=LaneBounds(high=1, normal=1, low=1))
        full = broker_on(MemoryLaneStore(options))
        client = WorkflowClient(world.store, full, settings=SETTINGS, definitions=world.registry)
        with client.in_use():
            order = ordering(world)
            await order.start(Order(1), id="order-1")
            same_partition = [
                f"order-1{n}"
                for n in range(100)
                if partition_of(WorkflowId(f"order-1{n}"), PARTITIONS_MAP)
                == partition_of(WorkflowId("order-1"), PARTITIONS_MAP)
            ]
            with pytest.raises(LaneFull):
                await order.start(Order(2), id=same_partition[0])
            with pytest.raises(WorkflowUnknown):
                await order.handle_of(same_partition[0]).status()
            kept = await order.start(Order(1), id="order-1")
            assert await kept.status() is ExecutionStatus.QUEUED


async def test_a_start_stands_when_redis_cannot_be_reached() -> None:
    async with memory_world() as world:
        store = WatchedStore()
        store.fail("enqueue", gone())
        client = WorkflowClient(
            world.store, broker_on(store), settings=SETTINGS, definitions=world.registry
        )
        with client.in_use():
            started = await ordering(world).start(Order(1))
            assert await started.status() is ExecutionStatus.QUEUED


async def test_a_signal_is_checked_where_the_workflow_is_known(quiet: WorkflowWorld) -> None:
    order = ordering(quiet)
    await order.start(Order(1), id="order-1")
    for handle in (
        order.handle_of("order-1"),
        octoqueue.WorkflowHandle[Any]("order-1"),
    ):
        with pytest.raises(SignalUnknown, match="approve"):
            await handle.signal("reject")
        with pytest.raises(SignalInvalid, match="approve"):
            await handle.signal("approve", "yes")
    with pytest.raises(WorkflowUnknown):
        await order.handle_of("order-2").signal("approve", True)  # noqa: FBT003 - a value


async def test_a_signal_sent_twice_under_one_id_is_one(quiet: WorkflowWorld) -> None:
    order = ordering(quiet)
    started = await order.start(Order(1))
    for _ in range(2):
        await started.signal(
            "approve",
            True,  # noqa: FBT003 - a value
            signal_id="0198c0de-0000-7000-8000-000000000001",
        )
    assert len((await started.history()).signals) == 1


async def test_who_does_not_know_the_workflow_sends_plain_json(quiet: WorkflowWorld) -> None:
    order = ordering(quiet)
    await order.start(Order(1), id="order-1")
    stranger = WorkflowClient(quiet.store, quiet.broker, settings=SETTINGS)
    handle = octoqueue.WorkflowHandle[Any]("order-1", client=stranger)
    with pytest.raises(SignalInvalid):
        await handle.signal("approve", object())
    with pytest.raises(InputTooLarge):
        await handle.signal("approve", "x" * 20_000)
    await handle.signal("approve", [1])
    assert (await handle.history()).signals[0].value == b"[1]"


async def test_waiting_ends_with_the_time_given_and_says_where_the_workflow_is(
    quiet: WorkflowWorld,
) -> None:
    started = await ordering(quiet).start(Order(1), id="order-1")
    with pytest.raises(ResultTimeout, match=r"order-1.*queued"):
        await started.result(timeout=timedelta(milliseconds=10))


async def test_a_workflow_is_called_directly_in_a_unit_test(quiet: WorkflowWorld) -> None:
    class Approving:
        def emit(self, value: object) -> None: ...

        async def signal(self, name: str, type_: object) -> bool:
            return name == "approve"

    assert await ordering(quiet)(Approving(), Order(9)) == "ada gets 9"


async def test_start_in_needs_a_database_and_a_transaction(quiet: WorkflowWorld) -> None:
    connection: Any = object()
    with pytest.raises(DeclarationError, match="one PostgreSQL database"):
        await ordering(quiet).start_in(connection, Order(1))


def test_a_declaration_says_what_is_wrong_with_it(quiet: WorkflowWorld) -> None:
    for options in ({"lane": "top"}, {"complexity": "odd"}, {"version": 0}):
        wrong: dict[str, Any] = options
        with pytest.raises(DeclarationError, match="'order'"):

            @octoqueue.workflow(registry=quiet.registry, **wrong)
            async def order(ctx: octoqueue.WorkflowContext) -> None: ...


# ── on servers ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def configured(postgres_dsn: str, redis_url: str) -> AsyncGenerator[Settings]:
    """A configuration of servers of this test's own."""
    async with fresh_database(postgres_dsn) as dsn:
        yield Settings.load(
            environ={},
            overrides={
                "postgres.url": dsn,
                "redis.url": redis_url,
                "namespace": f"t{uuid4().hex[:8]}",
            },
        )


async def test_a_client_is_opened_by_the_configuration_alone(configured: Settings) -> None:
    registry, broker = Registry(), LaneBroker()

    @octoqueue.workflow(registry=registry)
    async def plain(ctx: octoqueue.WorkflowContext) -> None: ...

    async with (
        broker.connected(configured),
        WorkflowClient.connected(configured, broker=broker) as client,
    ):
        started = await plain.start(id="first")
        assert await WorkflowClient.here() is client
        assert await started.status() is ExecutionStatus.QUEUED
        assert await broker.store().queues() == [
            queue_of(partition_of(WorkflowId("first"), PartitionMap(10)))
        ]


async def test_shards_keep_workflows_together(postgres_dsn: str, configured: Settings) -> None:
    registry, broker = Registry(), broker_on()

    @octoqueue.workflow(registry=registry)
    async def plain(ctx: octoqueue.WorkflowContext) -> None: ...

    async with fresh_database(postgres_dsn) as one, fresh_database(postgres_dsn) as other:
        settings = configured.model_copy(
            update={"workflows": configured.workflows.model_copy(update={"shards": (one, other)})}
        )
        async with WorkflowClient.connected(settings, broker=broker):
            started = [await plain.start(id=f"w-{number}") for number in range(10)]
            for number, handle in enumerate(started):
                assert (await handle.execution()).workflow_id == f"w-{number}"
            connection: Any = object()
            with pytest.raises(DeclarationError, match=r"leave out workflows\.shards"):
                await plain.start_in(connection)


async def test_a_start_in_a_transaction_is_there_if_that_commits(configured: Settings) -> None:
    registry, broker = Registry(), broker_on()

    @octoqueue.workflow(registry=registry)
    async def order(ctx: octoqueue.WorkflowContext, number: int) -> int:
        return number

    async with WorkflowClient.connected(configured, broker=broker):
        connection = await asyncpg.connect(configured.postgres.url)
        try:
            async with connection.transaction():
                kept = await order.start_in(connection, 1, id="kept")
                with pytest.raises(WorkflowUnknown):
                    await kept.status()
            with contextlib.suppress(LookupError):
                async with connection.transaction():
                    lost = await order.start_in(connection, 2, id="lost")
                    raise LookupError
            with pytest.raises(DeclarationError, match="open transaction"):
                await order.start_in(connection, 3, id="other")
        finally:
            await connection.close()
        assert (await kept.execution()).input == b"1"
        with pytest.raises(WorkflowUnknown):
            await lost.status()
