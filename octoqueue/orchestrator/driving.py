"""`Driver`: gives inputs to the machines of executions, in order; their turns go on to be written.

An execution that is not in memory is read first, and its inputs wait meanwhile. A nudge always
causes a read, because what it is about stands in the store; signals that a machine was given before
are left out.

Whatever a machine raises concerns its execution alone: that one is parked, and the others go on.
What came for it stays a letter, so that nothing which was paid for is lost with it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from octoqueue.errors import WorkflowChanged, WorkflowNotDeclared
from octoqueue.orchestrator.inbox import tell_completion
from octoqueue.orchestrator.loaded import Resident
from octoqueue.orchestrator.parking import cancelled_without_code, parked, unblocked
from octoqueue.orchestrator.reading import Reader
from octoqueue.primitives.messages import Outcome, Settlement
from octoqueue.workflows.failures import error_json
from octoqueue.workflows.machine import Machine
from octoqueue.workflows.protocol import Timer
from octoqueue.workflows.states import ExecutionStatus, StepKind, StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Protocol

    from octoqueue.orchestrator.inbox import Input
    from octoqueue.orchestrator.loaded import LoadedExecutions
    from octoqueue.orchestrator.tasks import Tasks
    from octoqueue.orchestrator.timers import Timers
    from octoqueue.orchestrator.totals import OrchestratorTotals
    from octoqueue.primitives.clock import Clock
    from octoqueue.primitives.messages import Lease
    from octoqueue.workflows.definitions import Registry
    from octoqueue.workflows.executions import Execution, ExecutionId
    from octoqueue.workflows.journal import Step, Turn
    from octoqueue.workflows.limits import Limits
    from octoqueue.workflows.protocol import Loaded, WorkflowStore

    class Sinks(Protocol):
        """Where what a driver gives goes."""

        def turned(self, resident: Resident, turn: Turn, lease: Lease | None) -> None:
            """A turn is to be written; with it, a letter is done."""

        def done(self, lease: Lease, partition: int) -> None:
            """A letter is done once everything before it is written."""

        def put_back(self, settlement: Settlement) -> None:
            """A letter is for later, or for somebody else."""

        def to_run(self, resident: Resident, step: Step) -> None:
            """A function is to be run."""


log = logging.getLogger(__name__)

_SNOOZE_MS = 30_000
"""How long a completion waits whose execution is parked."""


class Driver:
    """Owns the machines of one orchestrator."""

    def __init__(
        self,
        store: WorkflowStore,
        *,
        sinks: Sinks,
        registry: Registry,
        epochs: Mapping[int, int],
        loaded: LoadedExecutions,
        timers: Timers,
        totals: OrchestratorTotals,
        limits: Limits,
        tasks: Tasks,
        clock: Clock,
    ) -> None:
        """Prepare.

        Args:
            store: where executions are read.
            sinks: what takes turns, letters and functions.
            registry: the workflow functions of this process.
            epochs: the partitions that are held.
            loaded: executions in memory.
            timers: what is due.
            totals: counts.
            limits: what executions may need.
            tasks: where it reads.
            clock: what time turns have.
        """
        self.reader = Reader(store, self._arrived, tasks=tasks, clock=clock)
        self._sinks = sinks
        self._registry = registry
        self._epochs = epochs
        self._loaded = loaded
        self._timers = timers
        self._totals = totals
        self._limits = limits
        self._clock = clock
        self._parents: dict[ExecutionId, Input] = {}
        """Who is to be looked at when a child turns out not to be there."""
        self._told_of: set[tuple[str, int, str]] = set()
        """Workflow functions, and what blocked executions of them: each is told once."""
        self._has_told_of_strangers = False

    # ── inputs ───────────────────────────────────────────────────────────────────────────────────

    def take(self, inputs: Iterable[Input]) -> None:
        """Give inputs to their executions, as soon as these are in memory."""
        for given in inputs:
            resident = self._loaded.get(given.execution_id)
            if resident is not None and not given.needs_read:
                self._give(resident, given)
                continue
            if resident is not None:
                resident.reads = 1
            self.reader.want(given)

    def begin_child(self, child: Input, *, parent: Input) -> None:
        """Look at an execution that a turn has begun; at its parent, if it was not allowed to."""
        self._parents[child.execution_id] = parent
        self.take([child])

    def step_ended(
        self,
        resident: Resident,
        key: str,
        *,
        status: StepStatus,
        output: bytes | None = None,
        error: bytes | None = None,
        attempts: int = 1,
    ) -> None:
        """Tell an execution that a step ended here; not when it is not in memory any more."""
        machine = resident.machine
        if machine is None or self._loaded.get(resident.execution.execution_id) is not resident:
            return
        try:
            turn = machine.step_ended(
                key,
                status=status,
                output=output,
                error=error,
                attempts=attempts,
                now_ms=self._clock.now_ms(),
            )
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is this execution's
            self._park(resident, exc)
        else:
            self._move(resident, turn, None)

    def trim(self) -> None:
        """Keep no more in memory than there may be."""
        for resident in self._loaded.trim():
            resident.close()
            self._totals.evicted += 1

    def drop(self, partition: int) -> None:
        """Forget all about a partition; its letters are for whoever holds it now."""
        for given in self.reader.drop(partition):
            self._parents.pop(given.execution_id, None)
            self.release(given.lease)
        self._timers.drop(partition)
        for resident in self._loaded.drop(partition):
            resident.close()

    def _give(self, resident: Resident, given: Input) -> None:
        """Give one input to a machine."""
        machine, told = resident.machine, given.told
        if machine is None:
            self._put_off(given)
            return
        try:
            if told is not None:
                turn = tell_completion(machine, told, now_ms=self._clock.now_ms())
            elif given.timer is not None:
                turn = machine.timer_rang(given.timer, now_ms=self._clock.now_ms())
                self._totals.timers += 1
            else:
                turn = None
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this execution's
            self._park(resident, error)
            self._put_off(given)
        else:
            self._move(resident, turn, given.lease)

    def _move(self, resident: Resident, turn: Turn | None, lease: Lease | None) -> None:
        if turn is not None:
            resident.unwritten += 1
            self._sinks.turned(resident, turn, lease)
        elif lease is not None:
            self._sinks.done(lease, resident.execution.partition)

    # ── executions that were read ────────────────────────────────────────────────────────────────

    def _arrived(self, ident: ExecutionId, loaded: Loaded | None, inputs: list[Input]) -> None:
        parent = self._parents.pop(ident, None)
        partition = inputs[0].partition if inputs else -1
        if partition not in self._epochs:
            for given in inputs:
                self.release(given.lease)
            return
        resident = self._loaded.get(ident)
        if loaded is None or loaded.execution.is_final:
            if loaded is None and parent is not None:
                self.take([parent])
            self._end_letters(ident, inputs, is_known=loaded is not None)
        elif resident is not None:
            self._read_again(resident, loaded, inputs)
        elif loaded.execution.status is ExecutionStatus.BLOCKED and not _may_unblock(inputs):
            for given in inputs:
                self._put_off(given)
        else:
            self._admit(loaded, inputs)

    def _end_letters(self, ident: ExecutionId, inputs: list[Input], *, is_known: bool) -> None:
        for given in inputs:
            if given.lease is None:
                continue
            if given.told is not None and not is_known and not self._has_told_of_strangers:
                self._has_told_of_strangers = True
                hint = "does another installation with another database use the same namespace?"
                log.warning("letter_of_unknown", extra={"execution_id": ident, "hint": hint})
            log.debug("letter_too_late", extra={"execution_id": ident})
            self._sinks.done(given.lease, given.partition)

    def _read_again(self, resident: Resident, loaded: Loaded, inputs: list[Input]) -> None:
        resident.reads = int(resident.execution.execution_id in self.reader)
        resident.looked_at = self._clock.monotonic()
        leases = [given.lease for given in inputs if given.needs_read and given.lease is not None]
        self._give_signals(resident, loaded, leases)
        for lease in leases:
            self._sinks.done(lease, resident.execution.partition)
        for given in inputs:
            if not given.needs_read:
                self._give(resident, given)

    def _give_signals(self, resident: Resident, loaded: Loaded, leases: list[Lease]) -> None:
        """Give a machine the signals it does not know; a letter goes with each turn this makes."""
        machine, seen = resident.machine, resident.seen
        seen.intersection_update([signal.signal_id for signal in loaded.signals])
        for signal in loaded.signals:
            if machine is None or machine.is_final or signal.signal_id in seen:
                continue
            seen.add(signal.signal_id)
            try:
                turn = machine.signal_came(signal, now_ms=self._clock.now_ms())
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this execution's
                self._park(resident, error)
                return
            if turn is not None:
                self._move(resident, turn, leases.pop() if leases else None)

    def _admit(self, loaded: Loaded, inputs: list[Input]) -> None:
        """Take an execution into memory and bring it to where it waits."""
        execution = loaded.execution
        leases = [given.lease for given in inputs if given.needs_read and given.lease is not None]
        try:
            resident = self._revived(loaded, leases)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this execution's
            self._refuse(loaded, error, inputs)
            return
        if execution.deadline_at_ms is not None:
            deadline = Timer(
                partition=execution.partition,
                execution_id=execution.execution_id,
                step="",
                due_at_ms=execution.deadline_at_ms,
            )
            self._timers.add([deadline], now_ms=self._clock.now_ms())
        self._give_signals(resident, loaded, leases)
        for lease in leases:
            self._sinks.done(lease, execution.partition)
        for given in inputs:
            if not given.needs_read:
                self._give(resident, given)
        self.trim()

    def _revived(self, loaded: Loaded, leases: list[Lease]) -> Resident:
        """Return an execution in memory, begun or replayed.

        Raises:
            WorkflowNotDeclared: there is no code for it here.
            WorkflowChanged: its code does not do what its journal says.
            Exception: whatever its code raises that cannot be part of it.
        """
        execution = loaded.execution
        definition = self._registry.get(execution.name, execution.version)
        machine = Machine(definition, execution, limits=self._limits, registry=self._registry)
        turn: Turn | None = None
        if execution.status is ExecutionStatus.QUEUED or execution.started_at is None:
            turn = machine.begin(now_ms=self._clock.now_ms(), journal=loaded.steps)
            self._totals.begun += 1
        else:
            machine.replay(loaded)
            self._totals.replays += 1
            if execution.status is ExecutionStatus.BLOCKED:
                turn = unblocked(execution, tuple(machine.pending.values()))
        resident = Resident(execution, machine, looked_at=self._clock.monotonic())
        resident.reads = int(execution.execution_id in self.reader)
        self._loaded.add(resident)
        if turn is not None:
            self._move(resident, turn, leases.pop() if leases else None)
        else:
            for step in machine.pending.values():
                if step.kind is StepKind.RUN:
                    self._sinks.to_run(resident, step)
        return resident

    # ── executions that cannot go on ─────────────────────────────────────────────────────────────

    def _refuse(self, loaded: Loaded, error: Exception, inputs: list[Input]) -> None:
        """Park an execution that cannot be brought into memory, unless it was cancelled."""
        execution = loaded.execution
        turn = cancelled_without_code(loaded, now_ms=self._clock.now_ms())
        was_blocked = execution.status is ExecutionStatus.BLOCKED
        if turn is None and was_blocked:
            log.debug("execution_still_blocked", extra=_facts(execution, error))
        else:
            # Its turn stands for it until that is written: nothing may be read before.
            resident = Resident(execution, None, unwritten=1)
            self._loaded.add(resident)
            if turn is None:
                self._tell_parked(execution, error)
                turn = parked(execution, error)
            self._sinks.turned(resident, turn, None)
        for given in inputs:
            self._put_off(given)

    def _park(self, resident: Resident, error: Exception) -> None:
        """Park an execution whose machine can not be used any more."""
        resident.close()
        self._tell_parked(resident.execution, error)
        self._move(resident, parked(resident.execution, error), None)

    def refused(self, resident: Resident, error: Exception, leases: Iterable[Lease]) -> Turn:
        """Park an execution whose turns the store does not take; return the turn that says so."""
        resident.close()
        for lease in leases:
            self._snooze(lease)
        self._tell_parked(resident.execution, error)
        return parked(resident.execution, error)

    def _tell_parked(self, execution: Execution, error: Exception) -> None:
        """Log it: of many that the same befell, the first."""
        self._totals.blocked += 1
        facts = _facts(execution, error)
        what = (execution.name, execution.version, type(error).__name__)
        if what in self._told_of:
            log.debug("execution_blocked", extra=facts)
            return
        self._told_of.add(what)
        if isinstance(error, WorkflowNotDeclared):
            facts["hint"] = "every orchestrator must import all workflows"
        known = isinstance(error, (WorkflowNotDeclared, WorkflowChanged))
        log.warning("execution_blocked", extra=facts, exc_info=None if known else error)

    def _put_off(self, given: Input) -> None:
        """Keep a completion for later; a nudge has nothing to keep."""
        if given.lease is None:
            return
        if given.told is None:
            self._sinks.done(given.lease, given.partition)
            return
        self._snooze(given.lease)

    def _snooze(self, lease: Lease) -> None:
        self._sinks.put_back(Settlement(lease=lease, outcome=Outcome.SNOOZE, delay_ms=_SNOOZE_MS))

    def release(self, lease: Lease | None) -> None:
        """Give a letter to whoever holds its partition."""
        if lease is not None:
            self._sinks.put_back(Settlement(lease=lease, outcome=Outcome.RELEASE))

    def bury(self, lease: Lease, error: Exception) -> None:
        """Put what is no letter where people find it."""
        reason = error_json(error)
        log.error("letter_unreadable", extra={"queue": lease.queue, "reason": str(error)})
        self._sinks.put_back(Settlement(lease=lease, outcome=Outcome.DEAD_LETTER, reason=reason))


def _may_unblock(inputs: Iterable[Input]) -> bool:
    """Return whether somebody wants a blocked execution to be tried again."""
    return any(given.needs_read for given in inputs)


def _facts(execution: Execution, error: Exception) -> dict[str, str]:
    return {
        "workflow": execution.name,
        "workflow_id": execution.workflow_id,
        "execution_id": execution.execution_id,
        "reason": f"{type(error).__name__}: {error}",
    }
