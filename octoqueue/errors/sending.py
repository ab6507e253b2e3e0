"""For whoever sends a message: it was not accepted."""

from __future__ import annotations

from octoqueue.errors.root import OctoqueueError


class EnqueueError(OctoqueueError):
    """A message was not accepted; nothing of it was stored."""


class LaneFull(EnqueueError):
    """The lane has reached its bound."""

    retryable = True

    def __init__(self, queue: str, lane: str, *, depth: int, bound: int) -> None:
        super().__init__(
            f"lane {lane!r} of queue {queue!r} is full: {depth} of {bound} messages are waiting; "
            "try again later, or raise the bound in the configuration"
        )
        self.queue = queue
        self.lane = lane
        self.depth = depth
        self.bound = bound


class DelayedFull(LaneFull):
    """The queue's delayed messages have reached their bound."""


class EnvelopeTooLarge(EnqueueError):
    """The payload is over the limit."""

    def __init__(self, actor: str, *, payload_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"a message for actor {actor!r} has {payload_bytes} bytes, the limit is {limit_bytes}; "
            "pass a reference to the data instead of the data"
        )
        self.actor = actor
        self.payload_bytes = payload_bytes
        self.limit_bytes = limit_bytes


class PayloadNotSerializable(EnqueueError):
    """An argument has no JSON form."""

    def __init__(self, actor: str, *, reason: str) -> None:
        super().__init__(f"the arguments for actor {actor!r} cannot be written as JSON: {reason}")
        self.actor = actor
        self.reason = reason


class InvalidMessage(EnqueueError):
    """A field of the message has an impossible value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field


class UnitsOverBurst(InvalidMessage):
    """The message costs more units than its rate limit ever gives at once: it could never run."""

    def __init__(self, limit: str, *, units: int, burst: int) -> None:
        super().__init__(
            "limits",
            f"{units} units of {limit!r} are over its burst of {burst}: the message could never "
            "run; split it, or raise the burst",
        )
        self.limit = limit
        self.units = units
        self.burst = burst


class DuplicateMessage(EnqueueError):
    """Another message holds the unique key."""

    def __init__(self, actor: str, *, existing: str) -> None:
        super().__init__(f"actor {actor!r} has a message with this unique key: {existing}")
        self.actor = actor
        self.existing = existing
        """The id of the message that holds the key."""


class UniqueCycle(EnqueueError):
    """A running message sends a message with the unique key that it holds itself until it is done.

    The new one would be a duplicate of its own sender, and never run.
    """

    def __init__(self, actor: str, *, message_id: str) -> None:
        super().__init__(
            f"message {message_id} holds the unique key until it is done and sends actor {actor!r} "
            "the same key; declare it unique until it is started, or give the next one another key"
        )
        self.actor = actor
        self.message_id = message_id
