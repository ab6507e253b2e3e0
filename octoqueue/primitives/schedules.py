"""What a schedule is, what of it is due, and what a store says when it is asked to fire. Pure.

A store knows of a schedule one number: the last tick that was fired (at first, the moment it was
first seen). A worker names the number it knows and the tick it wants to fire; the store refuses
when the number is another one, or when the tick is not due by its own clock. So however many
workers ask, and whatever their clocks say, each tick is fired once and in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from octoqueue.primitives.ids import AFFINITY_BYTES, ID_BYTES, MessageId

if TYPE_CHECKING:
    from octoqueue.primitives.cron import Ticks

CATCH_UP_LIMIT = 1_000
AT_ONCE = 100
"""Ticks fired in one pass; other schedules come in between."""


class Missed(StrEnum):
    """What becomes of ticks at which nobody could fire."""

    COALESCE = "coalesce"
    """One message, for the latest of them."""
    CATCH_UP = "catch_up"
    """A message for each of them, in order."""


class Due(NamedTuple):
    """What to fire now."""

    ticks: list[int]
    drops_older: bool = False
    """Whether there were more than may be caught up with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When an actor is to run by itself."""

    name: str
    ticks: Ticks
    missed: Missed = Missed.COALESCE
    catch_up_limit: int = CATCH_UP_LIMIT

    def due(self, *, last_ms: int, now_ms: int) -> Due:
        """Return which ticks to fire after the last one, in order."""
        if self.missed is Missed.COALESCE:
            return Due(self.ticks.latest(1, after_ms=last_ms, until_ms=now_ms))
        limit = self.catch_up_limit
        ticks = self.ticks.latest(limit + 1, after_ms=last_ms, until_ms=now_ms)
        return Due(ticks[-limit:][:AT_ONCE], drops_older=len(ticks) > limit)

    @property
    def place(self) -> MessageId:
        """An id that is beside all messages of the schedule: they share its partition."""
        affinity = blake2b(self.name.encode(), digest_size=AFFINITY_BYTES).digest()
        return MessageId(bytes(ID_BYTES - AFFINITY_BYTES) + affinity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A tick that a worker wants to fire."""

    schedule: str
    digest: str
    """Of the ticks of the schedule, see `Ticks.digest`."""
    after_ms: int
    """The last tick the worker knows of."""
    tick_ms: int


class Fired(IntEnum):
    """What a store did. The integer is what `fire.lua` answers."""

    FIRED = 1
    """The message is stored and the tick recorded."""
    MOVED_ON = 2
    """Nothing: the last tick is another one than the worker knew."""
    EARLY = 3
    """Nothing: by the store's clock the tick is still to come."""
    DUPLICATE = 4
    """The tick is recorded; its message was not stored, as another one holds its unique key."""


class Firing(NamedTuple):
    """A store's answer to a tick."""

    outcome: Fired
    last_ms: int
    """The last tick now."""
    now_ms: int
    """The store's clock."""


class LastTick(NamedTuple):
    """Where a schedule stands."""

    last_ms: int | None
    """What the next tick is counted from; None when it was never seen, or has changed since."""
    fired_ms: int | None
    """The last tick that was fired, whatever the schedule was then; None when there was none."""
    now_ms: int
    """The store's clock."""
