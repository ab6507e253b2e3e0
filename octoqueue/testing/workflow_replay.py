"""Unit tests of workflows without a server: run one in memory, replay the history of a real one.

    run = run_workflow(order, Order(price=5), actors={charge: 5, ship: ConnectionError("no van")})
    assert run.output == "refunded"

    replay(Path("order-17.json"), order)

`run_workflow` also replays every history it has made, so that a function that does not do the same
twice fails its test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from octoqueue.broker.default import default_broker
from octoqueue.errors import DeclarationError, WorkflowNotDeclared
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.workflow_play import PARTITION, Never, Play
from octoqueue.testing.workflow_runs import WorkflowRun
from octoqueue.workflows.definitions import DEFINITIONS, Definition, Registry
from octoqueue.workflows.executions import NewExecution, new_execution_id, workflow_id_from
from octoqueue.workflows.exports import history_from
from octoqueue.workflows.limits import DEFAULT_LIMITS
from octoqueue.workflows.protocol import Loaded
from octoqueue.workflows.replaying import replay_history
from octoqueue.workflows.signals import cancel_for, signal_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from octoqueue.producer.workflows import Workflow
    from octoqueue.workflows.journal import Signal
    from octoqueue.workflows.limits import Limits

In = TypeVar("In")
Out = TypeVar("Out")

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
"""When workflows begin in tests, unless they say it: so that each run of a test is the same."""
_NOTHING = timedelta(0)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Send:
    """A signal for a workflow in a test."""

    name: str
    value: object = None
    after: timedelta = _NOTHING
    """How long after its beginning it is sent; at once means when all else has been done."""


def replay(history: str | bytes | Path | Loaded, workflow: Workflow[Any, Any] | Definition) -> None:
    """Return when a workflow still does what a history says it did.

    Args:
        history: a file that `octoqueue workflows history ID --output FILE` has written, its text,
            or the history of a `WorkflowRun`.
        workflow: the function as it is now.

    Raises:
        WorkflowChanged: it does something else; names the step.
        WorkflowNotDeclared: the history is that of another workflow or version.
        HistoryUnreadable: it is no history; names the field.
    """
    if isinstance(history, Path):
        history = history.read_bytes()
    loaded = history if isinstance(history, Loaded) else history_from(history)
    definition = _definition_of(workflow)
    replay_history(loaded, definition, registry=_registry_with(definition))


def run_workflow(
    workflow: Workflow[In, Out],
    input_: In | None = None,
    *,
    actors: Mapping[Any, object] | None = None,
    signals: Mapping[str, object] | Sequence[Send] = (),
    cancel_after: timedelta | None = None,
    workflow_id: str = "test",
    tenant: str | None = None,
    now: datetime = BEGINNING,
    limits: Limits = DEFAULT_LIMITS,
) -> WorkflowRun[Out]:
    """Run a workflow in memory, in virtual time, until it ends or waits for what never comes.

    Args:
        workflow: the function.
        input_: what it is given.
        actors: by actor or name, what stands for it: a function, a value that it returns, an
            exception that it raises, or `NEVER`. An actor that is left out is called itself.
        signals: by name, or with their times.
        cancel_after: when somebody cancels it.
        workflow_id: what it is called.
        tenant: on whose behalf it runs.
        now: when it begins.
        limits: what it may need.

    Raises:
        WorkflowChanged: it does not do the same when it is replayed; names the step.
        InputInvalid: the input is not of the declared type.
        SignalUnknown: it takes no such signal.
        SignalInvalid: the value of one is not of the declared type.
        DrainEndless: it goes on for ever.
        DeclarationError: it calls an actor that is neither given nor declared; or this is an event
            loop, `await arun_workflow(...)` there.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise DeclarationError(
            "run_workflow blocks, and this is an event loop: use `await arun_workflow(...)`"
        )
    with asyncio.Runner() as runner:
        return runner.run(
            arun_workflow(
                workflow,
                input_,
                actors=actors,
                signals=signals,
                cancel_after=cancel_after,
                workflow_id=workflow_id,
                tenant=tenant,
                now=now,
                limits=limits,
            )
        )


async def arun_workflow(
    workflow: Workflow[In, Out],
    input_: In | None = None,
    *,
    actors: Mapping[Any, object] | None = None,
    signals: Mapping[str, object] | Sequence[Send] = (),
    cancel_after: timedelta | None = None,
    workflow_id: str = "test",
    tenant: str | None = None,
    now: datetime = BEGINNING,
    limits: Limits = DEFAULT_LIMITS,
) -> WorkflowRun[Out]:
    """Run a workflow in memory on this event loop. See `run_workflow`."""
    definition = _definition_of(workflow)
    registry = _registry_with(definition)
    clock = FakeClock(round(now.timestamp() * 1000))
    new = _new(definition, input_, workflow_id=workflow_id, tenant=tenant, now_ms=clock.now_ms())
    fakes = {_name_of(actor): fake for actor, fake in (actors or {}).items()}
    play = Play(
        clock=clock,
        function_of=lambda name: _function_of(name, fakes),
        registry=registry,
        limits=limits,
    )
    sendings = _sendings(definition, signals, workflow_id=workflow_id)
    if cancel_after is not None:
        sendings.append((cancel_after, cancel_for("cancelled by the test", now_ms=0)))
    began_ms = clock.now_ms()
    histories = await play.play(new, sendings)
    for loaded in histories:
        execution = loaded.execution
        known = registry.get(execution.name, execution.version)
        replay_history(loaded, known, registry=registry, limits=limits)
    return WorkflowRun(
        histories=tuple(
            loaded for loaded in histories if loaded.execution.workflow_id == workflow_id
        ),
        definition=definition,
        calls=tuple(play.calls),
        elapsed=(clock.now_ms() - began_ms) * _MILLISECOND,
    )


def _definition_of(workflow: Workflow[Any, Any] | Definition) -> Definition:
    return workflow if isinstance(workflow, Definition) else workflow.definition


def _registry_with(definition: Definition) -> Registry:
    """Return where children and continuations are found: what this process has imported."""
    with suppress(WorkflowNotDeclared):
        if DEFINITIONS.get(definition.name, definition.version) is definition:
            return DEFINITIONS
    registry = Registry()
    registry.add(definition)
    return registry


def _new(
    definition: Definition,
    input_: object,
    *,
    workflow_id: str,
    tenant: str | None,
    now_ms: int,
) -> NewExecution:
    ident = workflow_id_from(workflow_id)
    deadline_at_ms = None
    if definition.deadline is not None:
        deadline_at_ms = now_ms + definition.deadline // _MILLISECOND
    return NewExecution(
        workflow_id=ident,
        execution_id=new_execution_id(ident),
        partition=PARTITION,
        name=definition.name,
        version=definition.version,
        input=definition.input_from(input_, workflow_id=workflow_id),
        lane=definition.lane,
        tenant=tenant,
        complexity=definition.complexity,
        signals=None if definition.signals is None else tuple(definition.signals),
        deadline_at_ms=deadline_at_ms,
    )


def _sendings(
    definition: Definition, signals: Mapping[str, object] | Sequence[Send], *, workflow_id: str
) -> list[tuple[timedelta, Signal]]:
    if isinstance(signals, Mapping):
        signals = [Send(name, value) for name, value in signals.items()]
    return [
        (
            each.after,
            signal_of(definition, each.name, each.value, workflow_id=workflow_id, now_ms=0),
        )
        for each in signals
    ]


def _name_of(actor: object) -> str:
    return str(getattr(actor, "actor_name", actor))


def _function_of(name: str, fakes: Mapping[str, object]) -> Callable[..., Any] | Never:
    if name not in fakes:
        return _declared(name)
    fake = fakes[name]
    fake = getattr(fake, "fn", fake)
    if isinstance(fake, Never) or callable(fake):
        return fake
    if isinstance(fake, BaseException):
        return _raising(fake)
    return lambda *_args, **_kwargs: fake


def _raising(error: BaseException) -> Callable[..., Any]:
    def raises(*_args: object, **_kwargs: object) -> None:
        raise error

    return raises


def _declared(name: str) -> Callable[..., Any]:
    actor: Any = default_broker().actors.get(name)
    if actor is None:
        raise DeclarationError(
            f"the workflow calls actor {name!r}, which is neither given in actors= nor declared"
        )
    function: Callable[..., Any] = actor.fn
    return function
