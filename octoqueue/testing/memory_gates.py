"""The gates of the memory store: definitions, what leases hold of caps, what is left of limits."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from octoqueue.lanes.finding import Gate
from octoqueue.primitives.gates import Gates, Reservation, opens_at_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from octoqueue.primitives.extension import Extension, LimitUse
    from octoqueue.primitives.messages import LeaseToken

LimitKey = tuple[str, str]
"""Name of a limit, and whose share of it."""


@dataclass(slots=True)
class _Limit:
    """What is taken of one limit by one key."""

    arrival_ms: float = 0.0
    shift_ms: float = 0.0


class MemoryGates:
    """Everything that may keep a message from running, but turns and lanes."""

    def __init__(self) -> None:
        self.defined = Gates()
        self._held: defaultdict[str, Counter[str]] = defaultdict(Counter[str])
        """Leases by queue and cap."""
        self._limits: defaultdict[LimitKey, _Limit] = defaultdict(_Limit)
        self._reserved: dict[LeaseToken, list[tuple[LimitKey, Reservation]]] = {}

    def define(self, gates: Gates) -> None:
        """Take definitions: of tenants and queues these alone, of caps and limits these too."""
        self.defined = replace(
            gates,
            caps={**self.defined.caps, **gates.caps},
            limits={**self.defined.limits, **gates.limits},
        )

    def full_cap(self, queue: str, extension: Extension) -> bool:
        """Return whether one of the caps of a message has no free slot."""
        held = self._held[queue]
        return any(
            slots is not None and held[name] >= slots for name, slots in self._caps(extension)
        )

    def _caps(self, extension: Extension) -> Iterable[tuple[str, int | None]]:
        if extension.tenant:
            concurrency = self.defined.share_of(extension.tenant).concurrency
            yield f"t{extension.tenant}", concurrency
        for cap in extension.caps:
            yield f"c{cap}", self.defined.caps.get(cap)

    def told(self, queue: str, extension: Extension, now_ms: float) -> tuple[Gate, ...]:
        """Return what is to be said of the gates of a message that waits."""
        held = self._held[queue]
        words = {"t": "tenant", "c": "cap"}
        gates = [
            Gate(name=f"{words[name[0]]} {name[1:]}", held=held[name], slots=slots)
            for name, slots in self._caps(extension)
        ]
        for use in extension.limits:
            if use.name in self.defined.limits:
                opens = self._opens_at_ms(use)
                whose = f" for {use.key}" if use.key else ""
                at_ms = round(opens) if opens > now_ms else None
                gates.append(Gate(name=f"limit {use.name}{whose}", opens_at_ms=at_ms))
        return tuple(gates)

    def closed_limit(self, extension: Extension, now_ms: float) -> tuple[LimitKey, float] | None:
        """Return the limit of a message that opens last, and when; None when all are open."""
        closed: tuple[LimitKey, float] | None = None
        for use in extension.limits:
            opens = self._opens_at_ms(use)
            if opens > now_ms and (closed is None or opens > closed[1]):
                closed = (use.name, use.key), opens
        return closed

    def _opens_at_ms(self, use: LimitUse) -> float:
        limit = self.defined.limits.get(use.name)
        if limit is None:
            return 0.0
        return opens_at_ms(limit, self._limits[use.name, use.key].arrival_ms, use.units)

    def startable(
        self,
        queue: str,
        extension: Extension,
        count: int,
        *,
        now_ms: float,
        until_ms: float,
        granted: Counter[str | LimitKey],
    ) -> int:
        """Return how many of `count` messages could start by a moment, and grant it to them."""
        held = self._held[queue]
        for name, slots in self._caps(extension):
            if slots is not None:
                count = min(count, max(slots - held[name] - granted[name], 0))
        for use in extension.limits:
            limit = self.defined.limits.get(use.name)
            if limit is not None:
                key = use.name, use.key
                begins = max(now_ms, self._limits[key].arrival_ms)
                units = (until_ms - begins) / limit.unit_ms + max(limit.burst, use.units)
                count = min(count, max(int((units - granted[key]) // use.units), 0))
        granted.update({name: count for name, _ in self._caps(extension)})
        granted.update({(use.name, use.key): count * use.units for use in extension.limits})
        return count

    def take(self, queue: str, extension: Extension, token: LeaseToken, now_ms: float) -> None:
        """Take what a message needs, in the name of its lease."""
        self._held[queue].update(name for name, _ in self._caps(extension))
        reserved: list[tuple[LimitKey, Reservation]] = []
        for use in extension.limits:
            limit = self.defined.limits.get(use.name)
            if limit is not None:
                taken = self._limits[use.name, use.key]
                begins = max(now_ms, taken.arrival_ms)
                taken.arrival_ms = begins + use.units * limit.unit_ms
                one = Reservation(use.units, begins, taken.shift_ms, limit.unit_ms)
                reserved.append(((use.name, use.key), one))
        if reserved:
            self._reserved[token] = reserved

    def give_back(
        self,
        queue: str,
        extension: Extension,
        token: LeaseToken,
        *,
        used: Mapping[LimitKey, int],
        keeps_all: bool,
        now_ms: float,
    ) -> None:
        """Give back what a lease took: its slots, and what it did not use of its limits."""
        self._held[queue].subtract(name for name, _ in self._caps(extension))
        for key, reservation in self._reserved.pop(token, []):
            limit = self._limits[key]
            needed = used.get(key, reservation.units if keeps_all else 0)
            back = reservation.refund_ms(needed, now_ms=now_ms, shift_ms=limit.shift_ms)
            if back < 0:
                limit.arrival_ms = max(limit.arrival_ms, now_ms)
            limit.arrival_ms -= back
            limit.shift_ms += max(0.0, back)
