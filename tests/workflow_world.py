# ruff: noqa: ANN401 - options and results are those of what is called
"""Workflows on the event loop of a test: their store, lanes, workers and orchestrators.

async with memory_world() as world:               # or real_world(postgres_dsn, redis_url)
    @world.workflow()
    async def order(ctx: Context, count: int) -> int: ...

    async with world.orchestrating(), world.working():
        assert await world.result(await world.start(order, 3)) == 6
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import orjson
import redis.asyncio

from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.sources import FactorySource
from octoqueue.broker.steps import step_message
from octoqueue.lanes.options import LaneOptions
from octoqueue.maintenance.promoter import Promoter
from octoqueue.maintenance.reclaimer import Reclaimer
from octoqueue.orchestrator.orchestrator import Orchestrator, OrchestratorOptions
from octoqueue.postgres.migrator import Migrator
from octoqueue.postgres.pool import PostgresPool
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.primitives.service import ServiceGroup
from octoqueue.producer.nudging import nudge
from octoqueue.routing.partitions import PartitionMap
from octoqueue.settings.workflows import ComplexityTable
from octoqueue.testing.memory_lanes import MemoryLaneStore
from octoqueue.testing.memory_workflows import MemoryWorkflowStore
from octoqueue.workflows.definitions import Definition, Registry, define
from octoqueue.workflows.executions import (
    ExecutionId,
    NewExecution,
    WorkflowId,
    new_execution_id,
    partition_of,
    workflow_id_from,
)
from octoqueue.workflows.journal import Signal, SignalId
from octoqueue.workflows.letters import queue_of
from octoqueue.workflows.postgres_workflows import PostgresWorkflowStore
from octoqueue.workflows.states import ExecutionStatus, SignalKind
from tests.databases import fresh_database
from tests.running import PATIENCE_SECONDS, running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.messages import Enqueue
    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.journal import Step
    from octoqueue.workflows.protocol import Loaded, WorkflowStore

T = TypeVar("T")
PARTITIONS = 4
OPTIONS = OrchestratorOptions(partitions=PARTITIONS)


@dataclass
class WorkflowWorld:
    """Everything a test of workflows needs."""

    store: WorkflowStore
    lanes: LaneStore
    broker: LaneBroker
    options: OrchestratorOptions = OPTIONS
    registry: Registry = field(default_factory=Registry)
    clock: Clock = field(default_factory=SystemClock)
    redis_url: str = ""
    dsn: str = ""

    # ── declaring ────────────────────────────────────────────────────────────────────────────────

    def workflow(
        self, **options: Any
    ) -> Callable[[Callable[..., Coroutine[Any, Any, Any]]], Definition]:
        """Declare a workflow function of this world."""

        def declare(function: Callable[..., Coroutine[Any, Any, Any]]) -> Definition:
            return define(function, registry=self.registry, **options)

        return declare

    # ── processes ────────────────────────────────────────────────────────────────────────────────

    def orchestrator(
        self,
        *,
        store: WorkflowStore | None = None,
        lanes: LaneStore | None = None,
        registry: Registry | None = None,
    ) -> Orchestrator:
        """One that does nothing yet."""
        return Orchestrator(
            store or self.store,
            lanes or self.lanes,
            step_message=self.step_message,
            options=self.options,
            registry=registry or self.registry,
            clock=self.clock,
        )

    def step_message(self, execution: Execution, step: Step) -> Enqueue:
        """The message of a pending CALL step."""
        return step_message(
            self.broker,
            execution,
            step,
            now_ms=self.clock.now_ms(),
            complexity_rules=ComplexityTable(),
        )

    @asynccontextmanager
    async def orchestrating(self, **options: Any) -> AsyncGenerator[Orchestrator]:
        """An orchestrator for the length of the block; it holds partitions, and ends in order."""
        orchestrator = self.orchestrator(**options)
        task = asyncio.create_task(orchestrator.run())
        await _begun(orchestrator, task)
        try:
            yield orchestrator
        finally:
            orchestrator.stop()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await task

    @asynccontextmanager
    async def mortal(
        self, **options: Any
    ) -> AsyncGenerator[tuple[Orchestrator, asyncio.Task[None]]]:
        """An orchestrator and its task; cancelling that is its sudden death."""
        orchestrator = self.orchestrator(**options)
        task = asyncio.create_task(orchestrator.run())
        await _begun(orchestrator, task)
        try:
            yield orchestrator, task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    @asynccontextmanager
    async def working(self, *queues: str, **options: Any) -> AsyncGenerator[None]:
        """A worker of the actors, with its upkeep, for the length of the block."""
        async with running(self.broker, *queues, **options), ServiceGroup(self.upkeep()):
            yield

    def upkeep(self) -> list[Any]:
        """What brings lost and delayed messages back."""
        letters = [queue_of(partition) for partition in range(self.options.partitions)]
        return [
            Reclaimer(self.lanes, look_every=timedelta(seconds=1)),
            Promoter(self.lanes, [*self.broker.queues, *letters]),
        ]

    # ── callers ──────────────────────────────────────────────────────────────────────────────────

    async def start(
        self,
        definition: Definition,
        input_: object = None,
        *,
        workflow_id: str | None = None,
        nudged: bool = True,
        **given: Any,
    ) -> Execution:
        """Start a workflow as callers do."""
        ident = workflow_id_from(workflow_id or uuid4().hex)
        new = NewExecution(
            workflow_id=ident,
            execution_id=new_execution_id(ident),
            partition=self.partition_of(ident),
            name=definition.name,
            version=definition.version,
            input=definition.input_from(input_),
            signals=None if definition.signals is None else tuple(definition.signals),
            **given,
        )
        execution = (await self.store.start(new)).execution
        if nudged:
            await nudge(self.lanes, execution, now_ms=self.clock.now_ms())
        return execution

    async def start_many(self, definition: Definition, inputs: Sequence[object]) -> list[Execution]:
        """Start workflows as fast as it goes."""
        return await asyncio.gather(*(self.start(definition, each) for each in inputs))

    async def flush(self) -> None:
        """Let Redis lose its memory, whoever uses it."""
        async with redis.asyncio.from_url(self.redis_url) as client:
            await client.flushall()

    async def signal(
        self,
        workflow_id: WorkflowId,
        name: str = "",
        value: object = None,
        *,
        kind: SignalKind = SignalKind.SENT,
        nudged: bool = True,
    ) -> None:
        """Send a signal as callers do."""
        ident = SignalId(text_from_id(new_message_id()))
        signal = Signal(ident, kind, name, orjson.dumps(value), self.clock.now_ms())
        execution = await self.store.signal(workflow_id, signal)
        if nudged:
            await nudge(self.lanes, execution, now_ms=self.clock.now_ms())

    async def cancel(self, workflow_id: WorkflowId, reason: str = "") -> None:
        """Ask a workflow to end."""
        await self.signal(workflow_id, value=reason, kind=SignalKind.CANCEL)

    def partition_of(self, workflow_id: WorkflowId) -> int:
        """Where a workflow belongs."""
        return partition_of(workflow_id, PartitionMap(self.options.partitions))

    # ── facts ────────────────────────────────────────────────────────────────────────────────────

    async def until(
        self,
        execution: Execution,
        fact: Callable[[Loaded], bool],
        *,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> Loaded:
        """Return the history of an execution as soon as something is true of it."""
        loaded: Loaded | None = None
        try:
            async with asyncio.timeout(patience_seconds):
                while True:
                    loaded = await self.store.history(execution.execution_id)
                    if loaded is not None and fact(loaded):
                        return loaded
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"it never became true of {loaded}") from None

    async def ended(self, execution: Execution, **options: Any) -> Execution:
        """Return an execution once it has ended."""
        loaded = await self.until(execution, lambda each: each.execution.is_final, **options)
        return loaded.execution

    async def result(self, execution: Execution, **options: Any) -> Any:
        """Return what an execution returned."""
        ended = await self.ended(execution, **options)
        assert ended.status is ExecutionStatus.COMPLETED, ended
        return orjson.loads(ended.output or b"")

    async def all_ended(
        self, executions: list[ExecutionId], *, patience_seconds: float = PATIENCE_SECONDS
    ) -> list[Execution]:
        """Return executions once all have ended."""
        left, ended = set(executions), list["Execution"]()
        async with asyncio.timeout(patience_seconds):
            while left:
                for loaded in await self.store.load(sorted(left)[:500]):
                    if loaded.execution.is_final:
                        left.discard(loaded.execution.execution_id)
                        ended.append(loaded.execution)
                await asyncio.sleep(0.02)
        return ended


async def _begun(orchestrator: Orchestrator, task: asyncio.Task[None]) -> None:
    started = asyncio.create_task(orchestrator.started.wait())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.wait((task, started), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
    finally:
        started.cancel()


@asynccontextmanager
async def memory_world(
    *, clock: Clock | None = None, options: OrchestratorOptions = OPTIONS, **lanes: Any
) -> AsyncGenerator[WorkflowWorld]:
    """A world in this process; what it keeps ends with it."""
    lane_options = LaneOptions(**{"lease": timedelta(seconds=4), **lanes})
    store = MemoryLaneStore(lane_options, clock=clock)
    broker = LaneBroker(source=FactorySource(lambda: store))
    async with broker.connected():
        yield WorkflowWorld(
            store=MemoryWorkflowStore(clock=clock),
            lanes=store,
            broker=broker,
            options=options,
            clock=clock or SystemClock(),
        )


@asynccontextmanager
async def real_world(
    postgres_dsn: str,
    redis_url: str,
    *,
    options: OrchestratorOptions = OPTIONS,
    lease: timedelta = timedelta(seconds=4),
) -> AsyncGenerator[WorkflowWorld]:
    """A world on real servers, with a database and a namespace of its own."""
    lane_options = LaneOptions(namespace=f"t{uuid4().hex[:12]}", lease=lease)
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(fresh_database(postgres_dsn))
        pool = await stack.enter_async_context(PostgresPool(dsn))
        await Migrator(pool).migrate()
        store = PostgresWorkflowStore(pool)
        stack.push_async_callback(store.aclose)
        broker = LaneBroker(redis_url, options=lane_options)
        await stack.enter_async_context(broker.connected())
        lanes = await broker.another_store()
        stack.push_async_callback(lanes.aclose)
        yield WorkflowWorld(
            store=store,
            lanes=lanes,
            broker=broker,
            options=options,
            redis_url=redis_url,
            dsn=dsn,
        )
