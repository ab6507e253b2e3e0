"""`Orchestrator`: runs the executions of the partitions it holds, until it is told to stop.

It is put together here and nowhere else: each part knows the few verbs of the others it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from octoqueue.errors import StoreError
from octoqueue.orchestrator.aftermath import Aftermath
from octoqueue.orchestrator.claiming import LetterClaimer
from octoqueue.orchestrator.driving import Driver
from octoqueue.orchestrator.functions import Functions
from octoqueue.orchestrator.inbox import Input, sorted_post
from octoqueue.orchestrator.loaded import LoadedExecutions
from octoqueue.orchestrator.membership import Membership
from octoqueue.orchestrator.orphans import Orphans
from octoqueue.orchestrator.presence import OrchestratorPresence
from octoqueue.orchestrator.reconciling import Reconciler
from octoqueue.orchestrator.ringing import Ringer
from octoqueue.orchestrator.sending import Sender
from octoqueue.orchestrator.session import LetterSession
from octoqueue.orchestrator.tasks import Tasks
from octoqueue.orchestrator.timers import Timers
from octoqueue.orchestrator.totals import OrchestratorTotals
from octoqueue.orchestrator.writing import Entry, Writer
from octoqueue.primitives.clock import Clock, SystemClock
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.workflows.definitions import DEFINITIONS, Registry
from octoqueue.workflows.limits import Limits
from octoqueue.workflows.protocol import Agent, AgentId
from octoqueue.workflows.sharding import shards_of_partitions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.orchestrator.effects import StepMessage
    from octoqueue.orchestrator.loaded import Resident
    from octoqueue.primitives.messages import Lease, Settlement
    from octoqueue.workflows.executions import ExecutionId
    from octoqueue.workflows.journal import Step, Turn
    from octoqueue.workflows.protocol import WorkflowStore

log = logging.getLogger(__name__)

_TELL_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorOptions:
    """How an orchestrator works."""

    partitions: int = 10
    """How many there are; the same in every process."""
    lease: timedelta = timedelta(seconds=4)
    """How long its partitions outlive its last sign of life."""
    shards: int = 1
    """Databases that the partitions are divided over; each has a writer of its own."""
    max_in_memory: int = 10_000
    """Executions in memory that are not busy."""
    concurrency: int = 32
    """Functions of `ctx.run` at the same time."""
    limits: Limits = field(default_factory=Limits)
    """What one execution may need."""
    horizon: timedelta = timedelta(seconds=30)
    """How far ahead timers are kept in memory."""
    drain: timedelta = timedelta(seconds=2)
    """What running functions get to end in when it stops."""
    name: str = ""
    """Of the process; that of its session when it has none."""
    fleet: str = ""
    """Which it counts towards."""


class Orchestrator:
    """One orchestrator among others."""

    def __init__(
        self,
        store: WorkflowStore,
        lanes: LaneStore,
        *,
        step_message: StepMessage,
        options: OrchestratorOptions | None = None,
        registry: Registry = DEFINITIONS,
        clock: Clock | None = None,
    ) -> None:
        """Put it together.

        Args:
            store: where executions are kept.
            lanes: where letters wait and messages go; its lease is that of the letters.
            step_message: makes the message of a pending CALL step.
            options: how it works.
            registry: the workflow functions of this process.
            clock: for tests.
        """
        self.options = options = options or OrchestratorOptions()
        self.agent = Agent(
            agent_id=AgentId(text_from_id(new_message_id())), host=socket.gethostname()
        )
        self.totals = totals = OrchestratorTotals()
        self._store = store
        self._lanes = lanes
        self._step_message = step_message
        self._clock = clock = clock or SystemClock()
        self._tasks = tasks = Tasks()
        self._loaded = LoadedExecutions(bound=options.max_in_memory)
        self._timers = Timers(horizon_ms=options.horizon // timedelta(milliseconds=1))
        self._ringer = Ringer(self._timers, rung=self._ring, clock=clock)
        self._leaving: frozenset[int] = frozenset()
        """Partitions that are being given up."""
        self._stopping = asyncio.Event()
        self._membership = Membership(
            store,
            self.agent,
            partitions=options.partitions,
            lease=options.lease,
            taken=self._taken,
            lost=self._lost,
            giving_up=self._bring_to_rest,
            totals=totals,
            clock=clock,
        )
        epochs = self._membership.epochs
        self._session = LetterSession(
            lanes,
            lost=self._lost_memory,
            presence=OrchestratorPresence(
                name=options.name,
                fleet=options.fleet,
                partitions=options.partitions,
                slots=options.concurrency,
                running=lambda: len(self._functions),
                started=self._membership.attended,
                stopping=self._stopping,
                clock=clock,
            ),
            clock=clock,
        )
        self._claimer = LetterClaimer(
            lanes,
            self._session.name,
            partitions=self._claimable,
            opened=self._opened,
            room=self._room,
            clock=clock,
        )
        self._sender = Sender(
            lanes, self._session.name, ended=self._claimer.ended, tasks=tasks, clock=clock
        )
        self._driver = Driver(
            store,
            sinks=self,
            registry=registry,
            epochs=epochs,
            loaded=self._loaded,
            timers=self._timers,
            totals=totals,
            limits=options.limits,
            tasks=tasks,
            clock=clock,
        )
        self._functions = Functions(
            concurrency=options.concurrency,
            ended=self._driver.step_ended,
            tasks=tasks,
            totals=totals,
            clock=clock,
        )
        aftermath = Aftermath(
            step_message=step_message,
            driver=self._driver,
            sender=self._sender,
            functions=self._functions,
            orphans=Orphans(store, look=self._driver.take, tasks=tasks, clock=clock),
            loaded=self._loaded,
            timers=self._timers,
            totals=totals,
            clock=clock,
        )
        self._shards = shards_of_partitions(options.partitions, options.shards)
        self._writers = tuple(
            Writer(
                store,
                self.agent.agent_id,
                epochs=epochs,
                is_alive=lambda: self._membership.is_alive,
                written=aftermath.written,
                refused=self._driver.refused,
                lost=self._membership.forget,
                give_back=self._driver.release,
                attend=self._membership.attend,
                tasks=tasks,
                totals=totals,
                clock=clock,
            )
            for _ in range(options.shards)
        )
        self._reconciler = Reconciler(
            store,
            lanes,
            epochs=epochs,
            driver=self._driver,
            loaded=self._loaded,
            timers=self._timers,
            sender=self._sender,
            in_hand=self._claimer.in_hand,
            settled=self._settled,
            step_message=step_message,
            names=registry.names,
            tasks=tasks,
            totals=totals,
            clock=clock,
        )
        self.started = self._membership.attended
        """Set when it holds its first partitions, or knows that others hold all."""

    # ── its life ─────────────────────────────────────────────────────────────────────────────────

    @property
    def held(self) -> tuple[int, ...]:
        """The partitions it believes to hold."""
        return tuple(sorted(self._membership.epochs))

    @property
    def in_memory(self) -> int:
        """Executions in memory."""
        return len(self._loaded)

    def stop(self) -> None:
        """Take nothing more in, write what has begun, and give everything to the others."""
        self._stopping.set()

    async def run(self) -> None:
        """Run executions until told to stop.

        Raises:
            Exception: a mistake of ours; what was not written happens again elsewhere.
        """
        log.info("orchestrator_started", extra={"agent": self.agent.agent_id})
        begin = self._tasks.begin
        self._tasks.leave(self._session.run())
        attending = begin(self._membership.run())
        claiming = begin(self._claimer.run())
        self._tasks.leave(self._ringer.run())
        self._tasks.leave(self._reconciler.run())
        self._tasks.leave(self._tell())
        try:
            stopping = asyncio.ensure_future(self._stopping.wait())
            failing = asyncio.ensure_future(self._tasks.failed())
            try:
                await asyncio.wait((stopping, failing), return_when=asyncio.FIRST_COMPLETED)
                if failing.done():
                    await failing
            finally:
                stopping.cancel()
                failing.cancel()
                await asyncio.gather(stopping, failing, return_exceptions=True)
            await self._end(attending, claiming)
        finally:
            self._functions.close()
            await self._tasks.abandon()

    async def _end(self, attending: asyncio.Task[None], claiming: asyncio.Task[None]) -> None:
        log.info("orchestrator_quiet", extra={"in_memory": len(self._loaded)})
        self._claimer.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.options.lease.total_seconds()):
                await self._claimer.changed()
                await claiming
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.options.drain.total_seconds()):
                await self._functions.idle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.options.lease.total_seconds()):
                await self._settled()
                await self._sender.idle()
        attending.cancel()
        # A look that is still under way would bring us back among those who are there.
        await asyncio.wait([attending], timeout=self.options.lease.total_seconds())
        held = self.held
        with contextlib.suppress(TimeoutError, StoreError):
            async with asyncio.timeout(self.options.lease.total_seconds()):
                await self._membership.leave()
                await self._claimer.give_back(held)
                await self._session.retire()
        log.info("orchestrator_stopped", extra={"agent": self.agent.agent_id})

    # ── partitions ───────────────────────────────────────────────────────────────────────────────

    def _claimable(self) -> set[int]:
        return set(self._membership.epochs).difference(self._leaving)

    def _taken(self, partitions: Sequence[int]) -> None:
        self._tasks.leave(self._claimer.changed())
        self._reconciler.recover(partitions)

    def _lost(self, partitions: Iterable[int]) -> None:
        """Drop all there is of partitions: they are somebody else's."""
        for partition in partitions:
            self._reconciler.drop(partition)
            self._functions.drop(partition)
            self._driver.drop(partition)
            for lease in self._writer_of(partition).drop(partition):
                self._driver.release(lease)
        self._tasks.leave(self._claimer.changed())

    async def _bring_to_rest(self, partitions: Sequence[int]) -> None:
        """Write and send what is under way in partitions, so that they can be given up."""
        self._leaving = frozenset(partitions)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.options.lease.total_seconds() / 4):
                    await self._claimer.changed()
                    for writer in self._writers:
                        await writer.caught_up()
                    await self._sender.caught_up()
        finally:
            self._leaving = frozenset()

    def _lost_memory(self) -> None:
        """Send again what Redis has forgotten."""
        log.warning("lanes_lost_memory", extra={"partitions": ",".join(map(str, self.held))})
        self._reconciler.recover(self.held)

    # ── letters, turns, effects ──────────────────────────────────────────────────────────────────

    def _opened(self, leases: list[Lease]) -> None:
        post = sorted_post(leases, self._claimable())
        self.totals.letters += len(post.inputs)
        for lease in post.foreign:
            self._driver.release(lease)
        for lease, error in post.unreadable:
            self._driver.bury(lease, error)
        self._driver.take(post.inputs)

    async def _room(self) -> None:
        """Return when the write under way has ended, so that the next carries all that came."""
        for writer in self._writers:
            await writer.round()

    def _writer_of(self, partition: int) -> Writer:
        return self._writers[self._shards[partition]]

    def turned(self, resident: Resident, turn: Turn, lease: Lease | None) -> None:
        """Take a turn from the driver."""
        self._writer_of(turn.partition).add(Entry(resident, turn, lease))

    def done(self, lease: Lease, partition: int) -> None:
        """Take a letter from the driver that caused no turn."""
        self._writer_of(partition).done(lease, partition)

    def put_back(self, settlement: Settlement) -> None:
        """Take a letter from the driver that is not for now."""
        self._sender.end((), (settlement,))

    def to_run(self, resident: Resident, step: Step) -> None:
        """Take a function from the driver that a replayed execution waits for."""
        self._functions.start(resident, step)

    async def _settled(self) -> None:
        """Return when what was taken in so far is written, and its effects are sent."""
        await self._driver.reader.caught_up()
        for writer in self._writers:
            await writer.caught_up()

    # ── time ─────────────────────────────────────────────────────────────────────────────────────

    def _ring(self, due: list[tuple[ExecutionId, str, int]]) -> None:
        self._driver.take(
            Input(execution_id, partition, timer=key) for execution_id, key, partition in due
        )

    async def _tell(self) -> None:
        """Log once a minute what was done."""
        before = replace(self.totals)
        while True:
            await self._clock.sleep(_TELL_SECONDS)
            grown = self.totals.since(before)
            before = replace(self.totals)
            if grown:
                log.info(
                    "executions_ran",
                    extra={**grown, "in_memory": len(self._loaded), "held": len(self.held)},
                )
