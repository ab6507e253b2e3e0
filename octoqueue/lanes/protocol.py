"""`LaneStore`: what a store of messages must do, in domain verbs. No connection shows.

Every implementation runs the suite in `tests/contract/lane_store.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from octoqueue.lanes.life import MessageLife

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from datetime import timedelta

    from octoqueue.lanes.answers import EnqueueAnswer
    from octoqueue.lanes.options import LaneOptions
    from octoqueue.primitives.events import Event, Position
    from octoqueue.primitives.gates import Gates
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import (
        Announcement,
        DeadLetter,
        Emission,
        Enqueue,
        Lease,
        LeaseToken,
        QueueStats,
        RunTime,
        SessionId,
        Settlement,
    )
    from octoqueue.primitives.once import Once
    from octoqueue.primitives.schedules import Firing, LastTick, Tick
    from octoqueue.primitives.signals import Presence, QueueMinute, SignalReading


@dataclass(frozen=True, slots=True)
class Refusals:
    """Settlements that changed nothing because their lease was gone."""

    acks: int = 0
    """How many of the plain acks."""
    tokens: tuple[LeaseToken, ...] = ()
    """Which of the settlements."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """What one pass over the delayed messages did."""

    moved: int
    next_due: timedelta | None
    """When the next becomes due; None when none is delayed."""


class LaneStore(MessageLife, Protocol):
    """Messages in bounded lanes, leased to worker sessions.

    Every method raises `StoreUnavailable` when the store cannot be reached.
    """

    @property
    def options(self) -> LaneOptions:
        """What it was told: partitions, lease, bounds."""
        ...

    @property
    def spans_partitions(self) -> bool:
        """Whether one commit covers all partitions, as it does on a single Redis."""
        ...

    async def enqueue(self, groups: Sequence[Sequence[Enqueue]]) -> list[EnqueueAnswer]:
        """Store each group all or none; return, a group, what was not stored and why.

        A message whose unique key another one holds is left out of its group, and the others are
        stored; with `Enqueue.refuse_duplicates` the whole group is refused. A message that was sent
        again while it holds its own key is left out, too, and refuses nothing.

        When it raises, nothing is known: some groups may have been stored.
        """
        ...

    async def enqueue_once(self, messages: Sequence[Enqueue], once: Once) -> list[EnqueueAnswer]:
        """Store messages each by itself, those stored before excepted; like `enqueue`.

        What it raised on may be sent again: a message that was stored is known by its id, also
        when it has run and ended meanwhile. `once` says how long.

        Raises:
            SentTooLate: the store's clock is past `once.not_after_ms`; nothing was stored.
        """
        ...

    async def now_ms(self) -> int:
        """Return the store's clock."""
        ...

    async def last_tick(self, schedule: str, digest: str, *, begins: bool = True) -> LastTick:
        """Return where a schedule stands.

        One that was never seen, or whose ticks have another digest than before, begins now; not
        when `begins` is false, for those who only look.
        """
        ...

    async def fire(self, tick: Tick, message: Enqueue) -> Firing:
        """Enqueue the message of a tick and record the tick, or do neither; safe to send again.

        The id of the message must have the affinity of the schedule's name.

        Raises:
            LaneFull: the message has no room; the tick is still to be fired.
        """
        ...

    async def claim(self, session: SessionId, queues: Sequence[str], *, limit: int) -> list[Lease]:
        """Lease up to `limit` messages, strictly in lane order. Registers the session."""
        ...

    async def commit(
        self,
        session: SessionId,
        *,
        acks: Sequence[Lease] = (),
        settlements: Sequence[Settlement] = (),
        run_times: Mapping[str, RunTime] | None = None,
    ) -> Refusals:
        """End leases; safe to send again when it raised."""
        ...

    async def held(self, session: SessionId, queues: Sequence[str]) -> list[Lease]:
        """Return all leases of a session: what it claimed, including answers it never received."""
        ...

    async def extend(self, session: SessionId, presence: Presence | None = None) -> bool:
        """Renew a session and all it holds; False when it had not been alive.

        With `presence`, who reads signals is told it until the session says another or ends;
        `session` and `said_at_ms` of it are the store's to write.
        """
        ...

    async def define(self, gates: Gates) -> None:
        """Define gates; what waits for one that changed tries again.

        Shares of tenants and caps of queues are replaced as a whole, of other caps and limits those
        that are given. The store keeps them and defines them again when `extend` or `claim`
        registers a session.
        """
        ...

    async def retire(self, session: SessionId) -> None:
        """End a session at its own wish; what it still holds is for the next reclaim."""
        ...

    async def wait_for_bell(self, queues: Sequence[str], *, timeout: timedelta) -> bool:
        """Return True as soon as one of the queues may have work, False after `timeout`."""
        ...

    async def claim_when_rung(
        self, session: SessionId, queues: Sequence[str], *, limit: int, timeout: timedelta
    ) -> tuple[bool, list[Lease]]:
        """Wait for a bell like `wait_for_bell`, then claim; return both answers.

        A single Redis is told both at once, so that a message starts one round trip after it came.
        When it raised or was cancelled, something may have been leased: see `held`.
        """
        ...

    async def ring(self, queues: Sequence[str]) -> None:
        """Wake somebody who waits for one of the queues."""
        ...

    async def promote(self, queue: str) -> Promotion:
        """Move delayed messages that are due into their lanes."""
        ...

    async def reclaim(self) -> int:
        """Give back what expired sessions hold; return how many messages."""
        ...

    async def next_expiry(self) -> timedelta | None:
        """Return when the next session expires unless it is renewed; None when there is none."""
        ...

    async def stats(self, queue: str) -> QueueStats:
        """Return what is true of a queue now."""
        ...

    async def read_signals(
        self, queues: Sequence[str], *, due_within: timedelta, fleet: str = ""
    ) -> SignalReading:
        """Read all scaling signals of some queues, and who works for them, in one round trip.

        Args:
            queues: which.
            due_within: delayed messages that are due within this are `due_soon`.
            fleet: workers of this fleet are told of, too, whatever they serve.

        Raises:
            StoreProtocolError: a number cannot be read. A presence that cannot is left out.
        """
        ...

    async def arrival_minutes(self, queues: Sequence[str]) -> list[QueueMinute]:
        """Return the last `MINUTES_KEPT` whole minutes of each queue, oldest first.

        Read at least every eight minutes, so that none is missed; minutes are told again and again,
        and what is told of a minute does not change.

        Raises:
            StoreProtocolError: a number cannot be read.
        """
        ...

    async def queues(self) -> list[str]:
        """Return the names of all queues ever used, sorted."""
        ...

    async def result(self, message_id: MessageId) -> bytes | None:
        """Return the kept result of a message, None when there is none (yet, or any more)."""
        ...

    async def wait_for_result(self, message_id: MessageId, *, timeout: timedelta) -> bytes | None:
        """Return the result as soon as it is kept; None when `timeout` is over first."""
        ...

    async def emit(self, session: SessionId, emissions: Sequence[Emission]) -> list[LeaseToken]:
        """Append events of messages that a session holds; return the leases that are gone.

        Safe to send again when it raised: what was appended is not appended twice.
        """
        ...

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        """Keep results and append events of ids that nobody holds a lease of; tell who waits.

        Safe to send again when it raised: what was appended is not appended twice.
        """
        ...

    def events(
        self, message_id: MessageId, *, since: Position | None = None
    ) -> AsyncGenerator[Event]:
        """Follow what a message tells: what is kept first, then what comes, until it has ended.

        From the first event that is kept, or after `since`. Events that are not kept any more are
        told as a gap.
        """
        ...

    async def dead_letters(self, queue: str, *, limit: int = 100) -> list[DeadLetter]:
        """Return the newest dead letters of a queue, newest first."""
        ...

    async def dead_letter(self, queue: str, message_id: MessageId) -> DeadLetter | None:
        """Return one dead letter of a queue, None when it is not among them."""
        ...

    async def replay(
        self, queue: str, message_ids: Sequence[MessageId], *, over_bound: bool = False
    ) -> list[MessageId]:
        """Put dead letters back at the tail of their lanes, as if never tried, in this order.

        Those that are not dead (any more) are left out; the ids of the others are returned. Safe to
        send again when no answer came. On Redis Cluster a refusal counts for its partition only.

        Raises:
            LaneFull: a lane has no room for all of them; none was moved. Not with `over_bound`.
            KeyTaken: another message holds the unique key of one of them; none was moved.
            NotReplayable: one of them is no envelope; none was moved.
        """
        ...

    async def purge(
        self,
        queue: str,
        message_ids: Sequence[MessageId] = (),
        *,
        older_than: timedelta | None = None,
    ) -> int:
        """Remove dead letters for good; return how many.

        Those named go, and, with `older_than`, all that died longer ago than that.
        """
        ...

    async def flush(self, queue: str) -> None:
        """Drop all waiting, delayed and dead messages of a queue. Leases stay."""
        ...

    async def aclose(self) -> None:
        """Release the connections. Idempotent."""
        ...
