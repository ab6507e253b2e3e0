"""A desk for workflow functions: drives one execution by hand and checks its journal all the time.

Each turn is taken twice: by the machine that stayed in memory, and by a new one that was given the
journal as it was before. Both must write the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from octoqueue.primitives.ids import new_message_id, text_from_id
from octoqueue.workflows.definitions import Definition, Registry, define
from octoqueue.workflows.executions import Execution, NewExecution, WorkflowId, new_execution_id
from octoqueue.workflows.journal import Signal, SignalId, Step, Turn
from octoqueue.workflows.limits import Limits
from octoqueue.workflows.machine import Machine
from octoqueue.workflows.protocol import Loaded
from octoqueue.workflows.starts import queued_from
from octoqueue.workflows.states import (
    ExecutionStatus,
    SignalKind,
    StepKind,
    StepStatus,
)
from octoqueue.workflows.turns import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Json: TypeAlias = Any
BEGAN_MS = 1_700_000_000_000
WORKFLOW = WorkflowId("order-17")


@dataclass
class Message:
    """What building a message of a `Callee` gives."""

    actor_name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    queue_name: str = "default"
    options: Mapping[str, Any] = field(default_factory=dict)

    async def result(self) -> Json:
        raise NotImplementedError


class Actor:
    """An actor as seen by workflows; `fn` says what it returns."""

    def __init__(self, name: str, fn: Callable[..., Any] | None = None) -> None:
        self.name = name
        self.fn = fn

    def message(self, *args: Json, **kwargs: Json) -> Message:
        return Message(self.name, args, kwargs)


def execution_of(definition: Definition, value: object = None, **changes: Json) -> Execution:
    new = NewExecution(
        workflow_id=WORKFLOW,
        execution_id=new_execution_id(WORKFLOW),
        partition=3,
        name=definition.name,
        version=definition.version,
        input=definition.input_from(value),
        signals=None if definition.signals is None else tuple(definition.signals),
    )
    queued = queued_from(new, created_at=datetime.fromtimestamp(BEGAN_MS / 1000, UTC))
    return replace(queued, **changes)


class Desk:
    """One execution of a function, with a machine in memory and the journal beside it."""

    def __init__(
        self,
        function: Callable[..., Any] | Definition,
        value: object = None,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        journal: Sequence[Step] = (),
        signals: Mapping[str, Any] | None = None,
        registry: Registry | None = None,
        **changes: Json,
    ) -> None:
        self.registry = registry or Registry()
        if isinstance(function, Definition):
            self.definition = function
        else:
            self.definition = define(function, signals=signals, registry=self.registry)
        self.limits = limits
        self.execution = execution_of(self.definition, value, **changes)
        self.copied = tuple(journal)
        self.journal: dict[str, Step] = {step.key: step for step in journal}
        self.turns: list[Turn] = []
        self.taken: set[SignalId] = set()
        self.refused: dict[SignalId, bytes] = {}
        self.inbox: dict[SignalId, Signal] = {}
        self.now_ms = BEGAN_MS
        self.status = self.execution.status
        self.machine = self._machine()

    def _machine(self, definition: Definition | None = None) -> Machine:
        return Machine(
            definition or self.definition,
            self.execution,
            limits=self.limits,
            registry=self.registry,
        )

    # ── what happens ─────────────────────────────────────────────────────────────────────────────

    def begin(self) -> Turn:
        turn = self.machine.begin(now_ms=self.now_ms, journal=self.copied)
        self._write(turn)
        return turn

    def end(self, key: str, value: object = None) -> Turn | None:
        return self._twice(
            lambda machine: machine.step_ended(
                key,
                status=StepStatus.COMPLETED,
                output=orjson.dumps(value),
                error=None,
                attempts=1,
                now_ms=self.now_ms,
            )
        )

    def fail(
        self,
        key: str,
        error: str = "ValueError",
        detail: str = "no",
        *,
        status: StepStatus = StepStatus.FAILED,
    ) -> Turn | None:
        told = {"error": error, "message": detail, "types": [error, "Exception"]}
        return self._twice(
            lambda machine: machine.step_ended(
                key,
                status=status,
                output=None,
                error=orjson.dumps(told),
                attempts=3,
                now_ms=self.now_ms,
            )
        )

    def ring(self, key: str = "") -> Turn | None:
        step = self.journal.get(key)
        if step is not None and step.due_at_ms is not None:
            self.now_ms = max(self.now_ms, step.due_at_ms)
        return self._twice(lambda machine: machine.timer_rang(key, now_ms=self.now_ms))

    def send(self, name: str, value: object = None) -> Turn | None:
        return self.give(SignalKind.SENT, name, value)

    def cancel(self, reason: str = "") -> Turn | None:
        return self.give(SignalKind.CANCEL, "", reason)

    def child_ends(
        self, key: str, value: object = None, *, status: str = "completed", error: Json = None
    ) -> Turn | None:
        told = {"status": status, "output": value, "error": error}
        return self.give(SignalKind.CHILD, key, told)

    def give(self, kind: SignalKind, name: str, value: object) -> Turn | None:
        ident = SignalId(text_from_id(new_message_id()))
        signal = Signal(ident, kind, name, orjson.dumps(value), self.now_ms)
        turn = self._twice(lambda machine: machine.signal_came(signal, now_ms=self.now_ms))
        if ident not in self.taken and ident not in self.refused:
            self.inbox[ident] = signal
        return turn

    def run_here(self, key: str) -> Json:
        function = self.machine.function_of(key)
        assert function is not None
        return function()

    # ── what there is ────────────────────────────────────────────────────────────────────────────

    @property
    def pending(self) -> list[str]:
        return list(self.machine.pending)

    @property
    def last(self) -> Turn:
        return self.turns[-1]

    @property
    def output(self) -> Json:
        assert self.last.status is ExecutionStatus.COMPLETED, self.last
        assert self.last.output is not None
        return orjson.loads(self.last.output)

    @property
    def error(self) -> dict[str, Any]:
        assert self.last.error is not None, self.last
        return orjson.loads(self.last.error)  # type: ignore[no-any-return]

    @property
    def events(self) -> list[Any]:
        told = [step for step in self.steps if step.kind is StepKind.EVENT]
        return [orjson.loads(step.output or b"null") for step in told]

    @property
    def steps(self) -> tuple[Step, ...]:
        return in_order(self.journal.values())

    def args(self, key: str) -> Json:
        return orjson.loads(self.journal[key].input or b"")["args"]

    def loaded(self) -> Loaded:
        return Loaded(
            execution=replace(self.execution, status=self.status),
            steps=self.steps,
            signals=tuple(self.inbox.values()),
        )

    def replayed(self, definition: Definition | None = None) -> Machine:
        """Return a new machine that has been given the journal."""
        machine = self._machine(definition)
        machine.replay(self.loaded())
        for signal in self.inbox.values():
            assert machine.signal_came(signal, now_ms=self.now_ms) is None
        return machine

    def close(self) -> None:
        self.machine.close()

    def replay_as(self, function: Callable[..., Any]) -> Machine:
        """Replay with another function in the place of the first one."""
        registry = Registry()
        return self.replayed(define(function, name=self.definition.name, registry=registry))

    # ── inside ───────────────────────────────────────────────────────────────────────────────────

    def _twice(self, act: Callable[[Machine], Turn | None]) -> Turn | None:
        twin = self.replayed()
        turn, other = act(self.machine), act(twin)
        twin.close()
        if turn is None:
            assert other is None
            return None
        assert other is not None
        compare(turn, other)
        self._write(turn)
        return turn

    def _write(self, turn: Turn) -> None:
        self.turns.append(turn)
        for step in turn.steps:
            old = self.journal.get(step.key)
            assert old is None or old.status is StepStatus.PENDING, f"written twice: {step}"
            self.journal[step.key] = step
        orders = [step.order for step in self.steps if step.order]
        assert orders == list(range(1, len(orders) + 1)), self.steps
        self.taken.update(turn.taken)
        self.refused.update(turn.refused)
        for ident in (*turn.taken, *turn.refused):
            self.inbox.pop(ident, None)
        if turn.status is not None:
            self.status = turn.status
        waits = {key for key, step in self.journal.items() if step.status is StepStatus.PENDING}
        assert waits == set(self.machine.pending), (waits, self.machine.pending)
        assert self.machine.is_final == (self.status not in ("queued", "running"))
        if self.machine.is_final:
            assert not waits, f"{turn.status}, and this waits: {waits}"
        else:
            twin = self.replayed()
            assert list(twin.pending.items()) == list(self.machine.pending.items())
            twin.close()


def compare(turn: Turn, other: Turn) -> None:
    """Two machines in one place write the same, but for the ids they draw."""
    assert [_plain(step) for step in turn.steps] == [_plain(step) for step in other.steps]
    assert (turn.status or "running") == (other.status or "running")
    assert (turn.output, turn.error) == (other.output, other.error)
    assert (turn.taken, turn.refused) == (other.taken, other.refused)
    assert len(turn.children) == len(other.children)
    assert (turn.continued is None) == (other.continued is None)


def _plain(step: Step) -> Step:
    error = step.error
    return step._replace(message_id=None, child_id=None, error=error)
