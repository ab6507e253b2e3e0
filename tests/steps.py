# ruff: noqa: ANN401 - actors take anything
"""Executions and steps as a worker sees them, with as little said as possible."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from octoqueue.broker.steps import step_message
from octoqueue.primitives.ids import new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.settings.workflows import ComplexityTable
from octoqueue.workflows.executions import (
    Execution,
    WorkflowId,
    message_id_of,
    new_execution_id,
)
from octoqueue.workflows.journal import Step
from octoqueue.workflows.letters import Completion, letter_from, queue_of
from octoqueue.workflows.states import Complexity, ExecutionStatus, StepKind, StepStatus
from tests.running import until

if TYPE_CHECKING:
    from octoqueue.broker.lane_broker import LaneBroker
    from octoqueue.primitives.messages import Enqueue
    from octoqueue.workflows.callees import Callee

PARTITION = 3
LETTERS = queue_of(PARTITION)


def an_execution(**fields: Any) -> Execution:
    """Return a running execution."""
    ident = WorkflowId("order-17")
    given: dict[str, Any] = {
        "workflow_id": ident,
        "execution_id": new_execution_id(ident),
        "partition": PARTITION,
        "name": "order",
        "version": 1,
        "run": 1,
        "status": ExecutionStatus.RUNNING,
        "input": b"null",
        "output": None,
        "error": None,
        "lane": Lane.NORMAL,
        "tenant": None,
        "complexity": Complexity.MEDIUM,
        "signals": None,
        "deadline_at_ms": None,
        "parent": None,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "started_at": None,
        "finished_at": None,
    }
    return Execution(**(given | fields))


def a_call(execution: Execution, callee: Callee[..., Any], *args: Any, key: str = "1") -> Step:
    """Return the pending step of a call, as a journal holds it."""
    built = callee.message(*args)
    wanted = {
        "queue": built.queue_name,
        "args": built.args,
        "kwargs": dict(built.kwargs),
        "options": dict(built.options),
    }
    return Step(
        key,
        StepKind.CALL,
        built.actor_name,
        b"digest",
        StepStatus.PENDING,
        input=orjson.dumps(wanted),
        message_id=new_message_id(beside=message_id_of(execution.execution_id)),
    )


def sent(
    broker: LaneBroker,
    execution: Execution,
    step: Step,
    *,
    now_ms: int = 1_000,
    rules: ComplexityTable | None = None,
) -> Enqueue:
    """Return the message of a step."""
    return step_message(
        broker, execution, step, now_ms=now_ms, complexity_rules=rules or ComplexityTable()
    )


async def send_step(
    broker: LaneBroker,
    execution: Execution,
    callee: Callee[..., Any],
    *args: Any,
    key: str = "1",
) -> Step:
    """Enqueue a step's message and return the step."""
    step = a_call(execution, callee, *args, key=key)
    store = await broker.opened_store()
    message = sent(broker, execution, step, now_ms=await store.now_ms())
    (answer,) = await store.enqueue([[message]])
    assert answer is None
    return step


async def completions(broker: LaneBroker, count: int = 1) -> list[Completion]:
    """Wait for what orchestrators are told; more than `count` is a failure."""
    store: Any = await broker.opened_store()

    async def there() -> bool:
        return bool((await store.stats(LETTERS)).waiting >= count)

    await until(there)
    leases = await store.claim("orchestrator", [LETTERS], limit=100)
    told = [letter_from(lease.payload) for lease in leases]
    assert len(told) == count
    return [letter for letter in told if isinstance(letter, Completion)]


async def no_completion(broker: LaneBroker) -> bool:
    """Whether nobody has told an orchestrator anything."""
    store: Any = await broker.opened_store()
    return bool((await store.stats(LETTERS)).waiting == 0)
