"""What a lane store must have done: every message in exactly one place, known to the last one.

The ledger is told each command together with the store's answer and judges it. It knows the order
inside a partition exactly and leaves open only which partition comes first, so the same ledger
judges every store.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from octoqueue.errors import DelayedFull, LaneFull
from octoqueue.lanes.answers import Duplicates
from octoqueue.primitives.envelope import HEADER_BYTES, flags_in, unpack_header
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue, Lease, LeaseToken, Outcome, Settlement
from octoqueue.routing.partitions import PartitionMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from octoqueue.lanes.answers import EnqueueAnswer
    from octoqueue.lanes.options import LaneOptions
    from octoqueue.lanes.protocol import Promotion, Refusals
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.messages import QueueStats, SessionId

Place = tuple[str, Lane, int]
"""Queue, lane, partition: here the order is exact."""


@dataclass(frozen=True)
class Entry:
    """A message as the store must have it."""

    message_id: MessageId
    queue: str
    lane: Lane
    partition: int
    body: bytes
    flags: int = 0
    ready_at_ms: int = 0
    attempt: int = 0
    deliveries: int = 0

    @property
    def place(self) -> Place:
        return self.queue, self.lane, self.partition

    @property
    def age(self) -> tuple[int, bytes]:
        return self.ready_at_ms, self.message_id

    @property
    def bytes_order(self) -> tuple[int, int, int, int, int, bytes]:
        """How Redis orders payloads that are due in the same millisecond: as the header lies."""
        counts = self.deliveries, self.attempt
        return self.lane, self.flags, *counts, self.ready_at_ms, self.message_id


@dataclass
class Ledger:
    options: LaneOptions
    now_ms: int = 0
    waiting: defaultdict[Place, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    delayed: dict[MessageId, tuple[int, Entry]] = field(default_factory=dict)
    leased: dict[tuple[SessionId, LeaseToken], Entry] = field(default_factory=dict)
    acked: set[MessageId] = field(default_factory=set)
    cancelled: set[MessageId] = field(default_factory=set)
    dead: dict[MessageId, Entry] = field(default_factory=dict)
    died_at_ms: dict[MessageId, int] = field(default_factory=dict)
    flushed: set[MessageId] = field(default_factory=set)
    accepted: set[MessageId] = field(default_factory=set)
    results: dict[MessageId, bytes] = field(default_factory=dict)
    sessions: dict[SessionId, int] = field(default_factory=dict)
    counters: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    used_tokens: set[LeaseToken] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.map = PartitionMap(self.options.partitions)

    # ── putting in ───────────────────────────────────────────────────────────────────────────────

    def enqueued(
        self, groups: Sequence[Sequence[Enqueue]], refusals: Sequence[EnqueueAnswer]
    ) -> None:
        assert len(groups) == len(refusals)
        for group, refusal in zip(groups, refusals, strict=True):
            assert not isinstance(refusal, Duplicates)  # its messages have no keys
            self._judge_refusal(group, refusal)
            if refusal is None:
                for message in group:
                    self._accept(message)

    def _judge_refusal(self, group: Sequence[Enqueue], refusal: LaneFull | None) -> None:
        depth: dict[tuple[str, Lane | None], int] = {}
        for message in group:
            room = (message.queue, None if message.delay_ms else message.lane)
            before = depth.get(room, self._depth(*room))
            depth[room] = before + 1
            bound = (
                self.options.delayed_bound
                if message.delay_ms
                else self.options.bound(message.queue, message.lane)
            )
            if before + 1 > bound:
                assert type(refusal) is (DelayedFull if message.delay_ms else LaneFull)
                assert (refusal.queue, refusal.lane) == (message.queue, message.lane.label)
                assert (refusal.depth, refusal.bound) == (self._depth(*room), bound)
                return
        assert refusal is None

    def _depth(self, queue: str, lane: Lane | None) -> int:
        if lane is None:
            return sum(entry.queue == queue for _, entry in self.delayed.values())
        return sum(
            len(entries) for place, entries in self.waiting.items() if place[:2] == (queue, lane)
        )

    def _accept(self, message: Enqueue) -> None:
        assert message.message_id not in self.accepted
        self.accepted.add(message.message_id)
        self.counters[message.queue]["enqueued"] += 1
        entry = Entry(
            message.message_id,
            message.queue,
            message.lane,
            self.map.of_id(message.message_id),
            message.payload[HEADER_BYTES:],
            flags_in(message.payload),
        )
        self._place(entry, message.delay_ms)

    def _place(self, entry: Entry, delay_ms: int) -> None:
        if delay_ms:
            self.delayed[entry.message_id] = (self.now_ms + delay_ms, entry)
        else:
            self.waiting[entry.place].append(replace(entry, ready_at_ms=self.now_ms))

    # ── taking out ───────────────────────────────────────────────────────────────────────────────

    def claimed(
        self, session: SessionId, queues: Sequence[str], limit: int, leases: Sequence[Lease]
    ) -> None:
        if self.sessions.get(session, 0) <= self.now_ms:
            self.sessions[session] = self.now_ms + self.options.lease_ms
        left, expected = limit, list[Lane]()
        for lane in Lane:
            there = sum(self._depth(queue, lane) for queue in set(queues))
            expected += [lane] * min(there, left)
            left -= min(there, left)
        assert [unpack_header(lease.payload).lane for lease in leases] == expected
        for lease in leases:
            self._lease(session, lease)

    def _lease(self, session: SessionId, lease: Lease) -> None:
        header = unpack_header(lease.payload)
        entry = self.waiting[lease.queue, header.lane, lease.partition].pop(0)
        assert_is(lease, entry)
        assert lease.token not in self.used_tokens
        self.used_tokens.add(lease.token)
        self.leased[session, lease.token] = entry
        self.counters[entry.queue]["claimed"] += 1

    def held(self, session: SessionId, queues: Sequence[str], leases: Sequence[Lease]) -> None:
        expected = {
            token: entry
            for (owner, token), entry in self.leased.items()
            if owner == session and entry.queue in queues
        }
        assert sorted(lease.token for lease in leases) == sorted(expected)
        for lease in leases:
            assert_is(lease, expected[lease.token])

    # ── ending ───────────────────────────────────────────────────────────────────────────────────

    def committed(
        self,
        session: SessionId,
        acks: Sequence[Lease],
        settlements: Sequence[Settlement],
        refusals: Refusals,
    ) -> None:
        refused_acks = 0
        for lease in acks:
            entry = self.leased.pop((session, lease.token), None)
            if entry is None:
                refused_acks += 1
            else:
                self._ack(entry)
        assert refusals.acks == refused_acks
        released = [s for s in settlements if s.outcome is Outcome.RELEASE]
        others = [s for s in settlements if s.outcome is not Outcome.RELEASE]
        refused = [s.lease.token for s in others + released[::-1] if not self._settle(session, s)]
        assert sorted(refusals.tokens) == sorted(refused)

    def _ack(self, entry: Entry) -> None:
        assert entry.message_id not in self.acked
        self.acked.add(entry.message_id)
        self.counters[entry.queue]["acked"] += 1

    def _settle(self, session: SessionId, settlement: Settlement) -> bool:
        entry = self.leased.pop((session, settlement.lease.token), None)
        if entry is None:
            return False
        counters = self.counters[entry.queue]
        match settlement.outcome:
            case Outcome.ACK:
                self._ack(entry)
            case Outcome.RETRY:
                counters["retried"] += 1
                again = replace(entry, attempt=entry.attempt + 1, deliveries=0)
                self._place(again, settlement.delay_ms)
            case Outcome.DEAD_LETTER:
                counters["dead"] += 1
                self.dead[entry.message_id] = entry
                self.died_at_ms[entry.message_id] = self.now_ms
            case Outcome.RELEASE:
                counters["released"] += 1
                self.waiting[entry.place].insert(0, entry)
            case Outcome.SNOOZE:
                counters["snoozed"] += 1
                self._place(replace(entry, deliveries=0), settlement.delay_ms)
            case Outcome.CANCEL | Outcome.EXPIRE as gone:
                counters["cancelled" if gone is Outcome.CANCEL else "expired"] += 1
                self.cancelled.add(entry.message_id)
        if settlement.result is not None:
            self.results[entry.message_id] = settlement.result.body
        for message in settlement.follow_ups:
            self._accept(message)
        return True

    # ── sessions and upkeep ──────────────────────────────────────────────────────────────────────

    def extended(self, session: SessionId, *, alive: bool) -> None:
        assert alive is (self.sessions.get(session, 0) > self.now_ms)
        self.sessions[session] = self.now_ms + self.options.lease_ms

    def retired(self, session: SessionId) -> None:
        if session in self.sessions:
            self.sessions[session] = min(self.sessions[session], self.now_ms)

    def reclaimed(self, count: int) -> None:
        ends = sorted((expires, session) for session, expires in self.sessions.items())
        given_back = 0
        for _, session in itertools.takewhile(lambda end: end[0] <= self.now_ms, ends):
            del self.sessions[session]
            mine = [key for key in self.leased if key[0] == session]
            entries = [self.leased.pop(key) for key in mine]
            for entry in sorted(entries, key=lambda entry: entry.age, reverse=True):
                back = replace(entry, deliveries=entry.deliveries + 1)
                self.waiting[entry.place].insert(0, back)
                self.counters[entry.queue]["reclaimed"] += 1
            given_back += len(mine)
        assert count == given_back

    def promoted(self, queue: str, promotion: Promotion) -> None:
        mine = [(due, entry) for due, entry in self.delayed.values() if entry.queue == queue]
        due_now = [(due, entry) for due, entry in mine if due <= self.now_ms]
        for due, entry in sorted(due_now, key=lambda pair: (pair[0], pair[1].bytes_order)):
            del self.delayed[entry.message_id]
            self.waiting[entry.place].append(replace(entry, ready_at_ms=due))
            self.counters[queue]["promoted"] += 1
        assert promotion.moved == len(due_now)
        later = [due - self.now_ms for due, _ in mine if due > self.now_ms]
        wait = promotion.next_due
        assert (wait is None) is (not later)
        assert wait is None or round(wait.total_seconds() * 1000) == min(later)

    def flush(self, queue: str) -> None:
        for place, entries in self.waiting.items():
            if place[0] == queue:
                self.flushed.update(entry.message_id for entry in entries)
                entries.clear()
        gone = [entry for _, entry in self.delayed.values() if entry.queue == queue]
        gone += [entry for entry in self.dead.values() if entry.queue == queue]
        for entry in gone:
            self.flushed.add(entry.message_id)
            self.delayed.pop(entry.message_id, None)
            self.dead.pop(entry.message_id, None)

    # ── dead letters ─────────────────────────────────────────────────────────────────────────────

    def replayed(
        self,
        queue: str,
        message_ids: Sequence[MessageId],
        answer: Sequence[MessageId] | LaneFull,
        *,
        over_bound: bool,
    ) -> None:
        entries = [entry for each in message_ids if (entry := self._dead_in(queue, each))]
        needs = Counter(entry.lane for entry in entries)
        full = [
            lane
            for lane in Lane
            if needs[lane]
            and self._depth(queue, lane) + needs[lane] > self.options.bound(queue, lane)
        ]
        if full and not over_bound:
            assert isinstance(answer, LaneFull)
            assert (answer.lane, answer.depth) == (full[0].label, self._depth(queue, full[0]))
            return
        assert answer == [entry.message_id for entry in entries]
        for entry in entries:
            del self.dead[entry.message_id]
            self.results.pop(entry.message_id, None)
            self._place(replace(entry, attempt=0, deliveries=0), 0)
            self.counters[queue]["replayed"] += 1

    def purged(
        self, queue: str, message_ids: Sequence[MessageId], older_than_ms: int | None, count: int
    ) -> None:
        gone = {each for each in message_ids if self._dead_in(queue, each)}
        if older_than_ms is not None:
            before = self.now_ms - older_than_ms
            gone |= {each for each in self.died_at_ms if self._died_before(queue, each, before)}
        for message_id in gone:
            self.flushed.add(message_id)
            del self.dead[message_id]
            self.counters[queue]["purged"] += 1
        assert count == len(gone)

    def _dead_in(self, queue: str, message_id: MessageId) -> Entry | None:
        entry = self.dead.get(message_id)
        return entry if entry is not None and entry.queue == queue else None

    def _died_before(self, queue: str, message_id: MessageId, before_ms: int) -> bool:
        dead = self._dead_in(queue, message_id)
        return dead is not None and self.died_at_ms[message_id] < before_ms

    # ── what must always be true ─────────────────────────────────────────────────────────────────

    def no_message_is_lost_or_in_two_places(self) -> None:
        places = [
            *(entry.message_id for entries in self.waiting.values() for entry in entries),
            *self.delayed,
            *(entry.message_id for entry in self.leased.values()),
            *self.acked,
            *self.cancelled,
            *self.dead,
            *self.flushed,
        ]
        assert len(places) == len(set(places))
        assert set(places) == self.accepted

    def agrees_with(self, stats: QueueStats) -> None:
        """Whether a store's own numbers are these: with them, none of its messages is lost."""
        queue = stats.queue
        assert stats.depth == {lane: self._depth(queue, lane) for lane in Lane}
        assert stats.delayed == self._depth(queue, None)
        assert stats.dead == sum(entry.queue == queue for entry in self.dead.values())
        assert stats.in_flight == sum(entry.queue == queue for entry in self.leased.values())
        assert stats.counters == +self.counters[queue]
        assert sum(stats.waits) == self.counters[queue]["claimed"]


def assert_is(lease: Lease, entry: Entry) -> None:
    header = unpack_header(lease.payload)
    assert lease.message_id == header.message_id == entry.message_id
    assert lease.payload[HEADER_BYTES:] == entry.body
    assert header.flags == entry.flags
    assert (header.attempt, header.deliveries) == (entry.attempt, entry.deliveries)
    assert header.ready_at_ms == entry.ready_at_ms
    assert (lease.queue, header.lane, lease.partition) == entry.place
