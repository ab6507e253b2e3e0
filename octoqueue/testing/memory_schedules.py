"""Where the schedules of the memory store stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from octoqueue.primitives.schedules import Fired, LastTick

if TYPE_CHECKING:
    from octoqueue.primitives.schedules import Tick


@dataclass(frozen=True)
class _Standing:
    digest: str
    last_ms: int
    fired_ms: int | None

    def is_begun_anew(self, tick: Tick) -> bool:
        """Whether it was forgotten and has begun again, which who wants the tick did not notice."""
        knows_more = self.fired_ms is None and tick.after_ms < self.last_ms
        return knows_more and self.digest == tick.digest


class MemorySchedules:
    """What the Redis store keeps in its hash of schedules."""

    def __init__(self) -> None:
        self._standing: dict[str, _Standing] = {}

    def last_tick(self, schedule: str, digest: str, *, begins: bool, now_ms: int) -> LastTick:
        """Tell where a schedule stands; let one that was never seen, or has changed, begin now."""
        found = self._standing.get(schedule)
        if found is None or found.digest != digest:
            fired_ms = None if found is None else found.fired_ms
            if not begins:
                return LastTick(None, fired_ms, now_ms)
            begun_ms = now_ms if found is None else max(found.last_ms, now_ms)
            found = self._standing[schedule] = _Standing(digest, begun_ms, fired_ms)
        return LastTick(found.last_ms, found.fired_ms, now_ms)

    def refusal(self, tick: Tick, now_ms: int) -> tuple[Fired, int] | None:
        """Tell why a tick must not be fired, and the last tick; None when it may be."""
        found = self._standing.get(tick.schedule)
        if found is not None and found.is_begun_anew(tick):
            found = None
        if found is not None and not tick.after_ms == found.last_ms < tick.tick_ms:
            return Fired.MOVED_ON, found.last_ms
        if tick.tick_ms > now_ms:
            return Fired.EARLY, tick.after_ms
        return None

    def record(self, tick: Tick) -> None:
        """Remember that a tick was fired."""
        fired = _Standing(tick.digest, tick.tick_ms, tick.tick_ms)
        self._standing[tick.schedule] = fired
