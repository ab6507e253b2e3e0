"""Random lives of messages with unique keys: cancelled, moved, lost with their worker, replayed.

The machine keeps what must be true: where each message is and who holds each key. It does not know
the order of messages, so it judges every store. A message that was cancelled while it ran and then
given back waits for whoever comes across it; until then it may hold its key and it may not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from octoqueue.errors import KeyTaken, NotWaiting
from octoqueue.lanes.answers import CancelOutcome, Duplicates
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.envelope import Flag, Header, pack_header
from octoqueue.primitives.extension import (
    Extension,
    UniqueKey,
    UniqueMode,
    pack_extension,
    unique_digest,
)
from octoqueue.primitives.ids import MessageId
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue, Lease, Outcome, SessionId, Settlement
from octoqueue.testing.fake_clock import FakeClock

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from octoqueue.lanes.protocol import LaneStore

LEASE_MS, WINDOW_MS, DAY_MS = 1_000, 5_000, 86_400_000
QUEUES = ("coder", "judge")
SESSIONS = tuple(SessionId(name) for name in ("a", "b"))
KEYS = ("k", "l", "m")
OPTIONS = LaneOptions(
    lease=timedelta(milliseconds=LEASE_MS),
    default_bounds=LaneBounds(high=10_000, normal=10_000, low=10_000),
)
LATER = (Outcome.RETRY, Outcome.SNOOZE)
RETURNING = (*LATER, Outcome.RELEASE)
_GATED = "acme"


class Place(Enum):
    WAITING = auto()
    DELAYED = auto()
    LEASED = auto()
    DEAD = auto()
    GONE = auto()


@dataclass
class Life:
    """One message, as it must be."""

    sent: Enqueue
    key: UniqueKey | None
    place: Place = Place.WAITING
    due_ms: int = 0
    lease: tuple[SessionId, Lease] | None = None
    is_cancelled: bool = False

    @property
    def ident(self) -> MessageId:
        return self.sent.message_id

    @property
    def lives(self) -> bool:
        return self.place in (Place.WAITING, Place.DELAYED, Place.LEASED)


@dataclass(frozen=True)
class Wish:
    key: str | None
    mode: UniqueMode
    queue: str
    lane: Lane
    delay_ms: int
    refuse: bool
    gated: bool


wishes = st.builds(
    Wish,
    key=st.sampled_from((*KEYS, None)),
    mode=st.sampled_from(UniqueMode),
    queue=st.sampled_from(QUEUES),
    lane=st.sampled_from(Lane),
    delay_ms=st.sampled_from((0, 0, 300)),
    refuse=st.booleans(),
    gated=st.booleans(),
)
picks = st.integers(0, 30)


@dataclass
class Believed:
    """Who holds which key, and every message there ever was."""

    lives: dict[MessageId, Life] = field(default_factory=dict)
    locks: dict[bytes, tuple[MessageId, int]] = field(default_factory=dict)

    def holder(self, key: UniqueKey | None, now_ms: int) -> MessageId | None:
        if key is None or key.digest not in self.locks:
            return None
        ident, ends_ms = self.locks[key.digest]
        return ident if ends_ms == 0 or ends_ms > now_ms else None

    def take(self, life: Life, now_ms: int) -> None:
        if life.key is not None:
            is_window = life.key.mode is UniqueMode.WINDOW
            ends_ms = now_ms + life.key.window_ms if is_window else 0
            self.locks[life.key.digest] = (life.ident, ends_ms)

    def release(self, life: Life, reached: UniqueMode) -> None:
        if life.key is None or life.key.mode > reached:
            return
        if self.locks.get(life.key.digest, (None,))[0] == life.ident:
            del self.locks[life.key.digest]

    def end(self, life: Life) -> None:
        life.place, life.lease = Place.GONE, None
        self.release(life, UniqueMode.DONE)


class LifeMachine(RuleBasedStateMachine):
    """One store, one belief."""

    runner: ClassVar[asyncio.Runner]
    whole: ClassVar[bool] = True
    """Whether one call covers all partitions. Apart, a group is one only in a partition, and keys
    of follow-ups hold in their parents' partitions only."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.store, self.tables = self.make(self.clock)
        self.believed = Believed()
        self.numbers = 0

    def make(self, clock: FakeClock) -> tuple[LaneStore, Callable[[], Awaitable[Sequence[int]]]]:
        """The store under test, and how many entries its tables of locks and tombstones have."""
        raise NotImplementedError

    def message(self, wish: Wish, beside: MessageId | None = None) -> Life:
        self.numbers += 1
        key: UniqueKey | None = None
        tail = (beside or b"\0\7")[-2:]
        if wish.key is not None and (beside is None or self.whole):
            digest = unique_digest(wish.key)
            key = UniqueKey(wish.mode, digest, WINDOW_MS if wish.mode is UniqueMode.WINDOW else 0)
            tail = tail if beside else digest[-2:]
        ident = MessageId(self.numbers.to_bytes(14) + tail)
        extension = Extension(key, tenant=_GATED if wish.gated else "")
        header = Header(lane=wish.lane, flags=Flag.EXTENDED | Flag.KEEP_RESULT, message_id=ident)
        payload = pack_header(header) + pack_extension(extension) + b"%d" % self.numbers
        sent = Enqueue(
            queue=wish.queue,
            lane=wish.lane,
            payload=payload,
            delay_ms=wish.delay_ms,
            refuse_duplicates=wish.refuse,
        )
        return Life(sent, key)

    def pick(self, number: int, *places: Place) -> Life | None:
        there = [life for life in self.believed.lives.values() if life.place in places]
        return there[number % len(there)] if there else None

    def stored(self, life: Life) -> None:
        assert life.ident not in self.believed.lives
        self.believed.lives[life.ident] = life
        self.believed.take(life, self.clock.now_ms())
        self.wait(life, life.sent.delay_ms)

    def wait(self, life: Life, delay_ms: int) -> None:
        life.place = Place.DELAYED if delay_ms else Place.WAITING
        life.due_ms, life.lease = self.clock.now_ms() + delay_ms, None

    def in_limbo(self, ident: MessageId) -> bool:
        """Whether a message only waits for whoever comes across its tombstone."""
        life = self.believed.lives[ident]
        return life.is_cancelled and life.place is Place.WAITING

    def holder(self, life: Life) -> MessageId | None:
        return self.believed.holder(life.key, self.clock.now_ms())

    # ── putting in ───────────────────────────────────────────────────────────────────────────────

    @rule(group=st.lists(wishes, min_size=1, max_size=3))
    def enqueue(self, group: list[Wish]) -> None:
        group = group if self.whole else group[:1]
        lives = [self.message(wish) for wish in group]
        (answer,) = self.runner.run(self.store.enqueue([[life.sent for life in lives]]))
        assert answer is None or isinstance(answer, Duplicates)
        existing = {} if answer is None else dict(answer.existing)
        own: dict[bytes, MessageId] = {}
        for life in lives:
            holder = own.get(life.key.digest) if life.key else None
            holder = holder or self.holder(life)
            if holder is not None and holder in self.believed.lives and self.in_limbo(holder):
                holder = existing.get(life.ident)
            assert existing.get(life.ident) == holder
            if holder is None and life.key is not None:
                own[life.key.digest] = life.ident
        wanted = [life for life in lives if life.ident not in existing]
        is_refused = bool(existing) and any(wish.refuse for wish in group)
        assert (answer is not None and answer.refused) is is_refused
        for life in () if is_refused else wanted:
            self.stored(life)

    @rule(wish=wishes, number=picks)
    def send_again(self, wish: Wish, number: int) -> None:
        del wish
        life = self.pick(number, Place.WAITING, Place.DELAYED)
        if life is None or self.holder(life) != life.ident or life.is_cancelled:
            return
        (answer,) = self.runner.run(self.store.enqueue([[life.sent]]))
        assert answer == Duplicates({life.ident: life.ident})

    # ── taking out and ending ────────────────────────────────────────────────────────────────────

    @rule(session=st.sampled_from(SESSIONS), limit=st.integers(1, 6))
    def claim(self, session: SessionId, limit: int) -> None:
        for lease in self.runner.run(self.store.claim(session, QUEUES, limit=limit)):
            self.leased(session, lease)

    def leased(self, session: SessionId, lease: Lease) -> None:
        life = self.believed.lives[lease.message_id]
        assert life.place is Place.WAITING
        assert not life.is_cancelled
        life.place, life.lease = Place.LEASED, (session, lease)
        self.believed.release(life, UniqueMode.STARTED)

    @rule(
        number=picks,
        outcome=st.sampled_from(Outcome),
        delay_ms=st.sampled_from((0, 200)),
        children=st.lists(wishes, max_size=2),
    )
    def commit(self, number: int, outcome: Outcome, delay_ms: int, children: list[Wish]) -> None:
        life = self.pick(number, Place.LEASED)
        if life is None or life.lease is None:
            return
        session, lease = life.lease
        young = [self.message(wish, beside=life.ident) for wish in children]
        settlement = Settlement(
            lease=lease,
            outcome=outcome,
            delay_ms=delay_ms if outcome in LATER else 0,
            reason=b"{}",
            follow_ups=tuple(child.sent for child in young),
        )
        refusals = self.runner.run(self.store.commit(session, settlements=[settlement]))
        assert not refusals.tokens
        self.ended(life, outcome, settlement.delay_ms)
        for child in young:
            holder = self.holder(child)
            if holder is not None and self.in_limbo(holder):
                found = self.runner.run(self.store.find(child.ident))
                holder = None if found.queue is not None else holder
            if holder is None:
                self.stored(child)

    def ended(self, life: Life, outcome: Outcome, delay_ms: int) -> None:
        if outcome in RETURNING and not life.is_cancelled:
            self.wait(life, delay_ms)
        elif outcome is Outcome.DEAD_LETTER:
            self.believed.end(life)
            life.place, life.is_cancelled = Place.DEAD, False
        else:
            self.believed.end(life)

    # ── what seldom comes together by chance ─────────────────────────────────────────────────────

    def first_leased(self) -> Life | None:
        self.claim(SESSIONS[0], 3)
        return self.pick(0, Place.LEASED)

    @rule(outcome=st.sampled_from(Outcome), delay_ms=st.sampled_from((0, 200)))
    def stop_what_runs(self, outcome: Outcome, delay_ms: int) -> None:
        life = self.first_leased()
        if life is not None and self.call(life.ident) is CancelOutcome.STOPPING:
            life.is_cancelled = True
            self.commit(0, outcome, delay_ms, [])
            self.claim(SESSIONS[1], 6)

    def call(self, ident: MessageId) -> CancelOutcome:
        return self.runner.run(self.store.cancel(ident, "stop"))

    @rule()
    def lose_what_was_stopped(self) -> None:
        life = self.first_leased()
        if life is not None and self.call(life.ident) is CancelOutcome.STOPPING:
            life.is_cancelled = True
            self.clock.advance(LEASE_MS)
            self.reclaim()
            self.claim(SESSIONS[1], 6)

    @rule(wish=wishes, key=st.sampled_from(KEYS), outcome=st.sampled_from(Outcome))
    def pass_the_key_on(self, wish: Wish, key: str, outcome: Outcome) -> None:
        """One starts, another takes its key, and the first ends."""
        wanted = replace(wish, key=key, refuse=False)
        self.enqueue([replace(wanted, mode=UniqueMode.STARTED, delay_ms=0)])
        self.claim(SESSIONS[0], 100)
        self.enqueue([wanted])
        running = [life for life in self.believed.lives.values() if life.place is Place.LEASED]
        for number, life in enumerate(running):
            if life.key is not None and life.key.digest == unique_digest(key):
                self.commit(number, outcome, 0, [])
                break
        self.enqueue([replace(wanted, refuse=True)])

    @rule(wish=wishes)
    def die_and_come_back(self, wish: Wish) -> None:
        life = self.first_leased()
        if life is None:
            return
        self.commit(0, Outcome.DEAD_LETTER, 0, [])
        dead = [each for each in self.believed.lives.values() if each.place is Place.DEAD]
        self.replay(dead.index(life))
        self.enqueue([replace(wish, key=key, refuse=False) for key in KEYS])

    # ── upkeep ───────────────────────────────────────────────────────────────────────────────────

    @rule(milliseconds=st.sampled_from((1, 300, LEASE_MS, WINDOW_MS)))
    def advance(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)

    @rule(queue=st.sampled_from(QUEUES))
    def promote(self, queue: str) -> None:
        moved = self.runner.run(self.store.promote(queue)).moved
        due = [
            life
            for life in self.believed.lives.values()
            if life.place is Place.DELAYED
            and life.sent.queue == queue
            and life.due_ms <= self.clock.now_ms()
        ]
        assert moved == len(due)
        for life in due:
            life.place = Place.WAITING

    @rule()
    def reclaim(self) -> None:
        self.runner.run(self.store.reclaim())
        for session in SESSIONS:
            held = {lease.token for lease in self.runner.run(self.store.held(session, QUEUES))}
            for life in self.believed.lives.values():
                if life.lease and life.lease[0] == session and life.lease[1].token not in held:
                    self.wait(life, 0)

    @rule(number=picks)
    def replay(self, number: int) -> None:
        life = self.pick(number, Place.DEAD)
        if life is None:
            return
        holder = self.holder(life)
        try:
            moved = self.runner.run(self.store.replay(life.sent.queue, [life.ident]))
        except KeyTaken:
            assert holder not in (None, life.ident)
            return
        assert moved == [life.ident]
        assert holder in (None, life.ident) or self.in_limbo(holder)
        if holder != life.ident:
            self.believed.take(life, self.clock.now_ms())
        self.wait(life, 0)

    @rule(wish=wishes)
    def flush(self, wish: Wish) -> None:
        queue = wish.queue
        self.runner.run(self.store.flush(queue))
        for life in self.believed.lives.values():
            if life.sent.queue == queue and life.place in (Place.WAITING, Place.DELAYED):
                self.believed.end(life)
            elif life.sent.queue == queue and life.place is Place.DEAD:
                life.place = Place.GONE
        self.enqueue([replace(wish, key=key, refuse=False) for key in KEYS])

    # ── at somebody's wish ───────────────────────────────────────────────────────────────────────

    @rule(number=picks)
    def cancel(self, number: int) -> None:
        life = self.pick(number, *Place)
        if life is None:
            return
        outcome = self.runner.run(self.store.cancel(life.ident, "enough"))
        if self.in_limbo(life.ident):
            assert outcome in (CancelOutcome.REMOVED, CancelOutcome.FINISHED)
            self.believed.end(life)
        elif life.place in (Place.WAITING, Place.DELAYED):
            assert outcome is CancelOutcome.REMOVED
            life.is_cancelled = True
            self.believed.end(life)
        elif life.place is Place.LEASED:
            assert outcome is CancelOutcome.STOPPING
            life.is_cancelled = True
        elif life.place is Place.DEAD:
            assert outcome is CancelOutcome.DEAD
        else:
            # One that was cancelled says so for a moment, or by its result.
            finished = (CancelOutcome.UNKNOWN, CancelOutcome.FINISHED)
            assert outcome in finished or (life.is_cancelled and outcome is CancelOutcome.REMOVED)

    @rule(number=picks, lane=st.sampled_from(Lane))
    def move(self, number: int, lane: Lane) -> None:
        life = self.pick(number, *Place)
        if life is None or life.is_cancelled:
            return
        try:
            where = self.runner.run(self.store.move(life.ident, lane))
        except NotWaiting:
            assert life.place not in (Place.WAITING, Place.DELAYED)
        else:
            assert where.lane is lane
            assert life.place in (Place.WAITING, Place.DELAYED)

    # ── the end ──────────────────────────────────────────────────────────────────────────────────

    def teardown(self) -> None:
        """All that lives runs once more, nothing else does, and then the tables are empty."""
        self.clock.advance(max(LEASE_MS, WINDOW_MS))
        for _ in range(2):
            self.reclaim()
            for queue in QUEUES:
                self.promote(queue)
        living = {
            life.ident
            for life in self.believed.lives.values()
            if life.lives and not life.is_cancelled
        }
        ran: list[MessageId] = []
        while leases := self.runner.run(self.store.claim(SESSIONS[0], QUEUES, limit=100)):
            ran += [lease.message_id for lease in leases]
            gone = [Settlement(lease=lease, outcome=Outcome.ACK) for lease in leases]
            assert not self.runner.run(self.store.commit(SESSIONS[0], settlements=gone)).tokens
        odd = set(ran) ^ living
        assert not odd, [self.believed.lives[each] for each in odd]
        assert len(ran) == len(living)
        for queue in QUEUES:
            stats = self.runner.run(self.store.stats(queue))
            assert (stats.waiting, stats.delayed, stats.in_flight) == (0, 0, 0)
        self.clock.advance(DAY_MS + WINDOW_MS)
        self.runner.run(self.store.reclaim())
        assert not any(self.runner.run(_counted(self.tables)))


async def _counted(tables: Callable[[], Awaitable[Sequence[int]]]) -> Sequence[int]:
    return await tables()
