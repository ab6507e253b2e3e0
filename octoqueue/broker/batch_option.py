"""`Batch`: what an actor of batches declares, must be, and says with its return value. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from inspect import signature
from typing import TYPE_CHECKING, Any, TypeAlias

from octoqueue.errors import BatchAnswerInvalid, DeclarationError, InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Answer: TypeAlias = tuple[object, BaseException | None]
"""What became of one message: the value it returned, or what it raised."""

MAX_SIZE = 1_000
MAX_WAIT = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """An actor is called with a list: one argument of each of its messages.

    Raises:
        DeclarationError: a value is impossible.
    """

    max_size: int = 10
    """Messages in one call, at most."""
    max_wait: timedelta = timedelta(seconds=5)
    """How long the first message waits for others; 0 takes what was claimed together."""

    def __post_init__(self) -> None:
        if not _is_size(self.max_size):
            raise DeclarationError(
                f"batch: max_size is {self.max_size!r}, it must be 1 to {MAX_SIZE:,}"
            )
        if not _is_wait(self.max_wait):
            raise DeclarationError(
                f"batch: max_wait is {self.max_wait!r}, it must be a timedelta of 0 to 1 hour"
            )


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SIZE


def _is_wait(value: object) -> bool:
    return isinstance(value, timedelta) and timedelta(0) <= value <= MAX_WAIT


def check_batch_function(function: Callable[..., Any], *, owner: str) -> None:
    """Raise `DeclarationError` unless a function can be called with one list."""
    try:
        signature(function).bind([])
    except TypeError as error:
        raise DeclarationError(
            f"{owner} is a batch actor: it must take exactly one positional parameter, "
            f"the list ({error})"
        ) from None


def check_batch_call(actor: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise `InvalidMessage` unless a message for a batch actor carries exactly one argument."""
    if len(args) != 1 or kwargs:
        told = f"{len(args)} positional and {len(kwargs)} named"
        raise InvalidMessage(
            "args",
            f"{actor!r} is a batch actor, so a message carries exactly one positional argument, "
            f"not {told}",
        )


def answers_of(returned: object, count: int, *, actor: str) -> list[Answer]:
    """Return what a batch actor's return value says of each of its messages.

    None: all are done. A list has an entry a message: its result, or an exception for it alone.

    Raises:
        BatchAnswerInvalid: it is neither, or of another length.
    """
    if returned is None:
        return [(None, None)] * count
    if not isinstance(returned, (list, tuple)):
        raise BatchAnswerInvalid(actor, returned=type(returned).__name__, messages=count)
    entries: list[Any] | tuple[Any, ...] = returned  # pyright: ignore[reportUnknownVariableType]
    if len(entries) != count:
        told = f"{type(entries).__name__} of {len(entries)}"
        raise BatchAnswerInvalid(actor, returned=told, messages=count)
    return [(None, one) if isinstance(one, BaseException) else (one, None) for one in entries]
