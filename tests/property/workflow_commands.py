"""Random verbs of a workflow store, given to several stores at once; their answers are compared.

What is made up here are values, so that all stores are told the same ids. What a store makes up
itself, times, is left out of the comparison.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from octoqueue.errors import OctoqueueError
from octoqueue.workflows.executions import (
    Execution,
    NewExecution,
    Parent,
    WorkflowId,
    new_execution_id,
)
from octoqueue.workflows.journal import SignalId, Turn
from octoqueue.workflows.protocol import Agent, AgentId, Filter, Loaded, Started
from octoqueue.workflows.states import ExecutionStatus, SignalKind, StepKind, StepStatus
from tests.contract.workflow_values import ALL, a_signal, a_step, a_workflow, an_agent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from octoqueue.workflows.journal import Signal, Step
    from octoqueue.workflows.protocol import WorkflowStore

LEASE = timedelta(hours=1)
ROOTS = ("a", "b", "c")
KEYS = ("1", "10", "2", "2.0.1")
FAR = 10**13
ASTRAY = (0, 0, 0, 0, 0, 0, 0, 0, 0, 1)
"""What is added to the partition of a turn."""


class Script:
    """A run of random verbs on stores that should be equal."""

    def __init__(self, stores: Sequence[WorkflowStore], data: st.DataObject) -> None:
        self.stores = stores
        self.draw = data.draw
        self.agents = [an_agent(), an_agent()]
        self.epochs: dict[AgentId, dict[int, int]] = {each: {} for each in self.agents}
        self.known: list[NewExecution] = []
        self.signals: list[Signal] = []

    async def run(self, *, verbs: int) -> None:
        for agent_id in self.agents:
            await self.same("attend", Agent(agent_id=agent_id), lease=LEASE)
        for _ in range(verbs):
            await self.draw(st.sampled_from(self.verbs()))()
            await self.compare()

    def verbs(self) -> list[Callable[[], Awaitable[None]]]:
        if not self.known:
            return [self.start]
        return [self.start, self.signal, self.take, self.give_up, self.withdraw, *[self.write] * 6]

    async def same(self, verb: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """Return what all stores answer."""
        asked = (getattr(store, verb)(*arguments, **options) for store in self.stores)
        first, *others = [await answer(each) for each in asked]
        for other in others:
            assert comparable(other) == comparable(first), verb
        return first

    # ── verbs ────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        root = self.draw(st.sampled_from((*ROOTS, "a/1")))
        new = a_workflow(
            root,
            input=self.draw(st.sampled_from((b"1", b"2"))),
            deadline_at_ms=self.draw(st.sampled_from((None, FAR))),
            signals=self.draw(st.sampled_from((None, ("s",)))),
        )
        told = await self.same("start", new)
        if isinstance(told, Started) and told.is_new:
            self.known.append(new)

    async def withdraw(self) -> None:
        new = self.one()
        await self.same("withdraw", new.execution_id)

    async def signal(self) -> None:
        fresh = a_signal(
            self.draw(st.sampled_from(("s", "t"))),
            kind=self.draw(st.sampled_from((SignalKind.SENT, SignalKind.CANCEL))),
        )
        signal = self.draw(st.sampled_from((*self.signals, fresh)))
        self.signals.append(signal)
        workflow_id = self.one().workflow_id
        await self.same("signal", workflow_id, signal)

    async def take(self) -> None:
        agent_id = self.draw(st.sampled_from(self.agents))
        wanted = self.draw(st.sampled_from((ALL, tuple({each.partition for each in self.known}))))
        self.epochs[agent_id] |= await self.same("take", agent_id, wanted)

    async def give_up(self) -> None:
        agent_id = self.draw(st.sampled_from(self.agents))
        if self.draw(st.booleans()):
            await self.same("release", agent_id, self.epochs[agent_id])
        else:
            await self.same("leave", agent_id)
            await self.same("attend", Agent(agent_id=agent_id), lease=LEASE)

    async def write(self) -> None:
        agent_id = self.draw(st.sampled_from(self.agents))
        if self.draw(st.integers(0, 3)):
            wanted = tuple(sorted({each.partition for each in self.known}))
            self.epochs[agent_id] |= await self.same("take", agent_id, wanted)
        turns = [self.turn() for _ in range(self.draw(st.integers(1, 4)))]
        await self.same("write", agent_id, turns, self.epochs[agent_id])
        if self.draw(st.booleans()):
            await self.same("write", agent_id, turns, self.epochs[agent_id])

    def one(self) -> NewExecution:
        return self.draw(st.sampled_from(self.known))

    # ── turns ────────────────────────────────────────────────────────────────────────────────────

    def turn(self) -> Turn:
        of = self.one()
        statuses = (None, None, *[ExecutionStatus.RUNNING] * 4, *ExecutionStatus)
        status = self.draw(st.sampled_from(statuses))
        made = self.made(of, status)
        self.known.extend(made)
        taken = [SignalId(each.execution_id) for each in self.known if each.parent is not None]
        taken += [each.signal_id for each in self.signals]
        some = st.lists(st.sampled_from(taken), max_size=2) if taken else st.just([])
        return Turn(
            execution_id=of.execution_id,
            partition=(of.partition + self.draw(st.sampled_from(ASTRAY))) % 10,
            steps=self.steps(of),
            status=status,
            output=self.draw(st.sampled_from((None, b'"out"'))),
            error=self.draw(st.sampled_from((None, b'{"error":"E"}'))),
            taken=tuple(self.draw(some)),
            refused=dict.fromkeys(self.draw(some), b'{"error":"SignalInvalid"}'),
            children=tuple(each for each in made if each.parent is not None),
            continued=next((each for each in made if each.parent is None), None),
        )

    def made(self, of: NewExecution, status: ExecutionStatus | None) -> list[NewExecution]:
        made: list[NewExecution] = []
        if status is ExecutionStatus.CONTINUED:
            ident = new_execution_id(of.workflow_id)
            made.append(replace(of, execution_id=ident, run=of.run + 1, parent=None))
        for key in self.draw(st.sets(st.sampled_from(("1", "2")), max_size=2)):
            if of.workflow_id.count("/") < 2:
                parent = Parent(execution_id=of.execution_id, step=key)
                child = a_workflow(f"{of.workflow_id}/{key}", parent=parent)
                deadline = self.draw(st.sampled_from((None, FAR)))
                made.append(replace(child, deadline_at_ms=deadline))
        return made

    def steps(self, of: NewExecution) -> tuple[Step, ...]:
        """Return steps, and children that are given up."""
        steps = {key: self.step(key) for key in self.draw(st.sets(st.sampled_from(KEYS)))}
        for child in self.known:
            parent = child.parent
            if parent and parent.execution_id == of.execution_id and self.draw(st.booleans()):
                steps[parent.step] = a_step(
                    parent.step,
                    StepKind.CHILD,
                    child_id=child.execution_id,
                    status=StepStatus.CANCELLED,
                    due_at_ms=FAR,  # whatever was begun under this key, its timer ends
                    order=1,
                )
        return tuple(steps.values())

    def step(self, key: str) -> Step:
        step = a_step(
            key,
            self.draw(st.sampled_from((StepKind.CALL, StepKind.RUN, StepKind.SLEEP))),
            name=self.draw(st.sampled_from(("x", "y"))),
            due_at_ms=self.draw(st.sampled_from((None, FAR, FAR - 1))),
        )
        status = self.draw(st.sampled_from((StepStatus.PENDING, *StepStatus)))
        if status is StepStatus.PENDING:
            return step
        order = self.draw(st.integers(0, 5))
        return step._replace(status=status, order=order, output=b"1", ended_at_ms=3, attempts=1)

    # ── what can be seen ─────────────────────────────────────────────────────────────────────────

    async def compare(self) -> None:
        ids = [each.execution_id for each in self.known]
        await self.same("load", ids)
        for workflow_id in sorted({each.workflow_id for each in self.known}):
            await self.same("newest", workflow_id)
        for partition in sorted({each.partition for each in self.known}):
            await self.same("open_executions", partition)
            await self.same("pending_calls", partition)
            await self.same("blocked", partition, names=["order"])
            await self.same("holder", partition)
        await self.same("timers", ALL, until_ms=FAR)
        which = Filter(
            status=self.draw(st.sampled_from((None, *ExecutionStatus))),
            workflow_id=self.draw(st.sampled_from((None, WorkflowId("a")))),
        )
        await self.same("executions", which, limit=5)


async def answer(asked: Awaitable[Any]) -> Any:  # noqa: ANN401
    """Return an answer or the error in its place."""
    try:
        return await asked
    except OctoqueueError as exc:
        return f"{type(exc).__name__}: {exc}"


def comparable(value: Any) -> Any:  # noqa: ANN401
    """Return an answer without the times that a store has made up."""
    match value:
        case Execution():
            times = (value.started_at is None, value.finished_at is None)
            ever = value.created_at.replace(year=2000, month=1, day=1, hour=0, minute=0, second=0)
            still = replace(
                value, created_at=ever.replace(microsecond=0), started_at=None, finished_at=None
            )
            return still, times
        case Started():
            return comparable(value.execution), value.is_new
        case Loaded():
            signals = sorted(
                each if each.kind is SignalKind.SENT else each._replace(sent_at_ms=0)
                for each in value.signals
            )
            return comparable(value.execution), value.steps, signals
        case list() | tuple():
            # A step is a tuple, too, and stays one.
            if hasattr(value, "_fields"):
                return value
            return [comparable(each) for each in value]
        case _:
            return value
