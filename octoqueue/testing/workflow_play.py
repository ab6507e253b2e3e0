"""`Play`: runs a workflow and its children in memory, in virtual time, one thing after another.

It does what an orchestrator and workers do, with the store that keeps the promises of PostgreSQL's:
turns are written before what follows from them is done. Actors and functions take no time; when
everything waits for time, the clock goes to the next moment at which something is due.

The weakness: an actor that raises has failed for good. Its retries, limits and time limits are the
worker's; `lane_queue` tests those.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from datetime import timedelta
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

import orjson

from octoqueue.errors import DeclarationError, DrainEndless, WorkflowFinished
from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.testing.memory_workflows import MemoryWorkflowStore
from octoqueue.testing.workflow_runs import Called
from octoqueue.workflows.failures import error_json
from octoqueue.workflows.machine import Machine
from octoqueue.workflows.protocol import Agent, AgentId, Filter
from octoqueue.workflows.states import FINAL_STATUSES, StepKind, StepStatus
from octoqueue.workflows.values import plain_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from octoqueue.testing.fake_clock import FakeClock
    from octoqueue.workflows.definitions import Registry
    from octoqueue.workflows.executions import ExecutionId, NewExecution, WorkflowId
    from octoqueue.workflows.journal import Signal, SignalId, Step, Turn
    from octoqueue.workflows.limits import Limits
    from octoqueue.workflows.protocol import Loaded, Timer

PARTITION = 0
_FOREVER = timedelta(days=365_000)
_END_OF_TIME_MS = 2**62
_SHOWN = 10
_DONE_HERE = frozenset({StepKind.CALL, StepKind.RUN})
MOST_TURNS = 100_000
"""After which this cannot be meant."""


class Never:
    """What an actor is replaced by that is to run for ever."""

    def __repr__(self) -> str:
        """Return its name."""
        return "NEVER"


NEVER = Never()
"""In place of an actor's function: it runs for ever, until a cancel or a deadline."""


class Play:
    """One workflow, from its start until nothing happens any more."""

    def __init__(
        self,
        *,
        clock: FakeClock,
        function_of: Callable[[str], Callable[..., Any] | Never],
        registry: Registry,
        limits: Limits,
    ) -> None:
        """Prepare.

        Args:
            clock: virtual; moved here and nowhere else.
            function_of: gives what stands for an actor.
            registry: where children are found.
            limits: what executions may need.
        """
        self.calls: list[Called] = []
        self._clock = clock
        self._function_of = function_of
        self._registry = registry
        self._limits = limits
        self._store = MemoryWorkflowStore(clock=clock)
        self._agent = Agent(agent_id=AgentId(text_from_id(new_message_id())))
        self._epochs: dict[int, int] = {}
        self._machines: dict[ExecutionId, Machine] = {}
        self._seen: set[SignalId] = set()
        self._to_do: deque[tuple[ExecutionId, Step]] = deque()
        self._rung: set[Timer] = set()
        self._is_stale = False
        """Whether there may be executions to begin, or signals to give."""
        self._turns = 0

    async def play(
        self, new: NewExecution, sendings: Sequence[tuple[timedelta, Signal]]
    ) -> list[Loaded]:
        """Run it until nothing happens any more; return the histories of all its executions.

        Those of children, too; oldest first.

        Raises:
            DrainEndless: it goes on for ever.
        """
        await self._store.attend(self._agent, lease=_FOREVER)
        self._epochs = await self._store.take(self._agent.agent_id, [PARTITION])
        began_ms = self._clock.now_ms()
        await self._store.start(new)
        self._is_stale = True
        left = deque(sorted(sendings, key=lambda sending: sending[0]))
        while True:
            await self._do()
            due = await self._next_timer()
            if left and (due is None or began_ms + _ms(left[0][0]) <= due.due_at_ms):
                after, signal = left.popleft()
                self._go_to(began_ms + _ms(after))
                await self._send(new.workflow_id, signal)
            elif due is not None:
                self._go_to(due.due_at_ms)
                await self._ring(due)
            else:
                return await self._histories()

    # ── one thing after another ──────────────────────────────────────────────────────────────────

    async def _do(self) -> None:
        """Do what can be done without time passing."""
        while self._is_stale or self._to_do:
            if self._is_stale:
                self._is_stale = False
                await self._look()
                continue
            ident, step = self._to_do.popleft()
            machine = self._machines[ident]
            if machine.pending.get(step.key) != step:  # nobody waits for it any more
                continue
            if step.kind is StepKind.RUN:
                await self._run(ident, machine, step)
            else:
                await self._call(ident, machine, step)

    async def _call(self, ident: ExecutionId, machine: Machine, step: Step) -> None:
        wanted: dict[str, Any] = orjson.loads(step.input or b"{}")
        self.calls.append(
            Called(
                actor=step.name,
                args=tuple(wanted["args"]),
                kwargs=wanted["kwargs"],
                options=wanted["options"],
                step=step.key,
            )
        )
        function = self._function_of(step.name)
        if isinstance(function, Never):
            return
        try:
            value = function(*wanted["args"], **wanted["kwargs"])
            output = plain_json(await value if isawaitable(value) else value)
        except DeclarationError:
            raise
        except Exception as error:  # noqa: BLE001 - it is how the step ended
            await self._ended(ident, machine, step, error=error)
        else:
            await self._ended(ident, machine, step, output=output)

    async def _run(self, ident: ExecutionId, machine: Machine, step: Step) -> None:
        function = machine.function_of(step.key)
        if function is None:
            return
        attempt = 0
        while True:
            try:
                value = function()
                output = function.encoded(await value if isawaitable(value) else value)
            except Exception as error:  # noqa: BLE001 - it is how the attempt ended
                if function.retry is None or not function.retry.allows(attempt):
                    await self._ended(ident, machine, step, error=error, attempts=attempt + 1)
                    return
                attempt += 1
            else:
                await self._ended(ident, machine, step, output=output, attempts=attempt + 1)
                return

    async def _ended(
        self,
        ident: ExecutionId,
        machine: Machine,
        step: Step,
        *,
        output: bytes | None = None,
        error: Exception | None = None,
        attempts: int = 1,
    ) -> None:
        turn = machine.step_ended(
            step.key,
            status=StepStatus.FAILED if error is not None else StepStatus.COMPLETED,
            output=output,
            error=None if error is None else error_json(error),
            attempts=attempts,
            now_ms=self._clock.now_ms(),
        )
        await self._write(ident, turn)

    async def _send(self, workflow_id: WorkflowId, signal: Signal) -> None:
        with suppress(WorkflowFinished):
            sent = signal._replace(sent_at_ms=self._clock.now_ms())
            await self._store.signal(workflow_id, sent)
            self._is_stale = True

    async def _next_timer(self) -> Timer | None:
        timers = await self._store.timers([PARTITION], until_ms=_END_OF_TIME_MS)
        return next((timer for timer in timers if timer not in self._rung), None)

    async def _ring(self, timer: Timer) -> None:
        self._rung.add(timer)
        machine = self._machines[timer.execution_id]
        turn = machine.timer_rang(timer.step, now_ms=self._clock.now_ms())
        await self._write(timer.execution_id, turn)

    # ── turns ────────────────────────────────────────────────────────────────────────────────────

    async def _look(self) -> None:
        """Begin what is queued, and give everybody the signals that were sent."""
        for ident in await self._store.open_executions(PARTITION, limit=MOST_TURNS):
            (loaded,) = await self._store.load([ident])
            if ident not in self._machines:
                await self._begin(loaded)
            machine = self._machines[ident]
            for signal in loaded.signals:
                if signal.signal_id not in self._seen and not machine.is_final:
                    self._seen.add(signal.signal_id)
                    turn = machine.signal_came(signal, now_ms=self._clock.now_ms())
                    await self._write(ident, turn)

    async def _begin(self, loaded: Loaded) -> None:
        execution = loaded.execution
        definition = self._registry.get(execution.name, execution.version)
        machine = Machine(definition, execution, limits=self._limits, registry=self._registry)
        self._machines[execution.execution_id] = machine
        turn = machine.begin(now_ms=self._clock.now_ms(), journal=loaded.steps)
        await self._write(execution.execution_id, turn)

    async def _write(self, ident: ExecutionId, turn: Turn | None) -> None:
        if turn is None:
            return
        self._turns += 1
        if self._turns > MOST_TURNS:
            last = [call.actor for call in self.calls[-_SHOWN:]]
            raise DrainEndless(last, limit=MOST_TURNS)
        await self._store.write(self._agent.agent_id, [turn], self._epochs)
        # Whatever begins or ends an execution may concern another one.
        self._is_stale |= bool(turn.children) or turn.status in FINAL_STATUSES
        for step in turn.steps:
            if step.status is StepStatus.PENDING and step.kind in _DONE_HERE:
                self._to_do.append((ident, step))
            elif step.status is StepStatus.CANCELLED and step.child_id is not None:
                self._is_stale = True  # the store has asked the child to end

    async def _histories(self) -> list[Loaded]:
        executions = await self._store.executions(Filter(), limit=MOST_TURNS)
        return await self._store.load([each.execution_id for each in reversed(executions)])

    def _go_to(self, moment_ms: int) -> None:
        self._clock.advance(max(0, moment_ms - self._clock.now_ms()))


def _ms(length: timedelta) -> int:
    return length // timedelta(milliseconds=1)
