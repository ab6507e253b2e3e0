"""Plays the workflow of a task without servers: the machine, the real arms, rows in memory.

Steps end in an order that the seed decides; before each one the process may die, and another one
replays the journal. Only the sandbox is pretended: commands and programs answer what the test says.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

import orjson

from octoqueue.models.offline.model import OfflineModel
from octoqueue.primitives.lane import Lane
from octoqueue.testing.memory_tasks import MemoryTaskStore
from octoqueue.workflows.executions import Execution, WorkflowId, new_execution_id
from octoqueue.workflows.journal import Signal, SignalId, Step
from octoqueue.workflows.machine import Machine
from octoqueue.workflows.protocol import Loaded
from octoqueue.workflows.states import (
    Complexity,
    ExecutionStatus,
    SignalKind,
    StepKind,
    StepStatus,
)
from octoqueue.workflows.tasks import NewTask, Task, TaskError, TaskId, new_task_id
from workers.arms.guardian import analyze_security, screen_goal, screen_result
from workers.arms.judge import review
from workers.arms.planner import make_plan
from workers.arms.retriever import look_up
from workers.forms import Check, Result
from workers.knowledge.search import Index, shipped_documents
from workers.orchestrator.agent import Goal, agent
from workers.resources import LIBRARY, MODEL, TASKS

if TYPE_CHECKING:
    from octoqueue.workflows.journal import Turn

AGENT = agent.definition

Answers = Mapping[str, Callable[..., Any]]


def result(summary: str = "It ran.", *, passed: bool = True, **output: object) -> Result:
    """Return what an arm answers."""
    check = Check(name="command succeeded", passed=passed, detail="the test says so")
    return Result(summary=summary, output=dict(output), checks=[check])


async def _ran(**_: object) -> Result:
    return result(stdout="a\nb\n", command="ls")


async def _wrote(**_: object) -> Result:
    return result(code="def f(): ...")


ARMS: Answers = {
    "make_plan": make_plan,
    "screen_goal": screen_goal,
    "screen_result": screen_result,
    "review": review,
    "look_up": look_up,
    "analyze_security": analyze_security,
    "run_command": _ran,
    "write_program": _wrote,
}


@cache
def _library() -> Index:
    return Index(shipped_documents())


@asynccontextmanager
async def world() -> AsyncGenerator[MemoryTaskStore]:
    """What the arms and the rows stand on."""
    tasks = MemoryTaskStore()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(TASKS.replaced_by(tasks))
        await stack.enter_async_context(MODEL.replaced_by(OfflineModel()))
        await stack.enter_async_context(LIBRARY.replaced_by(_library()))
        yield tasks


@dataclass(kw_only=True)
class Play:
    """One task, from its row to its end."""

    tasks: MemoryTaskStore
    goal: str
    complexity: Any = None
    answers: Answers = field(default_factory=dict[str, Callable[..., Any]])
    seed: int = 0
    dies: float = 0.0
    """How probable it is that the process dies before the next ending."""
    cancel_after: int | None = None
    """After how many endings somebody cancels it."""

    def __post_init__(self) -> None:
        self.task_id: TaskId = new_task_id()
        self.random = Random(self.seed)
        self.journal: dict[str, Step] = {}
        self.asked: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        """Actor, arguments and options of each message, in the order in which they ended."""
        self.queues: list[str] = []
        self.begun: list[list[str]] = []
        """The actors of each turn's new messages."""
        self.status = ExecutionStatus.QUEUED
        self.output: Any = None
        self.error: Any = None
        self.execution = Execution(
            workflow_id=WorkflowId(self.task_id),
            execution_id=new_execution_id(WorkflowId(self.task_id)),
            partition=0,
            name=AGENT.name,
            version=1,
            run=1,
            status=ExecutionStatus.RUNNING,
            input=AGENT.input_from(Goal(goal=self.goal, complexity=self.complexity)),
            output=None,
            error=None,
            lane=Lane.NORMAL,
            tenant=None,
            complexity=Complexity.MEDIUM,
            signals=None,
            deadline_at_ms=None,
            parent=None,
            created_at=datetime.now(UTC),
            started_at=None,
            finished_at=None,
        )

    async def run(self, *, with_row: bool = True) -> Task | None:
        """Play to the end; return the row."""
        if with_row:
            await self.tasks.add(NewTask(task_id=self.task_id, goal=self.goal, lane=Lane.NORMAL))
        machine = Machine(AGENT, self.execution)
        self._write(machine.begin(now_ms=0))
        endings = 0
        while not machine.is_final:
            if self.random.random() < self.dies:
                machine = self._replayed()
            if endings == self.cancel_after:
                signal = Signal(SignalId(new_task_id()), SignalKind.CANCEL, "", b'"stop"')
                turn = machine.signal_came(signal, now_ms=endings)
                endings += 1
                assert turn is not None
                self._write(turn)
                continue
            key = self.random.choice(sorted(machine.pending))
            endings += 1
            self._write(await self._ended(machine, key, endings))
        return await self.tasks.get(self.task_id)

    async def _ended(self, machine: Machine, key: str, now_ms: int) -> Turn:
        step = machine.pending[key]
        status = StepStatus.COMPLETED
        output: bytes | None = None
        error: bytes | None = None
        try:
            if step.kind is StepKind.RUN:
                function: Any = machine.function_of(key)
                output = orjson.dumps(await function())
            else:
                output = orjson.dumps(await self._answered(step))
        except Exception as raised:  # noqa: BLE001 - as a worker tells it
            told = {
                "error": type(raised).__name__,
                "message": str(raised),
                "types": [type(raised).__name__],
            }
            status, output, error = StepStatus.FAILED, None, orjson.dumps(told)
        turn = machine.step_ended(
            key, status=status, output=output, error=error, attempts=1, now_ms=now_ms
        )
        assert turn is not None
        return turn

    async def _answered(self, step: Step) -> Any:  # noqa: ANN401 - JSON
        call = orjson.loads(step.input or b"")
        self.asked.append((step.name, call["kwargs"], call["options"]))
        self.queues.append(call["queue"])
        if step.name == "give_up_task":
            error = TaskError(code=call["kwargs"]["code"], message=call["kwargs"]["message"])
            await self.tasks.fail(self.task_id, error=error, attempts=0)
            return None
        return await {**ARMS, **self.answers}[step.name](**call["kwargs"])

    def _write(self, turn: Turn) -> None:
        self.begun.append(
            [
                step.name
                for step in turn.steps
                if step.kind is StepKind.CALL and step.status is StepStatus.PENDING
            ]
        )
        self.journal.update({step.key: step for step in turn.steps})
        self.status = turn.status or self.status
        self.output = orjson.loads(turn.output) if turn.output else self.output
        self.error = orjson.loads(turn.error) if turn.error else self.error

    def _replayed(self) -> Machine:
        steps = sorted(
            self.journal.values(),
            key=lambda step: (step.status is StepStatus.PENDING, step.order, step.key),
        )
        machine = Machine(AGENT, self.execution)
        machine.replay(Loaded(execution=self.execution, steps=tuple(steps), signals=()))
        return machine
