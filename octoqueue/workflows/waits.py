"""What a workflow function may wait for: steps, as they are planned before they begin.

Nothing begins before it is awaited or given to `gather`: until then a wait is a value. Awaiting it
yields it to the machine, which plans it under its key, journals it, and comes back with the result.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import orjson

from octoqueue.errors import InputInvalid, SignalUnknown
from octoqueue.primitives.told_time import TOLD_MS
from octoqueue.workflows.callees import returned_type
from octoqueue.workflows.executions import (
    CHILD_MARK,
    NewExecution,
    Parent,
    new_execution_id,
    workflow_id_from,
)
from octoqueue.workflows.states import StepKind
from octoqueue.workflows.values import NULL, decode, encode, plain_json

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from octoqueue.primitives.retry import RetryPolicy
    from octoqueue.workflows.callees import Callee
    from octoqueue.workflows.definitions import Definition
    from octoqueue.workflows.executions import Execution

T = TypeVar("T")

_DIGEST_BYTES = 16
_MILLISECOND = timedelta(milliseconds=1)


class Host(Protocol):
    """What a wait needs of the machine it is for."""

    @property
    def definition(self) -> Definition:
        """The function that runs."""
        ...

    @property
    def execution(self) -> Execution:
        """The execution it runs for."""
        ...

    @property
    def is_driving(self) -> bool:
        """Whether the function runs right now."""
        ...

    def may_insist(self) -> bool:
        """Return whether a wait that cannot be is told so once more, not left hanging."""
        ...

    @property
    def starts_at_ms(self) -> int:
        """When what begins now begins; in a replay not the time the function is told."""
        ...

    def fitting(self, text: bytes, *, field: str, is_sent: bool = False) -> bytes:
        """Return a value that is not over the limit; what is sent cannot be an object instead."""
        ...


class Plan(NamedTuple):
    """A step before it begins."""

    kind: StepKind
    name: str
    digest: bytes
    input: bytes | None = None
    due_at_ms: int | None = None
    child: NewExecution | None = None


class Wait(Generic[T]):
    """Something that a workflow function awaits."""

    __slots__ = ("host", "is_used")

    def __init__(self, host: Host) -> None:
        self.host = host
        self.is_used = False

    def is_of(self, host: object) -> bool:
        """Whether it was made by the ctx of that machine."""
        return self.host is host

    def forget(self) -> None:
        """Let go of what it would have waited for."""

    def __await__(self) -> Generator[Wait[T], Any, T]:
        if not self.host.is_driving:  # the function is being closed and wants to wait once more
            self.forget()
            if self.host.may_insist():
                raise GeneratorExit
        value: T = yield self
        return value


class StepWait(Wait[T], ABC):
    """A step that has not begun."""

    __slots__ = ()

    @abstractmethod
    def plan(self, key: str) -> Plan:
        """Return the step as it is to begin under that key."""

    @abstractmethod
    def result(self, text: bytes) -> T:
        """Return what the step gave."""


def digest_of(*parts: bytes) -> bytes:
    """Return a digest of what a step is begun with."""
    return blake2b(b"\0".join(parts), digest_size=_DIGEST_BYTES).digest()


_NOTHING = digest_of()


class CallWait(StepWait[T]):
    """A message for an actor."""

    __slots__ = ("_args", "_callee", "_kwargs")

    def __init__(
        self,
        host: Host,
        callee: Callee[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        super().__init__(host)
        self._callee, self._args, self._kwargs = callee, args, kwargs

    def plan(self, key: str) -> Plan:
        """Build the message."""
        told = TOLD_MS.set(self.host.starts_at_ms)
        try:
            built = self._callee.message(*self._args, **self._kwargs)
        finally:
            TOLD_MS.reset(told)
        name = built.actor_name
        args = self._json(built.args, key, name)
        kwargs = self._json(dict(sorted(built.kwargs.items())), key, name)
        text = b'{"queue":%b,"args":%b,"kwargs":%b,"options":%b}' % (
            orjson.dumps(built.queue_name),
            args,
            kwargs,
            self._json(dict(built.options), key, name),
        )
        self.host.fitting(text, field=f"the arguments of step {key} ({name})", is_sent=True)
        # Options are not part of it: they may hold moments, which differ whenever it is built.
        return Plan(StepKind.CALL, name, digest_of(args, kwargs), text)

    def result(self, text: bytes) -> T:
        """Return what the actor returned, as the type it declares."""
        value: T = _decoded(self.host, text, returned_type(self._callee), "an actor's result")
        return value

    def _json(self, value: object, key: str, name: str) -> bytes:
        try:
            return plain_json(value)
        except ValueError as error:
            raise InputInvalid(
                self.host.definition.name,
                f"the arguments of step {key} ({name})",
                reason=str(error),
                workflow_id=self.host.execution.workflow_id,
            ) from None


class StepFunction:
    """What a RUN step runs: call it; when it returns an awaitable, await that."""

    __slots__ = ("_args", "function", "retry")

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], retry: RetryPolicy | None
    ) -> None:
        self.function = function
        self._args = args
        self.retry = retry
        """Whether and when it runs again; None: it runs once."""

    def __call__(self) -> Any:  # noqa: ANN401 - what it returns
        """Run it once."""
        return self.function(*self._args)

    def encoded(self, value: object) -> bytes:
        """Return what it gave as JSON.

        Raises:
            ValueError: that has no JSON form, or is not of the type the function declares.
        """
        return encode(value, self.returned_type)

    @property
    def returned_type(self) -> Any:  # noqa: ANN401 - any type form there is
        """The type it declares to return."""
        return returned_type(self)


class RunWait(StepWait[T]):
    """A function run by the orchestrator, once its result is needed."""

    __slots__ = ("_args", "_name", "step_function")

    def __init__(
        self,
        host: Host,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        *,
        retry: RetryPolicy | None,
        name: str | None,
    ) -> None:
        super().__init__(host)
        self.step_function = StepFunction(function, args, retry)
        self._args = args
        self._name = name or str(getattr(function, "__qualname__", type(function).__name__))

    def plan(self, key: str) -> Plan:  # noqa: ARG002 - its name says it all
        """Name the function."""
        try:
            digest = digest_of(plain_json(self._args))
        except ValueError:  # it never leaves this process, so it may be anything
            digest = _NOTHING
        return Plan(StepKind.RUN, self._name, digest)

    def result(self, text: bytes) -> T:
        """Return what the function returned, as the type it declares."""
        type_ = self.step_function.returned_type
        value: T = _decoded(self.host, text, type_, "a function's result")
        return value


class SleepWait(StepWait[None]):
    """Time that passes."""

    __slots__ = ("_due_at_ms", "_length_ms")

    def __init__(
        self, host: Host, *, length_ms: int | None = None, due_at_ms: int | None = None
    ) -> None:
        super().__init__(host)
        self._length_ms, self._due_at_ms = length_ms, due_at_ms

    def plan(self, key: str) -> Plan:  # noqa: ARG002 - a changed length is no changed program
        """Say when it is over."""
        due_at_ms = self._due_at_ms
        if due_at_ms is None:
            due_at_ms = self.host.starts_at_ms + (self._length_ms or 0)
        return Plan(StepKind.SLEEP, "sleep", _NOTHING, None, due_at_ms)

    def result(self, text: bytes) -> None:
        """Return nothing."""


class SignalWait(StepWait[T]):
    """A signal that somebody is to send."""

    __slots__ = ("_timeout", "name", "type_")

    def __init__(self, host: Host, name: str, type_: object, timeout: timedelta | None) -> None:
        super().__init__(host)
        self.name, self.type_, self._timeout = name, type_, timeout

    def plan(self, key: str) -> Plan:  # noqa: ARG002 - its name says it all
        """Say what is waited for, and until when."""
        declared = self.host.definition.signals
        if declared is not None and self.name not in declared:
            raise SignalUnknown(self.host.execution.workflow_id, self.name, known=tuple(declared))
        due_at_ms = None
        if self._timeout is not None:
            due_at_ms = self.host.starts_at_ms + self._timeout // _MILLISECOND
        return Plan(StepKind.SIGNAL, self.name, _NOTHING, None, due_at_ms)

    def result(self, text: bytes) -> T:
        """Return what was sent.

        Raises:
            ValueError: it is not of the type that is waited for.
        """
        value: T = decode(text, self.type_)
        return value


class ChildWait(StepWait[T]):
    """Another execution."""

    __slots__ = ("_definition", "_id", "_input")

    def __init__(
        self, host: Host, definition: Definition, input_: object, *, ident: str | None
    ) -> None:
        super().__init__(host)
        self._definition, self._input, self._id = definition, input_, ident

    def plan(self, key: str) -> Plan:
        """Make the execution."""
        definition, parent = self._definition, self.host.execution
        workflow_id = workflow_id_from(f"{parent.workflow_id}{CHILD_MARK}{self._id or key}")
        text = definition.input_from(self._input, workflow_id=workflow_id)
        self.host.fitting(text, field=f"the input of child {workflow_id!r}")
        deadline_at_ms = parent.deadline_at_ms
        if definition.deadline is not None:
            own = self.host.starts_at_ms + definition.deadline // _MILLISECOND
            deadline_at_ms = own if deadline_at_ms is None else min(own, deadline_at_ms)
        child = NewExecution(
            workflow_id=workflow_id,
            execution_id=new_execution_id(workflow_id),
            partition=parent.partition,
            name=definition.name,
            version=definition.version,
            input=text,
            lane=parent.lane,
            tenant=parent.tenant,
            complexity=parent.complexity,
            signals=None if definition.signals is None else tuple(definition.signals),
            deadline_at_ms=deadline_at_ms,
            parent=Parent(execution_id=parent.execution_id, step=key),
        )
        digest = digest_of(text, (self._id or "").encode())
        return Plan(StepKind.CHILD, definition.name, digest, text, None, child)

    def result(self, text: bytes) -> T:
        """Return what the child returned."""
        value: T = self._definition.output_of(text)
        return value


def _decoded(host: Host, text: bytes, type_: object, what: str) -> Any:  # noqa: ANN401
    try:
        return decode(text or NULL, type_)
    except ValueError as error:
        raise InputInvalid(
            host.definition.name,
            what,
            reason=str(error),
            workflow_id=host.execution.workflow_id,
        ) from None
