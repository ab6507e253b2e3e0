"""One queue of the memory store."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from octoqueue.errors import EnvelopeError, NotReplayable
from octoqueue.lanes.reading import in_flight
from octoqueue.primitives.envelope import HEADER_BYTES, pack_header, unpack_header
from octoqueue.primitives.ids import MessageId, text_from_id
from octoqueue.primitives.lane import LANES, Lane
from octoqueue.primitives.messages import DeadLetter, LeaseToken, SessionId
from octoqueue.testing.memory_gates import LimitKey
from octoqueue.testing.memory_selection import PLAIN, MemoryLines, gates_of
from octoqueue.testing.memory_tallies import MemoryTallies

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from octoqueue.testing.memory_gates import MemoryGates

MOST = 0xFFFF
"""Deliveries and attempts are counted up to here."""
UNDECODABLE = b'{"error":"EnvelopeError","message":"the header of the message cannot be decoded"}'


@dataclass(slots=True)
class Claim:
    """What one claim has met so far, by queue."""

    now_ms: int
    closed: defaultdict[str, set[LimitKey]] = field(
        default_factory=lambda: defaultdict(set[LimitKey])
    )
    taken: defaultdict[str, set[MessageId]] = field(
        default_factory=lambda: defaultdict(set[MessageId])
    )


@dataclass(slots=True)
class MemoryQueue:
    """Where the messages of one queue are."""

    name: str
    ready: dict[Lane, deque[bytes]] = field(
        default_factory=lambda: {lane: deque[bytes]() for lane in Lane}
    )
    lines: dict[Lane, MemoryLines] = field(
        default_factory=lambda: {lane: MemoryLines() for lane in Lane}
    )
    """Messages that have gates to pass."""
    delayed: dict[bytes, int] = field(default_factory=dict[bytes, int])
    dead: dict[MessageId, DeadLetter] = field(default_factory=dict[MessageId, DeadLetter])
    leased: defaultdict[SessionId, dict[LeaseToken, bytes]] = field(
        default_factory=lambda: defaultdict(dict[LeaseToken, bytes])
    )
    counters: Counter[str] = field(default_factory=Counter[str])
    waits: Counter[int] = field(default_factory=Counter[int])
    tallies: MemoryTallies = field(default_factory=MemoryTallies)
    rung: bool = False
    paused: bool = False
    closed_before: int = 0
    """Lines that waited for a rate limit when it was last looked."""

    @property
    def waiting(self) -> int:
        """Messages in its lanes."""
        return sum(map(self.depth, Lane))

    def depth(self, lane: Lane) -> int:
        """Return how many messages wait in a lane."""
        return len(self.ready[lane]) + len(self.lines[lane])

    def messages(self) -> Iterator[tuple[bytes, int | None]]:
        """Give all that waits, lane by lane, then what is delayed, with the time it is due."""
        for lane in Lane:
            yield from ((payload, None) for payload in (*self.ready[lane], *self.lines[lane]))
        yield from sorted(self.delayed.items(), key=lambda entry: entry[1])

    def room(self, gates: MemoryGates) -> float:
        """Return how many more of its messages may run."""
        cap = gates.defined.queue_caps.get(self.name)
        if self.paused:
            return 0
        return math.inf if cap is None else max(0, cap - in_flight(self.counters))

    def put(self, payload: bytes, gates: MemoryGates, *, at_head: bool = False) -> None:
        """Let a message wait in its lane."""
        lane, extension = unpack_header(payload).lane, gates_of(payload)
        if extension.gated:
            self.lines[lane].put(payload, extension, gates)
        elif at_head:
            self.ready[lane].appendleft(payload)
        else:
            self.ready[lane].append(payload)

    def take_next(self, lane: Lane, gates: MemoryGates, claim: Claim) -> bytes | None:
        """Take the message that is to run now out of a lane, None when none may."""
        ready, lines = self.ready[lane], self.lines[lane]
        flow: bytes | None = PLAIN if ready else None
        if lines.waiting:
            flow = lines.next_line(
                gates,
                self.name,
                claim.now_ms,
                has_plain=bool(ready),
                closed=claim.closed[self.name],
                taken=claim.taken[self.name],
            )
        if flow is None:
            return None
        if flow != PLAIN:
            return lines.serve(flow, gates)
        lines.serve_plain(gates)
        return ready.popleft()

    def age(self, lane: Lane, before_ms: int, gates: MemoryGates) -> int:
        """Move up a lane what became ready before; of each line the first. Return how many."""
        moved, above = 0, LANES[lane - 1]
        while self.ready[lane] and (ready_at_of(self.ready[lane][0]) or before_ms + 1) <= before_ms:
            self.ready[above].append(self.ready[lane].popleft())
            moved += 1
        for line in list(self.lines[lane].waiting.values()):
            payload = line[0]
            if unpack_header(payload).ready_at_ms <= before_ms:
                self.lines[lane].remove(payload)
                self.lines[above].put(payload, gates_of(payload), gates)
                moved += 1
        return moved

    def delay(self, payload: bytes, due_ms: int) -> bool:
        """Put a message among the delayed; return whether it is now the next to become due."""
        self.delayed[payload] = due_ms
        return min((at, delayed) for delayed, at in self.delayed.items())[1] == payload

    def give_back(self, payloads: Iterable[bytes], gates: MemoryGates) -> None:
        """Put what a dead session held to the head of its lanes, oldest first."""
        for payload in sorted(payloads, key=_by_age, reverse=True):
            header = unpack_header(payload)
            back = restamped(payload, deliveries=header.deliveries + 1)
            self.put(back, gates, at_head=True)

    def bury(self, payload: bytes, reason: bytes, now_ms: int) -> None:
        """Put a message among the dead letters."""
        message_id = unpack_header(payload).message_id
        self.dead[message_id] = DeadLetter(
            message_id=message_id,
            queue=self.name,
            payload=payload,
            reason=reason,
            died_at_ms=now_ms,
        )

    def bury_undecodable(self, payload: bytes, now_ms: int) -> None:
        """Put what is no envelope among the dead letters, under a name made from its bytes."""
        name = hashlib.sha1(payload, usedforsecurity=False).hexdigest()[:16]
        message_id = MessageId(name.encode())
        self.counters["undecodable"] += 1
        self.dead[message_id] = DeadLetter(
            message_id=message_id,
            queue=self.name,
            payload=payload,
            reason=UNDECODABLE,
            died_at_ms=now_ms,
        )

    def replayable(self, message_ids: Iterable[MessageId]) -> list[DeadLetter]:
        """Return those of them that are dead; raise `NotReplayable` for what is no envelope."""
        letters = [self.dead[each] for each in dict.fromkeys(message_ids) if each in self.dead]
        for letter in letters:
            if ready_at_of(letter.payload) is None:
                raise NotReplayable(self.name, text_from_id(letter.message_id))
        return letters

    def replay(self, letter: DeadLetter, gates: MemoryGates, now_ms: int) -> None:
        """Put a dead letter back at the tail of its lane."""
        fresh = restamped(letter.payload, ready_at_ms=now_ms, deliveries=0, attempt=0)
        self.put(fresh, gates)
        del self.dead[letter.message_id]
        self.counters["replayed"] += 1
        self.tallies.arrive(unpack_header(fresh).lane, now_ms)

    def purge(self, message_ids: Iterable[MessageId], age_ms: int | None, now_ms: int) -> int:
        """Remove dead letters: those named, and those older than an age."""
        gone = self.dead.keys() & set(message_ids)
        if age_ms is not None:
            gone |= {each for each, dead in self.dead.items() if now_ms - dead.died_at_ms > age_ms}
        for ident in gone:
            del self.dead[ident]
        self.counters["purged"] += len(gone)
        return len(gone)


def _by_age(payload: bytes) -> tuple[int, MessageId]:
    header = unpack_header(payload)
    return header.ready_at_ms, header.message_id


def ready_at_of(payload: bytes) -> int | None:
    """Return when a payload became ready, None when it is no envelope."""
    try:
        return unpack_header(payload).ready_at_ms
    except EnvelopeError:
        return None


def restamped(
    payload: bytes,
    *,
    ready_at_ms: int | None = None,
    deliveries: int | None = None,
    attempt: int | None = None,
) -> bytes:
    """Return the payload with some fields of its header changed."""
    header = unpack_header(payload)
    changed = header._replace(
        ready_at_ms=header.ready_at_ms if ready_at_ms is None else ready_at_ms,
        deliveries=header.deliveries if deliveries is None else min(deliveries, MOST),
        attempt=header.attempt if attempt is None else min(attempt, MOST),
    )
    return pack_header(changed) + payload[HEADER_BYTES:]
