"""One worker process: the broker, the worker, its upkeep, and the signals that end it.

This is the composition root of `octoqueue worker`; everything it puts together is in the library.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from types import ModuleType

from octoqueue.broker.default import default_broker
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.cli.footprint import CycleSweep, settle_in
from octoqueue.cli.modules import lifespans
from octoqueue.errors import ModuleUnusable
from octoqueue.fleet.lifeline import Lifeline
from octoqueue.fleet.link import AgentLink
from octoqueue.maintenance.dead_letter_pruner import DeadLetterPruner
from octoqueue.maintenance.promoter import Promoter
from octoqueue.maintenance.reclaimer import Reclaimer
from octoqueue.maintenance.result_pruner import ResultPruner
from octoqueue.maintenance.scheduler import Scheduler
from octoqueue.primitives.service import Service, ServiceGroup
from octoqueue.runtime.drain_door import DrainDoor
from octoqueue.runtime.pod_cost import pod_cost_of
from octoqueue.runtime.worker import Worker, WorkerOptions
from octoqueue.settings.root import Settings
from octoqueue.workflows.definitions import DEFINITIONS

log = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def queues_for(
    broker: LaneBroker, modules: Sequence[ModuleType], wanted: Sequence[str]
) -> tuple[str, ...]:
    """Return the queues to claim from: those wanted, else those of the declared actors.

    Raises:
        ModuleUnusable: the modules declare no actor.
    """
    used = sorted({actor.queue_name for actor in broker.actors.values()})
    if not used:
        names = ", ".join(module.__name__ for module in modules)
        declares = "declares" if len(modules) == 1 else "declare"
        raise ModuleUnusable(names, f"{declares} no actor: mark a function with @octoqueue.actor")
    for queue in wanted:
        if queue not in used:
            log.warning("queue_without_actors", extra={"queue": queue, "declared": ",".join(used)})
    return tuple(wanted) or tuple(used)


async def run_worker(
    settings: Settings,
    modules: Sequence[ModuleType],
    *,
    queues: Sequence[str] = (),
    lifeline: Lifeline | None = None,
    name: str = "",
    fleet: str = "",
) -> None:
    """Work until a signal, or the end of the supervisor, says to stop.

    Raises:
        ModuleUnusable: the modules declare no actor, or a lifespan failed.
        EmbeddedError: there is no Redis, and a private one cannot be started.
    """
    broker = default_broker()
    claimed = queues_for(broker, modules, queues)
    if lifeline is None and DEFINITIONS.names():
        names = " ".join(module.__name__ for module in modules)
        hint = f"a worker runs their steps; beside it: octoqueue orchestrator {names}"
        log.info("workflows_declared", extra={"hint": hint})
    promoters: list[Promoter] = []  # none before the store is open
    worker = Worker(
        broker,
        replace(_options(settings, claimed), name=name, fleet=fleet),
        on_bell=lambda: _tell(promoters, Promoter.nudge),
        on_work=lambda: _tell(promoters, Promoter.stir),
    )
    beginning = asyncio.timeout(None)
    has_begun = False

    def stop() -> None:
        if lifeline is not None:
            lifeline.say_leaving()
        if has_begun:
            worker.stop()
        elif not beginning.expired():
            beginning.reschedule(0)  # a lifespan may wait for long, a database say

    stop_on_signals(stop)
    if lifeline is not None:
        lifeline.watch(stop, on_retire=lambda: worker.retire() if has_begun else stop())
    async with AsyncExitStack() as stack:
        try:
            async with beginning:
                await stack.enter_async_context(broker.connected(settings))
                await stack.enter_async_context(lifespans(modules, settings))
        except TimeoutError:
            if beginning.expired():
                return
            raise
        has_begun = True
        settle_in()
        store = broker.store()
        promoter = Promoter(store, claimed)
        promoters.append(promoter)
        ttl = settings.lanes.dead_letter_ttl
        letters = DeadLetterPruner(store, claimed, older_than=ttl)
        results = ResultPruner(lambda: broker.claim_checks.objects)
        reclaimer, scheduler = Reclaimer(store), Scheduler(broker)
        upkeep = (promoter, reclaimer, scheduler, letters, results, CycleSweep())
        async with ServiceGroup((*upkeep, *_protection(settings, worker, lifeline))):
            greeting = asyncio.create_task(_greet(worker, lifeline))
            try:
                await worker.run()
            finally:
                greeting.cancel()


def _protection(
    settings: Settings, worker: Worker, lifeline: Lifeline | None
) -> tuple[Service, ...]:
    """Return what keeps Kubernetes from taking a worker that would lose much."""
    if isinstance(lifeline, AgentLink):
        return ()  # the agent of its machine chooses, and drains by itself
    door = DrainDoor(worker, name=worker.options.name)
    cost = pod_cost_of(
        settings.kubernetes,
        running=lambda: len(worker.running),
        at_risk=worker.at_risk,
        is_alone=lifeline is None,
    )
    return (door,) if cost is None else (door, cost)


def _tell(promoters: Sequence[Promoter], verb: Callable[[Promoter], None]) -> None:
    for promoter in promoters:
        verb(promoter)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` for each signal that asks this process to end.

    A hang-up that is ignored stays so: that is how `nohup` keeps a process without its terminal.
    """
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop)


def _options(settings: Settings, queues: tuple[str, ...]) -> WorkerOptions:
    return WorkerOptions(
        queues=queues,
        concurrency=settings.runtime.concurrency,
        threads=settings.runtime.threads,
        drain=settings.runtime.drain,
        max_deliveries=settings.lanes.max_deliveries,
    )


async def _greet(worker: Worker, lifeline: Lifeline | None) -> None:
    await worker.started.wait()
    if lifeline is not None:
        lifeline.say_ready()
