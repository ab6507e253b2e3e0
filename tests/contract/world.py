"""What a contract test stands in: a store, its clock, and words to build messages with."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from octoqueue.lanes.options import LaneBounds, LaneOptions
from octoqueue.primitives.envelope import Flag, Header, pack_header, unpack_header
from octoqueue.primitives.ids import MessageId, new_message_id
from octoqueue.primitives.lane import Lane
from octoqueue.primitives.messages import (
    Enqueue,
    Lease,
    Outcome,
    ResultRecord,
    SessionId,
    Settlement,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from octoqueue.lanes.protocol import LaneStore
    from octoqueue.testing.fake_clock import FakeClock

A, B = SessionId("worker-a"), SessionId("worker-b")
LEASE_MS = 10_000
SOON = timedelta(seconds=10)
"""Longer than anything that happens should take; no test waits that long when all is well."""
AT_ONCE = timedelta(milliseconds=30)

NOBODY = MessageId(bytes(16))

_namespaces = itertools.count()
OPTIONS = LaneOptions(lease=timedelta(milliseconds=LEASE_MS))
ONE_PARTITION = LaneOptions(
    partitions=1,
    lease=timedelta(milliseconds=LEASE_MS),
    bounds={"narrow": LaneBounds(high=2, normal=3, low=4)},
    delayed_bound=3,
)
WIDE = LaneOptions(partitions=2, default_bounds=LaneBounds(high=20_000, normal=20_000, low=20_000))


class MakesStores(Protocol):
    """How a kind of store is made; each call gives an empty one."""

    async def __call__(self, options: LaneOptions = OPTIONS) -> World: ...


class Injects(Protocol):
    """Puts raw bytes where an envelope should be, as a newer or a broken program would."""

    async def __call__(
        self, queue: str, lane: Lane, *payloads: bytes, beside: MessageId = NOBODY
    ) -> None: ...


class InjectsDelayed(Protocol):
    async def __call__(self, queue: str, due_ms: int, payload: bytes) -> None: ...


@dataclass(frozen=True)
class World:
    store: LaneStore
    clock: FakeClock
    inject: Injects
    inject_delayed: InjectsDelayed

    async def put(self, *messages: Enqueue) -> None:
        """Enqueue each message by itself; all must be accepted."""
        refusals = await self.store.enqueue([[message] for message in messages])
        assert refusals == [None] * len(messages)

    async def claim(
        self, limit: int = 100, *, session: SessionId = A, queues: Sequence[str] = ("coder",)
    ) -> list[Lease]:
        return await self.store.claim(session, queues, limit=limit)

    async def claim_one(self, session: SessionId = A) -> Lease:
        (lease,) = await self.claim(1, session=session)
        return lease

    async def settle(self, *settlements: Settlement, session: SessionId = A) -> None:
        """Commit settlements; none may be refused."""
        refusals = await self.store.commit(session, settlements=settlements)
        assert (refusals.acks, refusals.tokens) == (0, ())

    async def depth(self, queue: str = "coder") -> tuple[int, int, int]:
        depth = (await self.store.stats(queue)).depth
        return depth[Lane.HIGH], depth[Lane.NORMAL], depth[Lane.LOW]


async def until(fact: Callable[[], bool]) -> None:
    """Return when a fact is true that nobody tells us about."""
    while not fact():  # noqa: ASYNC110 - it is another process's, there is no event
        await asyncio.sleep(0.002)


def fresh_namespace() -> str:
    return f"t{next(_namespaces)}"


def message(
    body: str = "{}",
    *,
    lane: Lane = Lane.NORMAL,
    queue: str = "coder",
    delay_ms: int = 0,
    beside: MessageId | None = None,
    message_id: MessageId | None = None,
) -> Enqueue:
    ident = message_id or new_message_id(beside=beside)
    header = Header(lane=lane, flags=Flag.KEEP_RESULT, message_id=ident)
    payload = pack_header(header) + body.encode()
    return Enqueue(queue=queue, lane=lane, payload=payload, delay_ms=delay_ms)


def messages(
    count: int, *, lane: Lane = Lane.NORMAL, beside: MessageId | None = None
) -> list[Enqueue]:
    return [message(str(number), lane=lane, beside=beside) for number in range(count)]


def neighbours(count: int, *, lane: Lane = Lane.NORMAL) -> list[Enqueue]:
    """Messages of one partition, so that their order is exact in every store."""
    first = message("0", lane=lane)
    return [first, *messages(count, lane=lane, beside=first.message_id)[1:]]


def ids(items: Iterable[Enqueue | Lease]) -> list[MessageId]:
    return [item.message_id for item in items]


def lanes(leases: Iterable[Lease]) -> list[Lane]:
    return [unpack_header(lease.payload).lane for lease in leases]


def ack(lease: Lease, *follow_ups: Enqueue, result: bytes | None = None) -> Settlement:
    record = None if result is None else ResultRecord(body=result, ttl_ms=60_000)
    return Settlement(lease=lease, outcome=Outcome.ACK, result=record, follow_ups=tuple(follow_ups))


def retry(lease: Lease, *, delay_ms: int = 0) -> Settlement:
    return Settlement(lease=lease, outcome=Outcome.RETRY, delay_ms=delay_ms)


def release(lease: Lease) -> Settlement:
    return Settlement(lease=lease, outcome=Outcome.RELEASE)


def bury(lease: Lease, reason: bytes = b'{"error":"Poison"}') -> Settlement:
    return Settlement(lease=lease, outcome=Outcome.DEAD_LETTER, reason=reason)
