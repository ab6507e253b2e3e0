"""Every key, as a typed builder. The only module in which key strings are written.

Counters in a stats hash: `arrived:N` for lane N, `claimed`, `acked`, `retried`, `dead`, `released`,
`snoozed`, `cancelled`, `expired`, `withdrawn` (cancelled before it was claimed), `duplicates`
(follow-ups whose unique key was taken), `reclaimed`, `promoted`, `aged`, `undecodable`, `replayed`,
`purged`, `moved`, `runs`, `run_us`, `run_ms2` and `wait:N:B` for lane N and bucket B of
`primitives/histogram.py`. `enqueued` is to be added to what arrived: what versions counted that
knew no lanes, less what was replayed. Beside them stand `paused`, `cap`, how many messages of the
queue run at once, and `second`, in which some were leased last.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from octoqueue.errors import ConfigError
from octoqueue.primitives.ids import MessageId, text_from_id
from octoqueue.primitives.lane import LANES

if TYPE_CHECKING:
    from octoqueue.primitives.lane import Lane
    from octoqueue.primitives.messages import SessionId


class Keys:
    """The keys of one namespace."""

    def __init__(self, namespace: str = "oq") -> None:
        """Remember the namespace.

        Raises:
            ConfigError: it is empty or holds a brace or colon, which would break the hash tags.
        """
        if not namespace or set(namespace) & set("{}:"):
            raise ConfigError(
                f"namespace {namespace!r} must be non-empty and without braces and colons",
                key="namespace",
            )
        self.namespace = namespace
        # Key strings recur with every call; building them once is most of a call's cost.
        self.lane = lru_cache(maxsize=None)(self._lane)
        self.of_queue = lru_cache(maxsize=None)(self._of_queue)
        self.leased = lru_cache(maxsize=65_536)(self._leased)
        self.lines = lru_cache(maxsize=None)(self._lines)
        self.at_home = lru_cache(maxsize=None)(self._at_home)

    def _tag(self, partition: int) -> str:
        return f"{{{self.namespace}:{partition}}}"

    def _lane(self, partition: int, queue: str, lane: Lane) -> str:
        return f"{self._tag(partition)}:{queue}:{lane.label}"

    def _of_queue(self, partition: int, queue: str, kind: str) -> str:
        return f"{self._tag(partition)}:{queue}:{kind}"

    def _leased(self, partition: int, queue: str, session: SessionId) -> str:
        return f"{self._tag(partition)}:{queue}:leased:{session}"

    def _at_home(self, partition: int, kind: str) -> str:
        return f"{self._tag(partition)}:{kind}"

    def _lines(self, partition: int, queue: str) -> tuple[str, ...]:
        kinds = [f"{kind}:{lane.label}" for kind in ("ring", "gated", "tags") for lane in LANES]
        kinds += ("waiting", "parked", "held")
        return tuple(self.of_queue(partition, queue, kind) for kind in kinds)

    def gated(self, partition: int, queue: str, lane: Lane) -> str:
        """Return the zset of messages of a lane that have gates to pass."""
        return self.of_queue(partition, queue, f"gated:{lane.label}")

    def delayed(self, partition: int, queue: str) -> str:
        """Return the zset of delayed messages."""
        return self.of_queue(partition, queue, "delayed")

    def dead(self, partition: int, queue: str) -> str:
        """Return the zset of dead letters."""
        return self.of_queue(partition, queue, "dead")

    def dead_messages(self, partition: int, queue: str) -> str:
        """Return the hash of dead letters' contents."""
        return self.of_queue(partition, queue, "dead:messages")

    def stats(self, partition: int, queue: str) -> str:
        """Return the hash of counters."""
        return self.of_queue(partition, queue, "stats")

    def workers(self, partition: int) -> str:
        """Return the zset of worker sessions."""
        return self.at_home(partition, "workers")

    def once(self, partition: int) -> str:
        """Return the zset of ids that were enqueued once, with when each is forgotten."""
        return f"{self._tag(partition)}:once"

    def schedules(self, partition: int) -> str:
        """Return the hash of where schedules stand."""
        return f"{self._tag(partition)}:schedules"

    def result(self, partition: int, message_id: MessageId) -> str:
        """Return the key of a result."""
        return f"{self._tag(partition)}:result:{text_from_id(message_id)}"

    def events(self, partition: int, message_id: MessageId) -> str:
        """Return the stream of what a message tells."""
        return f"{self._tag(partition)}:events:{text_from_id(message_id)}"

    def history(self, partition: int, message_id: MessageId) -> str:
        """Return the list of how earlier attempts of a message ended."""
        return f"{self._tag(partition)}:history:{text_from_id(message_id)}"

    def bell(self, queue: str) -> str:
        """Return a queue's doorbell; all bells share one slot so that one call hears several."""
        return f"{{{self.namespace}:bell}}:{queue}"

    def queues(self) -> str:
        """Return the set of queue names."""
        return f"{{{self.namespace}:meta}}:queues"

    def fleet(self, fleet: str, kind: str) -> str:
        """Return a key of what scaling remembers of a fleet; all of a fleet's share one slot."""
        return f"{{{self.namespace}:fleet:{fleet}}}:{kind}"

    def cancel_channel(self, queue: str) -> str:
        """Return the channel on which the ids of running messages are published to be stopped."""
        return f"{self.namespace}:cancel:{queue}"

    def done_channel(self, message_id: MessageId) -> str:
        """Return the channel on which the result of a message is published."""
        return f"{self.namespace}:done:{text_from_id(message_id)}"

    def events_channel(self, message_id: MessageId) -> str:
        """Return the channel on which a message's events are published."""
        return f"{self.namespace}:events:{text_from_id(message_id)}"
