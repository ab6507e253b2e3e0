"""Where a message is, and why it does not run. Pure: the stores bring the facts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from octoqueue.primitives.ids import MessageId
    from octoqueue.primitives.lane import Lane
    from octoqueue.primitives.messages import SessionId


class State(StrEnum):
    """Where a message is."""

    WAITING = "waiting"
    DELAYED = "delayed"
    RUNNING = "running"
    DEAD = "dead"
    FINISHED = "finished"
    """It has ended and its result is kept."""
    UNKNOWN = "unknown"
    """Nobody knows it: it never was, or it ended and left no result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """Where a message was when somebody looked."""

    message_id: MessageId
    state: State
    queue: str | None = None
    """None when the message is finished or unknown."""
    lane: Lane | None = None
    """The lane it waits in, which aging may have made a higher one than its own."""
    position: int | None = None
    """WAITING: how many stand before it in its part of the lane."""
    is_gated: bool = False
    """WAITING: in a line of its own kind, because a tenant, a cap or a limit may hold it up."""
    due_at_ms: int | None = None
    """DELAYED: when it may run."""
    session: SessionId | None = None
    """RUNNING: which worker has it."""
    lease_expires_at_ms: int | None = None
    """RUNNING: when somebody else gets it, unless its worker renews its lease."""
    died_at_ms: int | None = None
    payload: bytes | None = None
    """Header and body, as they are there."""
    cancelled: str | None = None
    """The reason, when somebody has cancelled it and it is still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Something a message must pass before it runs: a cap or a rate limit."""

    name: str
    """`tenant acme`, `cap actor:write`, `limit openai` or `limit openai for key`."""
    held: int | None = None
    """A cap: how many leases are under it now."""
    slots: int | None = None
    """A cap: how many there may be, None when nobody has defined it."""
    opens_at_ms: int | None = None
    """A limit: when it lets this message pass, as things stand; None when it does now."""

    @property
    def is_closed(self) -> bool:
        """Whether it holds the message up now."""
        full = self.slots is not None and (self.held or 0) >= self.slots
        return full or self.opens_at_ms is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is true around a message that waits."""

    now_ms: int
    is_paused: bool = False
    in_flight: int = 0
    queue_cap: int | None = None
    """How many messages of the queue may run at a time, None when there is no cap."""
    higher: int = 0
    """Messages waiting in higher lanes of the queue."""
    beside: int = 0
    """Messages waiting in the same lane of the queue that may be served first: at most."""
    gates: tuple[Gate, ...] = ()
    sessions: int = 0
    """Workers alive, whatever queues they serve."""


class Cause(StrEnum):
    """Why a message does not run now."""

    FINISHED = "finished"
    DEAD = "dead"
    UNKNOWN = "unknown"
    RUNNING = "running"
    LEASE_EXPIRED = "lease_expired"
    CANCELLED = "cancelled"
    PAUSED = "paused"
    DELAYED = "delayed"
    QUEUE_CAP = "queue_cap"
    CAP = "cap"
    LIMIT = "limit"
    AHEAD = "ahead"
    NO_WORKER = "no_worker"
    NEXT = "next"
    """Nothing is in its way: it runs as soon as a worker has a free slot."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One of the causes, in words."""

    cause: Cause
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a message is and everything that keeps it from running, the hardest first."""

    where: Whereabouts
    reasons: tuple[Reason, ...]

    @property
    def causes(self) -> tuple[Cause, ...]:
        """What the reasons are."""
        return tuple(reason.cause for reason in self.reasons)


_FINAL = {
    State.FINISHED: Reason(Cause.FINISHED, "it has ended, and its result is kept"),
    State.DEAD: Reason(Cause.DEAD, "it is a dead letter; replay or purge it"),
    State.UNKNOWN: Reason(Cause.UNKNOWN, "it never was, or it has ended and left no result"),
}


def explain(where: Whereabouts, around: Circumstances) -> Explanation:
    """Return why a message does not run."""
    final = _FINAL.get(where.state)
    if final is not None:
        return Explanation(where, (final,))
    reasons: list[Reason] = []
    if where.cancelled is not None:
        told = f": {where.cancelled}" if where.cancelled else ""
        reasons.append(Reason(Cause.CANCELLED, f"somebody has cancelled it{told}"))
    if where.state is State.RUNNING:
        return Explanation(where, (*reasons, _running(where, around.now_ms)))
    if around.is_paused:
        reasons.append(Reason(Cause.PAUSED, f"queue {where.queue!r} is paused"))
    if where.due_at_ms is not None:
        wait = max(where.due_at_ms - around.now_ms, 0) / 1000
        reasons.append(Reason(Cause.DELAYED, f"it is delayed for another {wait:.1f} s"))
    if around.queue_cap is not None and around.in_flight >= around.queue_cap:
        told = f"{around.in_flight} of {around.queue_cap} messages of the queue run already"
        reasons.append(Reason(Cause.QUEUE_CAP, told))
    reasons += [_held_up(gate, around.now_ms) for gate in around.gates if gate.is_closed]
    if not around.sessions:
        reasons.append(Reason(Cause.NO_WORKER, "no worker is alive"))
    if where.state is State.WAITING:
        reasons += _ahead(where, around)
    if not reasons:
        reasons.append(Reason(Cause.NEXT, "nothing is in its way but a free slot"))
    return Explanation(where, tuple(reasons))


def _running(where: Whereabouts, now_ms: int) -> Reason:
    expires = where.lease_expires_at_ms
    if expires is None or expires <= now_ms:
        told = f"worker {where.session} has it and was lost; it is about to be given back"
        return Reason(Cause.LEASE_EXPIRED, told)
    return Reason(Cause.RUNNING, f"worker {where.session} runs it")


def _held_up(gate: Gate, now_ms: int) -> Reason:
    if gate.opens_at_ms is not None:
        wait = max(gate.opens_at_ms - now_ms, 0) / 1000
        return Reason(Cause.LIMIT, f"{gate.name} lets it pass in {wait:.1f} s")
    return Reason(Cause.CAP, f"{gate.name} is full: {gate.held} of {gate.slots} run")


def _ahead(where: Whereabouts, around: Circumstances) -> list[Reason]:
    reasons: list[Reason] = []
    if around.higher:
        reasons.append(Reason(Cause.AHEAD, f"{around.higher} messages wait in higher lanes"))
    position = where.position or 0
    if position or around.beside:
        lane = where.lane.label if where.lane is not None else "its"
        told = f"{position} stand before it in lane {lane}"
        if around.beside:
            told += f", and up to {around.beside} beside it may be served first"
        reasons.append(Reason(Cause.AHEAD, told))
    return reasons
