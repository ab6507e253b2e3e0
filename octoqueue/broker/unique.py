"""`Unique`: at most one message of an actor with the same key.

    @octoqueue.actor(unique=octoqueue.Unique(until="done", key=lambda user_id: user_id))
    async def refresh(user_id: str) -> None: ...

A second message with the key is a duplicate: it is not stored, and its sender gets the handle of
the message that holds the key, or an error. Keys of different actors never meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from inspect import Signature, iscoroutinefunction, signature
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import orjson

from octoqueue.broker.limiting import called
from octoqueue.errors import (
    DeclarationError,
    DuplicateMessage,
    InvalidMessage,
    PayloadNotSerializable,
)
from octoqueue.primitives.envelope import decode_body
from octoqueue.primitives.extension import UniqueKey, UniqueMode, unique_digest
from octoqueue.primitives.ids import text_from_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from octoqueue.lanes.answers import Duplicates
    from octoqueue.primitives.messages import Enqueue

Until: TypeAlias = Literal["done", "started"] | timedelta
OnDuplicate: TypeAlias = Literal["existing", "error"]

LONGEST_WINDOW = timedelta(days=366)
_MODES: Mapping[object, UniqueMode] = {"done": UniqueMode.DONE, "started": UniqueMode.STARTED}
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    """How long a key is taken, what the key is, and what a duplicate's sender gets.

    `until` is `"done"` (acked, dead, cancelled or expired), `"started"` (claimed for the first
    time), or a window of time that begins when the message is enqueued. `key` is a function of the
    call's arguments; without one the key is all of them. With `on_duplicate="error"` a duplicate
    raises `DuplicateMessage`.

    Raises:
        DeclarationError: a value is impossible; names it.
    """

    until: Until = "done"
    key: Callable[..., str] | None = None
    on_duplicate: OnDuplicate = "existing"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        until: object = self.until
        if isinstance(until, timedelta):
            if not _MILLISECOND <= until <= LONGEST_WINDOW:
                raise DeclarationError(
                    f"Unique: until is {until}, a window must be 1 ms to {LONGEST_WINDOW.days} days"
                )
        elif until not in ("done", "started"):
            raise DeclarationError(
                f"Unique: until is {until!r}, it must be 'done', 'started' or a timedelta"
            )
        key: object = self.key
        if key is not None and (not callable(key) or iscoroutinefunction(key)):
            raise DeclarationError(
                f"Unique: key is {key!r}, it must be a plain function of the call's arguments"
            )
        wish: object = self.on_duplicate
        if wish not in ("existing", "error"):
            raise DeclarationError(
                f"Unique: on_duplicate is {wish!r}, it must be 'existing' or 'error'"
            )

    @property
    def mode(self) -> UniqueMode:
        """How the store keeps the key."""
        return UniqueMode.WINDOW if isinstance(self.until, timedelta) else _MODES[self.until]

    @property
    def window_ms(self) -> int:
        """How long the key is taken at least, 0 when it ends with the message."""
        return self.until // _MILLISECOND if isinstance(self.until, timedelta) else 0


BY_KEY = Unique()
"""What holds for a message that brings a key to an actor that declares none."""


class KeyOf:
    """Knows the unique key of a call of one actor."""

    __slots__ = ("_actor", "_signature", "unique")

    def __init__(self, actor: str, unique: Unique, function: Callable[..., Any]) -> None:
        self._actor = actor
        self.unique = unique
        self._signature = _signature_of(function)

    def of(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, own: str | None = None
    ) -> UniqueKey:
        """Return the key of one call, or the one that its sender says is its `own`.

        Raises:
            InvalidMessage: the key's function failed, or gave no text.
            PayloadNotSerializable: the arguments have no JSON form.
        """
        if own is not None:
            return unique_key(self._actor, own, self.unique)
        if self.unique.key is None:
            return unique_key(self._actor, self._of_arguments(args, kwargs), self.unique)
        key = called("unique", "the key", self.unique.key, args, kwargs)
        if not isinstance(key, str):
            raise InvalidMessage("unique", f"the key is {key!r}, not a text")
        return unique_key(self._actor, key, self.unique)

    def _of_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return all arguments as one text, the same however they were given."""
        positional, named = list(args), kwargs
        if self._signature is not None:
            try:
                bound = self._signature.bind(*args, **kwargs)
            except TypeError:
                pass  # a call that will fail; its key is as it was written
            else:
                bound.apply_defaults()
                positional, named = list(bound.args), bound.kwargs
        try:
            return orjson.dumps([positional, named], option=orjson.OPT_SORT_KEYS).decode()
        except TypeError as error:
            raise PayloadNotSerializable(self._actor, reason=str(error)) from None


def unique_key(actor: str, key: str, unique: Unique) -> UniqueKey:
    """Return what the store is told of a key of an actor."""
    return UniqueKey(unique.mode, unique_digest(f"{actor}\0{key}"), unique.window_ms)


def _signature_of(function: Callable[..., Any]) -> Signature | None:
    try:
        return signature(function)
    except (TypeError, ValueError):
        return None  # a callable of C code; its arguments are taken as they are written


def refusal_of(duplicates: Duplicates, group: Sequence[Enqueue]) -> DuplicateMessage:
    """Return the error of a group that was refused for a duplicate in it."""
    existing = duplicates.existing
    found = [m for m in group if existing.get(m.message_id, m.message_id) != m.message_id]
    strict = next((sent for sent in found if sent.refuse_duplicates), found[0])
    actor = decode_body(strict.payload).actor
    return DuplicateMessage(actor, existing=text_from_id(existing[strict.message_id]))
