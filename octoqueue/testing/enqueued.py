"""`Enqueued`: a message that waits, as a test wants to see it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from inspect import signature
from typing import TYPE_CHECKING, Any

from octoqueue.broker.encoding import opened
from octoqueue.primitives.body_json import json_from, value_from
from octoqueue.primitives.envelope import decode_body, extension_of, unpack_header

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from octoqueue.primitives.body_json import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """A message that waits or is delayed."""

    message_id: str
    actor: str
    queue: str
    lane: str
    """`high`, `normal` or `low`."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    tenant: str = ""
    due_in: timedelta = timedelta(0)
    """How long until it is ready, by the clock of the kit; 0 when it is."""
    attempt: int = 0
    """How many executions of it have ended in a retry."""
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    """dramatiq's message options."""

    def __str__(self) -> str:
        """Return it as a call, with what is not as usual."""
        told = called(self.actor, self.args, self.kwargs)
        if self.lane != "normal":
            told += f"  lane {self.lane}"
        if self.tenant:
            told += f"  tenant {self.tenant}"
        if self.due_in:
            told += f"  due in {self.due_in}"
        if self.attempt:
            told += f"  attempt {self.attempt}"
        return told


def enqueued_from(payload: bytes, *, due_ms: int | None, now_ms: int) -> Enqueued:
    """Return what waits under a payload."""
    header, call = unpack_header(payload), opened(decode_body(payload))
    return Enqueued(
        message_id=call.message_id(header),
        actor=call.actor,
        queue=call.queue,
        lane=header.lane.label,
        args=tuple(call.args),
        kwargs=call.kwargs,
        tenant=extension_of(payload).tenant,
        due_in=timedelta(milliseconds=0 if due_ms is None else max(due_ms - now_ms, 0)),
        attempt=header.attempt,
        options=call.options,
    )


def called(actor: str, args: Sequence[object], kwargs: Mapping[str, object]) -> str:
    """Return a call as Python writes it."""
    shown = [repr(value) for value in args]
    shown += [f"{name}={value!r}" for name, value in kwargs.items()]
    return f"{actor}({', '.join(shown)})"


def arguments(
    function: Callable[..., Any], args: Sequence[Json], kwargs: Mapping[str, Json]
) -> dict[str, Json]:
    """Return arguments by the name of their parameter, however they were passed.

    Values are as they arrive: a tuple as a list, a date as a text.

    Raises:
        TypeError: the function does not take them.
    """
    bound = signature(function).bind_partial(*args, **kwargs)
    return {name: _as_it_arrives(value) for name, value in bound.arguments.items()}


def _as_it_arrives(value: Json) -> Json:
    try:
        return value_from(json_from(value))
    except TypeError:  # the program's own encoder can carry it
        return value


def differences(found: Mapping[str, Json], wanted: Mapping[str, Json]) -> list[str]:
    """Return, a line each, which of the wanted arguments a message does not have."""
    missing = object()
    told: list[str] = []
    for name, value in wanted.items():
        other = found.get(name, missing)
        if other is missing:
            told.append(f"{name}: wanted {value!r}, was not passed")
        elif other != value:
            told.append(f"{name}: wanted {value!r}, is {other!r}")
    return told
