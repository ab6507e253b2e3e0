"""A small engine around the machine and the memory store, in which everything may go wrong.

An orchestrator of this engine does one thing at a time and remembers what it has begun: it takes a
letter and computes a turn, it writes turns, it sends what follows from them and acks the letters.
Between any two of these it may die, be evicted of an execution, or lose its partitions to another
one without noticing. The queue is a dictionary that may be emptied.

`tests/property/workflow_history.py` decides what happens when.
"""

from __future__ import annotations

from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from octoqueue.errors import WorkflowFinished
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_workflows import MemoryWorkflowStore
from octoqueue.workflows.executions import ExecutionId, NewExecution, new_execution_id
from octoqueue.workflows.journal import Signal, SignalId, Step, Turn
from octoqueue.workflows.machine import Machine
from octoqueue.workflows.protocol import Agent, AgentId
from octoqueue.workflows.states import (
    FINAL_STATUSES,
    ExecutionStatus,
    SignalKind,
    StepKind,
    StepStatus,
)
from tests.workflow_model import SILENT, Node, number_sent, signals_in
from tests.workflow_program import input_of
from tests.workflow_watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from octoqueue.workflows.definitions import Definition
    from octoqueue.workflows.executions import WorkflowId
    from octoqueue.workflows.protocol import Loaded

T = TypeVar("T")
LEASE = timedelta(seconds=4)
PARTITIONS = (0, 1)
StepId = tuple[ExecutionId, str]


def at_once(verb: Coroutine[Any, Any, T]) -> T:
    """Return what a verb of the memory store answers; it waits for nothing."""
    try:
        verb.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("the memory store waits")


@dataclass
class Call:
    """A message for an actor."""

    to: StepId
    partition: int
    name: str
    args: list[Any]
    attempt: int = 0


@dataclass
class Ending:
    """A completion letter."""

    to: StepId
    partition: int
    status: StepStatus
    output: bytes | None = None
    error: bytes | None = None


class World:
    """What is outside of orchestrators: the store, the queue, workers and callers."""

    def __init__(
        self, perform: Callable[[str, list[Any], int], object], definition: Definition
    ) -> None:
        self.clock = FakeClock()
        self.store = MemoryWorkflowStore(clock=self.clock)
        self.watch = Watch()
        self.perform = perform
        self.definition = definition
        self.waiting: dict[StepId, Call] = {}
        self.running: list[Call] = []
        self.letters: deque[Ending] = deque()
        self.nudged: dict[ExecutionId, int] = {}
        self.effects: Counter[StepId] = Counter()
        self.executions: dict[ExecutionId, int] = {}
        """All there are, with their partitions, in the order in which they came."""
        self.cancelled: set[WorkflowId] = set()
        self.sent: set[tuple[WorkflowId, str]] = set()
        self.early: list[tuple[WorkflowId, str]] = []
        """Signals that may be sent before somebody waits for them."""
        self.lost = 0
        """How often the queue was emptied."""

    # ── callers ──────────────────────────────────────────────────────────────────────────────────

    def start(self, workflow_id: WorkflowId, node: Node, seed: int, *, partition: int) -> None:
        """Start a program."""
        new = NewExecution(
            workflow_id=workflow_id,
            execution_id=new_execution_id(workflow_id),
            partition=partition,
            name=self.definition.name,
            version=self.definition.version,
            input=orjson.dumps(input_of(node, seed)),
        )
        assert at_once(self.store.start(new)).is_new
        self.knows(new.execution_id, partition)
        self.early += [(workflow_id, name) for name in signals_in(node)]

    def knows(self, execution_id: ExecutionId, partition: int) -> None:
        self.executions.setdefault(execution_id, partition)

    def loaded(self, execution_id: ExecutionId) -> Loaded:
        (loaded,) = at_once(self.store.load([execution_id]))
        return loaded

    def signals_wanted(self) -> list[tuple[WorkflowId, Step]]:
        """Return the waits that somebody will end."""
        return [
            (loaded.execution.workflow_id, step)
            for loaded in map(self.loaded, self.executions)
            if not loaded.execution.is_final
            for step in loaded.steps
            if step.kind is StepKind.SIGNAL
            and step.status is StepStatus.PENDING
            and step.name != SILENT
            and (loaded.execution.workflow_id, step.name) not in self.sent
        ]

    def send_signal(self, workflow_id: WorkflowId, name: str, kind: SignalKind) -> None:
        ident = SignalId(text_from_id(new_message_id()))
        value = orjson.dumps(number_sent(name))
        signal = Signal(ident, kind, name, value, self.clock.now_ms())
        found = at_once(self.store.signal(workflow_id, signal))
        self.nudged[found.execution_id] = found.partition

    def send_once(self, workflow_id: WorkflowId, name: str) -> None:
        """Send a signal that was not sent before, unless nobody is there to take it."""
        if (workflow_id, name) not in self.sent:
            self.sent.add((workflow_id, name))
            with suppress(WorkflowFinished):
                self.send_signal(workflow_id, name, SignalKind.SENT)

    def cancel_workflow(self, workflow_id: WorkflowId) -> None:
        """Wish that a workflow ends, unless it has."""
        with suppress(WorkflowFinished):
            self.send_signal(workflow_id, "", SignalKind.CANCEL)

    # ── workers ──────────────────────────────────────────────────────────────────────────────────

    def send(self, call: Call) -> None:
        """Put a message into the queue, unless it is there: what its unique key is for."""
        if call.to not in self.waiting and call.to not in [each.to for each in self.running]:
            self.waiting[call.to] = call

    def cancel(self, to: StepId) -> None:
        self.waiting.pop(to, None)
        for call in [each for each in self.running if each.to == to]:
            self.running.remove(call)
            self.letters.append(Ending(to, call.partition, StepStatus.CANCELLED))

    def claim(self, index: int) -> None:
        call = self.waiting.pop(list(self.waiting)[index])
        self.running.append(call)
        self.effects[call.to] += 1

    def finish(self, call: Call) -> None:
        """The worker's commit: the ack and the letter, or the message for another attempt."""
        self.running.remove(call)
        call.attempt += 1
        try:
            value = self.perform(call.name, call.args, call.attempt)
        except ConnectionError:
            self.waiting[call.to] = call
        except ValueError as error:
            told = {"error": "ValueError", "message": str(error), "types": ["ValueError"]}
            dumped = orjson.dumps(told)
            self.letters.append(Ending(call.to, call.partition, StepStatus.FAILED, None, dumped))
        else:
            self.letters.append(
                Ending(call.to, call.partition, StepStatus.COMPLETED, orjson.dumps(value))
            )

    def lose_worker(self, call: Call) -> None:
        self.running.remove(call)
        self.waiting[call.to] = call

    def flush(self) -> None:
        self.waiting.clear()
        self.running.clear()
        self.letters.clear()
        self.nudged.clear()
        self.lost += 1


@dataclass
class Engine:
    """One orchestrator; what it believes may be wrong."""

    world: World
    agent_id: AgentId = field(default_factory=lambda: AgentId(text_from_id(new_message_id())))
    epochs: dict[int, int] = field(default_factory=dict)
    machines: dict[ExecutionId, Machine] = field(default_factory=dict)
    given: dict[ExecutionId, set[SignalId]] = field(default_factory=dict)
    unwritten: list[Turn] = field(default_factory=list)
    leased: list[Ending] = field(default_factory=list)
    unsent: list[Turn] = field(default_factory=list)
    unacked: list[Ending] = field(default_factory=list)
    lost: int = 0
    """How often it has noticed that the queue was emptied."""

    # ── who holds what ───────────────────────────────────────────────────────────────────────────

    def attend(self) -> None:
        """Be alive, and take whatever nobody holds."""
        store = self.world.store
        roster = at_once(store.attend(Agent(agent_id=self.agent_id), lease=LEASE))
        free = [
            partition
            for partition in PARTITIONS
            if partition not in roster.holds or roster.holds[partition].owner is None
        ]
        for partition, epoch in at_once(store.take(self.agent_id, free)).items():
            self.drop(partition)
            self.epochs[partition] = epoch
            self.recover(partition)

    def drop(self, partition: int) -> None:
        """Forget all about a partition; its letters are for others."""
        self.epochs.pop(partition, None)
        for ident in [i for i in self.machines if self.world.executions[i] == partition]:
            del self.machines[ident]
        self.unwritten = [turn for turn in self.unwritten if turn.partition != partition]
        back = [letter for letter in self.leased if letter.partition == partition]
        self.leased = [letter for letter in self.leased if letter.partition != partition]
        self.world.letters.extend(back)

    def die(self) -> None:
        """End here and now; the lease on its letters runs out, and they are given back."""
        self.world.letters.extend([*self.leased, *self.unacked])
        self.leased, self.unacked = [], []

    def recover(self, partition: int) -> None:
        """Send what nobody may have sent, and look at what nobody may have looked at."""
        store = self.world.store
        for execution, step in at_once(store.pending_calls(partition, limit=10_000)):
            if step.kind is StepKind.RUN:
                self.machine(execution.execution_id)
            else:
                self.world.send(self.call(execution.execution_id, step))
        found = at_once(store.open_executions(partition, limit=10_000))
        for ident in sorted(found, key=list(self.world.executions).index):
            self.look(ident)

    def notice_loss(self) -> None:
        self.lost = self.world.lost
        for partition in list(self.epochs):
            self.recover(partition)

    # ── turns ────────────────────────────────────────────────────────────────────────────────────

    def machine(self, ident: ExecutionId) -> Machine | None:
        """Return the machine of an execution that runs; None when it has ended."""
        if ident in self.machines:
            machine = self.machines[ident]
            return None if machine.is_final else machine
        loaded = self.world.loaded(ident)
        if loaded.execution.is_final or loaded.execution.partition not in self.epochs:
            return None
        machine = self.machines[ident] = Machine(self.world.definition, loaded.execution)
        self.given[ident] = set()
        if loaded.execution.status is ExecutionStatus.QUEUED:
            self.turned(machine.begin(now_ms=self.world.clock.now_ms()))
        else:
            machine.replay(loaded)
        self.give_signals(machine, loaded)
        return machine

    def look(self, ident: ExecutionId) -> None:
        """Give an execution the signals that it has not been given."""
        if machine := self.machine(ident):
            self.give_signals(machine, self.world.loaded(ident))

    def give_signals(self, machine: Machine, loaded: Loaded) -> None:
        given = self.given[loaded.execution.execution_id]
        for signal in loaded.signals:
            if signal.signal_id not in given and not machine.is_final:
                given.add(signal.signal_id)
                self.turned(machine.signal_came(signal, now_ms=self.world.clock.now_ms()))

    def turned(self, turn: Turn | None) -> None:
        if turn is not None:
            self.unwritten.append(turn)

    def open_letter(self, letter: Ending) -> None:
        self.world.letters.remove(letter)
        self.leased.append(letter)
        ident, key = letter.to
        if machine := self.machine(ident):
            self.turned(
                machine.step_ended(
                    key,
                    status=letter.status,
                    output=letter.output,
                    error=letter.error,
                    attempts=1,
                    now_ms=self.world.clock.now_ms(),
                )
            )

    def runs(self) -> list[StepId]:
        """Return the functions that are to be run here, once the turns that began them are kept."""
        unwritten = {turn.execution_id for turn in self.unwritten}
        return [
            (ident, key)
            for ident, machine in self.machines.items()
            if ident not in unwritten
            for key, step in machine.pending.items()
            if step.kind is StepKind.RUN
        ]

    def run(self, ident: ExecutionId, key: str) -> None:
        machine = self.machines[ident]
        function = machine.function_of(key)
        assert function is not None
        self.world.effects[ident, key] += 1
        now_ms = self.world.clock.now_ms()
        try:
            output = orjson.dumps(function())
        except ValueError as error:
            told = {"error": "ValueError", "message": str(error), "types": ["ValueError"]}
            turn = machine.step_ended(
                key,
                status=StepStatus.FAILED,
                output=None,
                error=orjson.dumps(told),
                attempts=1,
                now_ms=now_ms,
            )
        else:
            turn = machine.step_ended(
                key,
                status=StepStatus.COMPLETED,
                output=output,
                error=None,
                attempts=1,
                now_ms=now_ms,
            )
        self.turned(turn)

    def due(self) -> list[StepId]:
        timers = at_once(
            self.world.store.timers(list(self.epochs), until_ms=self.world.clock.now_ms())
        )
        return [(timer.execution_id, timer.step) for timer in timers]

    def ring(self) -> None:
        for ident, key in self.due():
            if machine := self.machine(ident):
                self.turned(machine.timer_rang(key, now_ms=self.world.clock.now_ms()))

    # ── writing and sending ──────────────────────────────────────────────────────────────────────

    def write(self) -> None:
        """Commit all turns; what is not held any more is forgotten."""
        turns, epochs = self.unwritten, dict(self.epochs)
        before = {turn.execution_id: self.world.loaded(turn.execution_id) for turn in turns}
        lost = at_once(self.world.store.write(self.agent_id, turns, epochs))
        for turn in turns:
            loaded = self.world.loaded(turn.execution_id)
            if turn.partition in lost:
                assert loaded == before[turn.execution_id], "a loser has written"
            for new in (*turn.children, *((turn.continued,) if turn.continued else ())):
                if turn.partition not in lost:
                    self.world.knows(new.execution_id, new.partition)
            self.world.watch.saw(loaded)
        for partition in lost:
            self.drop(partition)
        self.unsent += [turn for turn in turns if turn.partition not in lost]
        self.unwritten = []
        self.unacked += self.leased
        self.leased = []

    def send(self) -> None:
        """Send what follows from turns that are kept, and ack the letters that caused them."""
        for turn in self.unsent:
            for step in turn.steps:
                self.follow(turn.execution_id, step)
            for new in turn.children:
                self.look(new.execution_id)
            if turn.continued is not None:
                self.look(turn.continued.execution_id)
            if turn.status in FINAL_STATUSES:
                self.machines.pop(turn.execution_id, None)
                parent = self.world.loaded(turn.execution_id).execution.parent
                if parent is not None:
                    self.look(parent.execution_id)
        self.unsent, self.unacked = [], []

    def follow(self, ident: ExecutionId, step: Step) -> None:
        """Do what follows from a step as it was written."""
        match step.kind, step.status:
            case StepKind.CALL, StepStatus.PENDING:
                self.world.send(self.call(ident, step))
            case StepKind.CALL, StepStatus.CANCELLED:
                self.world.cancel((ident, step.key))
            case StepKind.CHILD, StepStatus.CANCELLED:
                self.look_at_child(step)
            case _:
                pass

    def look_at_child(self, step: Step) -> None:
        """The write that gave it up has asked it to end."""
        assert step.child_id is not None
        child = at_once(self.world.store.execution(step.child_id))
        if child is not None:
            newest = at_once(self.world.store.newest(child.workflow_id))
            assert newest is not None
            self.world.nudged[newest.execution_id] = newest.partition

    def call(self, ident: ExecutionId, step: Step) -> Call:
        message = orjson.loads(step.input or b"")
        to = (ident, step.key)
        return Call(to, self.world.executions[ident], step.name, message["args"])
