"""Real orchestrators on memory stores in virtual time, and what goes wrong with them.

Each orchestrator and each worker is a process: all it knows of the world goes through a `Wire`. At
every call on it something may happen, as a list of `Mishap`s says: the process dies before or after
the call has its effect, it is paused for longer than its lease, the server answers with an error or
its answer is lost, Redis is emptied, somebody cancels a workflow. Dead processes are replaced.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from enum import IntEnum, auto
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, cast

import orjson

from octoqueue.broker.completions import completed, ended
from octoqueue.broker.lane_broker import LaneBroker
from octoqueue.broker.sources import FactorySource
from octoqueue.broker.steps import step_message
from octoqueue.errors import StoreError, WorkflowFinished
from octoqueue.lanes.options import LaneOptions
from octoqueue.orchestrator.orchestrator import Orchestrator, OrchestratorOptions
from octoqueue.primitives.envelope import decode_body, unpack_header
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.primitives.messages import Outcome, SessionId, Settlement
from octoqueue.producer.nudging import nudge
from octoqueue.routing.partitions import PartitionMap
from octoqueue.settings.workflows import ComplexityTable
from octoqueue.testing.memory_lanes import MemoryLaneStore
from octoqueue.testing.memory_workflows import MemoryWorkflowStore
from octoqueue.workflows.definitions import Registry, define
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
from octoqueue.workflows.protocol import Filter
from octoqueue.workflows.states import SignalKind, StepKind, StepStatus
from tests.property.workflow_performing import perform
from tests.running import gone
from tests.virtual_time import LoopClock
from tests.workflow_model import SILENT, Node, number_sent
from tests.workflow_program import STEPS, Interpreter, declare_actors, input_of
from tests.workflow_watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.messages import Enqueue, Lease
    from octoqueue.workflows.executions import Execution
    from octoqueue.workflows.journal import Step, Turn
    from octoqueue.workflows.protocol import AgentId, Loaded, WorkflowStore

LEASE = timedelta(seconds=4)
PARTITIONS = 2
PAUSE_SECONDS = 10.0
"""Longer than any lease."""
REBIRTH_SECONDS = 0.3
PATIENCE_SECONDS = 150.0
"""Of virtual time, for all executions to end."""
MOMENT_SECONDS = 0.05
_QUEUES = (STEPS, *map(queue_of, range(PARTITIONS)))


class Kind(IntEnum):
    """What happens."""

    DEATH_BEFORE = auto()
    DEATH_AFTER = auto()
    ERROR = auto()
    LOST_ANSWER = auto()
    PAUSE = auto()
    FLUSH = auto()
    CANCEL = auto()


@dataclass(frozen=True)
class Mishap:
    """Something that happens at one of the calls."""

    after_calls: int
    """How many calls after the one before."""
    kind: Kind
    on_write: bool = False
    """Whether it waits for the next call that changes something."""


class Process:
    """Something that may die."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.task: asyncio.Task[None] | None = None
        self.paused_until = 0.0
        self.is_dead = False

    async def before(self, verb: str) -> Kind | None:
        """Suffer what happens before a call; return what happens."""
        await self._alive()
        kind = self.fleet.happens(verb)
        if kind in (Kind.DEATH_BEFORE, Kind.ERROR, Kind.PAUSE):
            await self._suffer(kind)
        return kind

    async def after(self, kind: Kind | None) -> None:
        """Suffer what was to happen after the call."""
        if kind in (Kind.DEATH_AFTER, Kind.LOST_ANSWER):
            await self._suffer(kind)
        await self._alive()

    async def _suffer(self, kind: Kind | None) -> None:
        if kind in (Kind.ERROR, Kind.LOST_ANSWER):
            raise gone()
        if kind is Kind.PAUSE:
            self.paused_until = self.fleet.clock.monotonic() + PAUSE_SECONDS
        else:
            self.is_dead = True
            if self.task is not None:
                self.task.cancel()
        await self._alive()

    async def _alive(self) -> None:
        if self.is_dead:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(max(0.0, self.paused_until - self.fleet.clock.monotonic()))


class Wire:
    """A store as one process reaches it."""

    def __init__(self, process: Process, store: Callable[[], Any]) -> None:
        self._process = process
        self._store = store

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the store has it
        method = getattr(self._store(), name)
        if not iscoroutinefunction(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            kind = await self._process.before(name)
            answer = await getattr(self._store(), name)(*args, **kwargs)
            await self._process.after(kind)
            return answer

        return call


_WRITES = frozenset({"write", "commit", "enqueue", "signal", "take", "release", "cancel"})


@dataclass
class Fleet:
    """The world of one history."""

    mishaps: list[Mishap]
    deadline_ms: int | None = None
    """How long every execution may last."""
    clock: LoopClock = field(default_factory=LoopClock)
    effects: Counter[str] = field(default_factory=Counter[str])
    cancelled: set[WorkflowId] = field(default_factory=set[WorkflowId])
    sent: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    retried: list[ExecutionId] = field(default_factory=list[ExecutionId])
    calls: int = 0
    deaths: int = 0

    def __post_init__(self) -> None:
        self.store = WatchedWorkflows(self.clock)
        self.options = LaneOptions(lease=LEASE)
        self.lanes = MemoryLaneStore(self.options, clock=self.clock)
        self.broker = LaneBroker(source=FactorySource(lambda: self.lanes), options=self.options)
        self.registry = Registry()
        self.interpreter = Interpreter(
            declare_actors(self.broker, lambda _: None),
            self.note,
            lambda: self.definition,
            runs_async=True,
        )
        self.definition = define(self.interpreter.carry_out, name="program", registry=self.registry)
        self.wait_for_write = False

    def note(self, what: str) -> None:
        self.effects[what] += 1

    # ── what happens ─────────────────────────────────────────────────────────────────────────────

    def happens(self, verb: str) -> Kind | None:
        """Return what happens at this call."""
        self.calls += 1
        if not self.mishaps or self.calls < self.mishaps[0].after_calls:
            return None
        if self.mishaps[0].on_write and verb not in _WRITES:
            return None
        self.calls = 0
        kind = self.mishaps.pop(0).kind
        if kind is Kind.FLUSH:
            self.lanes = MemoryLaneStore(self.options, clock=self.clock)
        elif kind is Kind.CANCEL:
            self.cancel_one()
        return kind

    def cancel_one(self) -> None:
        loop = asyncio.get_running_loop()
        for ident in self.roots:
            if ident not in self.cancelled:
                self.cancelled.add(ident)
                self.told = loop.create_task(self.signal(ident, "", SignalKind.CANCEL))
                return

    # ── callers ──────────────────────────────────────────────────────────────────────────────────

    async def start(self, nodes: list[Node]) -> None:
        """Start programs; every second one tells nobody."""
        self.roots: list[WorkflowId] = []
        for number, node in enumerate(nodes):
            ident = workflow_id_from(f"w{number}")
            self.roots.append(ident)
            new = NewExecution(
                workflow_id=ident,
                execution_id=new_execution_id(ident),
                partition=partition_of(ident, PartitionMap(PARTITIONS)),
                name="program",
                input=self.definition.input_from(input_of(node, number)),
                deadline_at_ms=self._deadline(),
            )
            started = await self.store.start(new)
            if number % 2 == 0:
                await nudge(self.lanes, started.execution, now_ms=self.clock.now_ms())

    def _deadline(self) -> int | None:
        return None if self.deadline_ms is None else self.clock.now_ms() + self.deadline_ms

    async def retry_cancelled(self, choices: Sequence[int]) -> None:
        """Begin what was cancelled again from a step, each time that of the next choice."""
        self.roots = []  # nobody cancels any more
        stopped = [
            each
            for each in await self.histories()
            if each.execution.status == "cancelled" and each.execution.parent is None
        ]
        for loaded, choice in zip(stopped, choices, strict=False):
            if loaded.steps:
                step = loaded.steps[choice % len(loaded.steps)]
                again = await self.store.retry_from(loaded.execution.execution_id, step.key)
                self.retried.append(again.execution_id)
                await nudge(self.lanes, again, now_ms=self.clock.now_ms())

    async def signal(self, workflow_id: WorkflowId, name: str, kind: SignalKind) -> None:
        ident = SignalId(text_from_id(new_message_id()))
        value = orjson.dumps(number_sent(name))
        try:
            execution = await self.store.signal(
                workflow_id, Signal(ident, kind, name, value, self.clock.now_ms())
            )
        except WorkflowFinished:
            return
        await nudge(self.lanes, execution, now_ms=self.clock.now_ms())

    async def send_signals(self) -> None:
        """End every wait that somebody is to end, once."""
        while True:
            histories = {each.execution.execution_id: each for each in await self.histories()}
            for loaded in histories.values():
                if is_wanted(loaded, histories):
                    await self._send_signals_to(loaded)
            await asyncio.sleep(MOMENT_SECONDS)

    async def _send_signals_to(self, loaded: Loaded) -> None:
        for step in loaded.steps:
            place = (loaded.execution.execution_id, step.key)
            waits = step.kind is StepKind.SIGNAL and step.status is StepStatus.PENDING
            if waits and step.name != SILENT and place not in self.sent:
                self.sent.add(place)
                await self.signal(loaded.execution.workflow_id, step.name, SignalKind.SENT)

    async def histories(self) -> list[Loaded]:
        found = await self.store.executions(Filter(), limit=10_000)
        return await self.store.load([each.execution_id for each in found])

    # ── processes ────────────────────────────────────────────────────────────────────────────────

    async def live(self, run: Callable[[Process], Coroutine[Any, Any, None]]) -> None:
        """Keep a process alive."""
        while True:
            process = Process(self)
            process.task = asyncio.create_task(run(process))
            try:
                await asyncio.wait([process.task])
            finally:
                process.task.cancel()
            if not process.is_dead:
                await process.task
                raise AssertionError("a process has ended by itself")
            self.deaths += 1
            await asyncio.sleep(REBIRTH_SECONDS)

    async def orchestrate(self, process: Process) -> None:
        orchestrator = Orchestrator(
            cast("WorkflowStore", Wire(process, lambda: self.store)),
            cast("LaneStore", Wire(process, lambda: self.lanes)),
            step_message=self.step_message,
            options=OrchestratorOptions(partitions=PARTITIONS, lease=LEASE, max_in_memory=2),
            registry=self.registry,
            clock=self.clock,
        )
        await orchestrator.run()

    def step_message(self, execution: Execution, step: Step) -> Enqueue:
        return step_message(
            self.broker,
            execution,
            step,
            now_ms=self.clock.now_ms(),
            complexity_rules=ComplexityTable(),
        )

    async def work(self, process: Process) -> None:
        """A worker; after an error it takes another name, and the old one's leases run out."""
        lanes = cast("LaneStore", Wire(process, lambda: self.lanes))
        while True:
            session = SessionId(text_from_id(new_message_id()))
            try:
                while True:
                    leases = await lanes.claim(session, [STEPS], limit=3)
                    for lease in leases:
                        await lanes.commit(session, settlements=[self.performed(lease)])
                    await asyncio.sleep(0 if leases else MOMENT_SECONDS)
            except StoreError:
                await asyncio.sleep(MOMENT_SECONDS)

    def performed(self, lease: Lease) -> Settlement:
        """Run an actor."""
        header, call = unpack_header(lease.payload), decode_body(lease.payload)
        self.note(text_from_id(lease.message_id))
        now_ms = self.clock.now_ms()
        try:
            value: Any = perform(call.actor, list(call.args), header.attempt + 1)
        except ConnectionError:
            return Settlement(lease=lease, outcome=Outcome.RETRY, delay_ms=10)
        except ValueError as error:
            outcome = Outcome.DEAD_LETTER
            record = {"error": "ValueError", "message": str(error), "types": ["ValueError"]}
            told = ended(call, lease.payload, outcome, record, now_ms=now_ms)
            return Settlement(lease=lease, outcome=outcome, reason=b"{}", follow_ups=told)
        told = completed(call, lease.payload, value, now_ms=now_ms, limit_bytes=1 << 20)
        return Settlement(lease=lease, outcome=Outcome.ACK, follow_ups=told)

    async def keep_tidy(self) -> None:
        while True:
            await self.lanes.reclaim()
            for queue in _QUEUES:
                await self.lanes.promote(queue)
            await asyncio.sleep(MOMENT_SECONDS)

    # ── all together ─────────────────────────────────────────────────────────────────────────────

    async def run(self, nodes: list[Node], *, retries: Sequence[int] = ()) -> list[Loaded]:
        """Run programs to their end, and what was cancelled again; return what is kept of them."""
        await self.start(nodes)
        running = [
            self.live(self.orchestrate),
            self.live(self.orchestrate),
            self.live(self.work),
            self.live(self.work),
            self.keep_tidy(),
            self.send_signals(),
        ]
        tasks = [asyncio.create_task(each) for each in running]
        ending = asyncio.create_task(self._all_ended_twice(retries))
        try:
            await asyncio.wait([*tasks, ending], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    await task
            await ending
        finally:
            for task in (*tasks, ending):
                task.cancel()
            await asyncio.gather(*tasks, ending, return_exceptions=True)
        return await self.histories()

    async def _all_ended_twice(self, retries: Sequence[int]) -> None:
        await self.all_ended()
        await self.retry_cancelled(retries)
        await self.all_ended()

    async def all_ended(self) -> None:
        """Return when every execution has ended, and nothing is left of them in the lanes."""
        until = self.clock.monotonic() + PATIENCE_SECONDS
        while self.clock.monotonic() < until:
            histories = await self.histories()
            left = [each for each in histories if not each.execution.is_final]
            if not left and not await self.anything_left():
                return
            await asyncio.sleep(MOMENT_SECONDS)
        told = "\n".join(
            f"{each.execution}\n  " + "\n  ".join(map(str, [*each.steps, *each.signals]))
            for each in await self.histories()
            if not each.execution.is_final
        )
        raise AssertionError(f"in the lanes is {await self.anything_left()}; open are:\n{told}")

    async def anything_left(self) -> dict[str, int]:
        """Return how many messages each queue still has, those that have some."""
        found = {queue: await self.lanes.stats(queue) for queue in _QUEUES}
        counts = {q: stats.waiting + stats.in_flight + stats.delayed for q, stats in found.items()}
        return {queue: count for queue, count in counts.items() if count}


def is_wanted(loaded: Loaded, histories: Mapping[ExecutionId, Loaded]) -> bool:
    """Return whether anybody waits for an execution; who is not wanted must be asked to end."""
    parent = loaded.execution.parent
    if parent is None:
        return True
    steps = histories[parent.execution_id].steps
    return any(step.key == parent.step and step.status is StepStatus.PENDING for step in steps)


class WatchedWorkflows(MemoryWorkflowStore):
    """The memory store; every write is judged."""

    def __init__(self, clock: LoopClock) -> None:
        super().__init__(clock=clock)
        self.watch = Watch()

    async def write(
        self, agent_id: AgentId, turns: Sequence[Turn], epochs: Mapping[int, int]
    ) -> frozenset[int]:
        """Commit turns."""
        lost = await super().write(agent_id, turns, epochs)
        idents: dict[ExecutionId, None] = dict.fromkeys(turn.execution_id for turn in turns)
        for loaded in await self.load(list(idents)):
            self.watch.saw(loaded)
        return lost
