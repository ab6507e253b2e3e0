"""What passes between producers, stores and workers, as frozen values.

`Enqueue` goes in, `Lease` comes out of a claim, `Settlement` ends it. None of them knows Redis.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, NewType

from octoqueue.primitives.envelope import ID_SLICE
from octoqueue.primitives.ids import MessageId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from octoqueue.primitives.events import Told
    from octoqueue.primitives.lane import Lane

SessionId = NewType("SessionId", str)
"""Names one boot of one worker; leases belong to it."""

LeaseToken = NewType("LeaseToken", bytes)
"""Message id and claim number: no two claims of a message ever share one, so a late ack of a
reclaimed message, or one sent twice, finds nothing to settle. It is the fencing token."""

TOKEN_BYTES = 20


class Enqueue(NamedTuple):
    """A message on its way into a lane. A named tuple, as one is made for every message."""

    queue: str
    lane: Lane
    payload: bytes
    """Header and body; the store stamps `ready_at_ms` into it."""
    delay_ms: int = 0
    refuse_duplicates: bool = False
    """Whether its whole group is refused when another message holds its unique key."""

    @property
    def message_id(self) -> MessageId:
        """The id in the header."""
        return MessageId(self.payload[ID_SLICE])


class Lease(NamedTuple):
    """A worker's exclusive, renewable claim on one message."""

    queue: str
    partition: int
    token: LeaseToken
    payload: bytes

    @property
    def message_id(self) -> MessageId:
        """The id of the leased message."""
        return MessageId(self.token[:16])


class Outcome(IntEnum):
    """How an attempt ended. The integer is what `commit.lua` reads."""

    ACK = 1
    RETRY = 2
    DEAD_LETTER = 3
    RELEASE = 4
    SNOOZE = 5
    """Again after a delay; no attempt is counted."""
    CANCEL = 6
    """Somebody cancelled the message: it is gone."""
    EXPIRE = 7
    """It came too late to be run: it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRecord:
    """The outcome kept for whoever asks."""

    body: bytes
    """orjson: `{"ok": value}` or `{"error": class, "message": …, "traceback": …}`."""
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The end of one lease and everything that is committed with it, or not at all."""

    lease: Lease
    outcome: Outcome
    delay_ms: int = 0
    """RETRY and SNOOZE: how long the message waits before its next attempt."""
    reason: bytes = b""
    """DEAD_LETTER and RETRY: orjson with `error`, `message` and what else is known. Also of an ACK
    when the message itself is among its follow-ups, which is how dramatiq's worker retries."""
    result: ResultRecord | None = None
    follow_ups: tuple[Enqueue, ...] = ()
    used: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """Units really used of a limit, by its name and key. Of a limit that is not in it all that was
    reserved counts as used by an ACK and nothing by any other outcome."""
    events: Told | None = None
    """What the attempt has told and may not be stored yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emission:
    """Events of a running message."""

    lease: Lease
    told: Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What is told under an id that no lease is held of, such as that of an execution."""

    message_id: MessageId
    events: tuple[tuple[int, bytes], ...] = ()
    """Each with its number, from 1 and growing: an event told before, or too late, is left out."""
    result: ResultRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTime:
    """Measured running time of the attempts in one commit, for one queue."""

    count: int
    total_us: int
    squares_ms2: int
    """Sum of squared milliseconds, for the variance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that will not run again unless somebody replays it."""

    message_id: MessageId
    queue: str
    payload: bytes
    reason: bytes
    died_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """What is true of one queue at one moment, from its counters."""

    queue: str
    depth: dict[Lane, int]
    """Messages waiting, a lane."""
    delayed: int
    dead: int
    in_flight: int
    """Messages leased by workers."""
    oldest_age_seconds: float
    """Age of the oldest waiting message, 0 when none waits."""
    counters: dict[str, int]
    """Totals since the keys exist: see `redis/keys.py` for the names."""
    waits: tuple[int, ...] = field(default=())
    """Claims a wait-time bucket; bounds in `primitives/histogram.py`."""
    paused: bool = False
    """Nothing is claimed from it until somebody resumes it."""

    @property
    def waiting(self) -> int:
        """Messages waiting in all lanes."""
        return sum(self.depth.values())
