"""What an attempt may end with: found in dead letters, results and logs of workers."""

from __future__ import annotations

from octoqueue.errors.root import OctoqueueError


class ActorUnknown(OctoqueueError):
    """A message names an actor this process has not imported."""

    def __init__(self, actor: str, *, known: tuple[str, ...] = ()) -> None:
        listed = ", ".join(known) or "none"
        super().__init__(f"no actor named {actor!r} is declared here (declared: {listed})")
        self.actor = actor


class LeaseLost(OctoqueueError):
    """Settling was refused: the lease was reclaimed, so the message belongs to another attempt."""

    def __init__(self, message_id: str) -> None:
        super().__init__(f"the lease of message {message_id} was lost; its outcome was refused")
        self.message_id = message_id


class ResultTooLarge(OctoqueueError):
    """An actor returned more than may be kept."""

    def __init__(self, actor: str, *, result_bytes: int, limit_bytes: int, setting: str) -> None:
        super().__init__(
            f"actor {actor!r} returned {result_bytes} bytes, the limit is {limit_bytes} "
            f"({setting}); return a reference to the data instead of the data"
        )
        self.actor = actor
        self.result_bytes = result_bytes
        self.limit_bytes = limit_bytes


class EventTooLarge(OctoqueueError):
    """An actor emitted more than one event may hold."""

    def __init__(self, actor: str, *, event_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"an event of actor {actor!r} has {event_bytes} bytes, the limit is {limit_bytes} "
            "(events.max_bytes); emit a reference to the data instead of the data"
        )
        self.actor = actor
        self.event_bytes = event_bytes
        self.limit_bytes = limit_bytes


class TimeLimitExceeded(OctoqueueError):
    """An attempt ran longer than its actor allows and was cancelled."""


class DeadlineExceeded(OctoqueueError):
    """An attempt still ran at the deadline of its message and was stopped."""


class MessageExpired(OctoqueueError):
    """A message was not started before it expired, and is not run any more."""


class Cancelled(OctoqueueError):
    """Somebody cancelled the message."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason or None)
        self.reason = reason


class BatchAnswerInvalid(OctoqueueError):
    """A batch actor returned neither None nor a list with one entry a message."""

    def __init__(self, actor: str, *, returned: str, messages: int) -> None:
        super().__init__(
            f"actor {actor!r} was called with {messages} messages and returned a {returned}; "
            "a batch actor returns None, or a list with one entry a message"
        )
        self.actor = actor
        self.messages = messages


class MessageRejected(OctoqueueError):
    """Middleware marked the message as failed."""


class PoisonMessage(OctoqueueError):
    """Too many workers were lost while they ran this message."""

    def __init__(self, deliveries: int) -> None:
        super().__init__(f"{deliveries} workers died or were lost while they ran it")
        self.deliveries = deliveries
