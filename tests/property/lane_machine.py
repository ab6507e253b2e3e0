"""Random histories of producers, workers, crashes and repeated calls, on any lane store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from octoqueue.errors import LaneFull
from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.lanes.redis_store import RedisLaneStore
from octoqueue.primitives.envelope import Flag, Header, pack_header
from octoqueue.primitives.events import Told
from octoqueue.primitives.ids import MessageId
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import (
    Emission,
    Enqueue,
    Lease,
    Outcome,
    ResultRecord,
    SessionId,
    Settlement,
)
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_lanes import MemoryLaneStore
from tests.property.ledger import Ledger

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.primitives.events import Kept

LEASE_MS = 1_000
LATER = (Outcome.RETRY, Outcome.SNOOZE)
QUEUES = ("coder", "judge")
SESSIONS = tuple(SessionId(name) for name in ("a", "b", "c"))
OPTIONS = LaneOptions(
    lease=timedelta(milliseconds=LEASE_MS),
    default_bounds=LaneBounds(high=6, normal=7, low=8),
    delayed_bound=5,
)

queues = st.sampled_from(QUEUES)
sessions = st.sampled_from(SESSIONS)
lanes = st.sampled_from(Lane)
delays = st.sampled_from((0, 0, 1, 400, 2_500))
ages = st.sampled_from((None, None, None, 0, 400, 3_000))
picks = st.lists(st.integers(0, 30), max_size=5)
"""Which of the leases ever given; most are stale or another session's: late settlements."""


@dataclass(frozen=True)
class Wish:
    """A message to enqueue, without an id yet."""

    queue: str
    lane: Lane
    delay_ms: int
    affinity: int


wishes = st.builds(Wish, queue=queues, lane=lanes, delay_ms=delays, affinity=st.integers(0, 0xFFFF))


@dataclass(frozen=True)
class Ending:
    pick: int
    outcome: Outcome
    delay_ms: int
    result: bytes | None
    children: list[Wish]


endings = st.builds(
    Ending,
    pick=st.integers(0, 30),
    outcome=st.sampled_from(Outcome),
    delay_ms=delays,
    result=st.none() | st.binary(max_size=4),
    children=st.lists(wishes, max_size=2),
)


def record_of(body: bytes | None) -> ResultRecord | None:
    return None if body is None else ResultRecord(body=body, ttl_ms=60_000)


class Subject:
    """One store under test, with its own clock and ledger."""

    def __init__(self, store: LaneStore, clock: FakeClock, ledger: Ledger) -> None:
        self.store = store
        self.clock = clock
        self.ledger = ledger
        self.leases: list[tuple[SessionId, Lease]] = []
        self._ids = 0
        ledger.now_ms = clock.now_ms()

    def message(self, wish: Wish, beside: MessageId | None = None) -> Enqueue:
        """The same wishes make the same messages in every store."""
        self._ids += 1
        affinity = beside[-2:] if beside else wish.affinity.to_bytes(2)
        ident = MessageId(self._ids.to_bytes(14) + affinity)
        flags = Flag.NONE if self._ids % 2 else Flag.EVENTS
        header = Header(lane=wish.lane, message_id=ident, flags=flags)
        payload = pack_header(header) + b"%d" % self._ids
        return Enqueue(queue=wish.queue, lane=wish.lane, payload=payload, delay_ms=wish.delay_ms)

    def pick(self, session: SessionId, number: int) -> Lease | None:
        """A lease of this session, or now and then one of another."""
        mine = [lease for owner, lease in self.leases if owner == session]
        return mine[number % len(mine)] if mine else None

    async def enqueue(self, groups: Sequence[Sequence[Wish]]) -> object:
        messages = [[self.message(wish) for wish in group] for group in groups]
        refusals = await self.store.enqueue(messages)
        self.ledger.enqueued(messages, refusals)
        return [repr(refusal) for refusal in refusals]

    async def claim(self, session: SessionId, names: Sequence[str], limit: int) -> object:
        leases = await self.store.claim(session, names, limit=limit)
        self.ledger.claimed(session, names, limit, leases)
        self.leases += [(session, lease) for lease in leases]
        return leases

    async def commit(
        self,
        session: SessionId,
        acks: Sequence[int],
        ends: Sequence[Ending],
        *,
        owner: SessionId,
        again: bool,
    ) -> object:
        acked = [lease for number in acks if (lease := self.pick(owner, number))]
        settled = [
            Settlement(
                lease=lease,
                outcome=end.outcome,
                delay_ms=end.delay_ms if end.outcome in LATER else 0,
                reason=b"{}",
                result=record_of(end.result),
                follow_ups=tuple(self.message(wish, lease.message_id) for wish in end.children),
            )
            for end in ends
            if (lease := self.pick(owner, end.pick))
        ]
        answers = []
        for _ in range(2 if again else 1):
            refusals = await self.store.commit(session, acks=acked, settlements=settled)
            self.ledger.committed(session, acked, settled, refusals)
            answers.append((refusals.acks, sorted(refusals.tokens)))
        return answers

    async def emit(
        self, session: SessionId, owner: SessionId, number: int, first: int, count: int
    ) -> object:
        """Tell something of a lease, old or new, perhaps once more or with a hole."""
        lease = self.pick(owner, number)
        if lease is None:
            return None
        events = tuple(b'{"n":%d}' % each for each in range(first, first + count))
        told = Told(sender=lease.token.hex(), first=first, events=events)
        gone = await self.store.emit(session, [Emission(lease=lease, told=told)])
        is_held = lease.token in {each.token for each in await self.store.held(session, QUEUES)}
        assert gone == ([] if is_held else [lease.token])
        return gone

    async def extend(self, session: SessionId) -> object:
        alive = await self.store.extend(session)
        self.ledger.extended(session, alive=alive)
        return alive

    async def retire(self, session: SessionId) -> object:
        await self.store.retire(session)
        self.ledger.retired(session)
        return None

    async def reclaim(self) -> object:
        count = await self.store.reclaim()
        self.ledger.reclaimed(count)
        return count

    async def promote(self, queue: str) -> object:
        promotion = await self.store.promote(queue)
        self.ledger.promoted(queue, promotion)
        return promotion

    async def held(self, session: SessionId) -> object:
        leases = await self.store.held(session, QUEUES)
        self.ledger.held(session, QUEUES, leases)
        return sorted(leases)

    async def flush(self, queue: str) -> object:
        await self.store.flush(queue)
        self.ledger.flush(queue)
        return None

    async def die(self, session: SessionId, queue: str, limit: int) -> object:
        """Claim and bury: without it hardly a history has dead letters to decide about."""
        leases = await self.store.claim(session, [queue], limit=limit)
        self.ledger.claimed(session, [queue], limit, leases)
        settled = [
            Settlement(
                lease=lease, outcome=Outcome.DEAD_LETTER, reason=b"{}", result=record_of(b"dead")
            )
            for lease in leases
        ]
        refusals = await self.store.commit(session, settlements=settled)
        self.ledger.committed(session, [], settled, refusals)
        return leases

    async def replay(self, queue: str, numbers: Sequence[int], *, over_bound: bool) -> object:
        chosen = self.some_dead(numbers)
        answer: list[MessageId] | LaneFull
        try:
            answer = await self.store.replay(queue, chosen, over_bound=over_bound)
        except LaneFull as refusal:
            answer = refusal
        self.ledger.replayed(queue, chosen, answer, over_bound=over_bound)
        return repr(answer)

    async def purge(self, queue: str, numbers: Sequence[int], older_than_ms: int | None) -> object:
        chosen = self.some_dead(numbers)
        age = None if older_than_ms is None else timedelta(milliseconds=older_than_ms)
        count = await self.store.purge(queue, chosen, older_than=age)
        self.ledger.purged(queue, chosen, older_than_ms, count)
        return count

    def some_dead(self, numbers: Sequence[int]) -> list[MessageId]:
        """Some of all that ever died, whatever became of them since."""
        died = list(self.ledger.died_at_ms)
        return list(dict.fromkeys(died[number % len(died)] for number in numbers if died))

    async def advance(self, milliseconds: int) -> object:
        self.clock.advance(milliseconds)
        self.ledger.now_ms = self.clock.now_ms()
        return None

    async def look(self) -> object:
        self.ledger.no_message_is_lost_or_in_two_places()
        told = [await self.store.stats(queue) for queue in QUEUES]
        for stats in told:
            self.ledger.agrees_with(stats)
        return [replace(stats, oldest_age_seconds=0) for stats in told]

    async def look_closely(self) -> object:
        for queue in QUEUES:
            letters = await self.store.dead_letters(queue)
            dead = {i for i, entry in self.ledger.dead.items() if entry.queue == queue}
            assert {letter.message_id for letter in letters} == dead
        for message_id in sorted(self.ledger.accepted):
            kept = await self.store.result(message_id)
            assert kept == self.ledger.results.get(message_id)
        tries = [await self.store.history(each) for each in sorted(self.ledger.accepted)]
        ages = [(await self.store.stats(queue)).oldest_age_seconds for queue in QUEUES]
        events = [await told_by(self.store, each) for each in sorted(self.ledger.accepted)]
        return ages, tries, events


async def told_by(store: LaneStore, message_id: MessageId) -> list[Kept]:
    """Return what is kept of a message's events, without following them."""
    if isinstance(store, MemoryLaneStore):
        return store._events._after(message_id, None)
    assert isinstance(store, RedisLaneStore)
    stream = store._keys.events(store._map.of_id(message_id), message_id)
    return await store._kept(stream, None, 1_000)


class LaneMachine(RuleBasedStateMachine):
    """Every command goes to every subject; those that promise the same order answer the same."""

    runner: ClassVar[asyncio.Runner]

    def __init__(self) -> None:
        super().__init__()
        self.subjects = self.make()

    def make(self) -> list[Subject]:
        """The stores under test."""
        raise NotImplementedError

    def everywhere(self, command: str, *args: object, **options: object) -> None:
        async def run() -> list[object]:
            return [await getattr(subject, command)(*args, **options) for subject in self.subjects]

        first, *others = self.runner.run(run())
        for other in others:
            assert other == first

    @initialize(groups=st.lists(st.lists(wishes, min_size=1, max_size=3), max_size=6))
    def begin(self, groups: list[list[Wish]]) -> None:
        self.everywhere("enqueue", groups)

    @rule(groups=st.lists(st.lists(wishes, min_size=1, max_size=3), max_size=3))
    def enqueue(self, groups: list[list[Wish]]) -> None:
        self.everywhere("enqueue", groups)

    @rule(
        session=sessions,
        names=st.sampled_from((("coder",), ("judge",), ("coder", "judge"), ("judge", "coder"))),
        limit=st.integers(0, 8),
    )
    def claim(self, session: SessionId, names: tuple[str, ...], limit: int) -> None:
        self.everywhere("claim", session, names, limit)

    @rule(session=sessions, acks=picks, ends=st.lists(endings, max_size=3), again=st.booleans())
    def commit(
        self, session: SessionId, acks: list[int], ends: list[Ending], *, again: bool
    ) -> None:
        self.everywhere("commit", session, acks, ends, owner=session, again=again)

    @rule(session=sessions, owner=sessions, acks=picks, ends=st.lists(endings, max_size=1))
    def commit_what_may_be_anothers(
        self, session: SessionId, owner: SessionId, acks: list[int], ends: list[Ending]
    ) -> None:
        self.everywhere("commit", session, acks, ends, owner=owner, again=False)

    @rule(
        session=sessions,
        owner=sessions,
        number=st.integers(0, 30),
        first=st.integers(1, 4),
        count=st.integers(1, 3),
    )
    def emit(
        self, session: SessionId, owner: SessionId, number: int, first: int, count: int
    ) -> None:
        self.everywhere("emit", session, owner, number, first, count)

    @rule(session=sessions)
    def extend(self, session: SessionId) -> None:
        self.everywhere("extend", session)

    @rule(session=sessions)
    def retire(self, session: SessionId) -> None:
        self.everywhere("retire", session)

    @rule(milliseconds=st.sampled_from((1, 400, LEASE_MS - 1, LEASE_MS, 3_000)))
    def advance(self, milliseconds: int) -> None:
        self.everywhere("advance", milliseconds)

    @rule()
    def reclaim(self) -> None:
        self.everywhere("reclaim")

    @rule(queue=queues)
    def promote(self, queue: str) -> None:
        self.everywhere("promote", queue)

    @rule(session=sessions)
    def held(self, session: SessionId) -> None:
        self.everywhere("held", session)

    @rule(session=sessions, queue=queues, limit=st.integers(1, 8))
    def die(self, session: SessionId, queue: str, limit: int) -> None:
        self.everywhere("die", session, queue, limit)

    @rule(queue=queues, numbers=picks, over_bound=st.booleans())
    def replay(self, queue: str, numbers: list[int], *, over_bound: bool) -> None:
        self.everywhere("replay", queue, numbers, over_bound=over_bound)

    @rule(queue=queues, numbers=st.lists(st.integers(0, 30), max_size=1), age=ages)
    def purge(self, queue: str, numbers: list[int], age: int | None) -> None:
        self.everywhere("purge", queue, numbers, age)

    @rule(queue=queues, really=st.integers(0, 9))
    def flush(self, queue: str, really: int) -> None:
        if not really:
            self.everywhere("flush", queue)

    @invariant()
    def nothing_is_lost(self) -> None:
        self.everywhere("look")

    def teardown(self) -> None:
        self.everywhere("look_closely")


def subject(
    make: Callable[[LaneOptions, FakeClock], LaneStore],
    options: LaneOptions,
) -> Subject:
    clock = FakeClock()
    return Subject(make(options, clock), clock, Ledger(options))
