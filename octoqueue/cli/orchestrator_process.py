"""One orchestrator process: its servers, the orchestrator, its upkeep, and the signals that end it.

This is the composition root of `octoqueue orchestrator`; what it puts together is in the library.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import ModuleType

from octoqueue.broker.default import default_broker
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.steps import step_message
from octoqueue.broker.workflow_objects import with_large_values
from octoqueue.cli.footprint import CycleSweep, settle_in
from octoqueue.cli.modules import lifespans
from octoqueue.cli.worker_process import stop_on_signals
from octoqueue.errors import ModuleUnusable
from octoqueue.fleet.lifeline import Lifeline
from octoqueue.maintenance.promoter import Promoter
from octoqueue.maintenance.reclaimer import Reclaimer
from octoqueue.orchestrator.orchestrator import Orchestrator, OrchestratorOptions
from octoqueue.orchestrator.retention import ExecutionPruner
from octoqueue.primitives.clock import SystemClock
from octoqueue.primitives.messages import Enqueue
from octoqueue.primitives.service import ServiceGroup
from octoqueue.settings.root import Settings
from octoqueue.workflows.database import opened_workflow_store_of
from octoqueue.workflows.definitions import DEFINITIONS
from octoqueue.workflows.executions import Execution
from octoqueue.workflows.journal import Step
from octoqueue.workflows.letters import queue_of
from octoqueue.workflows.limits import Limits
from octoqueue.workflows.protocol import WorkflowStore

log = logging.getLogger(__name__)

_NAME = "octoqueue orchestrator"


async def run_orchestrator(
    settings: Settings,
    modules: Sequence[ModuleType],
    *,
    lifeline: Lifeline | None = None,
    name: str = "",
    fleet: str = "",
) -> None:
    """Run workflows until a signal, or the end of the supervisor, says to stop.

    Raises:
        ModuleUnusable: the modules declare no workflow, or a lifespan failed.
        EmbeddedError: there is no server, and a private one cannot be started.
        StoreError: the database was not there in time, or is another's.
    """
    if not DEFINITIONS.names():
        names = ", ".join(module.__name__ for module in modules)
        declares = "declares" if len(modules) == 1 else "declare"
        raise ModuleUnusable(
            names, f"{declares} no workflow: mark a function with @octoqueue.workflow"
        )
    settings = _with_own_lease(settings)
    beginning = asyncio.timeout(None)
    orchestrator: Orchestrator | None = None

    def stop() -> None:
        if lifeline is not None:
            lifeline.say_leaving()
        if orchestrator is not None:
            orchestrator.stop()
        elif not beginning.expired():
            beginning.reschedule(0)  # a database may be waited for

    stop_on_signals(stop)
    if lifeline is not None:
        lifeline.watch(stop)
    async with AsyncExitStack() as stack:
        try:
            async with beginning:
                broker = await stack.enter_async_context(default_broker().connected(settings))
                opening = opened_workflow_store_of(settings, application_name=_NAME)
                store = with_large_values(await stack.enter_async_context(opening), settings)
                await stack.enter_async_context(lifespans(modules, settings))
        except TimeoutError:
            if beginning.expired():
                return
            raise
        orchestrator = orchestrator_for(settings, broker, store, name=name, fleet=fleet)
        settle_in()
        async with ServiceGroup(_upkeep(settings, broker, store)):
            greeting = asyncio.create_task(_greet(orchestrator, lifeline))
            try:
                await orchestrator.run()
            finally:
                greeting.cancel()


def orchestrator_for(
    settings: Settings,
    broker: LaneBroker,
    store: WorkflowStore,
    *,
    name: str = "",
    fleet: str = "",
) -> Orchestrator:
    """Return the orchestrator that a configuration asks for; it does nothing yet."""
    clock, workflows = SystemClock(), settings.workflows
    rules = workflows.complexity

    def message(execution: Execution, step: Step) -> Enqueue:
        return step_message(broker, execution, step, now_ms=clock.now_ms(), complexity_rules=rules)

    return Orchestrator(
        store,
        broker.store(),
        step_message=message,
        options=OrchestratorOptions(
            partitions=workflows.partitions,
            lease=workflows.lease,
            shards=len(workflows.shards) or 1,
            max_in_memory=workflows.max_in_memory,
            concurrency=workflows.concurrency,
            name=name,
            fleet=fleet,
            limits=Limits(
                max_value_bytes=workflows.max_value_bytes,
                over_limit=workflows.over_limit,
                max_steps=workflows.max_steps,
            ),
        ),
        clock=clock,
    )


def _with_own_lease(settings: Settings) -> Settings:
    """Let letters come back as soon as partitions do when an orchestrator dies."""
    lanes = settings.lanes.model_copy(update={"lease": settings.workflows.lease})
    return settings.model_copy(update={"lanes": lanes})


def _upkeep(
    settings: Settings, broker: LaneBroker, store: WorkflowStore
) -> tuple[Promoter | Reclaimer | ExecutionPruner | CycleSweep, ...]:
    lanes = broker.store()
    queues = [queue_of(partition) for partition in range(settings.workflows.partitions)]
    return (
        Promoter(lanes, queues),
        Reclaimer(lanes),
        ExecutionPruner(store, older_than=settings.workflows.retention),
        CycleSweep(),
    )


async def _greet(orchestrator: Orchestrator, lifeline: Lifeline | None) -> None:
    await orchestrator.started.wait()
    if lifeline is not None:
        lifeline.say_ready()
