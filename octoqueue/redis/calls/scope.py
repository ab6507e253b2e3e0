"""`Scope`: which partitions one call covers, and where a queue's counters and bell stand for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from octoqueue.primitives.lane import Lane
    from octoqueue.primitives.messages import SessionId
    from octoqueue.redis.keys import Keys


@dataclass(frozen=True, slots=True)
class Scope:
    """The partitions of one call: all of them on a single Redis, exactly one on Redis Cluster."""

    keys: Keys
    partitions: tuple[int, ...]
    bells: bool
    """Whether the doorbell stands in the same slot, so that the script itself may ring it."""

    @property
    def home(self) -> int:
        """The partition whose counters and sessions this call uses."""
        return self.partitions[0]

    def stats(self, queue: str) -> str:
        """Return the counters' key of a queue for this call."""
        return self.keys.stats(self.home, queue)

    def tallies(self, queue: str) -> str:
        """Return the key of what happened in a queue by the second, for this call."""
        return self.keys.of_queue(self.home, queue, "tallies")

    def leased(self, queue: str, session: SessionId) -> str:
        """Return the key of what a session holds of a queue, taken from any partition."""
        return self.keys.leased(self.home, queue, session)

    def marks(self) -> str:
        """Return the key of the set of lanes that may have something to claim."""
        return self.keys.at_home(self.home, "marks")

    def mark(self, queue: str, lane: Lane) -> bytes:
        """Return the mark of a lane."""
        return f"{int(lane)}{self.stats(queue)}".encode()

    def workers(self) -> str:
        """Return the sessions' key for this call."""
        return self.keys.workers(self.home)

    def presences(self) -> str:
        """Return the key of what live sessions say of themselves, for this call."""
        return self.keys.at_home(self.home, "presences")

    def tombstones(self) -> str:
        """Return the key of this call's cancelled messages."""
        return self.keys.at_home(self.home, "cancelled")

    def tombstone_expiries(self) -> str:
        """Return the key of when the tombstones end."""
        return self.keys.at_home(self.home, "cancelled:expiry")

    def locks(self) -> str:
        """Return the key of the unique keys taken."""
        return self.keys.at_home(self.home, "unique")

    def lock_expiries(self) -> str:
        """Return the key of when locks end that end by themselves."""
        return self.keys.at_home(self.home, "unique:expiry")

    def gate_keys(self) -> list[str]:
        """Return what the lines of all queues share, in the order of `includes/place.lua`."""
        kinds = ("gates", "tats", "shifts", "reserved")
        return [self.keys.at_home(self.home, kind) for kind in kinds]

    def line_keys(self, queue: str) -> list[str]:
        """Return the lines of a queue, in the order of `includes/place.lua`."""
        return list(self.keys.lines(self.home, queue))

    def once(self) -> str:
        """Return the key of the ids that were enqueued once, for this call."""
        return self.keys.once(self.home)


def scopes(keys: Keys, partitions: int, *, cluster: bool) -> tuple[Scope, ...]:
    """Return the scopes that together cover all partitions."""
    everything = tuple(range(partitions))
    if cluster:
        return tuple(Scope(keys, (partition,), bells=False) for partition in everything)
    return (Scope(keys, everything, bells=True),)
