"""Workflow functions as declared, and where a process finds them.

An execution keeps the version it was started with; whoever starts one gets the highest version of
its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import Parameter, isasyncgenfunction, iscoroutinefunction, signature
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from octoqueue.errors import (
    DeclarationError,
    InputInvalid,
    SignalInvalid,
    SignalUnknown,
    WorkflowNotDeclared,
)
from octoqueue.primitives.lane import Lane
from octoqueue.workflows.finding import MOST_NAME_CHARACTERS
from octoqueue.workflows.states import Complexity
from octoqueue.workflows.values import NULL, decode, encode, resolved, why_unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from datetime import timedelta

_WITH_INPUT = 2
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Definition:
    """One version of a workflow function."""

    name: str
    version: int = 1
    function: Callable[..., Coroutine[Any, Any, Any]]
    takes_input: bool = True
    """False: the function takes its ctx only."""
    input_type: Any = Any
    output_type: Any = Any
    signals: Mapping[str, Any] | None = None
    """The types of the signals it takes, by name; None when it takes any."""
    lane: Lane = Lane.NORMAL
    complexity: Complexity = Complexity.MEDIUM
    deadline: timedelta | None = None
    """How long an execution may last, counted from its start."""

    def input_from(self, value: object, *, workflow_id: str = "") -> bytes:
        """Return an input as JSON.

        Raises:
            InputInvalid: it is not of the declared type.
        """
        if not self.takes_input:
            if value is None:
                return NULL
            raise InputInvalid(
                self.name, "input", reason="it takes no input", workflow_id=workflow_id
            )
        return self._encoded(value, self.input_type, "input", workflow_id)

    def output_from(self, value: object, *, workflow_id: str = "") -> bytes:
        """Return an output as JSON.

        Raises:
            InputInvalid: it is not of the declared type.
        """
        return self._encoded(value, self.output_type, "output", workflow_id)

    def input_of(self, text: bytes, *, workflow_id: str = "") -> Any:  # noqa: ANN401
        """Return the input that a JSON text stands for.

        Raises:
            InputInvalid: it is not of the declared type.
        """
        return self._decoded(text, self.input_type, "input", workflow_id)

    def output_of(self, text: bytes, *, workflow_id: str = "") -> Any:  # noqa: ANN401
        """Return the output that a JSON text stands for.

        Raises:
            InputInvalid: it is not of the declared type.
        """
        return self._decoded(text, self.output_type, "output", workflow_id)

    def signal_from(self, name: str, value: object, *, workflow_id: str) -> bytes:
        """Return the value of a signal as JSON.

        Raises:
            SignalUnknown: it declares its signals, and this is none of them.
            SignalInvalid: the value is not of the declared type.
        """
        declared: Any = Any
        if self.signals is not None:
            if name not in self.signals:
                raise SignalUnknown(workflow_id, name, known=tuple(self.signals))
            declared = self.signals[name]
        try:
            return encode(value, declared)
        except ValueError as error:
            raise SignalInvalid(workflow_id, name, reason=str(error)) from None

    def _encoded(self, value: object, type_: object, field: str, workflow_id: str) -> bytes:
        try:
            return encode(value, type_)
        except ValueError as error:
            raise InputInvalid(
                self.name, field, reason=str(error), workflow_id=workflow_id
            ) from None

    def _decoded(self, text: bytes, type_: object, field: str, workflow_id: str) -> Any:  # noqa: ANN401
        try:
            return decode(text, type_)
        except ValueError as error:
            raise InputInvalid(
                self.name, field, reason=str(error), workflow_id=workflow_id
            ) from None


class Registry:
    """Definitions by name and version."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, dict[int, Definition]] = {}

    def add(self, definition: Definition) -> None:
        """Declare one.

        Raises:
            DeclarationError: another function has this name and version.
        """
        versions = self._by_name.setdefault(definition.name, {})
        there = versions.get(definition.version)
        if there is not None and _place(there.function) != _place(definition.function):
            raise DeclarationError(
                f"workflow {definition.name!r} version {definition.version} is declared twice: "
                f"by {_place(there.function)} and {_place(definition.function)}"
            )
        versions[definition.version] = definition

    def get(self, name: str, version: int | None = None) -> Definition:
        """Return one; its newest version when none is given.

        Raises:
            WorkflowNotDeclared: there is none of that name and version.
        """
        versions = self._by_name.get(name)
        if not versions:
            raise WorkflowNotDeclared(name, known=self.names())
        found = versions.get(max(versions) if version is None else version)
        if found is None:
            known = [f"{name} version {each}" for each in sorted(versions)]
            raise WorkflowNotDeclared(f"{name} version {version}", known=known)
        return found

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        return tuple(sorted(self._by_name))

    def remove(self, name: str) -> None:
        """Forget all versions of a name, if there are any: for tests."""
        self._by_name.pop(name, None)


DEFINITIONS = Registry()
"""What this process has imported."""


def define(
    function: Callable[..., Coroutine[Any, Any, Any]],
    *,
    name: str | None = None,
    version: int = 1,
    signals: Mapping[str, Any] | None = None,
    lane: Lane = Lane.NORMAL,
    complexity: Complexity = Complexity.MEDIUM,
    deadline: timedelta | None = None,
    registry: Registry = DEFINITIONS,
) -> Definition:
    """Declare a workflow function: `async def f(ctx)` or `async def f(ctx, input)`.

    Raises:
        DeclarationError: the function or an option cannot be used; names the workflow.
    """
    named = name or str(getattr(function, "__name__", function))
    owner = f"workflow {named!r}"
    for what, text in [("its name", named), *(("a signal", each) for each in signals or ())]:
        if not (text.isprintable() and 1 <= len(text) <= MOST_NAME_CHARACTERS):
            raise DeclarationError(
                f"{owner}: {what}, {text[:MOST_NAME_CHARACTERS]!r}, must have 1 to "
                f"{MOST_NAME_CHARACTERS} characters that can be printed"
            )
    _check_function(function, owner=owner)
    if version < 1:
        raise DeclarationError(f"{owner}: version is {version}, it must be 1 or more")
    if deadline is not None and deadline.total_seconds() <= 0:
        raise DeclarationError(f"{owner}: deadline is {deadline}, it must be longer than nothing")
    takes_input, input_type, output_type = _types_of(function, owner=owner)
    for signal, type_ in (signals or {}).items():
        _check_type(type_, f"signal {signal!r}", owner=owner)
    definition = Definition(
        name=named,
        version=version,
        function=function,
        takes_input=takes_input,
        input_type=input_type,
        output_type=output_type,
        signals=None if signals is None else MappingProxyType(dict(signals)),
        lane=lane,
        complexity=complexity,
        deadline=deadline,
    )
    registry.add(definition)
    return definition


def _check_function(function: Callable[..., Any], *, owner: str) -> None:
    if isasyncgenfunction(function):
        raise DeclarationError(f"{owner} is a generator function; tell values with ctx.emit")
    if not iscoroutinefunction(function):
        raise DeclarationError(f"{owner} must be an 'async def' function")


def _types_of(function: Callable[..., Any], *, owner: str) -> tuple[bool, Any, Any]:
    parameters = list(signature(function).parameters.values())
    positional = [each for each in parameters if each.kind in _POSITIONAL]
    required = [each for each in parameters if each.default is Parameter.empty]
    if len(positional) != len(parameters) or not 1 <= len(parameters) <= _WITH_INPUT:
        raise DeclarationError(f"{owner} must take (ctx) or (ctx, input), nothing else")
    if parameters[0] not in required:
        raise DeclarationError(f"{owner}: its ctx must have no default")
    takes_input = len(parameters) == _WITH_INPUT
    written: dict[str, Any] = {}
    annotated: Mapping[str, Any] = getattr(function, "__annotations__", {})
    if takes_input and parameters[1].name in annotated:
        written["input"] = annotated[parameters[1].name]
    if "return" in annotated:
        written["output"] = annotated["return"]
    try:
        types = resolved(function, written)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise DeclarationError(
            f"{owner}: the types of its input and output are needed at run time: {error}; "
            "import them outside of TYPE_CHECKING"
        ) from None
    for field, type_ in types.items():
        _check_type(type_, field, owner=owner)
    return takes_input, types.get("input", Any), types.get("output", Any)


def _check_type(type_: object, field: str, *, owner: str) -> None:
    reason = why_unusable(type_)
    if reason is not None:
        raise DeclarationError(f"{owner}: the type of its {field} cannot be used: {reason}")


def _place(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"
