"""Random histories of messages with gates, on any lane store, judged message by message."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from octoqueue.lanes.options import LaneOptions
from octoqueue.primitives.envelope import extension_of, unpack_header
from octoqueue.primitives.extension import Extension, LimitUse
from octoqueue.primitives.gates import Gates, RateLimit, TenantShare
from octoqueue.primitives.ids import MessageId
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import Enqueue, Lease, Outcome, SessionId, Settlement
from octoqueue.testing.fake_clock import FakeClock
from octoqueue.testing.memory_gates import MemoryGates
from tests.contract.gated import gated
from tests.contract.world import message

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from octoqueue.lanes.protocol import LaneStore

QUEUE = "coder"
LEASE_MS = 1_000
SESSIONS = (SessionId("a"), SessionId("b"))
OPTIONS = LaneOptions(partitions=1, lease=timedelta(milliseconds=LEASE_MS))


@dataclass(frozen=True)
class Shape:
    """What messages of a kind must pass."""

    tenant: str = ""
    caps: tuple[str, ...] = ()
    limits: tuple[tuple[str, str], ...] = ()


SHAPES = (
    Shape("free"),
    Shape("narrow", caps=("x",)),
    Shape("both", caps=("x", "y")),
    Shape("slow", limits=(("l", ""),)),
    Shape("keyed", limits=(("l", "k"),)),
    Shape("all", caps=("y",), limits=(("l", ""),)),
)
"""Each tenant has one line and at most one limit: then the order is the same in every store."""
MORE_SHAPES = (
    *SHAPES,
    Shape("all", limits=(("l", ""), ("m", ""))),
    Shape("narrow", caps=("y",), limits=(("m", ""),)),
    Shape(caps=("x",)),
    Shape(),
)
LIMITS = {
    "l": RateLimit(rate=4, per=timedelta(seconds=1), burst=5),
    "m": RateLimit(rate=1, per=timedelta(seconds=1), burst=2),
}
DEFINITIONS = (
    Gates(),
    Gates(
        tenants={"free": TenantShare(weight=3), "": TenantShare(weight=0.5, concurrency=2)},
        caps={"x": 1, "y": 2},
        limits=LIMITS,
    ),
    Gates(tenants={"slow": TenantShare(concurrency=1)}, caps={"x": 2, "y": 1}, limits=LIMITS),
    Gates(caps={"x": 1}, limits=LIMITS, queue_caps={QUEUE: 3}),
)


@dataclass
class Started:
    """Units that began and were not given back."""

    at_ms: int
    units: int


@dataclass
class Subject:
    """One store, its clock, and what must be true of it."""

    store: LaneStore
    clock: FakeClock
    leases: list[tuple[SessionId, Lease]] = field(default_factory=list[tuple[SessionId, Lease]])
    waiting: dict[MessageId, Enqueue] = field(default_factory=dict[MessageId, Enqueue])
    delayed: set[MessageId] = field(default_factory=set[MessageId])
    oracle: MemoryGates = field(default_factory=MemoryGates)
    started: defaultdict[tuple[str, str], dict[bytes, Started]] = field(
        default_factory=lambda: defaultdict(dict[bytes, Started])
    )
    alive: set[SessionId] = field(default_factory=set[SessionId])
    ids: int = 0

    async def put(self, shape: Shape, lane: Lane, units: int, *, delay_ms: int) -> object:
        self.ids += 1
        ident = MessageId(self.ids.to_bytes(14) + bytes(2))
        limits = tuple(LimitUse(name, key, units) for name, key in shape.limits)
        if shape == Shape():
            one = message(lane=lane, message_id=ident, delay_ms=delay_ms)
        else:
            one = gated(
                shape.tenant,
                caps=shape.caps,
                limits=limits,
                lane=lane,
                message_id=ident,
                delay_ms=delay_ms,
            )
        assert await self.store.enqueue([[one]]) == [None]
        self.waiting[ident] = one
        if delay_ms:
            self.delayed.add(ident)
        return None

    async def claim(self, session: SessionId, limit: int) -> object:
        leases = await self.store.claim(session, [QUEUE], limit=limit)
        self.alive.add(session)
        order = [unpack_header(lease.payload).lane for lease in leases]
        assert order == sorted(order)
        for lease in leases:
            del self.waiting[lease.message_id]
            extension = extension_of(lease.payload)
            now = self.clock.now_ms()
            assert not self.oracle.full_cap(QUEUE, extension)
            assert self.oracle.closed_limit(extension, now) is None
            self.oracle.take(QUEUE, extension, lease.token, now)
            for use in extension.limits:
                if use.name in self.oracle.defined.limits:
                    self.started[use.name, use.key][lease.token] = Started(now, use.units)
            self.leases.append((session, lease))
        cap = self.oracle.defined.queue_caps.get(QUEUE)
        assert cap is None or not leases or len(self.leases) <= cap
        if len(leases) < limit and (cap is None or len(self.leases) < cap):
            self.nobody_waits_before_an_open_gate()
        self.nothing_free_waits_above(min(order, default=Lane.HIGH))
        return [lease.message_id for lease in leases]

    def open_messages(self) -> list[Enqueue]:
        """First of their lines, with no closed gate, nor anybody before them at one of theirs."""
        now = self.clock.now_ms()
        heads: dict[tuple[Lane, Extension], Enqueue] = {}
        for ident, one in sorted(self.waiting.items()):
            extension = extension_of(one.payload)
            line = extension._replace(
                limits=tuple(use._replace(units=0) for use in extension.limits)
            )
            if ident not in self.delayed:
                heads.setdefault((one.lane, line), one)
        # Who waits for several limits may stand at any of those that are closed for it.
        closed = {
            (use.name, use.key)
            for one in heads.values()
            for extension in [extension_of(one.payload)]
            for use in extension.limits
            if self.oracle.closed_limit(extension._replace(limits=(use,)), now)
        }
        return [
            one
            for one in heads.values()
            if not self.oracle.full_cap(QUEUE, extension_of(one.payload))
            and not any((use.name, use.key) in closed for use in extension_of(one.payload).limits)
        ]

    def nobody_waits_before_an_open_gate(self) -> None:
        assert self.open_messages() == []

    def nothing_free_waits_above(self, lane: Lane) -> None:
        assert [one for one in self.open_messages() if one.lane < lane] == []

    async def end(self, number: int, outcome: Outcome, used: int | None, delay_ms: int) -> object:
        if not self.leases:
            return None
        session, lease = self.leases.pop(number % len(self.leases))
        extension = extension_of(lease.payload)
        spent = {
            (use.name, use.key): min(used, use.units)
            for use in extension.limits
            if used is not None
        }
        delay_ms = delay_ms if outcome in (Outcome.RETRY, Outcome.SNOOZE) else 0
        settlement = Settlement(
            lease=lease, outcome=outcome, delay_ms=delay_ms, used=spent, reason=b"{}"
        )
        refusals = await self.store.commit(session, settlements=[settlement])
        assert refusals.tokens == ()
        self.gave_back(lease, spent, keeps_all=outcome is Outcome.ACK)
        if outcome in (Outcome.RETRY, Outcome.SNOOZE, Outcome.RELEASE):
            self.wait_again(lease)
            if delay_ms:
                self.delayed.add(lease.message_id)
        return None

    def gave_back(
        self, lease: Lease, spent: dict[tuple[str, str], int], *, keeps_all: bool
    ) -> None:
        extension, now = extension_of(lease.payload), self.clock.now_ms()
        self.oracle.give_back(
            QUEUE, extension, lease.token, used=spent, keeps_all=keeps_all, now_ms=now
        )
        for use in extension.limits:
            key = (use.name, use.key)
            kept = spent.get(key, use.units if keeps_all else 0)
            if lease.token in self.started[key]:
                self.started[key][lease.token].units = kept
        self.never_too_much()

    def never_too_much(self) -> None:
        """In any window the units that began are at most a burst and what the rate gives."""
        for (name, _), started in self.started.items():
            limit = self.oracle.defined.limits.get(name)
            if limit is None or limit is not LIMITS[name]:
                continue
            moments = sorted((one.at_ms, one.units) for one in started.values())
            for first, (begin_ms, _) in enumerate(moments):
                total = most = 0
                for at_ms, units in moments[first:]:
                    total, most = total + units, max(most, units)
                    at_once = max(limit.burst, most)  # more than a burst waits for a full one
                    assert total <= at_once + (at_ms - begin_ms) / limit.unit_ms + 1e-6

    def wait_again(self, lease: Lease) -> None:
        lane = unpack_header(lease.payload).lane
        self.waiting[lease.message_id] = Enqueue(queue=QUEUE, lane=lane, payload=lease.payload)

    async def die(self, session: SessionId) -> object:
        """A worker is gone for good; the others live on."""
        self.clock.advance(LEASE_MS - 1)
        for other in self.alive - {session}:
            await self.store.extend(other)
        self.clock.advance(1)
        if session not in self.alive:
            return None
        self.alive.discard(session)
        count = await self.store.reclaim()
        lost = [lease for owner, lease in self.leases if owner == session]
        assert count == len(lost)
        self.leases = [(owner, lease) for owner, lease in self.leases if owner != session]
        for lease in lost:
            self.gave_back(lease, {}, keeps_all=False)
            self.wait_again(lease)
        return count

    async def live(self) -> None:
        for session in sorted(self.alive):
            await self.store.extend(session)

    async def advance(self, milliseconds: int) -> object:
        self.clock.advance(milliseconds)
        await self.live()
        return None

    async def promote(self) -> object:
        promotion = await self.store.promote(QUEUE)
        delayed = (await self.store.stats(QUEUE)).delayed
        if not delayed:
            self.delayed.clear()
        return promotion.moved

    async def define(self, number: int) -> object:
        await self.store.define(DEFINITIONS[number])
        self.oracle.define(DEFINITIONS[number])
        return None

    async def depths(self) -> object:
        stats = await self.store.stats(QUEUE)
        assert stats.waiting + stats.delayed == len(self.waiting)
        assert stats.in_flight == len(self.leases)
        return stats.depth


class GateMachine(RuleBasedStateMachine):
    """Every command goes to every subject; they answer the same."""

    runner: ClassVar[asyncio.Runner]
    shapes: ClassVar[Sequence[Shape]] = MORE_SHAPES

    def __init__(self) -> None:
        super().__init__()
        self.subjects = self.make()

    def make(self) -> list[Subject]:
        raise NotImplementedError

    def everywhere(self, command: str, *args: object, **options: object) -> None:
        async def run() -> list[object]:
            return [await getattr(subject, command)(*args, **options) for subject in self.subjects]

        first, *others = self.runner.run(run())
        for other in others:
            assert other == first

    @rule(
        which=st.lists(st.integers(0, 99), min_size=1, max_size=6),
        lane=st.sampled_from((Lane.NORMAL, Lane.NORMAL, Lane.HIGH, Lane.LOW)),
        units=st.integers(0, 6),
        delay_ms=st.sampled_from((0, 0, 0, 300)),
    )
    def put(self, which: list[int], lane: Lane, units: int, delay_ms: int) -> None:
        for number in which:
            shape = self.shapes[number % len(self.shapes)]
            self.everywhere("put", shape, lane, units, delay_ms=delay_ms)

    @rule(session=st.sampled_from(SESSIONS), limit=st.integers(1, 6))
    def claim(self, session: SessionId, limit: int) -> None:
        self.everywhere("claim", session, limit)

    @rule(
        number=st.integers(0, 20),
        outcome=st.sampled_from(
            (Outcome.ACK, Outcome.ACK, Outcome.RETRY, Outcome.RELEASE, Outcome.DEAD_LETTER)
        ),
        used=st.none() | st.integers(0, 6),
        delay_ms=st.sampled_from((0, 0, 300)),
    )
    def end(self, number: int, outcome: Outcome, used: int | None, delay_ms: int) -> None:
        self.everywhere("end", number, outcome, used, delay_ms)

    @rule(session=st.sampled_from(SESSIONS))
    def die(self, session: SessionId) -> None:
        self.everywhere("die", session)

    @rule(milliseconds=st.sampled_from((1, 50, 250, 600)))
    def advance(self, milliseconds: int) -> None:
        self.everywhere("advance", milliseconds)

    @rule()
    def promote(self) -> None:
        self.everywhere("promote")

    @rule(number=st.integers(0, len(DEFINITIONS) - 1))
    def define(self, number: int) -> None:
        self.everywhere("define", number)

    @rule()
    def look(self) -> None:
        self.everywhere("depths")

    def teardown(self) -> None:
        self.everywhere("depths")


def subject(
    make: Callable[[LaneOptions, FakeClock], LaneStore], options: LaneOptions = OPTIONS
) -> Subject:
    clock = FakeClock()
    return Subject(make(options, clock), clock)
