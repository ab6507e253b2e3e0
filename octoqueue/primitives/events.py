"""Events: what a message tells while it runs, in the order of its stream. Pure.

A stream is kept for a while after its last event and holds a bounded number of them. The id of an
event is `life-number`: when the stream began, and the event's number in it from 1. Ids grow, and
numbers have no holes, so whoever follows a stream sees for certain whether it has missed something.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import orjson

from octoqueue.errors import InvalidMessage, PayloadNotSerializable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from octoqueue.primitives.body_json import Json


class EventKind(StrEnum):
    """What an event says."""

    STARTED = "started"
    """An attempt begins: what an earlier one has told may be told again."""
    EMITTED = "emitted"
    """Something the actor emitted."""
    PROGRESS = "progress"
    """How far the actor is."""
    RETRY = "retry"
    """The attempt failed; another will follow."""
    SNOOZED = "snoozed"
    """The attempt wished to go on later."""
    ENDED = "ended"
    """The message has ended; nothing follows."""
    GAP = "gap"
    """Events were lost before this one: nobody listened for longer than they are kept."""


_KINDS = {kind.value: kind for kind in EventKind}


_DIGITS = 19
"""What surely fits into the 64 bits that Redis has for each part of an id."""


class Position(NamedTuple):
    """The place of an event in its stream."""

    life: int
    number: int

    def __str__(self) -> str:
        """Return the id of the event."""
        return f"{self.life}-{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing a message told."""

    id: str
    """Its place in the stream; `since=event.id` goes on after it."""
    kind: EventKind
    attempt: int
    """The attempt that told it: 0 is the first."""
    at: datetime
    """When, by the clock of the worker."""
    data: Json = None
    """What was emitted; facts about the moment for other kinds, see the properties."""

    @property
    def fraction(self) -> float | None:
        """PROGRESS: how much is done, 0 to 1."""
        found: float | None = self._fact(EventKind.PROGRESS, "fraction")
        return found

    @property
    def note(self) -> str | None:
        """PROGRESS: what is being done."""
        found: str | None = self._fact(EventKind.PROGRESS, "note")
        return found

    @property
    def outcome(self) -> str | None:
        """ENDED: `succeeded`, `dead`, `cancelled` or `expired`."""
        found: str | None = self._fact(EventKind.ENDED, "outcome")
        return found

    @property
    def missed(self) -> int | None:
        """GAP: how many events were lost, None when nobody knows."""
        found: int | None = self._fact(EventKind.GAP, "missed")
        return found

    def _fact(self, kind: EventKind, name: str) -> Json:
        return self.data.get(name) if self.kind is kind else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Events on their way into a stream."""

    sender: str
    """Names the attempt, as no other ever did."""
    first: int
    """The sender's own number of the first of them, from 1: what is sent twice is kept once."""
    events: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How much of a stream is kept."""

    bound: int = 10_000
    """Events, at most: older ones make room."""
    ttl_ms: int = 600_000
    """How long after the last one."""


class Kept(NamedTuple):
    """An event as it stands in its stream."""

    position: Position
    body: bytes


def encoded(kind: EventKind, *, attempt: int, at_ms: int, data: Json, actor: str) -> bytes:
    """Return an event as it is stored: JSON without line ends.

    Raises:
        PayloadNotSerializable: `data` has no JSON form.
    """
    try:
        return orjson.dumps({"kind": kind, "attempt": attempt, "at": at_ms, "data": data})
    except TypeError as error:
        raise PayloadNotSerializable(actor, reason=f"its event: {error}") from None


def event_from(kept: Kept) -> Event:
    """Return a stored event; one of a kind nobody here knows is shown as emitted."""
    fields = orjson.loads(kept.body)
    return Event(
        id=str(kept.position),
        kind=_KINDS.get(fields["kind"], EventKind.EMITTED),
        attempt=fields["attempt"],
        at=datetime.fromtimestamp(fields["at"] / 1000, tz=UTC),
        data=fields["data"],
    )


def gap_before(event: Event, missed: int | None) -> Event:
    """Return the event that says that some before `event` are lost."""
    position = position_from(event.id)
    before = Position(position.life, position.number - 1)
    return Event(
        id=str(before),
        kind=EventKind.GAP,
        attempt=event.attempt,
        at=event.at,
        data={"missed": missed},
    )


def missed_between(seen: Position | None, found: Position) -> int | None:
    """Return how many events stood between two that were read after each other, None if unknown.

    `seen` is None at the beginning of a stream.
    """
    if seen is None:
        return found.number - 1
    if seen.life == found.life:
        return found.number - seen.number - 1
    return None


def position_from(text: str) -> Position:
    """Return the place an event's id names.

    Raises:
        InvalidMessage: it names none.
    """
    life, _, number = text.partition("-")
    if not all(
        part.isascii() and part.isdigit() and len(part) <= _DIGITS for part in (life, number)
    ):
        raise InvalidMessage("since", f"{text!r} is no id of an event")
    return Position(int(life), int(number))


# ── as they are published ────────────────────────────────────────────────────────────────────────


def published(first: Position, bodies: Sequence[bytes]) -> bytes:
    """Return neighbouring events as one publication, as `append_events.lua` writes it."""
    return b"\n".join((str(first).encode(), *bodies))


def kept_from(publication: bytes) -> Iterable[Kept]:
    """Return the events of a publication."""
    head, *bodies = publication.split(b"\n")
    life, number = position_from(head.decode())
    return [Kept(Position(life, number + index), body) for index, body in enumerate(bodies)]
