"""`Machine`: one execution of a workflow function, driven turn by turn. Pure.

    begin ──► the function runs until all its branches wait ──► Turn
    step_ended, signal_came, timer_rang ──► it runs on ──► Turn

What happens to an execution comes in as one call, and what has to be written comes out as one
value. There is no task, no loop and no clock in here.
"""

from __future__ import annotations

import json
import re
from collections import deque
from typing import TYPE_CHECKING, Any

import orjson

from octoqueue.errors import InputTooLarge, SignalInvalid, SignalTimeout
from octoqueue.workflows.continuing import next_execution
from octoqueue.workflows.definitions import DEFINITIONS
from octoqueue.workflows.drive import Drive
from octoqueue.workflows.failures import error_json, failed_json
from octoqueue.workflows.journal import Turn
from octoqueue.workflows.limits import DEFAULT_LIMITS
from octoqueue.workflows.states import (
    FINAL_STATUSES,
    ExecutionStatus,
    SignalKind,
    StepKind,
    StepStatus,
)
from octoqueue.workflows.stops import CANCEL, DEADLINE
from octoqueue.workflows.values import NULL
from octoqueue.workflows.waits import RunWait

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from octoqueue.workflows.definitions import Definition, Registry
    from octoqueue.workflows.drive import Outcome
    from octoqueue.workflows.executions import Execution, NewExecution
    from octoqueue.workflows.journal import Signal, SignalId, Step
    from octoqueue.workflows.limits import Limits
    from octoqueue.workflows.protocol import Loaded
    from octoqueue.workflows.waits import SignalWait, StepFunction

_SHOWN_CHARACTERS = 200
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_ENDED_ELSEWHERE = frozenset({StepKind.CALL, StepKind.RUN})


class Machine:
    """One execution in memory."""

    __slots__ = ("__weakref__", "_drive", "_inbox", "_refused", "_registry", "_status", "_taken")

    def __init__(
        self,
        definition: Definition,
        execution: Execution,
        *,
        limits: Limits = DEFAULT_LIMITS,
        registry: Registry = DEFINITIONS,
    ) -> None:
        self._drive = Drive(definition, execution, limits=limits)
        self._registry = registry
        self._status = execution.status
        self._inbox: dict[str, deque[Signal]] | None = None
        """Signals nobody has waited for yet, by name."""
        self._taken: list[SignalId] = []
        self._refused: dict[SignalId, bytes] | None = None

    @property
    def pending(self) -> Mapping[str, Step]:
        """The steps it waits for, in the order in which they began."""
        return self._drive.ledger.pending

    @property
    def status(self) -> ExecutionStatus:
        """Where it is, once all its turns are written."""
        return self._status

    @property
    def is_final(self) -> bool:
        """Whether it has ended."""
        return self._status in FINAL_STATUSES

    def function_of(self, key: str) -> StepFunction | None:
        """Return what a pending RUN step runs; None when there is no such step."""
        branch = self._drive.waiting.get(key)
        return (
            branch.wait.step_function
            if branch is not None and isinstance(branch.wait, RunWait)
            else None
        )

    def close(self) -> None:
        """Let go of the function; the machine is of no use after that. Idempotent."""
        self._drive.close()

    # ── what happens ─────────────────────────────────────────────────────────────────────────────

    def begin(self, *, now_ms: int, journal: Sequence[Step] = ()) -> Turn:
        """Begin an execution that is queued, or blocked and without a journal.

        Args:
            now_ms: the time by the clock of orchestrators.
            journal: with a retry, the steps copied from the execution it replaces; all ended.

        Raises:
            WorkflowChanged: the code does not do what that journal says.
        """
        drive = self._drive
        drive.starts_at_ms = now_ms
        if journal:
            try:
                self._follow(journal, now_ms=now_ms, may_end_early=True)
            except BaseException:
                drive.close()
                raise
            drive.ledger.leave()
            drive.now_ms = max(drive.now_ms, now_ms)
        else:
            drive.start(now_ms)
        return self._turn()

    def replay(self, loaded: Loaded) -> None:
        """Bring the function to where its journal waits, or to its end when it has ended.

        Signals that wait are not looked at.

        Raises:
            WorkflowChanged: the code does not do what the journal says.
        """
        drive = self._drive
        started_at = loaded.execution.started_at or loaded.execution.created_at
        now_ms = round(started_at.timestamp() * 1000)
        try:
            self._follow(loaded.steps, now_ms=now_ms, may_end_early=False)
            self._compare_end(loaded.execution)
            drive.ledger.close()
        except BaseException:
            drive.close()
            raise
        drive.prompt = None
        self._taken.clear()

    def step_ended(
        self,
        key: str,
        *,
        status: StepStatus,
        output: bytes | None,
        error: bytes | None,
        attempts: int,
        now_ms: int,
    ) -> Turn | None:
        """Take how a CALL or RUN ended; None when it does not wait (any more)."""
        step = self.pending.get(key)
        if step is None or step.kind not in _ENDED_ELSEWHERE or self.is_final:
            return None
        self._at(now_ms)
        if status is StepStatus.COMPLETED:
            output, error = output or NULL, None
            try:
                self._drive.fitting(output, field=f"the result of step {key} ({step.name})")
            except InputTooLarge as too_large:
                status, output, error = StepStatus.FAILED, None, error_json(too_large)
        else:
            # A row is CANCELLED when the function gave it up; this one it is told about.
            error = failed_json(error, cancelled=status is StepStatus.CANCELLED)
            status, output = StepStatus.FAILED, None
        self._end(key, status, output=output, error=error, attempts=attempts)
        return self._turn()

    def signal_came(self, signal: Signal, *, now_ms: int) -> Turn | None:
        """Take a signal; None when nobody waits for it yet, so that it is not taken."""
        if self.is_final:
            return None
        if signal.kind is SignalKind.SENT:
            return self._sent(signal, now_ms)
        self._at(now_ms)
        self._taken.append(signal.signal_id)
        if signal.kind is SignalKind.CHILD:
            self._child_ended(signal)
        elif self._drive.may_be_stopped:
            self._drive.stop(CANCEL, signal.value)
        return self._turn()

    def timer_rang(self, key: str, *, now_ms: int) -> Turn | None:
        """Take that a step is due, or with no key the execution; None when nobody waits for it."""
        drive = self._drive
        if self.is_final:
            return None
        if not key:
            if not drive.may_be_stopped or drive.was_stopped_by(DEADLINE):
                return None
            self._at(now_ms)
            drive.stop(DEADLINE, None)
            return self._turn()
        step = self.pending.get(key)
        if step is None or step.due_at_ms is None:
            return None
        self._at(now_ms)
        if step.kind is StepKind.SLEEP:
            self._end(key, StepStatus.COMPLETED)
        else:
            late = SignalTimeout(drive.execution.workflow_id, step.name, step=key)
            self._end(key, StepStatus.FAILED, error=error_json(late))
        return self._turn()

    # ── signals ──────────────────────────────────────────────────────────────────────────────────

    def _sent(self, signal: Signal, now_ms: int) -> Turn | None:
        inbox = self._inbox = self._inbox or {}
        inbox.setdefault(signal.name, deque()).append(signal)
        for key, step in self.pending.items():
            if step.kind is StepKind.SIGNAL and step.name == signal.name:
                self._at(now_ms)
                self._deliver(key, step)
                return self._turn()
        return None

    def _deliver(self, key: str, step: Step) -> None:
        """End a wait with the oldest signal that fits; those before it are refused."""
        waiting = self._inbox.get(step.name) if self._inbox else None
        branch = self._drive.waiting.get(key)
        if not waiting or branch is None:
            return
        wait: SignalWait[Any] = branch.wait  # type: ignore[assignment] # it is what planned the step
        while waiting:
            signal = waiting.popleft()
            try:
                wait.result(signal.value)
            except ValueError as error:
                workflow_id = self._drive.execution.workflow_id
                refusal = SignalInvalid(workflow_id, signal.name, reason=str(error))
                self._refused = self._refused or {}
                self._refused[signal.signal_id] = error_json(refusal)
            else:
                self._taken.append(signal.signal_id)
                self._end(key, StepStatus.COMPLETED, output=signal.value)
                break
        if not waiting and self._inbox is not None:
            self._inbox.pop(step.name, None)

    def _child_ended(self, signal: Signal) -> None:
        step = self.pending.get(signal.name)
        if step is None or step.kind is not StepKind.CHILD:
            return
        told: dict[str, Any]
        if _LONG_NUMBER.search(signal.value):  # orjson would read it as a float
            told = json.loads(signal.value)
            output = json.dumps(told.get("output"), separators=(",", ":")).encode()
        else:
            told = orjson.loads(signal.value)
            output = orjson.dumps(told.get("output"))
        if told.get("status") == ExecutionStatus.COMPLETED:
            self._end(step.key, StepStatus.COMPLETED, output=output)
        else:
            error = told.get("error")
            text = failed_json(None if error is None else orjson.dumps(error))
            self._end(step.key, StepStatus.FAILED, error=text)

    # ── turns ────────────────────────────────────────────────────────────────────────────────────

    def _at(self, now_ms: int) -> None:
        drive = self._drive
        # The function is told a time that never goes back, whoever's clock it is.
        drive.now_ms = drive.starts_at_ms = max(drive.now_ms, now_ms)

    def _end(
        self,
        key: str,
        status: StepStatus,
        *,
        output: bytes | None = None,
        error: bytes | None = None,
        attempts: int = 0,
    ) -> None:
        drive = self._drive
        drive.tell(
            drive.ledger.end(
                key,
                status,
                now_ms=drive.starts_at_ms,
                output=output,
                error=error,
                attempts=attempts,
            )
        )

    def _turn(self) -> Turn:
        """Run until everything waits, and return what is to be written."""
        drive, ledger = self._drive, self._drive.ledger
        drive.run()
        while drive.prompt:
            self._end_promptly(drive.prompt.popleft())
            drive.run()
        drive.prompt = None
        turn = Turn(
            execution_id=drive.execution.execution_id,
            partition=drive.execution.partition,
            steps=tuple(ledger.written.values()),
            taken=tuple(self._taken),
            children=tuple(ledger.children),
        )
        ledger.written.clear()
        ledger.children.clear()
        self._taken.clear()
        if self._refused:
            turn.refused, self._refused = self._refused, None
        self._move(turn)
        return turn

    def _end_promptly(self, key: str) -> None:
        step = self.pending.get(key)
        if step is None:
            return
        if step.kind is StepKind.SLEEP:
            self._end(key, StepStatus.COMPLETED)
        else:
            self._deliver(key, step)

    def _move(self, turn: Turn) -> None:
        outcome = self._drive.outcome
        if outcome is None:
            if self._status is not ExecutionStatus.RUNNING:
                turn.status = self._status = ExecutionStatus.RUNNING
            return
        turn.status = self._status = outcome.status
        turn.output, turn.error = outcome.output, outcome.error
        if outcome.next_input is not None:
            turn.continued = self._next(outcome.next_input)
        self._inbox = None

    def _next(self, text: bytes) -> NewExecution:
        """Return the execution this one goes on as: of the newest version there is."""
        drive = self._drive
        definition = drive.definition
        if definition.name in self._registry.names():
            definition = self._registry.get(definition.name)
        return next_execution(drive.execution, definition, text, now_ms=drive.now_ms)

    # ── replaying ────────────────────────────────────────────────────────────────────────────────

    def _follow(self, steps: Sequence[Step], *, now_ms: int, may_end_early: bool) -> None:
        """Tell the function what it was told before, in the same order."""
        drive, ledger = self._drive, self._drive.ledger
        ended = ledger.open(steps, may_end_early=may_end_early)
        # The first turn began something, and nothing began before it.
        drive.start(min((step.began_at_ms for step in steps), default=now_ms))
        drive.run()
        for step in ended:
            if ledger.is_told(step):
                continue
            if step.kind is StepKind.PATCH:  # the code does not ask any more
                ledger.skip(step)
                continue
            if drive.outcome is not None:
                ledger.differs(step.key, "the code ends before it")
            drive.now_ms = max(drive.now_ms, step.ended_at_ms or 0)
            self._tell_again(step)
            drive.run()

    def _compare_end(self, execution: Execution) -> None:
        outcome, differs = self._drive.outcome, self._drive.ledger.differs
        if outcome is None:
            if self.is_final:
                differs("end", f"the journal ends as {execution.status}, the code goes on")
        elif not self.is_final:
            error = (outcome.error or b"").decode()
            differs("end", f"the code ends where the journal waits {error}")
        elif outcome.status is not execution.status:
            error = (outcome.error or b"").decode()
            told = f"the code ends as {outcome.status}, the journal as {execution.status} {error}"
            differs("end", told.rstrip())
        elif outcome.output is not None and _value_of(outcome) != _value_of(execution):
            told = f"the code returns {outcome.output.decode()[:_SHOWN_CHARACTERS]}"
            differs("end", f"{told}, which is not what the journal has")

    def _tell_again(self, step: Step) -> None:
        drive, ledger = self._drive, self._drive.ledger
        if step.kind is StepKind.CANCEL:
            drive.stop(step.name, step.input)
        elif step.status is StepStatus.CANCELLED:
            ledger.differs(step.key, "the journal has given it up there, the code has not")
        else:
            ledger.follow(step)
            drive.tell(step)


def _value_of(ended: Outcome | Execution) -> object:
    return orjson.loads(ended.output or NULL)
